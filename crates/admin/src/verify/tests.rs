//! Planted inconsistencies, each found and named.

use super::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use vellum::records::row_header;
use vellum::records::{COUNTER, FREE_HEAD, ObjectLayout, RECORDS, ROWS, Records, id_value};
use vellum::{Config, Durability, Schema, Store, record};
use vellum_disk::Access;
use vellum_engine::RowId;
use vellum_engine::index;
use vellum_engine::index::key_hash;
use vellum_engine::page::image::{self, ImageView};
use vellum_engine::page::{Columns, PageWrite, bucket, put, slots, varlen};
use vellum_engine::pages::Writer;
use vellum_engine::pages::superblock::Found;
use vellum_engine::pages::{GroupState, segment};
use vellum_types::ObjectId;
use vellum_types::value::append_key_bytes;

const SCHEMA: &str = r#"{"objects":[{"key":"person","primary_key":["number"],"attributes":[
    {"key":"number","type":"integer","required":true},
    {"key":"email","type":"text","unique":true},
    {"key":"role","type":"select","options":[{"key":"reader"},{"key":"writer"}]},
    {"key":"awake","type":"boolean"},
    {"key":"life","type":"long_text"}]}]}"#;

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config() -> Config {
    Config::new().durability(Durability::Buffered).background(false)
}

/// A store of 40 records, of which rows 3, 5 and 7 are free again.
fn store() -> (Dir, Store) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = Dir(std::env::temp_dir().join(format!("vellum-verify-{}-{count}", std::process::id())));
    let store = config().create(&dir.0, &Schema::from_json(SCHEMA).unwrap()).unwrap();
    let people = store.object("person").unwrap();
    for n in 0..40i64 {
        let life = "a long story, ".repeat(n as usize % 7);
        people
            .create(record! { "number" => n, "email" => format!("{n}@example.org"), "role" => "reader", "life" => life })
            .unwrap();
    }
    for n in [3i64, 5, 7] {
        people.delete(("number", n)).unwrap();
    }
    (dir, store)
}

/// What the check of the state finds after `plant` had its way.
fn findings(plant: impl FnOnce(&Records, &mut Writer, &ObjectLayout)) -> Vec<String> {
    let (_dir, store) = store();
    let check = || {
        let mut report = Report::default();
        state::check(store.records(), &mut report);
        report.finish()
    };
    let before = check();
    assert!(before.is_clean(), "{before:#?}");
    assert_eq!(before.record_count, 37);
    let object = store.records().catalog().object(ObjectId(0)).unwrap().clone();
    store.with_pages(|records, writer| plant(records, writer, &object)).unwrap();
    check().findings.iter().map(ToString::to_string).collect()
}

/// Changes the pages of the only row group.
fn rows(records: &Records, writer: &mut Writer, object: &ObjectLayout, change: impl FnOnce(&mut GroupState)) {
    let group = records.pages.group_mut(writer, object.tree, 0).unwrap();
    change(&mut group.state.write());
}

fn set_meta(records: &Records, writer: &Writer, tree: TreeId, word: usize, change: impl FnOnce(u64) -> u64) {
    let tree = records.pages.tree_mut(writer, tree).unwrap();
    tree.set_meta(word, change(tree.meta(word)));
}

fn email_hash(records: &Records, object: &ObjectLayout, email: &str) -> (TreeId, u64) {
    let mut key = Vec::new();
    append_key_bytes(&mut key, object.attributes[1].value_type, email.as_bytes());
    (object.indexes[1].tree, key_hash(records.hash_seed, &key))
}

#[track_caller]
fn says(findings: &[String], part: &str) {
    assert!(findings.iter().any(|finding| finding.contains(part)), "{part:?} is not in {findings:#?}");
}

#[test]
fn a_key_without_an_entry_is_found() {
    let found = findings(|records, writer, object| {
        let (tree, hash) = email_hash(records, object, "8@example.org");
        index::remove(&records.pages, writer, tree, hash, 8).unwrap();
    });
    says(&found, "the key of row 8 is not in the index");
    says(&found, "the index of person(email) has 36 entries for 37 keys");
}

