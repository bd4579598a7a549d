//! Statuses: what each means, the shape of its body, and an example.

use serde_json::{Value, json};
use utoipa::openapi::{Content, ContentBuilder, Ref, RefOr, Response};

use super::complete::Place;
use super::headers;
use super::sample::Samples;

/// An answer that many operations share: its name, status, meaning, and the sentence of its example.
const SHARED: &[(&str, &str, &str, &str)] = &[
    (
        "Malformed",
        "400",
        "The body is missing or not JSON, or the percent-encoding of path or query is broken",
        "The body is not JSON: expected `,` or `}` at line 1 column 17",
    ),
    ("Unauthenticated", "401", "No credentials, or wrong, expired or revoked ones", "Credentials are missing"),
    (
        "Forbidden",
        "403",
        "Something is asked for that the caller may not have, an API key came where a user is needed, the `Origin` is \
         another's, or the password must be changed first",
        "Missing permission: admin",
    ),
    (
        "MissingReadEvents",
        "403",
        "The permission `read:events` is missing, or the password must be changed first",
        "Missing permission: read:events",
    ),
    (
        "MissingReadCameras",
        "403",
        "The permission `read:cameras` is missing, or the password must be changed first",
        "Missing permission: read:cameras",
    ),
    (
        "MissingWriteCameras",
        "403",
        "The permission `write:cameras` is missing, the `Origin` is another's, or the password must be changed first",
        "Missing permission: write:cameras",
    ),
    (
        "MissingAdmin",
        "403",
        "The permission `admin` is missing, the `Origin` is another's, or the password must be changed first",
        "Missing permission: admin",
    ),
    ("TooLarge", "413", "The body is too large", "The body is larger than 1048576 bytes"),
    ("MediaType", "415", "The body is of another media type", "The body must have the media type application/json"),
    (
        "Invalid",
        "422",
        "A value breaks a rule, or a field or parameter is not known; `errors` names every fault",
        "The value of limit is not valid: is no whole number from 1 to 500",
    ),
    (
        "RateLimited",
        "429",
        "The key's requests are used up for now",
        "Rate limit exceeded. Limit: 100/minute. Retry after 45 seconds.",
    ),
    ("Fault", "500", "A fault in the server; the cause is in its log, with the request id", "Internal server error"),
    ("Unavailable", "503", "Something needed is down: the database is busy or away", "The database is busy"),
];

/// The name of the answer that stands for a status where nothing else is said.
pub(super) fn shared_name(status: &str, permission: &str) -> Option<&'static str> {
    let by_permission = match permission {
        "read:events" => "MissingReadEvents",
        "read:cameras" => "MissingReadCameras",
        "write:cameras" => "MissingWriteCameras",
        "admin" => "MissingAdmin",
        _ => "Forbidden",
    };
    SHARED
        .iter()
        .find(|(name, of, ..)| *of == status && (status != "403" || *name == by_permission))
        .map(|(name, ..)| *name)
}

/// The answers that many operations share.
pub(super) fn shared() -> Vec<(String, RefOr<Response>)> {
    let guarded = Place { path: crate::paths::API, takes_body: true, permission: "any".to_owned() };
    let answer = |&(name, status, description, detail): &(&str, &str, &str, &str)| {
        let mut response = Response::new(description);
        response.content.insert("application/json".to_owned(), RefOr::T(error(status, detail)));
        headers::add(&mut response, status, &guarded);
        (name.to_owned(), RefOr::T(response))
    };
    SHARED.iter().map(answer).collect()
}

/// The body of an error.
fn error(status: &str, detail: &str) -> Content {
    let code: u16 = status.parse().unwrap_or_default();
    let mut body = json!({ "detail": detail, "status_code": code });
    if let (422, Some(fields)) = (code, body.as_object_mut()) {
        let (field, message) = ("limit", "is no whole number from 1 to 500");
        fields.insert("errors".to_owned(), json!([{ "field": field, "message": message }]));
    }
    ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).example(Some(body)).build()
}

