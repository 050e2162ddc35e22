//! Damage to any byte of any file of a small store, closed or killed, with checksums as they fell or made
//! to fit again; then it is opened, read, verified, and written.
//!
//! Promise: where checksums are as they fell, each answer is right or `Corrupt`; always it ends, in memory
//! in proportion to the files, and never in a panic.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use vellum::{Store, patch, record};
use vellum_fuzz::config;
use vellum_fuzz::damage::{Edit, Sample};
use vellum_fuzz::reseal::seal_store;

#[derive(Arbitrary, Debug)]
enum Harm {
    Edit { file: u8, edit: Edit },
    Swap { one: u8, other: u8 },
    Remove { file: u8 },
    Stray { like: u8, number: u8 },
}

#[derive(Arbitrary, Debug)]
struct Input {
    sample: u8,
    harms: Vec<Harm>,
    seal: bool,
    write: bool,
}

static SAMPLES: LazyLock<Vec<Sample>> =
    LazyLock::new(|| vec![Sample::new(12, true), Sample::new(12, false), Sample::new(90, false)]);

fuzz_target!(|input: Input| {
    let sample = &SAMPLES[usize::from(input.sample) % SAMPLES.len()];
    let mut files = sample.files.clone();
    let names: Vec<String> = files.keys().cloned().collect();
    let name = |number: u8| &names[usize::from(number) % names.len()];
    for harm in input.harms.iter().take(4) {
        match harm {
            Harm::Edit { file, edit } => {
                files.entry(name(*file).clone()).and_modify(|bytes| edit.apply(bytes));
            }
            Harm::Swap { one, other } => {
                if let (Some(a), Some(b)) = (files.remove(name(*one)), files.remove(name(*other))) {
                    files.insert(name(*one).clone(), b);
                    files.insert(name(*other).clone(), a);
                }
            }
            Harm::Remove { file } => drop(files.remove(name(*file))),
            Harm::Stray { like, number } => {
                let bytes = files.get(name(*like)).cloned().unwrap_or_default();
                let stem = name(*like).split('-').next().unwrap_or_default();
                files.insert(format!("{stem}-{number:08}"), bytes);
            }
        }
    }
    if input.seal {
        seal_store(&mut files);
    }
    let disk = Sample::on_disk(&files);
    let verified = vellum_admin::verify_on(Arc::new(disk.clone()));
    if files == sample.files {
        assert!(verified.is_ok_and(|report| report.is_clean()), "an undamaged store");
    }
    assert_eq!(disk.files(), files, "verifying changed something");
    let is_changed = files != sample.files;
    if let Ok(store) = config(8).read_only(true).open_on(Arc::new(disk.clone())) {
        sample.judge(&store, input.seal && is_changed);
        assert_eq!(disk.files(), files, "reading changed something");
    }
    if input.write
        && let Ok(store) = config(9).open_on(Arc::new(disk.clone()))
    {
        sample.judge(&store, input.seal && is_changed);
        write(sample, store, &disk);
    }
});

/// Each write is done or refused, and what was done is there when the store is opened again.
fn write(sample: &Sample, store: Store, disk: &vellum_testkit::MemDisk) {
    let Ok(companies) = store.object("company") else { return };
    let mut done = Vec::new();
    for (number, id) in sample.ids().take(8).enumerate() {
        let score = number as f64 + 0.25;
        let changed = match number % 4 {
            3 => companies.delete(id).map(|_| ()),
            _ => companies
                .update(id, patch! { "score" => score, "name" => "written after the damage" })
                .map(|_| ()),
        };
        if changed.is_ok() && number % 4 != 3 {
            done.push((id, score));
        }
    }
    let _ = companies.create(record! { "country" => "FR", "number" => 1, "name" => "new" });
    let _ = store.checkpoint();
    drop(companies);
    if store.close().is_err() {
        return;
    }
    let Ok(again) = config(10).open_on(Arc::new(disk.clone())) else { return };
    let Ok(companies) = again.object("company") else { return };
    for (id, score) in done {
        if let Ok(found) = companies.get(id) {
            let found = found.expect("a record that was written is there");
            assert_eq!(found.get("score"), Some(&vellum::Value::Number(score)));
        }
    }
}
