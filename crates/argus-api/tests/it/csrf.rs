//! Requests that another site made a browser send.

use argus_api::{HttpConfig, Timing};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::people::{PASSWORD, Session, login, person};
use crate::support::{Server, send};

/// Adds a camera with nothing but the access cookie.
fn with_cookie(server: &Server, session: &Session, name: &str) -> RequestBuilder {
    let cookie = format!("argusai_access_token={}", session.access);
    server.bare(Method::POST, "/cameras").header("cookie", cookie).json(&json!({"name": name, "type": "test"}))
}

async fn cameras(server: &Server) -> i64 {
    server.get("/cameras").await.expect(200)["total"].as_i64().unwrap()
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing() {
    let server = Server::start().await;
    let ada = person(&server, "ada", "admin").await;
    let own = format!("http://127.0.0.1:{}", server.port);
    let other_port = format!("http://127.0.0.1:{}", server.port - 1);
    send(with_cookie(&server, &ada, "a")).await.expect(403);
    for origin in ["http://evil.example", "null", "", "127.0.0.1", &other_port, &format!("{own}.evil.example")] {
        send(with_cookie(&server, &ada, "a").header("origin", origin)).await.expect(403);
    }
    send(with_cookie(&server, &ada, "a").header("referer", &own)).await.expect(403);
    send(with_cookie(&server, &ada, "a").header("origin", &own).header("origin", "http://evil.example"))
        .await
        .expect(403);
    let delete = server.bare(Method::DELETE, &format!("/users/{}", ada.id()));
    send(delete.header("cookie", ada.cookies())).await.expect(403);
    assert_eq!(cameras(&server).await, 0);
    send(with_cookie(&server, &ada, "a").header("origin", &own)).await.expect(201);
    send(with_cookie(&server, &ada, "b").header("x-requested-with", "")).await.expect(201);
    // What changes nothing needs nothing.
    let get = || server.bare(Method::GET, "/cameras").header("cookie", ada.cookies());
    send(get().header("origin", "http://evil.example")).await.expect(200);
    send(server.bare(Method::HEAD, "/cameras").header("cookie", ada.cookies())).await.expect(200);
}

#[tokio::test]
async fn what_browsers_do_not_send_by_themselves_is_exempt() {
    let server = Server::start().await;
    let ada = person(&server, "ada", "operator").await;
    let bearer = ("authorization", format!("Bearer {}", ada.access));
    send(with_cookie(&server, &ada, "a").header(bearer.0, &bearer.1)).await.expect(201);
    send(with_cookie(&server, &ada, "b").header("x-api-key", &server.admin)).await.expect(201);
    // Other schemes are ignored: browsers do send those.
    send(with_cookie(&server, &ada, "c").header("authorization", "Basic eDp5")).await.expect(403);
}

#[tokio::test]
async fn wrong_credentials_are_told_before() {
    let server = Server::start().await;
    let post =
        |cookie: &str| server.bare(Method::POST, "/cameras").header("cookie", format!("argusai_access_token={cookie}"));
    send(post("wrong")).await.expect(401);
    let viewer = person(&server, "ada", "viewer").await;
    let refused = send(post(&viewer.access)).await.expect(403);
    assert!(refused["detail"].as_str().unwrap().contains("Origin"), "before the permission: {refused}");
}

#[tokio::test]
async fn a_refused_refresh_uses_nothing_up() {
    let server = Server::start().await;
    let ada = person(&server, "ada", "viewer").await;
    let refresh = || server.bare(Method::POST, "/auth/refresh").header("cookie", ada.cookies());
    send(refresh()).await.expect(403);
    send(refresh().header("origin", "http://evil.example")).await.expect(403);
    let own = format!("http://127.0.0.1:{}", server.port);
    let next = Session::of(&send(refresh().header("origin", &own)).await);
    // Not even a stolen one ends a session from another site.
    send(refresh()).await.expect(403);
    assert!(next.lives(&server).await);
}

#[tokio::test]
async fn a_refused_logout_ends_nothing() {
    let server = Server::start().await;
    let ada = person(&server, "ada", "viewer").await;
    let logout = |cookie: String| server.bare(Method::POST, "/auth/logout").header("cookie", cookie);
    for cookie in [ada.cookies(), format!("argusai_refresh_token={}", ada.refresh)] {
        send(logout(cookie.clone())).await.expect(403);
        send(logout(cookie).header("origin", "http://evil.example")).await.expect(403);
    }
    assert!(ada.lives(&server).await);
    send(logout(ada.cookies()).header("authorization", format!("Bearer {}", ada.access))).await.expect(204);
}

#[tokio::test]
async fn allowed_origins_may() {
    let cors_origins = vec!["https://home.example".parse().unwrap()];
    let server =
        Server::start_configured(Timing::default(), HttpConfig { cors_origins, ..HttpConfig::default() }).await;
    person(&server, "ada", "admin").await;
    let ada = login(&server, "ada", PASSWORD).await;
    send(with_cookie(&server, &ada, "a").header("origin", "https://home.example")).await.expect(201);
    send(with_cookie(&server, &ada, "b").header("origin", "http://home.example")).await.expect(403);
}
