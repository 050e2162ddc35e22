//! What ops on several values ask of an attribute.

use super::{AttributeSchema, ObjectSchema};
use crate::error::Result;
use crate::value::Value;

impl AttributeSchema {
    /// The number of the option that a value names.
    ///
    /// # Errors
    /// `UnknownOption`, `InvalidValue`.
    pub fn option_of_value(&self, object: &ObjectSchema, value: &Value) -> Result<u32> {
        self.option_number(value).map_err(|refusal| self.error_of(object.key(), refusal))
    }

    /// Whether two values are the same key in different forms, as an e-mail address in capitals is.
    pub fn is_same_key(&self, object: &ObjectSchema, a: &Value, b: &Value) -> bool {
        if !self.value_type().has_normal_form() {
            return false;
        }
        let key = |value: &Value| {
            let mut key = Vec::new();
            self.append_key(object, value, &mut key).is_ok().then_some(key)
        };
        key(a).is_some_and(|a| Some(a) == key(b))
    }
}
