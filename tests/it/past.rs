//! History: superseded values with their intervals and actors, reads as of a moment, restore and revert; the
//! same through log, checkpoint and salvage. SEMANTICS section 7, row 8, and BEYOND rows 6 and 15.

use crate::common::{Dir, quick};
use vellum::{
    Action, Actor, ActorKind, Config, ErrorKind, Key, Lsn, Mutation, Object, PastValue, Patch, Record,
    RecordId, Schema, Store, Timestamp, Value, patch, record,
};
use vellum_admin::{Repair, verify};

const DEALS: &str = r#"{"objects":[
    {"key":"deal","history":true,"attributes":[
        {"key":"name","type":"text","required":true},
        {"key":"code","type":"text","unique":true},
        {"key":"stage","type":"select","options":[{"key":"lead"},{"key":"won"},{"key":"lost"}]},
        {"key":"amount","type":"integer"},
        {"key":"tags","type":"text","multi":true},
        {"key":"notes","type":"long_text"}]},
    {"key":"person","attributes":[
        {"key":"name","type":"text"},
        {"key":"title","type":"text","history":true}]},
    {"key":"plain","attributes":[{"key":"name","type":"text"}]}]}"#;

fn create(dir: &Dir) -> Store {
    quick().create(dir.path(), &Schema::from_json(DEALS).unwrap()).unwrap()
}

fn user(id: &str) -> Actor {
    Actor::new(ActorKind::User, id)
}

fn texts(values: &[PastValue]) -> Vec<String> {
    values.iter().map(|value| value.value.to_string()).collect()
}

