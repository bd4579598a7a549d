//! Headers of answers: described once, named by every answer that has them.

use serde_json::{Value, json};
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::schema::{KnownFormat, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Response, Schema};

use super::complete::Place;

/// A header: its name in the document, its name on the wire, what it holds, what it tells, and how it looks.
struct Known {
    id: &'static str,
    name: &'static str,
    kind: Type,
    description: &'static str,
    example: fn() -> Value,
}

const KNOWN: &[Known] = &[
    Known {
        id: "RequestId",
        name: "X-Request-Id",
        kind: Type::String,
        description: "Ties the answer to the server's log: the request's own when it has the form, else a new one",
        example: || json!("0193f2a0-7c3e-7d5a-9f61-2b8c4d1e6a70"),
    },
    Known {
        id: "RateLimitLimit",
        name: "X-RateLimit-Limit",
        kind: Type::Integer,
        description: "Requests a minute that the API key may make; only with an API key",
        example: || json!(100),
    },
    Known {
        id: "RateLimitRemaining",
        name: "X-RateLimit-Remaining",
        kind: Type::Integer,
        description: "Requests that may follow at once; only with an API key",
        example: || json!(99),
    },
    Known {
        id: "RateLimitReset",
        name: "X-RateLimit-Reset",
        kind: Type::Integer,
        description: "Unix seconds at which the number of remaining requests next grows; only with an API key",
        example: || json!(1_766_485_860),
    },
    Known {
        id: "RetryAfter",
        name: "Retry-After",
        kind: Type::Integer,
        description: "Whole seconds after which another try is worth it",
        example: || json!(5),
    },
    Known {
        id: "Authenticate",
        name: "WWW-Authenticate",
        kind: Type::String,
        description: "How to authenticate",
        example: || json!("Bearer realm=\"argus\""),
    },
    Known {
        id: "Location",
        name: "Location",
        kind: Type::String,
        description: "Path of what was made",
        example: || json!("/api/v1/cameras/0193f2a0-7c3e-7d5a-9f61-2b8c4d1e6a70"),
    },
    Known {
        id: "ETag",
        name: "ETag",
        kind: Type::String,
        description: "Names this version of the file; send it as `If-None-Match`",
        example: || json!("\"1c8f-641b2a\""),
    },
    Known {
        id: "CacheControl",
        name: "Cache-Control",
        kind: Type::String,
        description: "How long the answer may be kept",
        example: || json!("private, max-age=86400"),
    },
    Known {
        id: "ContentRange",
        name: "Content-Range",
        kind: Type::String,
        description: "Which bytes of how many these are; `bytes */SIZE` when the wanted ones lie outside",
        example: || json!("bytes 0-1023/482133"),
    },
    Known {
        id: "AcceptRanges",
        name: "Accept-Ranges",
        kind: Type::String,
        description: "`bytes`: parts may be asked for",
        example: || json!("bytes"),
    },
    Known {
        id: "Upgrade",
        name: "Upgrade",
        kind: Type::String,
        description: "`websocket`",
        example: || json!("websocket"),
    },
];

/// All of them, by their names in the document.
pub(super) fn shared() -> impl Iterator<Item = (String, RefOr<Header>)> {
    KNOWN.iter().map(|known| (known.id.to_owned(), RefOr::T(header(known))))
}

fn header(known: &Known) -> Header {
    let schema = ObjectBuilder::new().schema_type(SchemaType::new(known.kind.clone()));
    let schema = match known.kind {
        Type::Integer => schema.format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64))).minimum(Some(0)),
        _ => schema,
    };
    let schema: Schema = schema.build().into();
    HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(known.description))
        .example(Some((known.example)()))
        .build()
}

/// Names the headers that an answer of this status has.
pub(super) fn add(response: &mut Response, status: &str, place: &Place<'_>) {
    let mut wanted = every(status);
    if place.knows_keys() {
        wanted.extend(["RateLimitLimit", "RateLimitRemaining", "RateLimitReset"]);
    }
    let is_file = |kind: &str| kind.starts_with("image/") || kind.starts_with("video/");
    // A snapshot is a moment: it has neither a version nor a life.
    let is_stored = !place.path.ends_with("/snapshot");
    if (is_stored && response.content.keys().any(|kind| is_file(kind))) || status == "304" {
        wanted.extend(["ETag", "CacheControl"]);
    }
    if response.content.contains_key("video/mp4") {
        wanted.push("AcceptRanges");
    }
    for known in KNOWN.iter().filter(|known| wanted.contains(&known.id)) {
        let reference = || RefOr::Ref(Ref::new(format!("#/components/headers/{}", known.id)));
        response.headers.entry(known.name.to_owned()).or_insert_with(reference);
    }
}

fn every(status: &str) -> Vec<&'static str> {
    let mut wanted = vec!["RequestId"];
    wanted.extend_from_slice(match status {
        "101" | "426" => &["Upgrade"],
        "201" => &["Location"],
        "206" | "416" => &["ContentRange"],
        "401" => &["Authenticate"],
        "429" | "503" => &["RetryAfter"],
        _ => &[],
    });
    wanted
}
