//! `/docs` and `/redoc`: the description of the interface as pages. All parts come from the binary, and the pages may
//! not ask any other host: their content security policy says so to the browser.

use std::sync::{Arc, LazyLock};

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use utoipa_swagger_ui::Config;

use crate::error::ApiError;
use crate::paths;
use crate::query::Query;

/// Both pages style their parts by themselves; ReDoc searches in a worker that it makes of a blob.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The parts change only with the program.
const CACHE: &str = "public, max-age=3600";

const SWAGGER_PAGE: &str = r#"<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Argus API</title>
    <link rel="stylesheet" href="/docs/swagger-ui.css">
    <link rel="stylesheet" href="/docs/index.css">
    <link rel="icon" type="image/png" href="/docs/favicon-32x32.png" sizes="32x32">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
"#;

/// No validator badge: it would send the document's address to another host.
const SWAGGER_START: &str = r##"window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "list",
  displayOperationId: false,
  displayRequestDuration: true,
  filter: true,
  validatorUrl: null,
  tryItOutEnabled: false,
  persistAuthorization: false,
});
"##;

const REDOC_PAGE: &str = r#"<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Argus API</title>
    <link rel="icon" type="image/png" href="/docs/favicon-32x32.png" sizes="32x32">
    <style>body { margin: 0; padding: 0; }</style>
  </head>
  <body>
    <div id="redoc"></div>
    <script src="/redoc/redoc.standalone.js"></script>
    <script src="/redoc/start.js"></script>
  </body>
</html>
"#;

const REDOC_START: &str = r#"Redoc.init(
  "/openapi.json",
  {
    hideDownloadButtons: false,
    nativeScrollbars: true,
    theme: { typography: { fontFamily: "sans-serif", headings: { fontFamily: "sans-serif" } } },
  },
  document.getElementById("redoc"),
);
"#;

/// ReDoc 2.5.4 as published, except for the picture beside its name, which it would fetch from its maker's host.
static REDOC: LazyLock<String> = LazyLock::new(|| {
    const PICTURE: &str = "https://cdn.redoc.ly/redoc/logo-mini.svg";
    const NOTHING: &str = "data:image/svg+xml,%3Csvg xmlns=%22http://www.w3.org/2000/svg%22/%3E";
    include_str!("../assets/redoc/redoc.standalone.js").replace(PICTURE, NOTHING)
});

/// Shows this interface as pages to read and to try (Swagger UI).
#[utoipa::path(
    get,
    path = paths::DOCS,
    operation_id = "get_docs",
    tag = "system",
    responses((status = 200, description = "The page", content_type = "text/html; charset=utf-8", body = String)),
    extensions(("x-permission" = json!("open")))
)]
pub(crate) async fn swagger(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    page(&req, SWAGGER_PAGE).await
}

/// Shows this interface as one page to read (ReDoc).
#[utoipa::path(
    get,
    path = paths::REDOC,
    operation_id = "get_redoc",
    tag = "system",
    responses((status = 200, description = "The page", content_type = "text/html; charset=utf-8", body = String)),
    extensions(("x-permission" = json!("open")))
)]
pub(crate) async fn redoc(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    page(&req, REDOC_PAGE).await
}

async fn page(req: &HttpRequest, html: &'static str) -> Result<HttpResponse, ApiError> {
    Query::parse(req.query_string())?.done()?;
    let answer = HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(html);
    Ok(std::future::ready(answer).await)
}

/// A part of Swagger UI.
pub(crate) async fn swagger_part(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = req.match_info().get("file").unwrap_or_default();
    if name == "start.js" {
        return Ok(script(SWAGGER_START).await);
    }
    // Its own pages would run under another policy.
    if name.ends_with(".html") || name == "swagger-initializer.js" {
        return Err(ApiError::NotFound("file"));
    }
    let found = utoipa_swagger_ui::serve(name, Arc::new(Config::default())).ok().flatten();
    let file = found.ok_or(ApiError::NotFound("file"))?;
    Ok(HttpResponse::Ok()
        .content_type(file.content_type)
        .insert_header((header::CACHE_CONTROL, CACHE))
        .body(file.bytes.into_owned()))
}

/// A part of ReDoc.
pub(crate) async fn redoc_part(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    match req.match_info().get("file").unwrap_or_default() {
        "start.js" => Ok(script(REDOC_START).await),
        "redoc.standalone.js" => Ok(script(REDOC.as_str()).await),
        _ => Err(ApiError::NotFound("file")),
    }
}

async fn script(text: &'static str) -> HttpResponse {
    let answer = HttpResponse::Ok()
        .content_type("text/javascript; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, CACHE))
        .body(text);
    std::future::ready(answer).await
}
