//! Whether a text is an e-mail address, a host name, a web address, a telephone number, a country. A
//! reason says what is wrong in words for the person who typed it. What a page holds is never judged
//! again: a rule may become stricter and what was stored stays readable.

use super::normalize::host_of;
use crate::value::excerpt;
use email_address::{EmailAddress, Options};
use std::str::FromStr;

type Check = Result<(), String>;

/// A host name may have this many bytes, and each of its labels that many.
const HOST_LEN_MAX: usize = 253;
const LABEL_LEN_MAX: usize = 63;
/// Digits of a telephone number, the country's code with them (E.164).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// An address as RFC 5321 has it, without a name around it and with a domain of two labels or more.
pub fn email(text: &str) -> Check {
    let options = Options::default().with_required_tld().without_display_text().without_domain_literal();
    EmailAddress::parse_with_options(text, options)
        .map(drop)
        .map_err(|error| format!("{} is not an e-mail address: {error}", excerpt(text)))
}

/// A host name, perhaps with a scheme, a port or a path around it, which do not count.
pub fn domain(text: &str) -> Check {
    host(host_of(text)).map_err(|reason| format!("{} is not a domain: {reason}", excerpt(text)))
}

fn host(host: &str) -> Check {
    if host.len() > HOST_LEN_MAX {
        return Err(format!("it has {} bytes, at most {HOST_LEN_MAX} are allowed", host.len()));
    }
    let labels: Vec<&str> = host.split('.').collect();
    if labels.len() < 2 {
        return Err("it needs at least two parts, as in acme.example".to_string());
    }
    for label in &labels {
        if label.is_empty() || label.len() > LABEL_LEN_MAX {
            return Err(format!("each part between dots has 1 to {LABEL_LEN_MAX} bytes"));
        }
        if let Some(wrong) = label.chars().find(|c| !c.is_alphanumeric() && !matches!(c, '-' | '_')) {
            return Err(format!("{wrong:?} may not stand in it"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a part begins or ends with a hyphen".to_string());
        }
    }
    match labels.last().is_some_and(|label| label.chars().all(|c| c.is_ascii_digit())) {
        true => Err("the last part is a number".to_string()),
        false => Ok(()),
    }
}

/// An address in the web: a host, perhaps with a scheme in front and more behind.
pub fn url(text: &str) -> Check {
    let no = |reason: String| format!("{} is not a web address: {reason}", excerpt(text));
    if let Some(wrong) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(no(format!("{wrong:?} may not stand in it")));
    }
    if let Some((scheme, _)) = text.split_once("://") {
        let is_word = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if !is_word {
            return Err(no(format!("{} is no scheme, as http is", excerpt(scheme))));
        }
    } else if text.split(['/', '?', '#']).next().is_some_and(|start| start.contains(['@', ':'])) {
        // `mailto:` and `javascript:` name no place in the web.
        let port = text.split_once(':').map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
        if !port.is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())) {
            return Err(no("begin with http:// or https://, or with the host".to_string()));
        }
    }
    let name = host_of(text);
    let is_address = name.starts_with('[') || std::net::Ipv4Addr::from_str(name).is_ok();
    if !is_address && !name.eq_ignore_ascii_case("localhost") {
        host(name).map_err(no)?;
    }
    by_the_standard(text)
}

#[cfg(feature = "url")]
fn by_the_standard(text: &str) -> Check {
    let whole = if text.contains("://") { text.to_string() } else { format!("http://{text}") };
    url::Url::parse(&whole)
        .map(drop)
        .map_err(|error| format!("{} is not a web address: {error}", excerpt(text)))
}

#[cfg(not(feature = "url"))]
fn by_the_standard(_: &str) -> Check {
    Ok(())
}

/// A telephone number in international form: `+`, the country's code, digits. Spaces, hyphens, dots and
/// parentheses between them do not count.
pub fn phone(text: &str) -> Check {
    let no = |reason: &str| Err(format!("{} is not a telephone number: {reason}", excerpt(text)));
    let Some(rest) = text.strip_prefix('+') else {
        return no("begin with + and the country's code, as in +15558675309");
    };
    if rest.chars().any(|c| !c.is_ascii_digit() && !matches!(c, ' ' | '-' | '.' | '(' | ')')) {
        return no("only digits, spaces, hyphens, dots and parentheses follow the +");
    }
    let digits: Vec<u8> = rest.bytes().filter(u8::is_ascii_digit).collect();
    if !PHONE_DIGITS.contains(&digits.len()) {
        return no("it has 7 to 15 digits, the country's code with them");
    }
    match digits[0] {
        b'0' => no("no country's code begins with 0"),
        _ => in_a_numbering_plan(text),
    }
}

#[cfg(feature = "phone")]
fn in_a_numbering_plan(text: &str) -> Check {
    let known = phonenumber::parse(None, text).is_ok_and(|number| phonenumber::is_valid(&number));
    let no = || format!("{} is not a telephone number: its country has no such number", excerpt(text));
    if known { Ok(()) } else { Err(no()) }
}

#[cfg(not(feature = "phone"))]
fn in_a_numbering_plan(_: &str) -> Check {
    Ok(())
}

/// The two letters of a country, in capitals; the reason when ISO 3166-1 has no such country.
pub fn country(text: &str) -> Result<String, String> {
    let code = text.to_ascii_uppercase();
    let known = code.len() == 2 && iso_currency::Country::from_str(&code).is_ok();
    known
        .then_some(code)
        .ok_or_else(|| format!("{} is no country of ISO 3166-1; write two letters as in US", excerpt(text)))
}