fn sound(dir: &Dir) {
    let report = verify(dir.path()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

/// Interval after interval, without a gap, and the last one open.
fn assert_joined(values: &[PastValue]) {
    for pair in values.windows(2) {
        assert_eq!(pair[0].active_until, Some(pair[1].active_from), "{values:?}");
        assert!(pair[0].active_from < pair[1].active_from);
        assert_eq!(pair[0].ended_by, pair[1].set_by);
    }
    assert_eq!(values.last().unwrap().active_until, None);
}

/// The whole state of a deal, to be compared with what is read of it later.
fn now(deals: &Object, id: RecordId) -> (Record, Timestamp) {
    let record = deals.get(id).unwrap().unwrap();
    let at = record.updated_at;
    (record, at)
}

#[test]
fn values_are_listed_oldest_first_with_interval_and_actor() {
    let dir = Dir::new("past-list");
    let store = create(&dir);
    let (ann, bob) = (store.acting_as(user("ann")), store.acting_as(user("bob")));
    let deals = ann.object("deal").unwrap();
    let id = deals.create(record! { "name" => "a", "stage" => "lead" }).unwrap().id;
    bob.object("deal").unwrap().update(id, patch! { "stage" => "won" }).unwrap();
    deals.update(id, patch! { "stage" => "lost" }).unwrap();
    // What is written again is no new value.
    deals.update(id, patch! { "stage" => "lost" }).unwrap();
    let stages = deals.history(id, "stage").unwrap();
    assert_eq!(texts(&stages), ["lead", "won", "lost"]);
    assert_joined(&stages);
    let names: Vec<_> = stages.iter().map(|value| value.set_by.as_ref().unwrap().id.clone()).collect();
    assert_eq!(names, ["ann", "bob", "ann"]);
    assert_eq!(stages[0].active_from, deals.get(id).unwrap().unwrap().created_at);
    // A value that came later begins later, and one that was taken away leaves a gap.
    deals.update(id, patch! { "amount" => 5 }).unwrap();
    deals.update(id, patch! { "amount" => Value::Null }).unwrap();
    deals.update(id, patch! { "amount" => 7 }).unwrap();
    let amounts = deals.history(id, "amount").unwrap();
    assert_eq!(texts(&amounts), ["5", "7"]);
    assert!(amounts[0].active_from > stages[2].active_from);
    assert!(amounts[0].active_until.unwrap() < amounts[1].active_from);
    assert_eq!(deals.full_history(id).unwrap().len(), 6);
}

#[test]
fn a_record_reads_as_of_every_moment_as_it_was_through_reopening_and_salvage() {
    let (dir, into) = (Dir::new("past-as-of"), Dir::new("past-salvaged"));
    let store = create(&dir).acting_as(user("ann"));
    let deals = store.object("deal").unwrap();
    let id = deals.create(record! { "name" => "a", "code" => "A1" }).unwrap().id;
    let before = Timestamp(deals.get(id).unwrap().unwrap().created_at.0 - 1);
    let mut states = vec![now(&deals, id)];
    for step in 0..40i64 {
        let patch = match step % 5 {
            0 => patch! { "stage" => "won", "amount" => step },
            1 => patch! { "notes" => "n".repeat(40 * step as usize) },
            2 => patch! { "tags" => Value::List(vec![format!("t{step}").into(), "é".into()]) },
            3 => patch! { "stage" => Value::Null, "code" => format!("A{step}") },
            _ => patch! { "notes" => Value::Null, "name" => format!("a{step}") },
        };
        deals.update(id, patch).unwrap();
        states.push(now(&deals, id));
        if step == 20 {
            store.checkpoint().unwrap();
        }
    }
    let check = |deals: &Object| {
        assert_eq!(deals.get_as_of(id, before).unwrap(), None);
        for (record, at) in &states {
            assert_eq!(deals.get_as_of(id, *at).unwrap().as_ref(), Some(record));
            // Until the next change nothing changes.
            let later = Timestamp(at.0 + 1);
            let next = states.iter().find(|(_, next)| *next > *at);
            if next.is_none_or(|(_, next)| later < *next) {
                assert_eq!(deals.get_as_of(id, later).unwrap().as_ref(), Some(record));
            }
        }
    };
    check(&deals);
    drop((deals, store));
    sound(&dir);
    let store = quick().open(dir.path()).unwrap();
    check(&store.object("deal").unwrap());
    store.compact().unwrap();
    drop(store);
    check(&Config::new().read_only(true).open(dir.path()).unwrap().object("deal").unwrap());
    assert!(Repair::new().run(dir.path(), into.path()).unwrap().is_complete());
    sound(&into);
    let store = quick().open(into.path()).unwrap();
    check(&store.object("deal").unwrap());
    // A dump has it all, too.
    let (loaded, mut text) = (Dir::new("past-loaded"), Vec::new());
    vellum_admin::dump(&store.snapshot().unwrap(), &mut text).unwrap();
    vellum_admin::load(&mut text.as_slice(), loaded.path()).unwrap();
    let store = quick().open(loaded.path()).unwrap();
    check(&store.object("deal").unwrap());
    let mut again = Vec::new();
    vellum_admin::dump(&store.snapshot().unwrap(), &mut again).unwrap();
    // The first line has the new store's commit, and the last one a sum.
    let body = |text: &[u8]| {
        let text = String::from_utf8(text.to_vec()).unwrap();
        let lines: Vec<String> = text.lines().skip(1).map(str::to_string).collect();
        lines[..lines.len() - 1].to_vec()
    };
    assert_eq!(body(&again), body(&text));
}

#[test]
fn a_snapshot_reads_the_past_as_it_knew_it() {
    let dir = Dir::new("past-snapshot");
    let store = create(&dir);
    let deals = store.object("deal").unwrap();
    let id = deals.create(record! { "name" => "a" }).unwrap().id;
    deals.update(id, patch! { "name" => "b" }).unwrap();
    let (snapshot, (b, at)) = (store.snapshot().unwrap(), now(&deals, id));
    deals.update(id, patch! { "name" => "c" }).unwrap();
    deals.delete(id).unwrap();
    assert_eq!(snapshot.get_as_of("deal", id, at).unwrap(), Some(b.clone()));
    let end = Timestamp(at.0 + 1_000_000_000_000);
    assert_eq!(snapshot.get_as_of("deal", id, end).unwrap(), Some(b));
    assert_eq!(deals.get_as_of(id, end).unwrap(), None);
}

#[test]
fn only_attributes_that_keep_history_are_known_in_the_past() {
    let dir = Dir::new("past-attribute");
    let store = create(&dir);
    let people = store.object("person").unwrap();
    let id = people.create(record! { "name" => "p", "title" => "dr" }).unwrap().id;
    let at = people.get(id).unwrap().unwrap().created_at;
    people.update(id, patch! { "name" => "q", "title" => "prof" }).unwrap();
    assert_eq!(texts(&people.history(id, "title").unwrap()), ["dr", "prof"]);
    let then = people.get_as_of(id, at).unwrap().unwrap();
    assert_eq!((then.get("title"), then.get("name")), (Some(&Value::from("dr")), None));
    let refused = |result: vellum::Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::NotHistoric);
    refused(people.history(id, "name").map(drop));
    let plain = store.object("plain").unwrap();
    let id = plain.create(record! { "name" => "x" }).unwrap().id;
    refused(plain.history(id, "name").map(drop));
    refused(plain.get_as_of(id, at).map(drop));
    refused(plain.restore(id).map(drop));
    refused(plain.insert_past(id, "name", "y", at, at).map(drop));
    refused(store.revert(store.applied_lsn()).map(drop));
}

#[test]
fn an_object_without_history_logs_not_a_byte_more() {
    let dir = Dir::new("past-plain");
    let store = create(&dir);
    let logged = |run: &dyn Fn()| {
        let before = store.stats().unwrap().log_since_checkpoint;
        run();
        store.stats().unwrap().log_since_checkpoint - before
    };
    let (plain, people) = (store.object("plain").unwrap(), store.object("person").unwrap());
    let id = plain.create(record! { "name" => "x" }).unwrap().id;
    let person = people.create(record! { "name" => "x", "title" => "x" }).unwrap().id;
    let plain_len = logged(&|| drop(plain.update(id, patch! { "name" => "y" }).unwrap()));
    let name_len = logged(&|| drop(people.update(person, patch! { "name" => "y" }).unwrap()));
    let title_len = logged(&|| drop(people.update(person, patch! { "title" => "y" }).unwrap()));
    assert_eq!(plain_len, name_len, "an attribute without history beside one that has it");
    assert!(title_len > plain_len);
}

#[test]
fn a_deleted_record_is_restored_whole_and_its_history_goes_on() {
    let (dir, into) = (Dir::new("past-restore"), Dir::new("past-restored"));
    let store = create(&dir).acting_as(user("ann"));
    let deals = store.object("deal").unwrap();
    let id = deals.create(record! { "name" => "a", "code" => "A", "amount" => 1 }).unwrap().id;
    deals.update(id, patch! { "amount" => 2, "notes" => "long ".repeat(30) }).unwrap();
    let (was, at) = now(&deals, id);
    deals.create(record! { "name" => "b" }).unwrap();
    deals.delete(id).unwrap();
    assert_eq!(deals.get(id).unwrap(), None);
    // Its history is found by its id.
    assert_eq!(texts(&deals.history(id, "amount").unwrap()), ["1", "2"]);
    assert_eq!(deals.get_as_of(id, at).unwrap(), Some(was.clone()));
    drop((deals, store));
    let store = quick().open(dir.path()).unwrap().acting_as(user("bob"));
    let deals = store.object("deal").unwrap();
    let outcome = deals.restore(id).unwrap();
    let back = deals.get(id).unwrap().unwrap();
    // A time that nobody gave is known when the commit is made.
    let told = outcome.record.unwrap();
    assert_eq!((told.created_at, told.counter), (back.created_at, back.counter));
    assert!(told.iter().eq(back.iter()));
    let values = |record: &Record| record.iter().map(|(n, v)| (n.to_string(), v.clone())).collect::<Vec<_>>();
    assert_eq!(values(&back), values(&was));
    assert_eq!((back.counter, back.created_at, back.version), (was.counter, was.created_at, was.version + 1));
    assert_eq!(back.created_by().unwrap().id, "ann");
    assert_eq!(back.updated_by().unwrap().id, "bob");
    // In between it was not there, and its first life is known still.
    let died = deals.history(id, "amount").unwrap()[1].active_until.unwrap();
    assert_eq!(deals.get_as_of(id, died).unwrap(), None);
    assert_eq!(deals.get_as_of(id, at).unwrap(), Some(was));
    assert_eq!(texts(&deals.history(id, "amount").unwrap()), ["1", "2", "2"]);
    assert_eq!(deals.restore(id).unwrap_err().kind(), ErrorKind::RecordNotFound);
    // Twice deleted, twice restored; and a counter is given once.
    deals.delete(id).unwrap();
    deals.restore(id).unwrap();
    let other = deals.create(record! { "name" => "c" }).unwrap().id;
    assert_eq!(deals.get(other).unwrap().unwrap().counter, 3);
    drop((deals, store));
    sound(&dir);
    assert!(Repair::new().run(dir.path(), into.path()).unwrap().is_complete());
    let store = quick().open(into.path()).unwrap();
    let deals = store.object("deal").unwrap();
    assert_eq!(texts(&deals.history(id, "amount").unwrap()), ["1", "2", "2", "2"]);
    // A record that is dead in a dump can be restored behind it.
    deals.delete(id).unwrap();
    let (loaded, mut text) = (Dir::new("past-dead"), Vec::new());
    vellum_admin::dump(&store.snapshot().unwrap(), &mut text).unwrap();
    vellum_admin::load(&mut text.as_slice(), loaded.path()).unwrap();
    let loaded = quick().open(loaded.path()).unwrap().object("deal").unwrap();
    let back = loaded.restore(id).unwrap().record.unwrap();
    assert_eq!((back.get("amount"), back.counter), (Some(&Value::Integer(2)), 1));
}

#[test]
fn a_restore_is_refused_where_its_key_was_taken_and_leaves_no_trace() {
    let dir = Dir::new("past-restore-key");
    let store = create(&dir);
    let deals = store.object("deal").unwrap();
    let id = deals.create(record! { "name" => "a", "code" => "A" }).unwrap().id;
    deals.delete(id).unwrap();
    let holder = deals.create(record! { "name" => "b", "code" => "A" }).unwrap().id;
    let lsn = store.applied_lsn();
    let error = deals.restore(id).unwrap_err();
    assert_eq!(error.conflict().unwrap().record, holder);
    assert_eq!((store.applied_lsn(), deals.count()), (lsn, 1));
    deals.update(holder, patch! { "code" => "B" }).unwrap();
    deals.restore(id).unwrap();
    assert_eq!(deals.get(("code", "A")).unwrap().unwrap().id, id);
}

#[test]
fn an_id_that_lives_again_goes_on_with_its_history() {
    let dir = Dir::new("past-same-id");
    let store = create(&dir);
    let deals = store.object("deal").unwrap();
    let id = RecordId::from_bytes([7; 16]);
    let put = |name: &str| deals.upsert(id, patch! { "name" => name }).unwrap();
    put("a");
    deals.delete(id).unwrap();
    put("b");
    assert_eq!(texts(&deals.history(id, "name").unwrap()), ["a", "b"]);
    // In one transaction, too.
    store
        .transaction(|txn| {
            txn.delete("deal", id)?;
            txn.upsert("deal", id, patch! { "name" => "c" })
        })
        .unwrap();
    assert_eq!(texts(&deals.history(id, "name").unwrap()), ["a", "b", "c"]);
    deals.delete(id).unwrap();
    assert_eq!(texts(&deals.history(id, "name").unwrap()), ["a", "b", "c"]);
    drop((deals, store));
    sound(&dir);
}

#[test]
fn a_value_is_put_into_a_gap_of_the_past_and_nowhere_else() {
    let dir = Dir::new("past-insert");
    let store = create(&dir).acting_as(user("ann"));
    let deals = store.object("deal").unwrap();
    let id = deals.create(record! { "name" => "a", "stage" => "lead" }).unwrap().id;
    let born = deals.get(id).unwrap().unwrap().created_at;
    let at = |offset: i64| Timestamp(born.0 + offset);
    let insert = |stage: &str, from: Timestamp, until| deals.insert_past(id, "stage", stage, from, until);
    // Before the record's birth there was nothing.
    insert("lost", at(-100), at(-50)).unwrap();
    insert("won", at(-50), at(0)).unwrap();
    let overlap = |result: vellum::Result<vellum::Outcome>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HistoryOverlap, "{error}");
        assert_eq!(error.attribute_path(), Some(("deal", "stage")), "{error}");
    };
    let lsn = store.applied_lsn();
    overlap(insert("lost", at(-60), at(-40)));
    overlap(insert("lost", at(-1000), at(1000)));
    overlap(insert("lost", at(-10), at(1)));
    overlap(insert("lost", at(-110), at(-99)));
    overlap(insert("lost", at(-300), at(-300)));
    overlap(insert("lost", at(-300), at(-400)));
    overlap(insert("lost", at(i64::MAX / 4), at(i64::MAX / 2)));
    assert_eq!(store.applied_lsn(), lsn, "what is refused leaves no trace");
    let stages = deals.history(id, "stage").unwrap();
    assert_eq!(texts(&stages), ["lost", "won", "lead"]);
    assert_joined(&stages);
    let then = deals.get_as_of(id, at(-75)).unwrap().unwrap();
    assert_eq!(then.get("stage"), Some(&Value::from("lost")));
    assert_eq!(deals.get_as_of(id, at(-101)).unwrap(), None);
    // A value that is refused for itself, and a record that is not there.
    assert_eq!(insert("none", at(-300), at(-200)).unwrap_err().kind(), ErrorKind::UnknownOption);
    let nobody = RecordId::from_bytes([9; 16]);
    let error = deals.insert_past(nobody, "stage", "won", at(-300), at(-200)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RecordNotFound);
    drop((deals, store));
    sound(&dir);
}

