//! What a mutation does to records other than its own is judged by what it leaves, told whole, and bounded.

use crate::common::{Dir, quick};
use crate::crm::{ids, mutation};
use vellum::{
    Action, ErrorKind, Key, Link, Mutation, Op, Outcome, Patch, RecordId, Schema, Store, Value, patch,
};
use vellum_admin::verify;

const TEAMS: &str = r#"{"objects":[
  {"key":"team","max_record_bytes":100,"attributes":[
    {"key":"name","type":"text"},
    {"key":"members","type":"reference","multi":true,"refers_to":["member"],
      "inverse":{"object":"member","attribute":"team"}}]},
  {"key":"member","attributes":[
    {"key":"name","type":"text"},
    {"key":"team","type":"reference","refers_to":["team"],"on_delete":"restrict",
      "inverse":{"object":"team","attribute":"members"}},
    {"key":"sponsor","type":"reference","refers_to":["team"],"on_delete":"restrict"},
    {"key":"any","type":"reference","on_delete":"restrict"}]},
  {"key":"seat","attributes":[
    {"key":"room","type":"reference","required":true,"refers_to":["team"]},
    {"key":"owner","type":"reference","refers_to":["team"],"on_delete":"cascade"}]},
  {"key":"link","attributes":[
    {"key":"next","type":"reference","refers_to":["link"],"on_delete":"cascade",
      "inverse":{"object":"link","attribute":"last"}},
    {"key":"last","type":"reference","refers_to":["link"],"inverse":{"object":"link","attribute":"next"}}]}]}"#;

fn teams(name: &str) -> (Store, Dir) {
    let dir = Dir::new(name);
    let schema = Schema::from_json(TEAMS).expect("a valid schema");
    (quick().create(dir.path(), &schema).expect("an empty directory"), dir)
}

fn make(store: &Store, object: &str, patch: Patch) -> RecordId {
    store.apply(&mutation(object, Action::Create, None, patch)).expect("a sound record").id
}

fn delete(object: &str, id: RecordId) -> Mutation {
    mutation(object, Action::Delete, Some(Key::Id(id)), Patch::new())
}

fn create(object: &str, id: RecordId, patch: Patch) -> Mutation {
    mutation(object, Action::Create, Some(Key::Id(id)), patch)
}

fn deleted(outcome: &Outcome) -> Vec<RecordId> {
    outcome.others().iter().filter(|other| other.deleted).map(|other| other.id).collect()
}

#[test]
fn a_required_reference_may_lose_its_value_where_its_record_goes_too() {
    let (store, _dir) = teams("emptied");
    let (room, other) = (make(&store, "team", Patch::new()), make(&store, "team", Patch::new()));
    // `room` comes first in the schema, and is cleared; `owner` takes the seat along.
    let seat = make(&store, "seat", patch! { "room" => room, "owner" => room });
    let outcome = store.apply(&delete("team", room)).unwrap();
    assert_eq!(deleted(&outcome), [seat]);
    // Where the seat stays, it is refused.
    let seat = make(&store, "seat", patch! { "room" => other });
    let error = store.apply(&delete("team", other)).unwrap_err();
    assert_eq!((error.kind(), error.records()), (ErrorKind::MissingRequired, &[seat][..]));
    assert!(store.object("team").unwrap().get(other).unwrap().is_some());
}

#[test]
fn a_record_that_is_made_again_under_its_id_keeps_references_that_may_name_it() {
    let (store, _dir) = teams("again");
    let id = RecordId::from_bytes([7; 16]);
    store.apply(&create("team", id, Patch::new())).unwrap();
    let again = |object: &str, patch: Patch| {
        store.apply_batch(&[delete("team", id), create(object, id, patch)]).map(drop).map_err(|e| e.kind())
    };
    let refused = Err(ErrorKind::ReferenceRestricted);
    // With one side: a team for a team.
    let ann = make(&store, "member", patch! { "sponsor" => id });
    assert_eq!(again("team", Patch::new()), Ok(()));
    assert_eq!(again("member", Patch::new()), refused);
    store.apply(&delete("member", ann)).unwrap();
    // One that may name any record may name what stands in for the team.
    let bob = make(&store, "member", patch! { "any" => id });
    assert_eq!(again("team", Patch::new()), Ok(()));
    store.apply(&delete("member", bob)).unwrap();
    // With two sides the new team must name its members.
    let eve = make(&store, "member", patch! { "team" => id });
    assert_eq!(again("team", Patch::new()), refused);
    assert_eq!(again("team", patch! { "members" => ids(&[eve]) }), Ok(()));
    let team = store.object("team").unwrap().get(id).unwrap().unwrap();
    assert_eq!(team.get("members"), Some(&ids(&[eve])));
}

