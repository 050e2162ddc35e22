//! Autonumbers as the model knows them: the first record of an object gets `next`, each that is made behind it
//! one more; what fails uses up no number, and one that was given is not given again. Written from docs/types.md.

use crate::model::{Model, Values};
use crate::schema::{AttributeDef, ObjectDef, Type};
use vellum::{ErrorKind, Value};
use vellum_sim::Rng;

/// How an autonumber counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sequence {
    /// What stands before the digits.
    pub prefix: String,
    /// Digits at least, with zeros in front.
    pub padding: usize,
    /// The first number.
    pub next: i64,
    /// How many records the object had been given when the attribute came.
    pub from: u64,
}

impl Sequence {
    /// The members of the neutral form.
    #[must_use]
    pub fn to_json(&self, of: Type) -> String {
        match of {
            Type::Autonumber => {
                format!(r#","prefix":"{}","padding":{},"next":{}"#, self.prefix, self.padding, self.next)
            }
            _ => String::new(),
        }
    }

    /// What the record with this counter shows.
    ///
    /// # Errors
    /// `LimitExceeded` where 64 bits hold no such number.
    pub fn show(&self, counter: u64) -> Result<Value, ErrorKind> {
        let behind = i128::from(counter) - i128::from(self.from) - 1;
        let number = i64::try_from(i128::from(self.next) + behind).map_err(|_| ErrorKind::LimitExceeded)?;
        Ok(self.shown(number))
    }

    fn shown(&self, number: i64) -> Value {
        if self.prefix.is_empty() && self.padding == 0 {
            return Value::Integer(number);
        }
        let digits = number.to_string();
        let zeros = "0".repeat(self.padding.saturating_sub(digits.len()));
        Value::Text(format!("{}{zeros}{digits}", self.prefix))
    }

    /// What one means who looks for a number: the number itself, or what is shown.
    #[must_use]
    pub fn read(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Integer(number) => Some(self.shown(*number)),
            Value::Text(text) => {
                let number = text.strip_prefix(&self.prefix)?.parse().ok()?;
                Some(self.shown(number)).filter(|shown| shown.to_string() == *text)
            }
            _ => None,
        }
    }
}

/// An autonumber, some of which have a prefix, leading zeros or a first number of their own.
pub fn generate(rng: &mut Rng, name: String) -> AttributeDef {
    let sequence = Sequence {
        prefix: (*rng.pick(&["", "", "INV-", "№ ", "9"])).to_string(),
        padding: *rng.pick(&[0, 0, 1, 3, 18]),
        next: *rng.pick(&[1, 1, 0, 8, 99, 1 << 40, i64::MAX - 3]),
        from: 0,
    };
    let unique = rng.one_in(2);
    AttributeDef { sequence, unique, ..AttributeDef::new(name, Type::Autonumber) }
}

/// Gives some objects an autonumber or two.
pub fn add(rng: &mut Rng, objects: &mut [ObjectDef]) {
    for object in objects {
        for number in 0..*rng.pick(&[0, 0, 1, 2]) {
            let attribute = generate(rng, format!("number{number}"));
            object.attributes.push(attribute);
        }
    }
}

impl Model {
    /// Whether records of an object get numbers.
    #[must_use]
    pub fn has_numbers(&self, object: usize) -> bool {
        self.objects[object].attributes.iter().any(|attribute| attribute.of == Type::Autonumber)
    }

    /// Gives a record in the making its numbers.
    ///
    /// # Errors
    /// `LimitExceeded` where there are none left.
    pub(crate) fn give_numbers(&self, object: usize, values: &mut Values) -> Result<(), ErrorKind> {
        let objects = self.objects.clone();
        for (at, attribute) in objects[object].attributes.iter().enumerate() {
            if attribute.of == Type::Autonumber {
                values.insert(at, attribute.sequence.show(self.next_counter(object))?);
            }
        }
        Ok(())
    }
}