#[test]
fn a_time_that_a_caller_gives_ends_one_value_and_begins_the_next() {
    let dir = Dir::new("past-at");
    let store = create(&dir);
    let deals = store.object("deal").unwrap();
    let t = |seconds: i64| Timestamp(1_600_000_000_000_000_000 + seconds * 1_000_000_000);
    let made = deals.upsert(RecordId::from_bytes([1; 16]), patch! { "name" => "a", "amount" => 1 }.at(t(0)));
    let id = made.unwrap().id;
    deals.update(id, patch! { "amount" => 2 }.at(t(10))).unwrap();
    deals.update(id, patch! { "amount" => Value::Null }.at(t(20))).unwrap();
    deals.update(id, patch! { "amount" => 3 }.at(t(30))).unwrap();
    let amounts = deals.history(id, "amount").unwrap();
    let times: Vec<_> = amounts.iter().map(|value| (value.active_from, value.active_until)).collect();
    assert_eq!(times, [(t(0), Some(t(10))), (t(10), Some(t(20))), (t(30), None)]);
    let amount_at = |seconds| {
        let record = deals.get_as_of(id, t(seconds)).unwrap();
        record.and_then(|record| record.get("amount").map(ToString::to_string))
    };
    let expected = [(-1, None), (0, Some("1")), (9, Some("1")), (10, Some("2")), (25, None), (30, Some("3"))];
    for (seconds, amount) in expected {
        assert_eq!(amount_at(seconds).as_deref(), amount, "{seconds}");
    }
    // In front of the present value's begin, or in the future.
    for wrong in [t(29), t(5), Timestamp(i64::MAX)] {
        let error = deals.update(id, patch! { "amount" => 4 }.at(wrong)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::HistoryOverlap);
    }
    deals.insert_past(id, "amount", 9, t(22), t(30)).unwrap();
    assert_eq!(amount_at(25).as_deref(), Some("9"));
}

