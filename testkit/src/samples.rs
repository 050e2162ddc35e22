//! Types whose values the model does not judge by rules of its own: it knows some that are kept as they are given,
//! and some that are refused. Written from docs/types.md.

use crate::entries;
use crate::schema::Type;
use vellum::{Actor, ActorKind, ErrorKind, Json, Value};
use vellum_sim::Rng;

/// A value of the type.
pub(crate) fn draw(rng: &mut Rng, of: Type) -> Value {
    rng.pick(&kept(of)).clone()
}

/// A value that the type refuses.
pub(crate) fn draw_refused(rng: &mut Rng, of: Type) -> Value {
    rng.pick(&refused(of)).clone()
}

/// The value, if it is one of those that are kept as they are, or a list of texts under labels as ops make them.
///
/// # Errors
/// `UnknownOption`, `InvalidValue`.
pub(crate) fn keep(of: Type, value: &Value) -> Result<Option<Value>, ErrorKind> {
    let named = match (of, value) {
        (Type::Actor, Value::Text(text)) => Some(actor(text)),
        (Type::Actor, Value::Actor(named)) => Some(is_actor(named).then(|| named.clone())),
        _ => None,
    };
    if let Some(named) = named {
        return named.map(|actor| Some(Value::Actor(actor))).ok_or(ErrorKind::InvalidValue);
    }
    let is_address = || kept(Type::Url).contains(value) || kept(Type::Domain).contains(value);
    if let (Type::File, Value::Text(url)) = (of, value)
        && is_address()
    {
        let file = Json::parse(&format!(r#"{{"url":"{url}"}}"#)).expect("JSON");
        return Ok(Some(Value::Json(file)));
    }
    let is_kept = match (of, value) {
        // A value that was drawn for one of them may meet the other under its name.
        (Type::Url, Value::Text(_)) => is_address(),
        (Type::Domain, Value::Text(text)) => {
            let of_mail = text.split_once('@').is_some_and(|(_, host)| host.contains('.'));
            of_mail || is_address() && !text.contains("localhost")
        }
        (Type::TextList, Value::Json(list)) => entries::is_labelled(list),
        // It takes texts of one's own.
        (Type::Radio, Value::Text(_)) => true,
        _ => kept(of).contains(value),
    };
    match (is_kept, of, value) {
        (true, ..) => Ok(Some(value.clone())),
        (_, Type::Status, Value::Text(_)) => Err(ErrorKind::UnknownOption),
        _ => Err(ErrorKind::InvalidValue),
    }
}

/// Whom a text names: `kind:id`, or a user by an id alone.
fn actor(text: &str) -> Option<Actor> {
    let kind = |name| match name {
        "user" => Some(ActorKind::User),
        "api_token" => Some(ActorKind::ApiToken),
        "system" => Some(ActorKind::System),
        "app" => Some(ActorKind::App),
        _ => None,
    };
    let split = text.split_once(':').and_then(|(name, id)| Some((kind(name)?, id)));
    let (kind, id) = split.unwrap_or((ActorKind::User, text));
    Some(Actor::new(kind, id)).filter(is_actor)
}

fn is_actor(actor: &Actor) -> bool {
    let names_one = !actor.id.is_empty() || actor.kind == ActorKind::System;
    names_one && actor.id.len() <= 255 && !actor.id.chars().any(char::is_control)
}

/// What counts as equal of a domain: its host, in lower case.
pub(crate) fn host(domain: &str) -> String {
    let host = domain.split_once("://").map_or(domain, |(_, rest)| rest);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    host.split(['/', '?', '#', ':']).next().unwrap_or(host).to_lowercase()
}

/// What a schema says of an attribute of the type, beside its name.
pub(crate) fn members(of: Type) -> &'static str {
    match of {
        Type::RegexpText => r#","pattern":"^[a-z]{2}[0-9]+$""#,
        Type::TextList => r#","labels":["home","work"]"#,
        Type::Radio => r#","custom_values":true,"options":[{"key":"yes"},{"key":"no"}]"#,
        Type::Status => r#","options":[{"key":"open"},{"key":"closed"}]"#,
        _ => "",
    }
}

fn kept(of: Type) -> Vec<Value> {
    match of {
        Type::RegexpText => texts(&["ab1", "zz99", "qq0123456789012345678901234567890"]),
        Type::Url => texts(&["https://example.com/a?b=c#d", "b.example/path", "http://localhost:8080"]),
        Type::Domain => texts(&["example.com", "sub.Example.org", "https://example.net/path"]),
        Type::Status => texts(&["open", "closed"]),
        Type::Radio => texts(&["yes", "no", "something of one's own"]),
        Type::Address => jsons(&[
            r#"{"street":"1 Main St","city":"Springfield","postal_code":"12345","country_code":"US"}"#,
            r#"{"line_1":"Hof","line_2":"","city":"Köln"}"#,
        ]),
        Type::Location => jsons(&[
            r#"{"locality":"Paris","country_code":"FR","latitude":"48.85","longitude":"2.35"}"#,
            r#"{"line_1":"somewhere"}"#,
        ]),
        Type::Currency => ["12.5", "0", "-99999999999999.9999"].map(amount).to_vec(),
        Type::PersonName => jsons(&[
            r#"{"first":"Ann","last":"Lee","full":"Ann Lee"}"#,
            r#"{"first":"Bo","last":"","full":"Bo"}"#,
        ]),
        Type::TextList => {
            jsons(&[r#"{"home":"a"}"#, r#"{"home":"b","work":"a longer text than twelve bytes"}"#])
        }
        Type::File => {
            jsons(&[r#"{"url":"https://files.example/x.pdf","name":"x.pdf","type":"application/pdf"}"#])
        }
        Type::Actor => vec![
            Value::Actor(Actor::new(ActorKind::User, "ann")),
            Value::Actor(Actor::new(ActorKind::System, "")),
        ],
        _ => Vec::new(),
    }
}

fn refused(of: Type) -> Vec<Value> {
    let mut refused = vec![Value::Integer(7)];
    refused.extend(match of {
        Type::RegexpText => texts(&["", "a1", "abc"]),
        Type::Url => texts(&["", "two words"]),
        Type::Domain => texts(&["", "alone"]),
        Type::Address | Type::Location => jsons(&[r#"{"planet":"Mars"}"#]),
        Type::PersonName => jsons(&[r#"{"nick":"A"}"#]),
        Type::TextList => jsons(&[r#"{"elsewhere":"a"}"#]),
        _ => Vec::new(),
    });
    refused
}

fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| Value::from(*text)).collect()
}

fn jsons(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| Value::Json(Json::parse(text).expect("JSON"))).collect()
}

fn amount(text: &str) -> Value {
    Value::Currency {
        amount: text.parse().expect("a decimal"),
        code: "EUR".parse().expect("the code of a currency"),
    }
}