#[test]
fn an_entry_without_a_key_is_found_and_named() {
    let found = findings(|records, writer, object| {
        index::insert(&records.pages, writer, object.indexes[0].tree, 99, 3).unwrap();
    });
    says(&found, "the index of person(number) has 38 entries for 37 keys");
    says(&found, "an entry with hash 0000000000000063 and value 3");
}

#[test]
fn an_entry_that_is_there_twice_is_found() {
    let found = findings(|records, writer, object| {
        let (tree, hash) = email_hash(records, object, "9@example.org");
        index::insert(&records.pages, writer, tree, hash, 9).unwrap();
    });
    says(&found, "the key of row 9 is in the index 2 times");
}

#[test]
fn an_id_that_leads_elsewhere_is_found() {
    let found = findings(|records, writer, object| {
        let group = records.pages.group(&records.pages.live(), object.tree, 0).unwrap().unwrap();
        let id = row_header::Header::read(group.state.read().page(0).unwrap(), 4).unwrap().id;
        let (hash, pages) = (records.id_hash(id), writer);
        index::remove(&records.pages, pages, ID_TREE, hash, id_value(object.id, RowId(4))).unwrap();
        index::insert(&records.pages, pages, ID_TREE, hash, id_value(object.id, RowId(6))).unwrap();
    });
    says(&found, "is not in the index");
    says(&found, "ids of person of 1 record (rows 4 to 4)");
}

#[test]
fn two_records_with_one_key_are_found() {
    let found = findings(|records, writer, object| {
        rows(records, writer, object, |state| {
            varlen::set(state, object.attributes[1].column, 10, b"11@example.org");
        });
    });
    says(&found, "rows 10 and 11 have the same key");
}

#[test]
fn wrong_counts_are_found() {
    let found = findings(|records, writer, object| {
        set_meta(records, writer, object.tree, RECORDS, |count| count + 1);
        set_meta(records, writer, object.tree, COUNTER, |counter| counter - 1);
        set_meta(records, writer, ID_TREE, index::ENTRY_COUNT, |count| count + 2);
    });
    says(&found, "person counts 38 records and has 37");
    says(&found, "person's counter is at 39, a record has 40");
    says(&found, "the index of record ids counts 39 entries and has 37");
}

#[test]
fn rows_behind_the_last_one_are_found() {
    let found = findings(|records, writer, object| set_meta(records, writer, object.tree, ROWS, |_| 39));
    says(&found, "in row 39 of 39");
    let found =
        findings(|records, writer, object| set_meta(records, writer, object.tree, ROWS, |_| u64::MAX));
    says(&found, "person counts 18446744073709551615 rows");
    let found = findings(|records, writer, object| set_meta(records, writer, object.tree, ROWS, |_| 42));
    says(&found, "2 of 5 free rows are not in it, row 40 for one");
}

#[test]
fn a_list_of_free_rows_that_is_no_list_is_found() {
    // The list is 7, 5, 3.
    let link = |slot: u32, to: Option<u64>| {
        findings(move |records, writer, object| {
            rows(records, writer, object, |state| row_header::free(state.page_mut(0), slot, to.map(RowId)));
        })
    };
    says(&link(3, Some(7)), "row 7 is in it twice");
    says(&link(3, Some(3)), "row 3 is in it twice");
    says(&link(5, None), "1 of 3 free rows are not in it, row 3 for one");
    says(&link(3, Some(8)), "row 8 is in it and is not free");
    says(&link(3, Some(1 << 40)), "row 1099511627776 is in it and is not free");
    let found = findings(|records, writer, object| set_meta(records, writer, object.tree, FREE_HEAD, |_| 0));
    says(&found, "3 of 3 free rows are not in it");
}