#[test]
fn a_commit_is_reverted_whole_or_not_at_all() {
    let dir = Dir::new("past-revert");
    let store = create(&dir).acting_as(user("ann"));
    let deals = store.object("deal").unwrap();
    let make = |name: &str, code: &str| deals.create(record! { "name" => name, "code" => code }).unwrap().id;
    let (kept, gone, untouched) = (make("kept", "K"), make("gone", "G"), make("untouched", "U"));
    deals.update(kept, patch! { "amount" => 1, "stage" => "lead" }).unwrap();
    let values = |id: RecordId| {
        let record = deals.get(id).unwrap();
        record.map(|record| record.iter().map(|(n, v)| (n.to_string(), v.clone())).collect::<Vec<_>>())
    };
    let before = [kept, gone, untouched].map(values);
    let (made, lsn) = store
        .transaction(|txn| {
            txn.update("deal", kept, patch! { "amount" => 2, "stage" => Value::Null, "code" => "G" })?;
            txn.delete("deal", gone)?;
            txn.create("deal", record! { "name" => "made", "code" => "K" })
        })
        .map(|outcome| (outcome.id, store.applied_lsn()))
        .unwrap();
    deals.update(kept, patch! { "notes" => "later" }).unwrap();
    let outcomes = store.revert(lsn).unwrap();
    assert_eq!(outcomes.len(), 3);
    assert_eq!(values(made), None);
    let mut expected = before[0].clone().unwrap();
    expected.push(("notes".to_string(), "later".into()));
    assert_eq!(values(kept), Some(expected), "a later change of another attribute stays");
    assert_eq!([gone, untouched].map(values), [before[1].clone(), before[2].clone()]);
    // The revert is a commit like any other, and is reverted like any other.
    store.revert(store.applied_lsn()).unwrap();
    assert!(values(made).is_some() && values(gone).is_none());
    // What was changed again since is not reverted, nor is anything else of that commit.
    let lsn = store
        .transaction(|txn| {
            txn.update("deal", untouched, patch! { "amount" => 5 })?;
            txn.update("deal", kept, patch! { "amount" => 5 })
        })
        .map(|_| store.applied_lsn())
        .unwrap();
    deals.update(kept, patch! { "amount" => 6 }).unwrap();
    let (applied, all) = (store.applied_lsn(), [kept, untouched].map(values));
    let error = store.revert(lsn).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PreconditionFailed);
    assert!(error.to_string().contains(&kept.to_string()), "{error}");
    assert_eq!((store.applied_lsn(), [kept, untouched].map(values)), (applied, all));
    assert_eq!(store.revert(Lsn(1)).unwrap_err().kind(), ErrorKind::NotHistoric);
    drop((deals, store));
    sound(&dir);
}

