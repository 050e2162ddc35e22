//! `record!` and `patch!`: names and values as a caller writes them.

/// Names with values, for a create: a `Vec<(Name, Value)>`.
///
/// ```text
/// let plane = record! { "tailnum" => "N14228", "seats" => 149, "speed" => None::<i64> };
/// ```
#[macro_export]
macro_rules! record {
    () => { ::std::vec::Vec::<($crate::Name, $crate::Value)>::new() };
    ($($name:literal => $value:expr),+ $(,)?) => {
        ::std::vec![$(($crate::Name::from_static($name), $crate::Value::from($value))),+]
    };
    ($($name:expr => $value:expr),+ $(,)?) => {
        ::std::vec![$(($crate::Name::from($name), $crate::Value::from($value))),+]
    };
}

/// What to change in a record: a `Patch`. A value that is null or `None` clears its attribute.
///
/// ```text
/// store.patch("flight", id, patch! { "status" => "departed", "dep_delay" => 2 })?;
/// ```
#[macro_export]
macro_rules! patch {
    ($($names_and_values:tt)*) => {{
        let mut patch = $crate::Patch::new();
        patch.set = $crate::record! { $($names_and_values)* };
        patch
    }};
}
