//! What is wrong with a mutation: all errors are collected, and reported in the order of the request.

use super::key::ObjectRef;
use vellum_types::schema::AttributeSchema;
use vellum_types::{AttributeId, Error, Patch, Result, Validation};

/// What is wrong with a mutation so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    ignore: bool,
    /// Where in the mutation the current value or op stands.
    pub(super) place: usize,
    /// Most mutations have none.
    found: Option<Box<Found>>,
}

#[derive(Debug, Default)]
struct Found {
    errors: Vec<(usize, Error)>,
    dropped: Vec<Error>,
}

impl Problems {
    #[inline]
    pub(super) fn new(patch: &Patch) -> Problems {
        let validation = patch.terms.as_ref().map(|terms| terms.validation);
        Problems { ignore: validation == Some(Validation::IgnoreInvalid), ..Problems::default() }
    }

    /// Whether an error is about this attribute, so that it need not be reported as missing too.
    pub(super) fn has(&self, object: ObjectRef<'_>, attribute: AttributeId) -> bool {
        let errors = self.found.iter().flat_map(|found| &found.errors);
        errors.into_iter().any(|(_, error)| is_about(error, object, attribute))
    }

    /// Notes a rejection: as an error, or as something that is left out.
    ///
    /// # Errors
    /// What concerns the store and not the mutation.
    #[cold]
    pub(super) fn note(&mut self, error: Error, required: bool) -> Result<()> {
        if !error.kind().is_refusal() {
            return Err(error);
        }
        let (place, found) = (self.place, self.found.get_or_insert_default());
        match self.ignore && !required {
            true => found.dropped.extend(each(error)),
            false => found.errors.extend(each(error).into_iter().map(|error| (place, error))),
        }
        Ok(())
    }

    /// Notes a rejection that no policy leaves out.
    #[cold]
    pub(super) fn reject(&mut self, error: Error) {
        self.found.get_or_insert_default().errors.push((usize::MAX, error));
    }

    /// What was left out.
    pub(super) fn into_dropped(self) -> Vec<Error> {
        self.found.map_or_else(Vec::new, |found| found.dropped)
    }

    /// # Errors
    /// All that is wrong, in the order of the request.
    #[inline]
    pub(super) fn finish(&mut self) -> Result<()> {
        self.found.as_mut().map_or(Ok(()), |found| found.finish())
    }
}

impl Found {
    #[cold]
    fn finish(&mut self) -> Result<()> {
        if self.errors.is_empty() {
            return Ok(());
        }
        // Names were checked before values; they are reported in the order in which they stand.
        self.errors.sort_by_key(|(place, _)| *place);
        let errors = std::mem::take(&mut self.errors);
        Err(Error::several(errors.into_iter().map(|(_, error)| error).collect()))
    }
}

fn each(error: Error) -> Vec<Error> {
    match error.all() {
        [_] => vec![error],
        several => several.to_vec(),
    }
}

/// Whether a refusal is about this attribute, so that it need not be called missing too.
fn is_about(error: &Error, object: ObjectRef<'_>, attribute: AttributeId) -> bool {
    let name = object.schema.attribute_by_id(attribute).map(AttributeSchema::key);
    error.attribute_path().is_some_and(|(of, path)| of == object.schema.key() && Some(path) == name)
}