#[test]
fn a_life_ends_and_begins_at_the_time_that_a_caller_gives_and_overlaps_no_other() {
    let dir = Dir::new("past-lives");
    let store = create(&dir);
    let deals = store.object("deal").unwrap();
    let id = RecordId::from_bytes([7; 16]);
    let t = |seconds: i64| Timestamp(1_600_000_000_000_000_000 + seconds * 1_000_000_000);
    let put = |name: &str, at: Timestamp| deals.upsert(id, patch! { "name" => name }.at(at));
    let delete = |at: Timestamp| {
        let (object, key) = ("deal".into(), Some(Key::Id(id)));
        store.apply(&Mutation { object, action: Action::Delete, key, patch: Patch::new().at(at) })
    };
    let overlap = |result: vellum::Result<vellum::Outcome>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::HistoryOverlap);
    };
    put("a", t(10)).unwrap();
    put("b", t(20)).unwrap();
    overlap(delete(t(15)));
    overlap(delete(Timestamp(i64::MAX)));
    delete(t(30)).unwrap();
    assert_eq!(deals.history(id, "name").unwrap().last().unwrap().active_until, Some(t(30)));
    assert_eq!(deals.get_as_of(id, t(35)).unwrap(), None);
    overlap(put("c", t(25)));
    put("c", t(40)).unwrap();
    let name =
        |seconds: i64| deals.get_as_of(id, t(seconds)).unwrap().map(|r| r.get("name").unwrap().to_string());
    let names = [5, 10, 20, 30, 40].map(name);
    assert_eq!(names, [None, Some("a".into()), Some("b".into()), None, Some("c".into())]);
    // What comes and goes in one transaction was never there, whatever time it named.
    let future = patch! { "name" => "x" }.at(Timestamp(i64::MAX));
    store
        .transaction(|txn| {
            let mutation =
                Mutation { object: "deal".into(), action: Action::Create, key: None, patch: future };
            let made = txn.apply(&mutation)?.id;
            txn.delete("deal", made).map(drop)
        })
        .unwrap();
    drop((deals, store));
    sound(&dir);
}

