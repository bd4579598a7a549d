//! State of the encryption, and the way from HTTP to HTTPS.

use actix_web::http::header;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use argus_core::Timestamp;
use serde::Serialize;
use url::Host;
use utoipa::ToSchema;

use crate::auth::{Admin, Caller};
use crate::error::ApiError;
use crate::paths;
use crate::peer;
use crate::query::Query;
use crate::state::{Shared, shared};
use crate::tls::LOWEST;

/// State of the encryption; all null or false without.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct SslStatus {
    /// Whether it is configured.
    pub ssl_enabled: bool,
    /// Whether certificate and key are loaded and served.
    pub ssl_ready: bool,
    /// Whether the certificate is in its validity period.
    pub certificate_valid: bool,
    /// When it ends.
    #[schema(required)]
    pub certificate_expires: Option<Timestamp>,
    /// Who issued it.
    #[schema(required, example = "C=US, O=Let's Encrypt, CN=R11")]
    pub certificate_issuer: Option<String>,
    /// Whom it names.
    #[schema(required, example = "CN=argus.example")]
    pub certificate_subject: Option<String>,
    /// Lowest version that is accepted.
    #[schema(required, example = "TLSv1.2")]
    pub tls_version: Option<String>,
    /// Port that speaks it.
    #[schema(required)]
    pub ssl_port: Option<u16>,
    /// Whether plain HTTP is redirected.
    pub http_redirect: bool,
}

/// Tells the state of the encryption.
#[utoipa::path(
    get,
    path = paths::SSL_STATUS,
    operation_id = "get_ssl_status",
    tag = "system",
    responses((status = 200, description = "State of the encryption", body = SslStatus)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn status(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<SslStatus>, ApiError> {
    Query::parse(req.query_string())?.done()?;
    let Some(tls) = &shared.tls else { return Ok(Json(SslStatus::default())) };
    let (about, now) = (tls.about(), shared.state.clock.now());
    std::future::ready(Ok(Json(SslStatus {
        ssl_enabled: true,
        ssl_ready: true,
        certificate_valid: about.not_before <= now && now <= about.not_after,
        certificate_expires: Some(about.not_after),
        certificate_issuer: Some(about.issuer),
        certificate_subject: Some(about.subject),
        tls_version: Some(LOWEST.to_owned()),
        ssl_port: Some(shared.port),
        http_redirect: shared.state.http.tls.as_ref().is_some_and(|t| t.redirect_listen.is_some()),
    })))
    .await
}

/// Sends whoever speaks plain HTTP to the same place under HTTPS, method and body included.
pub(crate) async fn redirect(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let written = peer::host(&req).unwrap_or_default();
    let target = target(&written, shared(&req).port, req.uri().path_and_query().map_or("/", |p| p.as_str()));
    let target = target.ok_or_else(|| ApiError::Malformed("the Host header names no host".into()))?;
    std::future::ready(Ok(HttpResponse::PermanentRedirect().insert_header((header::LOCATION, target)).finish())).await
}

/// The address under HTTPS. The host is the one that was asked for, read as a host and written anew: nothing else that a
/// header may hold gets through.
fn target(written: &str, port: u16, path: &str) -> Option<String> {
    let (host, given) = match written.rsplit_once(':') {
        // The colons of an address in brackets are its own.
        Some((host, given)) if !given.ends_with(']') => (host, given),
        _ => (written, "80"),
    };
    let is_port = !given.is_empty() && given.len() <= 5 && given.bytes().all(|b| b.is_ascii_digit());
    let is_plain = host.is_ascii() && !host.is_empty() && !host.contains('%');
    let host = if is_port && is_plain { Host::parse(host).ok()? } else { return None };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    // An asterisk, as OPTIONS may have, is no path.
    let path = if path.starts_with('/') { path } else { "/" };
    Some(format!("https://{host}{port}{path}"))
}

#[cfg(test)]
mod tests {
    use super::target;

    fn check(host: &str, port: u16, path: &str, expected: Option<&str>) {
        assert_eq!(target(host, port, path).as_deref(), expected, "{host:?} {path}");
    }

    #[test]
    fn host_path_and_query_are_kept() {
        check("argus.example", 443, "/a/b?c=d&e", Some("https://argus.example/a/b?c=d&e"));
        check("argus.example:8080", 8443, "/", Some("https://argus.example:8443/"));
        check("192.168.1.2:80", 443, "/", Some("https://192.168.1.2/"));
        check("[::1]", 8443, "/x", Some("https://[::1]:8443/x"));
        check("[2001:db8::1]:80", 443, "*", Some("https://[2001:db8::1]/"));
        check("a", 443, "//evil.example/", Some("https://a//evil.example/"));
    }

    #[test]
    fn what_names_no_host_leads_nowhere() {
        for bad in
            ["", "good@evil", "a/b", "a b", "a:b", "a:", "a\\b", "a?b", "a#b", "a%2eb", "::1", "[::1", "a:123456", "ä"]
        {
            check(bad, 443, "/", None);
        }
    }
}