#[test]
fn cells_that_are_none_are_found() {
    let found = findings(|records, writer, object| {
        rows(records, writer, object, |state| {
            let role = object.attributes[2];
            slots::set_fixed(state.page_mut(role.column), role.width.unwrap(), 20, &7u32.to_le_bytes());
            varlen::set(state, object.attributes[4].column, 21, &[0xff, 0xfe]);
        });
    });
    says(&found, "person.role of 1 record (rows 20 to 20): attribute role: option 7 of 2");
    says(&found, "person.life of 1 record (rows 21 to 21)");
}

#[test]
fn what_a_free_row_holds_is_found() {
    let found = findings(|records, writer, object| {
        rows(records, writer, object, |state| {
            let awake = object.attributes[3];
            slots::set_fixed(state.page_mut(awake.column), awake.width.unwrap(), 5, &[1]);
            state.page_mut(0).write(7 * row_header::SLOT_LEN + 8, &[1]);
            let role = object.attributes[2];
            let at = slots::slot_offset(role.width.unwrap(), 3);
            put(state.page_mut(role.column), at, 1u32);
        });
    });
    says(&found, "person.awake of 1 record (rows 5 to 5): a free row has a value");
    says(&found, "(rows 7 to 7): the slot of a free row is not zero");
    says(&found, "person.role of 1 record (rows 3 to 3): a slot without a value is not zero");
}

#[test]
fn pages_that_nothing_uses_are_found() {
    let found = findings(|records, writer, object| {
        rows(records, writer, object, |state| state.page_mut(77 << 16).write(0, &[1]));
        let group = records.pages.group_mut(writer, TreeId(99), 0).unwrap();
        group.state.write().page_mut(0).write(0, &[1]);
        records.pages.group_mut(writer, CATALOG_TREE, 3).unwrap();
        let group = records.pages.group_mut(writer, ID_TREE, 8).unwrap();
        group.state.write().page_mut(0).replace(bucket::new_empty());
    });
    says(&found, "a page in column 0x4d0000");
    says(&found, "tree 99, which the schema does not name");
    says(&found, "the schema has pages at number 3");
    says(&found, "the index of record ids has pages at bucket 8 of 1");
}

#[test]
fn a_heap_that_counts_wrong_is_found() {
    let found = findings(|records, writer, object| {
        let column = object.attributes[4].column + 1;
        rows(records, writer, object, |state| put(state.page_mut(column), 4, 1u32));
    });
    says(&found, "views or buffers of person.life");
}

#[test]
fn buckets_that_do_not_hold_together_are_found() {
    let change = |change: fn(&mut vellum_engine::pages::GroupState)| {
        findings(move |records, writer, object| {
            let group = records.pages.group_mut(writer, object.indexes[0].tree, 0).unwrap();
            change(&mut group.state.write());
        })
    };
    says(
        &change(|state| put(state.page_mut(0), 0, 3u32)),
        "bucket 0 of the index of person(number): count is 3",
    );
    says(&change(|state| bucket::mark_incomplete(state.page_mut(0))), "were lost to damage");
    let found = findings(|records, writer, object| {
        set_meta(records, writer, object.indexes[0].tree, index::BUCKET_COUNT, |_| 2);
    });
    says(&found, "belongs to bucket 1");
    let found = findings(|records, writer, object| {
        index::note_missing(&records.pages, writer, object.indexes[0].tree).unwrap();
    });
    says(&found, "the index of person(number) lacks 1 keys");
}

fn disk_of(dir: &Dir) -> Arc<dyn Disk> {
    Arc::new(OsDisk::new(&dir.0))
}

/// Puts another root in place of the live one, all checksums right.
fn replace_root(disk: &dyn Disk, change: impl FnOnce(&mut Vec<u8>)) {
    let Found { mut live, .. } = superblock::read(disk).unwrap();
    let mut root = live.root.unwrap();
    let file = disk.open(&segment::file_name(root.segment), Access::Write).unwrap();
    let mut bytes = vec![0; root.image_len() as usize];
    file.read_at(root.offset(), &mut bytes).unwrap();
    let view = ImageView::parse(&bytes).unwrap();
    let (head, mut payload) = (*view.head(), bytes[view.payload_range()].to_vec());
    change(&mut payload);
    let mut image = Vec::new();
    image::encode(&head, &payload, &mut image);
    root.crc = ImageView::parse(&image).unwrap().crc();
    file.write_at(root.offset(), &image).unwrap();
    live.root = Some(root);
    superblock::write(&disk.open(superblock::FILE_NAME, Access::Write).unwrap(), &live).unwrap();
}

