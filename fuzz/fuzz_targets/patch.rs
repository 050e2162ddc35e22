//! The hot path: mutations of every op and type, singly and in batches, against a store that is kept from
//! run to run, judged by the model.
//!
//! Promise: each answer is the model's (outcome, refusal, whole record), and so is each record afterwards.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use vellum::{Key, Mutation, RecordId};
use vellum_fuzz::kept::{Kept, keep_history};
use vellum_testkit::compare::same_values;
use vellum_testkit::{Rng, ops};

thread_local! {
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

fuzz_target!(
    init: keep_history("patch"),
    |input: &[u8]| {
        KEPT.with_borrow_mut(|slot| Kept::with(slot, input, run));
    }
);

/// Mutations of one run: as many as an input of a few hundred bytes decides.
const MUTATIONS_MAX: usize = 32;

fn run(kept: &mut Kept, input: &[u8]) {
    let mut rng = Rng::from_bytes(input);
    let mut graveyard = Vec::new();
    for _ in 0..MUTATIONS_MAX {
        if rng.is_spent() {
            break;
        }
        match rng.below(8) {
            0 => batch(kept, &mut rng),
            _ => one(kept, &mut rng, &mut graveyard),
        }
    }
    for (id, wanted) in &kept.model.records {
        let def = &kept.model.objects[wanted.object];
        let object = kept.store.object(&def.name).expect("an object of the schema");
        let found = object.get(*id).expect("a sound store").expect("a record of the model");
        assert_eq!((found.version, found.counter), (wanted.version, wanted.counter));
        same_values(def, &wanted.values, &found).expect("the values of the model");
    }
}

fn one(kept: &mut Kept, rng: &mut Rng, graveyard: &mut Vec<RecordId>) {
    let mutation = ops::mutation(rng, &kept.model, graveyard);
    let result = kept.store.apply(&mutation);
    let new_id = result.as_ref().map_or(ops::dummy_id(0), |outcome| outcome.id);
    let wanted = kept.model.mutate(&mutation, new_id);
    let wanted = wanted.and_then(|wanted| kept.model.commit(0).map(|lsn| (wanted, lsn)));
    match (result, wanted) {
        (Ok(outcome), Ok((wanted, lsn))) => {
            let found = (outcome.id, outcome.version, outcome.created, outcome.lsn.0);
            assert_eq!(found, (wanted.id, wanted.version, wanted.created, lsn), "{mutation:?}");
            let object = kept.model.object(&mutation.object).expect("it was carried out");
            let def = &kept.model.objects[object];
            let changed = wanted.changed.iter().map(|at| def.attributes[*at].name.as_str());
            assert!(
                outcome.changed().eq(changed),
                "{mutation:?}: {:?}",
                outcome.changed().collect::<Vec<_>>()
            );
            if let Some(record) = &outcome.record {
                same_values(def, &wanted.values, record).expect("the whole record");
            }
            if mutation.action == vellum::Action::Delete {
                graveyard.push(wanted.id);
            }
            look(kept, &mutation, &wanted.id);
        }
        (Err(error), Err(kind)) => {
            kept.model.abort();
            assert_eq!(error.kind(), kind, "{mutation:?}: {error}");
        }
        (result, wanted) => panic!("{mutation:?}\nexpected {wanted:?}\nfound {result:?}"),
    }
}

/// A record is found by the key that the mutation named, or is gone.
fn look(kept: &Kept, mutation: &Mutation, id: &RecordId) {
    let Some(Key::Attributes(parts)) = &mutation.key else { return };
    let object = kept.store.object(&mutation.object).expect("it was carried out");
    if let Some(found) = object.get(Key::Attributes(parts.clone())).expect("a sound store") {
        assert_eq!(kept.model.records.contains_key(&found.id), true, "{mutation:?} of {id} left a ghost");
    }
}

fn batch(kept: &mut Kept, rng: &mut Rng) {
    let special = match rng.below(3) {
        0 => ops::swap(rng, &kept.model),
        1 => ops::renew(rng, &kept.model),
        _ => None,
    };
    let mutations = special
        .unwrap_or_else(|| (0..1 + rng.below(4)).map(|_| ops::mutation(rng, &kept.model, &[])).collect());
    // Which of two records with one key is meant is not promised: by id alone.
    if mutations.iter().any(|mutation| matches!(mutation.key, Some(Key::Attributes(_)))) {
        return;
    }
    let result = kept.store.apply_batch(&mutations);
    let mut refused = None;
    for (number, mutation) in mutations.iter().enumerate() {
        let mut id = ops::dummy_id(number);
        if let Ok(outcomes) = &result {
            id = outcomes[number].id;
        }
        if let Err(kind) = kept.model.mutate(mutation, id) {
            refused = Some(kind);
            break;
        }
    }
    let wanted = refused.map_or_else(|| kept.model.commit(0), Err);
    match (result, wanted) {
        (Ok(outcomes), Ok(lsn)) => assert!(outcomes.iter().all(|outcome| outcome.lsn.0 == lsn)),
        (Err(error), Err(kind)) => {
            kept.model.abort();
            assert_eq!(error.kind(), kind, "{mutations:#?}: {error}");
        }
        (result, wanted) => panic!("{mutations:#?}\nexpected {wanted:?}\nfound {result:?}"),
    }
}