#[test]
fn others_are_all_that_a_mutation_changed_and_no_more() {
    let (store, _dir) = teams("others");
    let (room, seat) = (RecordId::from_bytes([1; 16]), RecordId::from_bytes([2; 16]));
    let batch = [
        create("team", room, patch! { "name" => "room" }),
        create("seat", seat, patch! { "room" => room, "owner" => room }),
        delete("team", room),
    ];
    let outcomes = store.apply_batch(&batch).unwrap();
    // A record that an earlier mutation of the batch made is removed as any other.
    assert_eq!(deleted(&outcomes[2]), [seat]);
    // One that was staged and is left as it is was not changed.
    let (team, ann) = (make(&store, "team", Patch::new()), make(&store, "member", Patch::new()));
    let batch = [
        mutation("member", Action::Update, Some(Key::Id(ann)), patch! { "name" => "Ann" }),
        mutation("team", Action::Update, Some(Key::Id(team)), patch! { "members" => ids(&[ann]) }),
        mutation(
            "team",
            Action::Update,
            Some(Key::Id(team)),
            patch! { "name" => "A", "members" => ids(&[ann]) },
        ),
    ];
    let outcomes = store.apply_batch(&batch).unwrap();
    assert_eq!(outcomes.iter().map(|outcome| outcome.others().len()).collect::<Vec<_>>(), [0, 1, 0]);
}

#[test]
fn a_record_does_not_grow_beyond_its_limit_by_its_other_side() {
    let (store, _dir) = teams("grown");
    let team = make(&store, "team", patch! { "name" => "a name of twenty-one" });
    let member = || mutation("member", Action::Create, None, patch! { "team" => team });
    for _ in 0..5 {
        store.apply(&member()).unwrap();
    }
    let error = store.apply(&member()).unwrap_err();
    assert_eq!((error.kind(), error.limit()), (ErrorKind::LimitExceeded, Some((100, 116))));
    assert_eq!(store.object("member").unwrap().count(), 5);
}

#[test]
fn a_cascade_may_be_longer_than_a_stack_is_deep() {
    let (store, _dir) = teams("long");
    let id = |number: u32| RecordId::from_bytes(u128::from(number + 1).to_be_bytes());
    let chain: Vec<Mutation> = (0..5_000)
        .map(|number| {
            let next = if number == 0 { Value::Null } else { id(number - 1).into() };
            create("link", id(number), patch! { "next" => next })
        })
        .collect();
    for some in chain.chunks(1_000) {
        store.apply_batch(some).unwrap();
    }
    let outcome = store.apply(&delete("link", id(0))).unwrap();
    assert_eq!(outcome.others().len(), 4_999);
    assert_eq!(store.object("link").unwrap().count(), 0);
}

const PAST: &str = r#"{"objects":[
  {"key":"team","history":true,"attributes":[
    {"key":"name","type":"text"},
    {"key":"members","type":"reference","multi":true,"refers_to":["member"],
      "inverse":{"object":"member","attribute":"team"}}]},
  {"key":"member","attributes":[
    {"key":"team","type":"reference","refers_to":["team"],"inverse":{"object":"team","attribute":"members"}}]},
  {"key":"note","history":true,"attributes":[
    {"key":"about","type":"reference","refers_to":["team"],"on_delete":"cascade"}]},
  {"key":"seat","history":true,"attributes":[
    {"key":"room","type":"reference","required":true,"refers_to":["team"]}]}]}"#;

fn past(name: &str) -> (Store, Dir) {
    let dir = Dir::new(name);
    let schema = Schema::from_json(PAST).expect("a valid schema");
    (quick().create(dir.path(), &schema).expect("an empty directory"), dir)
}

fn value(store: &Store, object: &str, id: RecordId, name: &str) -> Option<Value> {
    store.object(object).unwrap().get(id).unwrap().unwrap().get(name).cloned()
}

#[test]
fn a_restore_asks_for_the_records_it_refers_to_and_writes_other_sides() {
    let (store, _dir) = past("restore");
    let teams = store.object("team").unwrap();
    let (ann, bob) = (make(&store, "member", Patch::new()), make(&store, "member", Patch::new()));
    let team = make(&store, "team", patch! { "members" => ids(&[ann, bob]) });
    let note = make(&store, "note", patch! { "about" => team });
    store.apply(&delete("team", team)).unwrap();
    assert_eq!(value(&store, "member", ann, "team"), None);
    // The note went along; it comes back behind what it is about.
    let error = store.object("note").unwrap().restore(note).unwrap_err();
    assert_eq!((error.kind(), error.path().as_deref()), (ErrorKind::ReferenceNotFound, Some("about")));
    let outcome = teams.restore(team).unwrap();
    assert_eq!(outcome.others().len(), 2);
    assert_eq!(value(&store, "member", ann, "team"), Some(team.into()));
    store.object("note").unwrap().restore(note).unwrap();
    // A member that is gone cannot be named again.
    store.apply(&delete("team", team)).unwrap();
    store.apply(&delete("member", bob)).unwrap();
    let error = teams.restore(team).unwrap_err();
    assert_eq!((error.kind(), error.path().as_deref()), (ErrorKind::ReferenceNotFound, Some("members")));
    assert_eq!((teams.count(), value(&store, "member", ann, "team")), (0, None));
}

