//! References that are found or made on the way, by seed: by match, by mutations nested in mutations, and to
//! records that earlier mutations of a transaction named.

use crate::links::DEPTH_MAX;
use crate::model::Model;
use crate::ops;
use crate::schema::{AttributeDef, Type};
use vellum::{Absent, Action, Key, Link, Mutation, Name, Op, Patch, RecordId, Value};
use vellum_sim::Rng;

/// Gives some mutations of an object with references a link.
pub fn add(rng: &mut Rng, model: &Model, graveyard: &[RecordId], mutation: &mut Mutation) {
    // Now and then one that is nested as deep as can be, or deeper.
    let depth = if rng.one_in(20) { DEPTH_MAX - 1 + rng.below(3) } else { rng.below(3) };
    add_at(rng, model, graveyard, mutation, depth);
}

fn add_at(rng: &mut Rng, model: &Model, graveyard: &[RecordId], mutation: &mut Mutation, depth: usize) {
    let Some(object) = model.object(&mutation.object) else { return };
    if mutation.action == Action::Delete {
        return;
    }
    let is_reference = |attribute: &&AttributeDef| attribute.of.is_reference();
    let references: Vec<&AttributeDef> =
        model.objects[object].attributes.iter().filter(is_reference).collect();
    if references.is_empty() {
        return;
    }
    for number in 0..1 + usize::from(rng.one_in(3)) {
        let attribute = *rng.pick(&references);
        let allowed = &attribute.refers.allowed;
        let target = match allowed.is_empty() || rng.one_in(40) {
            true => rng.below(model.objects.len()),
            false => *rng.pick(allowed),
        };
        let Some(link) = link(rng, model, graveyard, target, depth) else { continue };
        let name: Name = format!("l{number}").into();
        refer(rng, attribute, &mut mutation.patch, &name);
        mutation.patch.terms_mut().links.push((name, link));
    }
}

fn link(rng: &mut Rng, model: &Model, graveyard: &[RecordId], target: usize, depth: usize) -> Option<Link> {
    if rng.one_in(3) {
        let absent = if rng.one_in(2) { Absent::Null } else { Absent::Error };
        let Key::Attributes(values) = ops::key(rng, model, target, graveyard) else { return None };
        let object = model.objects[target].name.clone();
        return Some(Link::Match { object, values, absent });
    }
    let mut nested = ops::mutation_of(rng, model, graveyard, target);
    if nested.action == Action::Delete && !rng.one_in(10) {
        return None;
    }
    if depth > 0 {
        add_at(rng, model, graveyard, &mut nested, depth - 1);
    }
    Some(Link::Mutate(Box::new(nested)))
}

/// Puts a link's name where the attribute may have it.
fn refer(rng: &mut Rng, attribute: &AttributeDef, patch: &mut Patch, name: &str) {
    let of = attribute.name.clone();
    let value = Value::from(format!("@{name}"));
    match rng.below(10) {
        0 => patch.terms_mut().create.push((of, value)),
        1 => patch.terms_mut().update.push((of, value)),
        2 => patch.terms_mut().update_if_empty.push((of, value)),
        3 => patch.terms_mut().create_or_update_if_empty.push((of, value)),
        4 if rng.one_in(2) => patch.terms_mut().ops.push((of, Op::SetIfEmpty(value))),
        4 => patch.terms_mut().ops.push((of, Op::Set(value))),
        5 if attribute.of == Type::References => {
            patch.terms_mut().ops.push((of, Op::Add(vec![value])));
        }
        _ => {
            patch.clear.retain(|known| *known != of);
            match patch.set.iter_mut().find(|(known, _)| *known == of) {
                Some((_, Value::List(values))) => values.push(value),
                Some((_, old)) => *old = value,
                None => patch.set.push((of, value)),
            }
        }
    }
}

/// Names records of some mutations of a transaction, and has later ones mean them.
pub fn name(rng: &mut Rng, model: &Model, mutations: &mut [Mutation]) {
    for later in 1..mutations.len() {
        let earlier = rng.below(later);
        if !rng.one_in(4) || mutations[earlier].action == Action::Delete {
            continue;
        }
        let Some(target) = model.object(&mutations[earlier].object) else { continue };
        let name: Name = format!("n{}", rng.below(3)).into();
        mutations[earlier].patch.terms_mut().name = Some(name.clone());
        let mutation = &mut mutations[later];
        if model.object(&mutation.object) == Some(target) && rng.one_in(2) {
            if mutation.action != Action::Create || rng.one_in(10) {
                mutation.key = Some(Key::Named(name));
            }
            continue;
        }
        let Some(object) = model.object(&mutation.object) else { continue };
        let fits = |attribute: &&AttributeDef| attribute.of.is_reference() && attribute.refers.allows(target);
        let attributes: Vec<&AttributeDef> = model.objects[object].attributes.iter().filter(fits).collect();
        if !attributes.is_empty() && mutation.action != Action::Delete {
            let attribute = *rng.pick(&attributes);
            refer(rng, attribute, &mut mutation.patch, &name);
        }
    }
}

/// Whether a mutation has links, and so looks for records beside its own.
#[must_use]
pub fn is_linked(mutation: &Mutation) -> bool {
    mutation.patch.terms.as_ref().is_some_and(|terms| !terms.links.is_empty())
}

/// How many mutations are nested in a mutation.
#[must_use]
pub fn count(mutation: &Mutation) -> usize {
    let links = mutation.patch.terms.iter().flat_map(|terms| &terms.links);
    let nested = links.filter_map(|(_, link)| match link {
        Link::Mutate(nested) => Some(1 + count(nested)),
        Link::Match { .. } => None,
    });
    nested.sum()
}
