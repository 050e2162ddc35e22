//! How the values of a list follow each other in its cell.
//!
//! | element              | size  | form                              |
//! |----------------------|------:|-----------------------------------|
//! | option (ordered)     |     2 | option number, u16                |
//! | of a fixed width     | width | the element's cell form           |
//! | all others           |  v, n | LEB128 of n, then the cell form   |
//!
//! A list has at least one element: without, the attribute has no value. No two are the same key. Options
//! without an order are sorted; up to 64 of them are 8 bytes instead, a bit for each option number.

use vellum_bytes::{Cursor, put_varint};

/// How the elements of an attribute's lists are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Elements {
    /// All have this many bytes.
    Fixed(u8),
    /// Each stands behind its length.
    Prefixed,
}

impl Elements {
    /// Appends one element.
    pub fn append(self, out: &mut Vec<u8>, element: &[u8]) {
        match self {
            Elements::Fixed(len) => debug_assert_eq!(usize::from(len), element.len()),
            Elements::Prefixed => put_varint(out, element.len() as u64),
        }
        out.extend_from_slice(element);
    }

    /// Runs `each` on the elements of a cell.
    ///
    /// # Errors
    /// What `each` says, and the reason when the bytes are no list.
    pub fn try_for_each<'a, E: From<String>>(
        self,
        cell: &'a [u8],
        mut each: impl FnMut(&'a [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut cursor = Cursor::new(cell);
        while !cursor.is_empty() {
            let element = match self {
                Elements::Fixed(len) => cursor.take(usize::from(len)),
                Elements::Prefixed => {
                    cursor.varint().and_then(|len| cursor.take(usize::try_from(len).unwrap_or(usize::MAX)))
                }
            };
            each(element.map_err(|_| format!("a list of {} bytes ends inside an element", cell.len()))?)?;
        }
        Ok(())
    }
}