#[test]
fn a_revert_leaves_both_sides_of_a_relation_alike() {
    let (store, _dir) = past("revert");
    let (ann, bob) = (make(&store, "member", Patch::new()), make(&store, "member", Patch::new()));
    let team = make(&store, "team", patch! { "members" => ids(&[ann]) });
    // Members keep no history, and follow all the same.
    let set = mutation("team", Action::Update, Some(Key::Id(team)), patch! { "members" => ids(&[bob]) });
    let lsn = store.apply(&set).unwrap().lsn;
    store.revert(lsn).unwrap();
    assert_eq!(value(&store, "team", team, "members"), Some(ids(&[ann])));
    assert_eq!(value(&store, "member", ann, "team"), Some(team.into()));
    assert_eq!(value(&store, "member", bob, "team"), None);
    // A cascade is taken back as a whole, whichever record comes first.
    let note = make(&store, "note", patch! { "about" => team });
    let lsn = store.apply(&delete("team", team)).unwrap().lsn;
    store.revert(lsn).unwrap();
    assert_eq!(value(&store, "note", note, "about"), Some(team.into()));
    assert_eq!(value(&store, "member", ann, "team"), Some(team.into()));
}

#[test]
fn a_revert_takes_back_references_before_the_records_that_the_commit_made() {
    let (store, _dir) = past("revert-order");
    let old = make(&store, "team", patch! { "name" => "old" });
    let note = make(&store, "note", patch! { "about" => old });
    // The note would go along with the new team, if it named it still.
    let team = RecordId::from_bytes([9; 16]);
    let set = mutation("note", Action::Update, Some(Key::Id(note)), patch! { "about" => team });
    let further = create("note", RecordId::from_bytes([8; 16]), patch! { "about" => team });
    let made = [create("team", team, patch! { "name" => "new" }), set, further];
    store.apply_batch(&made).unwrap();
    store.revert(store.applied_lsn()).unwrap();
    assert_eq!(value(&store, "note", note, "about"), Some(old.into()));
    assert_eq!((store.object("team").unwrap().count(), store.object("note").unwrap().count()), (1, 1));
    // Records that need each other go together.
    let made = [
        create("team", team, Patch::new()),
        create("seat", RecordId::from_bytes([7; 16]), patch! { "room" => team }),
    ];
    store.apply_batch(&made).unwrap();
    store.revert(store.applied_lsn()).unwrap();
    assert_eq!((store.object("team").unwrap().count(), store.object("seat").unwrap().count()), (1, 0));
    // A record in the place of another: who names the id goes on to name it.
    let replaced = [delete("team", old), create("team", old, patch! { "name" => "other" })];
    let (ann, again) = (make(&store, "member", patch! { "team" => old }), patch! { "team" => old });
    store.apply_batch(&replaced).unwrap();
    store.apply(&mutation("member", Action::Update, Some(Key::Id(ann)), again)).unwrap();
    assert_eq!(store.object("note").unwrap().count(), 0, "it went with the first one");
    let error = store.revert(vellum::Lsn(store.applied_lsn().0 - 1)).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::PreconditionFailed,
        "the member came to the second one since: {error}"
    );
    store.apply(&mutation("member", Action::Update, Some(Key::Id(ann)), Patch::new().clear("team"))).unwrap();
    store.apply_batch(&replaced).unwrap();
    store.revert(store.applied_lsn()).unwrap();
    assert_eq!(value(&store, "team", old, "name"), Some("other".into()));
}

