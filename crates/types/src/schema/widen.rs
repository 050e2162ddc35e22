//! Types that may become wider: cells of an earlier type as cells of the present one.

use super::AttributeSchema;
use crate::error::{Error, Result};
use crate::value::{Value, ValueType};

impl ValueType {
    /// Whether an attribute of this type may become one of type `to`, every value being kept.
    #[must_use]
    pub fn widens_to(self, to: ValueType) -> bool {
        self == ValueType::Integer
            && matches!(to, ValueType::Number | ValueType::Decimal | ValueType::Text | ValueType::LongText)
    }
}

impl AttributeSchema {
    /// The cell of this attribute for one that was written when its type was another: the type's place in
    /// the persisted form.
    ///
    /// # Errors
    /// `InvalidValue` when the value does not fit any more, `Corrupt` when there was no such type.
    pub fn present_cell(&self, value_type: u32, cell: &[u8]) -> Result<Vec<u8>> {
        if value_type == self.value_type as u32 {
            return Ok(cell.to_vec());
        }
        let number = (value_type == ValueType::Integer as u32).then(|| cell.try_into().ok()).flatten();
        let Some(number) = number.map(i64::from_le_bytes) else {
            let reason =
                format!("attribute {}: no cell of type {value_type} becomes {}", self.key, self.value_type);
            return Err(Error::corrupt("", 0, reason));
        };
        self.widened(number).map_err(|reason| {
            Error::new(crate::ErrorKind::InvalidValue, format!("attribute {}: {reason}", self.key))
        })
    }

    /// The value of a cell that was written when the type was another. A whole number that the present type cannot
    /// hold stays what it was: that nobody may write it again takes it from nobody's past.
    ///
    /// # Errors
    /// `Corrupt` when there was no such type, or the cell is none of it.
    pub fn past_value(&self, value_type: u32, cell: &[u8]) -> Result<Value> {
        match self.present_cell(value_type, cell) {
            Ok(cell) => self.decode(&cell),
            Err(error) if error.kind() == crate::ErrorKind::InvalidValue => {
                let number = cell.try_into().map(i64::from_le_bytes);
                number.map(Value::Integer).map_err(|_| error)
            }
            Err(error) => Err(error),
        }
    }

    /// The cell of a whole number; the reason when the type cannot hold it.
    pub(super) fn widened(&self, number: i64) -> Result<Vec<u8>, String> {
        let value = match self.value_type {
            ValueType::Text | ValueType::LongText => Value::Text(number.to_string()),
            _ => Value::Integer(number),
        };
        self.encode_one(&value)
    }
}