/// What a model knows of one deal: each state that it was in and since when, nothing while it was gone.
type Lives = Vec<(Timestamp, Option<Vec<(String, Value)>>)>;

fn values_of(record: &Record) -> Vec<(String, Value)> {
    record.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

/// The model's state of a deal at a moment.
fn state_at(lives: &Lives, at: Timestamp) -> Option<&Vec<(String, Value)>> {
    lives.iter().rev().find(|(since, _)| *since <= at).and_then(|(_, state)| state.as_ref())
}

#[test]
fn a_model_of_the_past_and_the_store_agree_at_every_moment() {
    for seed in 1..=4u64 {
        let dir = Dir::new("past-model");
        let mut random = vellum_testkit::Rng::new(seed);
        let mut store = create(&dir);
        let mut deals: Vec<(RecordId, Lives)> = Vec::new();
        type Before = Option<Vec<(String, Value)>>;
        let mut commits: Vec<(Lsn, RecordId, Before)> = Vec::new();
        for step in 0..120 {
            let object = store.object("deal").unwrap();
            let now = |id: RecordId, store: &Store| {
                let record = object.get(id).unwrap();
                // A death shows when the record's last value ended.
                let at = match &record {
                    Some(record) => record.updated_at,
                    None => {
                        object.full_history(id).unwrap().iter().filter_map(|v| v.active_until).max().unwrap()
                    }
                };
                (at, record.as_ref().map(values_of), store.applied_lsn())
            };
            let at = random.below(deals.len() + 1);
            let before =
                deals.get(at).and_then(|(_, lives)| lives.last()).and_then(|(_, state)| state.clone());
            let outcome = match (deals.get(at).map(|(id, _)| *id), random.below(8)) {
                (None, _) => {
                    let made =
                        object.create(record! { "name" => format!("d{step}"), "amount" => step }).unwrap();
                    deals.push((made.id, Vec::new()));
                    Some(made.id)
                }
                (Some(id), 0) if before.is_some() => object.delete(id).ok().map(|_| id),
                (Some(id), _) if before.is_none() => object.restore(id).ok().map(|_| id),
                (Some(id), 1) => {
                    // The newest commit about this deal is taken back.
                    let newest = commits.iter().rev().find(|(_, of, _)| *of == id).cloned().unwrap();
                    let reverted = store.revert(newest.0).unwrap();
                    assert_eq!(reverted.len(), 1);
                    let (_, state, _) = now(id, &store);
                    assert_eq!(state, newest.2, "seed {seed}, step {step}: as before the commit");
                    Some(id)
                }
                (Some(id), kind) => {
                    let patch = match kind {
                        2 => patch! { "stage" => "won", "amount" => step },
                        3 => patch! { "stage" => Value::Null },
                        4 => patch! { "notes" => "n".repeat(random.below(60)) },
                        5 => patch! { "tags" => Value::List(vec![format!("{step}").into()]) },
                        6 => patch! { "amount" => Value::Null, "stage" => "lost" },
                        _ => patch! { "name" => format!("n{}", step % 3) },
                    };
                    let outcome = object.update(id, patch).unwrap();
                    (!outcome.is_unchanged()).then_some(id)
                }
            };
            if let Some(id) = outcome {
                let (at, state, lsn) = now(id, &store);
                let (_, lives) = deals.iter_mut().find(|(other, _)| *other == id).unwrap();
                lives.push((at, state));
                commits.push((lsn, id, before));
            }
            if random.below(20) == 0 {
                if random.below(2) == 0 {
                    store.checkpoint().unwrap();
                }
                drop(object);
                drop(store);
                store = quick().open(dir.path()).unwrap();
            }
        }
        let object = store.object("deal").unwrap();
        for (id, lives) in &deals {
            for (since, _) in lives {
                for at in [Timestamp(since.0 - 1), *since, Timestamp(since.0 + 1)] {
                    let read = object.get_as_of(*id, at).unwrap();
                    let expected = state_at(lives, at);
                    assert_eq!(read.as_ref().map(values_of).as_ref(), expected, "seed {seed}: {id} at {at}");
                }
            }
        }
        drop((object, store));
        sound(&dir);
    }
}

#[test]
fn a_dry_run_refuses_a_time_that_overlaps_as_the_real_call_does() {
    let dir = Dir::new("past-dry-run");
    let store = create(&dir);
    let deals = store.object("deal").unwrap();
    let id = deals.create(record! { "name" => "a", "stage" => "lead" }).unwrap().id;
    let born = deals.get(id).unwrap().unwrap().created_at;
    let set = |offset: i64| {
        let patch = patch! { "stage" => "won" }.at(Timestamp(born.0 + offset));
        Mutation { object: "deal".into(), action: Action::Update, key: Some(Key::Id(id)), patch }
    };
    for wrong in [set(-1), set(1_000_000_000_000)] {
        let tried = store.dry_run(std::slice::from_ref(&wrong)).unwrap_err();
        assert_eq!(tried.kind(), ErrorKind::HistoryOverlap);
        assert_eq!(tried.to_string(), store.apply_batch(&[wrong]).unwrap_err().to_string());
    }
    let before = store.applied_lsn();
    assert_eq!(store.dry_run(&[set(0)]).unwrap()[0].lsn.0, before.0 + 1);
    assert_eq!(store.applied_lsn(), before);
    assert_eq!(store.apply(&set(0)).unwrap().lsn.0, before.0 + 1);
}
