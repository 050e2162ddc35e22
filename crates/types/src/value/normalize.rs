//! Normal forms: what uniqueness compares of an e-mail address, a domain and a phone number. The cell
//! keeps what was given. They are part of the format: an index is built of them.
//!
//! | type   | normal form                                                                      |
//! |--------|----------------------------------------------------------------------------------|
//! | email  | lower case                                                                       |
//! | domain | host alone: without scheme, user, port, path, query, one dot at the end; lower case |
//! | phone  | + and digits (E.164)                                                             |
//!
//! Lower case is Unicode's where the bytes are UTF-8, which those of a sound cell are.

use crate::value::ValueType;

/// Appends the normal form of a cell. Total for any bytes, since a damaged file may bring some.
pub(super) fn append(out: &mut Vec<u8>, value_type: ValueType, cell: &[u8]) {
    let Ok(text) = std::str::from_utf8(cell) else { return out.extend_from_slice(cell) };
    match value_type {
        ValueType::Email => append_lower(out, text),
        ValueType::Domain => append_lower(out, host_of(text)),
        ValueType::Phone => {
            out.extend(text.bytes().filter(|byte| *byte == b'+' || byte.is_ascii_digit()));
        }
        _ => out.extend_from_slice(cell),
    }
}

fn append_lower(out: &mut Vec<u8>, text: &str) {
    if text.is_ascii() {
        out.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
    } else {
        out.extend_from_slice(text.to_lowercase().as_bytes());
    }
}

/// The host in a domain as people give it: `https://www.acme.example:443/about?x` is `www.acme.example`.
pub fn host_of(text: &str) -> &str {
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = match rest.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => rest,
    };
    host.strip_suffix('.').unwrap_or(host)
}
