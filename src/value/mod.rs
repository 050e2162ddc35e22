//! Values as callers see them, and their cell form: the bytes that a log frame carries and a page
//! slot holds. Pure memory.
//!
//! # Cell form, by [`ValueType`]
//!
//! | type                  | bytes | form                                                        |
//! |-----------------------|------:|-------------------------------------------------------------|
//! | boolean               |     1 | 0 or 1 (a bit in the page)                                  |
//! | select                |     4 | option number, u32                                          |
//! | date                  |     4 | days since 1970-01-01, i32                                  |
//! | integer               |     8 | i64                                                         |
//! | number                |     8 | IEEE 754 double; never NaN or infinite                      |
//! | timestamp             |     8 | nanoseconds (or microseconds, by attribute) since 1970, i64 |
//! | uuid                  |    16 | in printed order                                            |
//! | decimal               |    16 | i128 at the attribute's fixed scale                         |
//! | text, long_text, json |     n | UTF-8; JSON as compact text                                 |
//!
//! A cell is canonical: two values are equal for uniqueness exactly if their [`key_bytes`] are.
//! Those are the cell itself, except that -0.0 becomes 0.0. Text is compared byte by byte: NFC and
//! NFD are different keys.
