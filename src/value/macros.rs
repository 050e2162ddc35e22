//! `record!` and `patch!`: names and values as a caller writes them.

/// Names with values, for a create: a `Vec<(String, Value)>`.
///
/// ```text
/// let plane = record! { "tailnum" => "N14228", "seats" => 149, "speed" => None::<i64> };
/// ```
#[macro_export]
macro_rules! record {
    () => { ::std::vec::Vec::<(::std::string::String, $crate::Value)>::new() };
    ($($name:expr => $value:expr),+ $(,)?) => {
        ::std::vec![$((::std::string::String::from($name), $crate::Value::from($value))),+]
    };
}

/// What to change in a record: a `Patch`. A value that is null or `None` clears its attribute.
///
/// ```text
/// store.patch("flight", id, patch! { "status" => "departed", "dep_delay" => 2 })?;
/// ```
#[macro_export]
macro_rules! patch {
    ($($name:expr => $value:expr),* $(,)?) => {{
        let mut patch = $crate::Patch::new();
        patch.set = $crate::record! { $($name => $value),* };
        patch
    }};
}