#[test]
fn a_root_that_counts_live_bytes_wrong_is_found() {
    let (dir, store) = store();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let disk = disk_of(&dir);
    assert!(verify_on(disk.clone()).unwrap().is_clean());
    replace_root(&*disk, |payload| {
        let at = payload.len() - 4 - 8;
        payload[at] ^= 64;
    });
    let report = verify_on(disk.clone()).unwrap();
    assert!(report.findings[0].message.contains("live bytes, its page table names"), "{report:#?}");
}

#[test]
fn files_of_others_and_leftovers_are_told_apart() {
    let (dir, store) = store();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let disk = disk_of(&dir);
    for name in ["spare-00000009", "log-00000009.1.new", "torn-log-00000001-4096"] {
        disk.create(name).unwrap();
    }
    let report = verify_on(disk.clone()).unwrap();
    assert!(report.is_clean() && report.notes.len() == 3, "{report:#?}");
    for name in ["notes.txt", "seg-1", "seg-00000001.bak", "log-1", "torn-", "Superblock"] {
        disk.create(name).unwrap();
        let report = verify_on(disk.clone()).unwrap();
        let is_noted = |note: &Finding| {
            note.message.contains("a foreign file") && note.place.as_ref().unwrap().file == name
        };
        assert!(report.is_clean() && report.notes.iter().any(is_noted), "{report:#?}");
        disk.remove(name).unwrap();
    }
    disk.remove(superblock::FILE_NAME).unwrap();
    let report = verify_on(disk.clone()).unwrap();
    assert!(report.findings[0].message.contains("superblock is missing"), "{report:#?}");
}

#[test]
fn a_damaged_page_is_named_once_with_all_whom_it_affects() {
    let (dir, store) = store();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let disk = disk_of(&dir);
    let name = segment::file_name(vellum_engine::SegmentId(1));
    let file = disk.open(&name, Access::Write).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    let mut offset = segment::HEADER_LEN;
    let mut names = Vec::new();
    while let Ok((head, len)) = image::parse_head(&bytes[offset..]) {
        if head.payload_len > 0 {
            let at = (offset + len - 64) as u64;
            file.write_at(at, &[bytes[at as usize] ^ 1]).unwrap();
            let report = verify_on(disk.clone()).unwrap();
            let place = report.findings[0].place.as_ref().unwrap();
            assert_eq!(place.file, name);
            assert!((offset as u64..(offset + len) as u64).contains(&place.offset), "{offset}: {report:#?}");
            let here = report.findings.iter().filter(|finding| finding.place.as_ref() == Some(place)).count();
            assert_eq!(here, 1, "{report:#?}");
            names.push(report.findings[0].message.clone());
            file.write_at(at, &[bytes[at as usize]]).unwrap();
        }
        offset += len;
    }
    assert!(verify_on(disk.clone()).unwrap().is_clean());
    says(&names, "affects person.life in rows 0 to 1023; affects person.life of");
    says(&names, "affects all of person in rows 0 to 1023");
    says(&names, "the index of person(email)");
    says(&names, "the page table of");
}

#[test]
fn findings_are_bounded() {
    let mut report = Report::default();
    for n in 0..FINDINGS_MAX as u64 + 7 {
        report.error(&Error::corrupt("file", n, "no good"));
        report.affects(&Error::corrupt("file", n, "no good"), "somebody");
    }
    let report = report.finish();
    assert_eq!(report.findings.len(), FINDINGS_MAX + 1);
    assert_eq!(report.findings[FINDINGS_MAX].message, "7 more findings are not listed");
    assert_eq!(report.findings[0].to_string(), "file at byte 0: no good; affects somebody");
}
