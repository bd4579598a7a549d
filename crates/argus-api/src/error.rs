//! The one place where failures become HTTP answers.

use std::borrow::Cow;
use std::net::SocketAddr;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use argus_core::api_key::Scope;
use argus_core::ports::ControlError;
use argus_core::{Classify, ErrorClass, Faults, Invalid};
use argus_db::DbError;
use serde::Serialize;
use utoipa::ToSchema;

/// What clients are asked to wait when something is down, seconds.
const RETRY_S: u64 = 5;

/// A failure of the interface: of a request, or of serving at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The request is not in the promised syntax.
    #[error("{0}")]
    Malformed(String),
    /// No credentials, or wrong ones.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The caller lacks a permission.
    #[error("missing permission: {0}")]
    Forbidden(Scope),
    /// There is no such resource.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The resource has no such method.
    #[error("the method is not allowed here, allowed are {allow}")]
    MethodNotAllowed {
        /// The methods it has.
        allow: String,
    },
    /// The body is too large.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// Most that is read.
        limit: usize,
    },
    /// The body is not JSON.
    #[error("the body must have the media type application/json")]
    MediaType,
    /// The body, or the picture in it, is of a kind that is not taken here.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The picture in the body is too large.
    #[error("{0}")]
    Oversized(&'static str),
    /// The wanted bytes lie outside the file.
    #[error("the range lies outside the {size} bytes of the file")]
    Range {
        /// Length of the file.
        size: u64,
    },
    /// Values break rules.
    #[error("{}", faults_text(&.0.0))]
    Invalid(#[from] Faults),
    /// The path speaks WebSocket only.
    #[error("this path needs a WebSocket upgrade")]
    UpgradeRequired,
    /// The key's requests are used up for now.
    #[error("rate limit exceeded. Limit: {limit}/minute. Retry after {retry_after_s} seconds.")]
    RateLimited {
        /// Requests a minute.
        limit: u32,
        /// Until the next is admitted, whole seconds.
        retry_after_s: u64,
    },
    /// What runs refused or failed.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The database refused or failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The media store failed.
    #[error("the media store failed")]
    Media(#[source] object_store::Error),
    /// A value could not be written as JSON.
    #[error("an answer could not be written")]
    Json(#[from] serde_json::Error),
    /// The counts could not be written.
    #[error("the metrics could not be written")]
    Metrics(#[source] prometheus::Error),
    /// A handler panicked.
    #[error("a handler panicked")]
    Panicked,
    /// An address to listen on is not available.
    #[error("the address {addr} is not available")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Serving failed.
    #[error("serving failed")]
    Serve(#[source] std::io::Error),
    /// The caller may not, for another reason than a missing permission.
    #[error("{0}")]
    Refused(&'static str),
    /// The present state does not allow it.
    #[error("{0}")]
    Conflict(&'static str),
    /// Too many wrong passwords or tokens.
    #[error("too many failures. Retry after {retry_after_s} seconds.")]
    TooManyFailures {
        /// Until the next attempt is looked at, whole seconds.
        retry_after_s: u64,
    },
    /// Too many ask for the same costly thing.
    #[error("{0}")]
    Busy(&'static str),
    /// A hash, token or random number could not be made.
    #[error("a secret could not be made")]
    Secrecy(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The certificate or its key cannot be used.
    #[error("{0}")]
    Certificate(String),
}

impl Classify for ApiError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Malformed(_) | Self::MediaType | Self::Unsupported(_) | Self::UpgradeRequired => {
                ErrorClass::Malformed
            }
            Self::Unauthenticated(_) => ErrorClass::Unauthenticated,
            Self::Forbidden(_) => ErrorClass::Forbidden,
            Self::NotFound(_) | Self::MethodNotAllowed { .. } => ErrorClass::NotFound,
            Self::TooLarge { .. } | Self::Oversized(_) => ErrorClass::TooLarge,
            Self::Invalid(_) | Self::Range { .. } => ErrorClass::Invalid,
            Self::RateLimited { .. } => ErrorClass::RateLimited,
            Self::Control(e) => e.class(),
            Self::Db(e) => e.class(),
            Self::Media(_)
            | Self::Json(_)
            | Self::Metrics(_)
            | Self::Panicked
            | Self::Serve(_)
            | Self::Certificate(_)
            | Self::Secrecy(_) => ErrorClass::Internal,
            Self::Bind { .. } | Self::Busy(_) => ErrorClass::Unavailable,
            Self::Refused(_) => ErrorClass::Forbidden,
            Self::Conflict(_) => ErrorClass::Conflict,
            Self::TooManyFailures { .. } => ErrorClass::RateLimited,
        }
    }
}

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The parameter's name, or the path in the body, such as `detection_zones[0].vertices[2].x`; empty for the whole.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// The body of every answer with a status from 400 on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorBody {
    /// One readable sentence.
    #[schema(example = "There is no such camera")]
    pub detail: String,
    /// The status of the answer.
    #[schema(example = 404)]
    pub status_code: u16,
    /// Every fault found; only with 422.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub errors: Option<Vec<FieldError>>,
}

impl ApiError {
    /// The body that a client gets.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        let status = self.status_code();
        // Whoever found the faults, they are told alike.
        let faults = match self {
            Self::Invalid(faults) | Self::Control(ControlError::Invalid(faults)) => Some(faults.0.as_slice()),
            Self::Db(DbError::Invalid(fault)) => Some(std::slice::from_ref(fault)),
            _ => None,
        };
        let detail = match status {
            StatusCode::INTERNAL_SERVER_ERROR => "Internal server error".to_owned(),
            _ => sentence(&faults.map_or_else(|| self.to_string(), |faults| faults_text(faults).into_owned())),
        };
        let error = |i: &Invalid| FieldError { field: i.field.clone(), message: i.reason.clone() };
        let errors = faults.map(|faults| faults.iter().map(error).collect());
        // A 422 has the list whatever it came from.
        let errors = errors.or_else(|| {
            let whole = || vec![FieldError { field: String::new(), message: self.to_string() }];
            (status == StatusCode::UNPROCESSABLE_ENTITY).then(whole)
        });
        ErrorBody { detail, status_code: status.as_u16(), errors }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType | Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            other => status_of(other.class()),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let body = self.body();
        let mut answer = HttpResponseBuilder::new(self.status_code());
        match self {
            Self::Unauthenticated(_) => {
                answer.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"argus\""));
            }
            Self::MethodNotAllowed { allow } => {
                answer.insert_header((header::ALLOW, allow.as_str()));
            }
            Self::Range { size } => {
                answer.insert_header((header::CONTENT_RANGE, format!("bytes */{size}")));
            }
            Self::UpgradeRequired => {
                answer.insert_header((header::UPGRADE, "websocket"));
                answer.insert_header((header::SEC_WEBSOCKET_VERSION, "13"));
            }
            Self::RateLimited { retry_after_s, .. } | Self::TooManyFailures { retry_after_s } => {
                answer.insert_header((header::RETRY_AFTER, retry_after_s.to_string()));
            }
            Self::Control(ControlError::Exhausted { retry_after, .. }) => {
                let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                answer.insert_header((header::RETRY_AFTER, seconds.max(1).to_string()));
            }
            _ if body.status_code == 503 || body.status_code == 429 => {
                answer.insert_header((header::RETRY_AFTER, RETRY_S.to_string()));
            }
            _ => {}
        }
        answer.json(body)
    }
}

/// The status of a class of failure.
fn status_of(class: ErrorClass) -> StatusCode {
    match class {
        ErrorClass::Malformed => StatusCode::BAD_REQUEST,
        ErrorClass::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorClass::Forbidden => StatusCode::FORBIDDEN,
        ErrorClass::NotFound => StatusCode::NOT_FOUND,
        ErrorClass::Conflict => StatusCode::CONFLICT,
        ErrorClass::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorClass::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorClass::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorClass::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorClass::Upstream => StatusCode::BAD_GATEWAY,
        ErrorClass::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorClass::Timeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// Error messages begin in lower case, sentences for people do not.
fn sentence(message: &str) -> String {
    let mut rest = message.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

fn faults_text(faults: &[Invalid]) -> Cow<'static, str> {
    match faults {
        [] => "a value is not valid".into(),
        [one] if one.field.is_empty() => format!("the request {}", one.reason).into(),
        [one] => format!("the value of {} is not valid: {}", one.field, one.reason).into(),
        many => format!("{} values are not valid", many.len()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stay_inside() {
        let source = "disk at /secret is broken".into();
        let e = ApiError::from(ControlError::Failed { what: "storing failed", class: ErrorClass::Internal, source });
        assert_eq!(e.body(), ErrorBody { detail: "Internal server error".into(), status_code: 500, errors: None });
        assert!(argus_core::chain(&e).contains("disk at /secret"));
    }

    #[test]
    fn the_fixed_sentences_are_word_by_word() {
        let check = |e: ApiError, detail: &str| assert_eq!(e.body().detail, detail);
        check(ApiError::Forbidden(Scope::WriteCameras), "Missing permission: write:cameras");
        check(
            ApiError::RateLimited { limit: 100, retry_after_s: 1 },
            "Rate limit exceeded. Limit: 100/minute. Retry after 1 seconds.",
        );
    }

    #[test]
    fn a_422_lists_its_faults_whoever_found_them() {
        let mut faults = Faults::default();
        faults.add("name", "must not be empty");
        for e in [ApiError::from(faults.clone()), ApiError::from(ControlError::Invalid(faults))] {
            let body = e.body();
            assert_eq!(body.status_code, 422);
            assert_eq!(body.errors.unwrap()[0].field, "name");
            assert_eq!(body.detail, "The value of name is not valid: must not be empty");
        }
    }
}
