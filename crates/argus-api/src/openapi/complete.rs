//! What follows for every operation from its permission, its path and its body, so that no handler has to repeat it.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{OpenApi, Ref, RefOr, Response};

use super::sample::Samples;
use super::{answers, headers, requests, security};

/// Where an operation stands and what it does with a body.
pub(super) struct Place<'a> {
    /// The path with its placeholders.
    pub(super) path: &'a str,
    /// Whether a body is read: also where none is needed, what comes is checked.
    pub(super) takes_body: bool,
    /// The value of `x-permission`.
    pub(super) permission: String,
}

impl Place<'_> {
    /// Whether credentials are looked at, needed or not.
    pub(super) fn knows_keys(&self) -> bool {
        self.permission != "open" || self.path.starts_with(crate::paths::API)
    }
}

/// Completes every operation, and adds the parts that they share.
pub(super) fn complete(api: &mut OpenApi) {
    requests::close(api);
    requests::repeatable(api);
    let components = api.components.get_or_insert_default();
    components.schemas.values_mut().for_each(requests::mend_defaults);
    components.security_schemes.extend(security::schemes());
    components.headers.extend(headers::shared());
    components.responses.extend(answers::shared());
    let samples = Samples::of(components);
    for (path, item) in &mut api.paths.paths {
        for (operation, takes_body) in operations(item) {
            let permission = operation.extensions.as_ref().and_then(|e| e.get("x-permission")).and_then(|p| p.as_str());
            let place = Place { path, takes_body, permission: permission.unwrap_or_default().to_owned() };
            one(operation, &place, &samples);
        }
    }
}

/// The operations of a path, and whether each may have a body.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&mut Operation, bool)> {
    [(&mut item.get, false), (&mut item.put, true), (&mut item.post, true), (&mut item.delete, false)]
        .into_iter()
        .filter_map(|(operation, takes_body)| Some((operation.as_mut()?, takes_body)))
}

fn one(operation: &mut Operation, place: &Place<'_>, samples: &Samples) {
    security::require(operation, place);
    describe(operation, place);
    requests::lists(operation);
    requests::example(operation, samples);
    let responses = &mut operation.responses.responses;
    for status in usual_statuses(place) {
        responses.entry(status.to_owned()).or_insert_with(|| Response::new("").into());
    }
    for (status, response) in responses.iter_mut() {
        let RefOr::T(own) = response else { continue };
        if own.description.is_empty()
            && own.content.is_empty()
            && own.headers.is_empty()
            && let Some(name) = answers::shared_name(status, &place.permission)
        {
            *response = RefOr::Ref(Ref::new(format!("#/components/responses/{name}")));
            continue;
        }
        answers::complete(own, status, place, samples);
        headers::add(own, status, place);
    }
}

/// What can happen to any request of this kind, whatever its handler does.
fn usual_statuses(place: &Place<'_>) -> Vec<&'static str> {
    // The encoding of a path or query may be broken, and an unknown parameter is refused, everywhere.
    let mut statuses = vec!["400", "422", "500"];
    if place.knows_keys() {
        // What looks at keys asks the database, which may be busy or away.
        statuses.extend(["429", "503"]);
    }
    if !place.permission.starts_with("open") {
        // Where being known is enough, a message type, a missing Origin or a password that is due may still refuse.
        statuses.extend(["401", "403"]);
    }
    if place.path.contains('{') {
        statuses.push("404");
    }
    if place.takes_body {
        statuses.extend(["413", "415"]);
    }
    statuses
}

/// Every operation has a description beside its summary, and it begins with who may call.
fn describe(operation: &mut Operation, place: &Place<'_>) {
    let may_call = match place.permission.as_str() {
        "open" => "Needs no credentials.".to_owned(),
        "any" => "Every authenticated caller may call it.".to_owned(),
        "user" => "A signed-in user may call it, an API key may not.".to_owned(),
        scope if scope.parse::<argus_core::api_key::Scope>().is_ok() => format!("Needs the permission `{scope}`."),
        other => format!("Needs: {other}."),
    };
    operation.description = Some(match operation.description.take() {
        Some(text) if !text.is_empty() => format!("{text}\n\n{may_call}"),
        _ => may_call,
    });
}
