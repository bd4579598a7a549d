//! The description of the interface: its pages, and that its examples are what they claim.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::support::{Server, send};

#[tokio::test]
async fn the_pages_are_open_and_name_no_other_host() {
    let server = Server::start().await;
    for (page, parts) in [
        (
            "/docs",
            &["/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js", "/docs/favicon-32x32.png"][..],
        ),
        ("/redoc", &["/redoc/redoc.standalone.js", "/redoc/start.js"]),
    ] {
        for path in [page.to_owned(), format!("{page}/")] {
            let answer = send(server.bare(Method::GET, &path)).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
            let policy = answer.header("content-security-policy");
            assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"), "{policy}");
            let html = String::from_utf8(answer.body).unwrap();
            assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("src=\"//"), "{html}");
            for part in parts.iter().filter(|part| !part.ends_with("index.css")) {
                assert!(part.ends_with(".png") || html.contains(part), "{part}");
            }
        }
        for part in parts {
            let answer = send(server.bare(Method::GET, part)).await;
            assert_eq!(answer.status, 200, "{part}");
            assert!(answer.body.len() > 100, "{part}");
            let kind = answer.header("content-type");
            let expected = ["text/css", "text/javascript", "image/png"];
            assert!(expected.iter().any(|k| kind.starts_with(k)), "{part}: {kind}");
        }
    }
    let redoc = send(server.bare(Method::GET, "/redoc/redoc.standalone.js")).await;
    assert!(!String::from_utf8(redoc.body).unwrap().contains("cdn."), "no picture from its maker's host");
}

#[tokio::test]
async fn only_parts_of_the_pages_lie_beside_them() {
    let server = Server::start().await;
    for path in
        ["/docs/index.html", "/docs/x", "/docs/swagger-initializer.js", "/redoc/LICENSE", "/docs/..%2fCargo.toml"]
    {
        send(server.bare(Method::GET, path)).await.expect(404);
    }
    send(server.bare(Method::GET, "/docs?url=https://example.org/x.json")).await.expect(422);
}

#[tokio::test]
async fn every_status_has_an_example_that_keeps_its_schema() {
    let server = Server::start().await;
    let document = send(server.bare(Method::GET, "/openapi.json")).await.expect(200);
    let mut faults = Vec::new();
    let mut checked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(operation["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            let statuses = operation["responses"].as_object().unwrap();
            for wanted in wanted(path, method, operation) {
                assert!(statuses.contains_key(wanted), "{name} may answer {wanted}");
            }
            let bodies = operation.get("requestBody").map(|body| (format!("{name} body"), body));
            let answers =
                statuses.iter().map(|(status, answer)| (format!("{name} {status}"), resolved(&document, answer)));
            for (place, part) in bodies.into_iter().chain(answers) {
                for (kind, content) in part["content"].as_object().into_iter().flatten() {
                    let Some(example) = content.get("example") else {
                        faults.push(format!("{place} {kind}: no example"));
                        continue;
                    };
                    checked += 1;
                    if kind.starts_with("application/json") {
                        check(&document, &content["schema"], example, &place, &mut faults);
                    }
                }
            }
            for (status, answer) in statuses {
                let headers = &resolved(&document, answer)["headers"];
                assert!(headers["X-Request-Id"].is_object(), "{name} {status}");
                if status == "429" || status == "503" {
                    assert!(headers["Retry-After"].is_object(), "{name} {status}");
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(checked > 200, "{checked}");
}

#[tokio::test]
async fn what_get_gave_may_be_sent_back_by_the_document_too() {
    let server = Server::start().await;
    let document = send(server.bare(Method::GET, "/openapi.json")).await.expect(200);
    let properties = |name: &str| {
        let mut found = BTreeSet::new();
        collect(&document, &document["components"]["schemas"][name], &mut found);
        assert!(!found.is_empty(), "{name}");
        found
    };
    for (shown, change) in [
        ("CameraView", "CameraUpdate"),
        ("User", "UserUpdate"),
        ("ProviderView", "ProviderUpdate"),
        ("ControllerView", "ControllerUpdate"),
        ("ControllerCamera", "ControllerCameraUpdate"),
    ] {
        let missing: Vec<_> = properties(shown).difference(&properties(change)).cloned().collect();
        assert!(missing.is_empty(), "{change} lacks {missing:?} of {shown}");
    }
}

/// The properties of a schema, those of its parts included.
fn collect(document: &Value, schema: &Value, found: &mut BTreeSet<String>) {
    let schema = resolved(document, schema);
    found.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
    for part in schema["allOf"].as_array().into_iter().flatten() {
        collect(document, part, found);
    }
}

/// What any operation of its kind may answer.
fn wanted(path: &str, method: &str, operation: &Value) -> Vec<&'static str> {
    let mut wanted = vec!["400", "422", "500"];
    if !operation["x-permission"].as_str().unwrap().starts_with("open") {
        wanted.extend(["401", "403", "429"]);
    }
    if path.contains('{') {
        wanted.push("404");
    }
    if ["post", "put"].contains(&method) {
        wanted.extend(["413", "415"]);
    }
    wanted
}

/// The thing itself where there is a reference to it.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(place) => document.pointer(place.trim_start_matches('#')).unwrap_or_else(|| panic!("{place}")),
        None => value,
    }
}

/// Checks what JSON Schema calls type, enum, required, properties, additionalProperties, items, bounds and alternatives.
fn check(document: &Value, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    let schema = resolved(document, schema);
    let mut fault = |what: &str| faults.push(format!("{place}: {what}: {value} against {schema}"));
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    if !kinds.is_empty() && !kinds.iter().any(is) {
        fault("type");
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        fault("enum");
    }
    if let Some(number) = value.as_f64() {
        let outside = schema["minimum"].as_f64().is_some_and(|least| number < least)
            || schema["maximum"].as_f64().is_some_and(|most| number > most);
        if outside {
            fault("bounds");
        }
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        let outside = schema["minLength"].as_u64().is_some_and(|least| length < least)
            || schema["maxLength"].as_u64().is_some_and(|most| length > most);
        if outside {
            fault("length");
        }
    }
    for kind in ["oneOf", "anyOf"] {
        if let Some(parts) = schema[kind].as_array() {
            let fits = |part: &&Value| {
                let mut found = Vec::new();
                check(document, part, value, place, &mut found);
                found.is_empty()
            };
            let fitting = parts.iter().filter(fits).count();
            if fitting == 0 || (kind == "oneOf" && fitting > 1) {
                fault(kind);
            }
        }
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check(document, part, value, place, faults);
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        if !schema["items"].is_null() {
            check(document, &schema["items"], item, &format!("{place}[{at}]"), faults);
        }
    }
    let Some(fields) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            faults.push(format!("{place}: {name} is missing in {value}"));
        }
    }
    for (name, inner) in fields {
        let place = format!("{place}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(of), _) => check(document, of, inner, &place, faults),
            (None, Value::Bool(false)) => faults.push(format!("{place}: not known")),
            (None, of @ Value::Object(_)) => check(document, of, inner, &place, faults),
            _ => {}
        }
    }
}