/// Gives an answer that the handler described itself what it lacks.
pub(super) fn complete(response: &mut Response, status: &str, place: &Place<'_>, samples: &Samples) {
    if response.description.is_empty() {
        response.description = usual(status, place);
    }
    if status >= "400" && response.content.is_empty() {
        let detail = if status == "404" { usual(status, place) } else { first_sentence(&response.description) };
        response.content.insert("application/json".to_owned(), RefOr::T(error(status, &detail)));
    }
    for (kind, content) in &mut response.content {
        let RefOr::T(content) = content else { continue };
        if content.example.is_none() && content.examples.is_empty() {
            content.example = example(kind, status, content, samples);
        }
    }
}

fn example(kind: &str, status: &str, content: &Content, samples: &Samples) -> Option<Value> {
    if kind.starts_with("image/") {
        return Some(json!("(the bytes of a JPEG file)"));
    }
    if kind.starts_with("video/") {
        return Some(json!("(the bytes of an MP4 file)"));
    }
    if kind.starts_with("text/html") {
        return Some(json!("<!doctype html>…"));
    }
    if kind.starts_with("text/csv") {
        return Some(json!("id,camera_id,camera_name,timestamp\r\n"));
    }
    let schema = serde_json::to_value(content.schema.as_ref()?).ok()?;
    let mut value = samples.whole(&schema);
    if status == "503"
        && let Some(health) = value.as_object_mut()
    {
        // The one answer with an error's status and a body of its own: that of health.
        health.insert("status".to_owned(), json!("down"));
        health.insert("detail".to_owned(), json!("The database is away"));
        health.insert("status_code".to_owned(), json!(503));
        health.remove("components");
    } else if let Some(health) = value.as_object_mut().filter(|fields| fields.contains_key("uptime_s")) {
        health.remove("detail");
        health.remove("status_code");
    }
    if kind.starts_with("application/x-ndjson") {
        return Some(json!(format!("{value}\n")));
    }
    Some(value)
}

/// What a status means where nothing else is said, beside those that are shared.
fn usual(status: &str, place: &Place<'_>) -> String {
    if let Some((.., description, _)) = SHARED.iter().find(|(name, of, ..)| *of == status && *name != "Forbidden") {
        return (*description).to_owned();
    }
    match status {
        "404" => format!("There is no such {}", noun(place.path)),
        "409" => "The present state does not allow it".to_owned(),
        "416" => "The range lies outside the file".to_owned(),
        "426" => "The request does not ask for a WebSocket".to_owned(),
        "502" => "What was asked for help answered uselessly".to_owned(),
        "504" => "What was asked for help did not answer in time".to_owned(),
        _ => "The request failed".to_owned(),
    }
}

/// What a path is about: `camera` of `/api/v1/cameras/{id}/status`.
fn noun(path: &str) -> String {
    let list = path.split('/').take_while(|part| !part.starts_with('{')).filter(|part| !part.is_empty()).last();
    match list.unwrap_or_default() {
        "api-keys" => "API key".to_owned(),
        "sessions" => "session".to_owned(),
        other => other.strip_suffix('s').unwrap_or("resource").to_owned(),
    }
}

/// A description as the `detail` of an example.
fn first_sentence(description: &str) -> String {
    description.split(&[';', '\n'][..]).next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_about_something() {
        for (path, expected) in [
            ("/api/v1/cameras/{id}/status", "camera"),
            ("/api/v1/api-keys/{id}", "API key"),
            ("/api/v1/auth/sessions/{id}", "session"),
            ("/api/v1/cameras/test", "resource"),
        ] {
            assert_eq!(noun(path), expected, "{path}");
        }
    }

    #[test]
    fn a_missing_permission_has_its_own_answer() {
        assert_eq!(shared_name("403", "write:cameras"), Some("MissingWriteCameras"));
        assert_eq!(shared_name("403", "any"), Some("Forbidden"));
        assert_eq!(shared_name("401", "any"), Some("Unauthenticated"));
        assert_eq!(shared_name("404", "any"), None);
    }
}
