//! Writes the seed corpora: `cargo run --manifest-path fuzz/Cargo.toml --example seeds`, from the root.
//!
//! Text targets get real lines and files, `page_view` and `wal_reader` real bytes of a small store where their
//! input holds bytes, and the others byte strings of several lengths: each byte is a decision, so any string
//! is a run, and long ones reach far. All follows from numbers; running it again changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use vellum_fuzz::damage::Sample;
use vellum_testkit::Rng;

const LINES: [&str; 9] = [
    r#"{"op":"create","object":"t","values":{"a":"x","b":1,"d":0.5,"e":"12.30","f":true},"at":"2013-01-01T05:15:00Z"}"#,
    r#"{"op":"create","object":"t","id":"00000000-0000-7000-8000-000000000001","values":{"a":"\u00e9\ud83d\ude00","b":-1,"k":{"n":[1,2.50,null]}}}"#,
    r#"{"op":"update","object":"t","key":{"a":"x","b":1},"set":{"c":"long","g":"2024-02-29"},"clear":["d"],"if_version":3,"mode":"merge"}"#,
    r#"{"set":{"i":"00000000-0000-7000-8000-000000000002"},"op":"upsert","key":{"a":"x","b":2},"object":"t","returning":true}"#,
    r#"{"op":"upsert","object":"t","key":{"i":"00000000-0000-7000-8000-000000000002"},"set":{"j":"x"},"mode":"replace"}"#,
    r#"{"op":"delete","object":"t","id":"00000000-0000-7000-8000-000000000001","if_version":4}"#,
    r#"{"objects":[{"key":"o","primary_key":["k"],"attributes":[{"key":"k","type":"text","required":true}]}]}"#,
    r#"{"objects":[{"key":"o","attributes":[{"key":"s","type":"select","options":[{"key":"a"},{"key":"b"}]},{"key":"t","type":"timestamp","unit":"us"}]}]}"#,
    r#"{"op":"create","object":"t","values":{"a":"1e400","b":9223372036854775808,"d":-0.0,"h":"1677-09-21T00:12:43.145224192Z"}}"#,
];

const ROWS: [&str; 6] = [
    "a,b,c,d,e,f,g,h,i,j\nx,1,0.5,12.30,true,2024-02-29,2013-01-01T05:15:00Z,00000000-0000-7000-8000-000000000001,{},x\n",
    "\u{feff}b,a\r\n1,\"two\r\nlines\"\r\n\r\n2,\"quote \"\" inside\"\r\n",
    "id,version,counter,created_at,updated_at,a\n00000000-0000-7000-8000-000000000001,1,1,,,x\n",
    "a,b\nx,NA\ny\n,,,\n",
    "{\"a\":\"x\",\"b\":1}\n\n{\"id\":\"00000000-0000-7000-8000-000000000001\",\"values\":{\"a\":\"y\"}}\n",
    "{\"a\":\"values\",\"i\":{\"values\":1}}\n{\"a\":}\n",
];

/// Bytes that an input's last field takes whole lie at its end; the fields before are read from its front.
fn with_options(options: &[u8], text: &str) -> Vec<u8> {
    [options, text.as_bytes()].concat()
}

struct Seeds(PathBuf);

impl Seeds {
    fn write(&self, target: &str, number: usize, bytes: &[u8]) {
        let directory = self.0.join(target);
        fs::create_dir_all(&directory).expect("the seeds can be written");
        fs::write(directory.join(format!("{number:02}")), bytes).expect("the seeds can be written");
    }

    /// Strings by number, from short to long.
    fn strings(&self, target: &str, lens: &[usize]) {
        for (number, len) in lens.iter().enumerate() {
            let mut rng = Rng::new(number as u64 + 1);
            // Small bytes are choices that exist in every list; large ones are rare choices.
            let bytes: Vec<u8> = (0..*len).map(|_| rng.draw() as u8 >> (rng.below(3) * 2)).collect();
            self.write(target, number, &bytes);
        }
    }
}

fn main() {
    let seeds = Seeds(Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds"));
    seeds.strings("patch", &[16, 64, 160, 320, 640, 640]);
    for target in ["ops_vs_model", "crash_cycles"] {
        seeds.strings(target, &[12, 24, 48, 80, 120, 160]);
    }
    for target in ["wal_reader", "superblock", "open_damaged"] {
        seeds.strings(target, &[12, 24, 48, 48, 96, 96, 200, 400]);
    }
    for (number, line) in LINES.iter().enumerate() {
        seeds.write("mutation_json", number, line.as_bytes());
    }
    for (number, text) in ROWS.iter().enumerate() {
        let is_ndjson = u8::from(text.starts_with('{'));
        seeds.write("csv_import", number, &with_options(&[is_ndjson, number as u8 * 3, 1], text));
    }
    let files = Sample::new(12, false).files;
    let segments = files.iter().filter(|(name, _)| name.starts_with("seg-"));
    let images = segments.flat_map(|(_, bytes)| images(bytes)).filter(|image| image.len() < 4096);
    for (number, image) in images.step_by(5).take(8).enumerate() {
        // As it is, no flip, nothing beside it; and its payload under a seal, with a part of it beside it.
        seeds.write("page_view", 2 * number, &[&[0; 12][..], &image].concat());
        let (kind, payload) = (image[4], &image[64..]);
        let split = [(payload.len() / 2) as u8, 0];
        let head = [&[kind][..], &[number as u8; 8], &[0], &split].concat();
        seeds.write("page_view", 2 * number + 1, &[&head[..], payload].concat());
    }
}

/// The images of a segment.
fn images(segment: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<usize> =
        (64..segment.len()).step_by(64).filter(|at| segment[*at..].starts_with(b"vlPG")).collect();
    let ends = starts.iter().skip(1).copied().chain([segment.len()]);
    starts.iter().zip(ends).map(|(start, end)| segment[*start..end].to_vec()).collect()
}
