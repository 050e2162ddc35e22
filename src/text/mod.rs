//! Text in, mutations out; records in, text out. Streaming: one line or one field at a time.
//!
//! # Mutation line
//!
//! One JSON object a line:
//!
//! ```json
//! {"op":"create","object":"flight","values":{"carrier":"UA","flight":1545},"id":"…","at":"…"}
//! {"op":"update","object":"flight","key":{"carrier":"UA","flight":1545},"set":{"dest":"IAH"},"clear":["tailnum"],"if_version":3,"mode":"merge","at":"…"}
//! {"op":"upsert","object":"plane","key":{"tailnum":"N14228"},"set":{"seats":149}}
//! {"op":"delete","object":"flight","id":"…","if_version":4}
//! ```
//!
//! | member       | with                   | meaning                                                     |
//! |--------------|------------------------|-------------------------------------------------------------|
//! | `op`         | all                    | `create`, `update`, `upsert`, `delete`                      |
//! | `object`     | all                    | name of the object                                          |
//! | `id`         | all                    | record id; a create gets it                                 |
//! | `key`        | all but create         | attributes of the primary key, or one unique attribute      |
//! | `values`     | create                 | the record                                                  |
//! | `set`        | update, upsert         | attributes to set; null clears                              |
//! | `clear`      | update, upsert         | attributes to clear                                         |
//! | `mode`       | update, upsert         | `merge` (default), or `replace`: clear what is not named    |
//! | `if_version` | update, upsert, delete | the version that the record must have                       |
//! | `at`         | all                    | the time to show as that of the change                      |
//! | `returning`  | all                    | true: the answer brings the whole record                    |
//!
//! An update, upsert or delete has `id` or `key`, never both. An unknown member, and a
//! member or attribute that stands twice, are errors; whether objects and attributes exist and values
//! fit is judged by the write, in one place. The order is free; `object` before values is fastest.

mod field;
mod mutation;
mod record;
mod values;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_kinds;

pub use field::value_from_text;
pub use mutation::parse_mutation;
pub use record::format_record;
pub(crate) use values::read_values;