#[test]
fn a_record_that_was_made_again_goes_with_nobody_that_it_does_not_name() {
    let dir = Dir::new("made-again");
    let schema = r#"{"objects":[
        {"key":"head","attributes":[{"key":"parts","type":"reference","multi":true,"refers_to":["part"],
            "on_delete":"restrict","inverse":{"object":"part","attribute":"head"}}]},
        {"key":"part","attributes":[{"key":"head","type":"reference","refers_to":["head"],
            "on_delete":"cascade","inverse":{"object":"head","attribute":"parts"}}]}]}"#;
    let store = quick().create(dir.path(), &Schema::from_json(schema).unwrap()).unwrap();
    let head = make(&store, "head", Patch::new());
    let [again, other] = [(); 2].map(|()| make(&store, "part", patch! { "head" => head }));
    // Until the end of the transaction the head names the part that was removed, and by its id the new one.
    let mutations = [delete("part", again), create("part", again, Patch::new()), delete("head", head)];
    let outcomes = store.apply_batch(&mutations).unwrap();
    assert_eq!(deleted(&outcomes[2]), [other]);
    assert!(store.object("part").unwrap().get(again).unwrap().is_some());
    store.close().unwrap();
    assert!(verify(dir.path()).unwrap().is_clean());
}

const TREE: &str = r#"{"objects":[
  {"key":"node","attributes":[
    {"key":"name","type":"text","unique":true},
    {"key":"parent","type":"reference","refers_to":["node"],"inverse":{"object":"node","attribute":"children"}},
    {"key":"children","type":"reference","multi":true,"refers_to":["node"],
      "inverse":{"object":"node","attribute":"parent"}},
    {"key":"friend","type":"reference","refers_to":["node"]}]}]}"#;

fn tree(name: &str) -> (Store, Dir) {
    let dir = Dir::new(name);
    (quick().create(dir.path(), &Schema::from_json(TREE).expect("a valid schema")).unwrap(), dir)
}

#[test]
fn a_relation_of_a_record_to_itself_lists_both_sides_as_changed() {
    let (store, _dir) = tree("itself");
    let id = make(&store, "node", patch! { "name" => "a" });
    let set = mutation("node", Action::Update, Some(Key::Id(id)), patch! { "parent" => id }.before());
    let outcome = store.apply(&set).unwrap();
    assert_eq!(outcome.changed().collect::<Vec<_>>(), ["parent", "children"]);
    assert_eq!(outcome.before().len(), 2);
    let clear = mutation("node", Action::Update, Some(Key::Id(id)), patch! { "children" => Value::Null });
    assert_eq!(store.apply(&clear).unwrap().changed().collect::<Vec<_>>(), ["parent", "children"]);
    // One that is made so has both from the start.
    let own = RecordId::from_bytes([7; 16]);
    let outcome = store.apply(&create("node", own, patch! { "parent" => own })).unwrap();
    assert_eq!(outcome.changed().collect::<Vec<_>>(), ["parent", "children"]);
}

#[test]
fn what_a_link_changes_of_the_record_that_has_it_is_listed_as_changed() {
    let (store, _dir) = tree("link-to-itself");
    let id = make(&store, "node", patch! { "name" => "a" });
    let nested = mutation("node", Action::Update, Some(Key::Id(id)), patch! { "name" => "b" });
    let patch = patch! { "friend" => "@it" }.link("it", Link::Mutate(Box::new(nested))).before();
    let outcome = store.apply(&mutation("node", Action::Update, Some(Key::Id(id)), patch)).unwrap();
    assert_eq!(outcome.changed().collect::<Vec<_>>(), ["name", "friend"]);
    assert_eq!(outcome.before()[0], ("name".into(), "a".into()));
    assert!(outcome.others().is_empty());
}

#[test]
fn a_link_of_a_set_if_empty_is_followed_only_where_the_attribute_has_no_value_by_then() {
    let (store, _dir) = tree("if-empty");
    let (a, b) =
        (make(&store, "node", patch! { "name" => "a" }), make(&store, "node", patch! { "name" => "b" }));
    let set = |name: &str, patch: Patch| {
        let nested = mutation("node", Action::Create, None, patch! { "name" => name });
        let patch = patch.link("n", Link::Mutate(Box::new(nested))).op("friend", Op::SetIfEmpty("@n".into()));
        store.apply(&mutation("node", Action::Update, Some(Key::Id(a)), patch)).unwrap()
    };
    let count = || store.object("node").unwrap().count();
    assert_eq!(set("c", Patch::new()).others().len(), 1, "no value yet");
    assert!(set("d", Patch::new()).is_unchanged(), "a value is there");
    assert!(set("d", patch! { "friend" => b }).others().is_empty(), "a value was said");
    assert!(set("d", Patch::new().op("friend", Op::Set(a.into()))).others().is_empty(), "an op gave one");
    assert_eq!(count(), 3);
    assert_eq!(set("d", Patch::new().op("friend", Op::Clear)).others().len(), 1, "an op took it away");
    assert_eq!(set("e", patch! { "friend" => Value::Null }).others().len(), 1, "null was said");
    assert_eq!(count(), 5);
}
