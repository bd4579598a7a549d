//! Sessions: how they begin, go on and end.

use std::net::IpAddr;
use std::time::Duration;

use argus_api::{HttpConfig, Timing, network};
use argus_core::Clock as _;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::people::{PASSWORD, Session, assert_cookies_removed, cookie_lines, login, person, try_login};
use crate::support::{Server, send};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_sign_in_gives_a_token_and_two_cookies() {
    let server = Server::start().await;
    let made = server.post("/users", json!({"username": "Ada", "password": PASSWORD})).await.expect(201);
    let answer = try_login(&server, " aDa ", PASSWORD).await;
    let body = answer.expect(200);
    let names: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["access_token", "expires_in", "token_type", "user"]);
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("bearer"), &json!(900)));
    assert_eq!((&body["user"]["id"], &body["user"]["role"]), (&made["id"], &json!("viewer")));
    let session = Session::of(&answer);
    assert_eq!(
        cookie_lines(&answer),
        [
            format!("argusai_access_token={}; Path=/; Max-Age=900; HttpOnly; SameSite=Lax", session.access),
            format!(
                "argusai_refresh_token={}; Path=/api/v1/auth; Max-Age=2592000; HttpOnly; SameSite=Lax",
                session.refresh
            ),
        ]
    );
    assert!(session.refresh.len() >= 43);
    for by in [("authorization", format!("bearer {}", session.access)), ("cookie", session.cookies())] {
        let me = send(server.bare(Method::GET, "/auth/me").header(by.0, by.1)).await.expect(200);
        assert_eq!((&me["auth"], &me["user"]), (&json!("user"), &body["user"]));
        assert_eq!((&me["permissions"], &me["api_key"]), (&json!(["read:events", "read:cameras"]), &json!(null)));
        let site = json!({"system_name": "Argus", "timezone": "UTC", "language": "en", "date_format": "YYYY-MM-DD", "time_format": "24h"});
        assert_eq!(me["site"], site);
    }
}

#[tokio::test]
async fn who_asks_hears_how_the_site_shows_itself() {
    let server = Server::start().await;
    let site = json!({
        "system_name": "Barn", "timezone": "Europe/Berlin", "language": "de", "date_format": "DD/MM/YYYY", "time_format": "12h"
    });
    server.put("/system/settings", json!({ "general": site })).await.expect(200);
    assert_eq!(server.get("/auth/me").await.expect(200)["site"], site);
}

#[tokio::test]
async fn cookies_are_secure_behind_a_proxy_that_speaks_tls() {
    let trusted_proxies = vec![network("127.0.0.1").unwrap()];
    let server = Server::start_as(Timing::default(), HttpConfig { trusted_proxies, ..HttpConfig::default() }).await;
    person(&server, "ada", "viewer").await;
    let login = || server.bare(Method::POST, "/auth/login").json(&json!({"username": "ada", "password": PASSWORD}));
    let secure = |lines: Vec<String>| lines.iter().all(|line| line.ends_with("; SameSite=Lax; Secure"));
    assert!(secure(cookie_lines(&send(login().header("x-forwarded-proto", "https")).await)));
    assert!(!secure(cookie_lines(&send(login().header("x-forwarded-proto", "http")).await)));
    // The address in the list is the forwarded one.
    server.clock.advance(MINUTE);
    let session = Session::of(&send(login().header("x-forwarded-for", "198.51.100.7").header("user-agent", "x")).await);
    let list = session.get(&server, "/auth/sessions").await.expect(200);
    assert_eq!(
        (&list["items"][0]["ip_address"], &list["items"][0]["user_agent"]),
        (&json!("198.51.100.7"), &json!("x"))
    );
}

#[tokio::test]
async fn all_refusals_are_the_same() {
    let server = Server::start().await;
    let ada = person(&server, "ada", "viewer").await;
    let temporary = server.post("/users", json!({"username": "bob"})).await.expect(201);
    server.clock.advance(Duration::from_secs(72 * 3600));
    let disabled = server.put(&format!("/users/{}", ada.id()), json!({"is_active": false})).await;
    disabled.expect(200);
    for (name, password) in [
        ("nobody", PASSWORD),
        ("ada", PASSWORD),
        ("ada", "wrong"),
        ("bob", temporary["temporary_password"].as_str().unwrap()),
        ("bob\u{1}", "x"),
        ("a@b", " "),
    ] {
        let answer = try_login(&server, name, password).await;
        assert_eq!(answer.expect(401), json!({"detail": "Invalid username or password", "status_code": 401}), "{name}");
        assert_eq!(cookie_lines(&answer), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_sign_in_is_read_strictly() {
    let server = Server::start().await;
    let ask = async |body| send(server.bare(Method::POST, "/auth/login").json(&body)).await.faults();
    assert_eq!(ask(json!({})).await, ["password", "username"]);
    assert_eq!(ask(json!({"username": "  ", "password": "", "otp": 1})).await, ["otp", "password", "username"]);
    assert_eq!(ask(json!({"username": "x".repeat(257), "password": "x".repeat(257)})).await, ["password", "username"]);
    assert_eq!(ask(json!({"username": "a\0", "password": 1})).await, ["password", "username"]);
    send(server.bare(Method::POST, "/auth/login")).await.expect(400);
}

#[tokio::test]
async fn five_failures_close_the_door() {
    let server = Server::start().await;
    person(&server, "ada", "viewer").await;
    for _ in 0..4 {
        try_login(&server, "ada", "wrong").await.expect(401);
    }
    login(&server, "ada", PASSWORD).await;
    for name in ["ada", "ADA", " ada", "ada", "ada"] {
        try_login(&server, name, "wrong").await.expect(401);
        server.clock.advance(MINUTE);
    }
    let refused = try_login(&server, "ada", PASSWORD).await;
    refused.expect(429);
    assert_eq!(refused.header("retry-after"), "600");
    for _ in 0..5 {
        try_login(&server, "nobody", "wrong").await.expect(401);
    }
    try_login(&server, "nobody", "wrong").await.expect(429);
    person(&server, "bob", "viewer").await;
    server.clock.advance(MINUTE * 10);
    login(&server, "ada", PASSWORD).await;
}

#[tokio::test]
async fn an_address_has_fifty_failures_and_ipv6_counts_by_its_64() {
    let trusted_proxies = vec![network("127.0.0.1").unwrap()];
    let server = Server::start_as(Timing::default(), HttpConfig { trusted_proxies, ..HttpConfig::default() }).await;
    let attempt = |from: String, name: String| {
        let body = json!({"username": name, "password": "wrong"});
        send(server.bare(Method::POST, "/auth/login").header("x-forwarded-for", from).json(&body))
    };
    for i in 0..50_u16 {
        let from: IpAddr = [0x2001, 0xdb8, 0, 7, i, 0, 0, i].into();
        attempt(from.to_string(), format!("name{i}")).await.expect(401);
    }
    attempt("2001:db8:0:7::9999".into(), "fresh".into()).await.expect(429);
    attempt("2001:db8:0:8::1".into(), "fresh".into()).await.expect(401);
    attempt("198.51.100.7".into(), "fresh".into()).await.expect(401);
}

#[tokio::test]
async fn many_at_once_neither_fail_nor_slip_through() {
    let server = Server::start().await;
    person(&server, "ada", "viewer").await;
    let good = join_all((0..30).map(|_| try_login(&server, "ada", PASSWORD))).await;
    assert!(good.iter().all(|a| a.status == 200), "{:?}", good.iter().map(|a| a.status).collect::<Vec<_>>());
    assert_eq!(server.get("/users").await.expect(200)["total"], 1, "the server answers meanwhile");
    let wrong = join_all((0..30).map(|_| try_login(&server, "ada", "wrong"))).await;
    let looked_at = wrong.iter().filter(|a| a.status == 401).count();
    assert_eq!((looked_at, wrong.iter().filter(|a| a.status == 429).count()), (5, 25));
}

#[tokio::test]
async fn a_refresh_replaces_both_tokens() {
    let server = Server::start().await;
    let first = person(&server, "ada", "operator").await;
    server.clock.advance(MINUTE * 15);
    assert!(!first.lives(&server).await, "900 s are over");
    let answer = first.refresh(&server).await;
    assert_eq!(answer.expect(200)["user"]["username"], "ada");
    let second = Session::of(&answer);
    assert!(second.access != first.access && second.refresh != first.refresh && second.lives(&server).await);
    let list = second.get(&server, "/auth/sessions").await.expect(200);
    assert_eq!((&list["total"], &list["items"][0]["is_current"]), (&json!(1), &json!(true)));
    let third = Session::of(&second.refresh(&server).await);
    assert!(second.lives(&server).await && third.lives(&server).await, "both are of one session");
}

#[tokio::test]
async fn a_refresh_token_that_comes_again_ends_the_session() {
    let server = Server::start().await;
    let first = person(&server, "ada", "viewer").await;
    let other = login(&server, "ada", PASSWORD).await;
    let second = Session::of(&first.refresh(&server).await);
    let third = Session::of(&second.refresh(&server).await);
    let reused = first.refresh(&server).await;
    reused.expect(401);
    assert_cookies_removed(&reused);
    for gone in [&first, &second, &third] {
        assert!(!gone.lives(&server).await);
        gone.refresh(&server).await.expect(401);
    }
    assert!(other.lives(&server).await, "other sessions go on");
}

#[tokio::test]
async fn of_two_refreshes_at_once_one_is_theft() {
    let server = Server::start().await;
    let session = person(&server, "ada", "viewer").await;
    let (a, b) = tokio::join!(session.refresh(&server), session.refresh(&server));
    let mut statuses = [a.status, b.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    assert!(!session.lives(&server).await);
}

#[tokio::test]
async fn a_refresh_needs_a_good_cookie() {
    let server = Server::start().await;
    let session = person(&server, "ada", "viewer").await;
    let bare = || server.bare(Method::POST, "/auth/refresh");
    for request in [
        bare(),
        bare().header("cookie", "argusai_refresh_token="),
        bare().header("cookie", format!("argusai_refresh_token={}x", session.refresh)),
        bare().header("cookie", format!("argusai_access_token={}", session.access)),
        bare().header("cookie", format!("argusai_refresh_token={}", session.access)),
        bare().header("authorization", format!("Bearer {}", session.refresh)),
        bare().json(&json!({"refresh_token": session.refresh})),
    ] {
        let answer = send(request).await;
        answer.expect(401);
        assert_cookies_removed(&answer);
    }
    server.clock.advance(Duration::from_secs(30 * 24 * 3600 - 1));
    let next = Session::of(&session.refresh(&server).await);
    server.clock.advance(Duration::from_secs(30 * 24 * 3600));
    next.refresh(&server).await.expect(401);
}

#[tokio::test]
async fn a_logout_ends_the_session_at_once() {
    let server = Server::start().await;
    person(&server, "ada", "viewer").await;
    let logout = || server.bare(Method::POST, "/auth/logout").header("x-requested-with", "test");
    for how in ["bearer", "both cookies", "refresh cookie", "access cookie"] {
        let session = login(&server, "ada", PASSWORD).await;
        let request = match how {
            "bearer" => logout().header("authorization", format!("Bearer {}", session.access)),
            "both cookies" => logout().header("cookie", session.cookies()),
            "refresh cookie" => logout().header("cookie", format!("argusai_refresh_token={}", session.refresh)),
            _ => logout().header("cookie", format!("argusai_access_token={}", session.access)),
        };
        let answer = send(request).await;
        answer.expect(204);
        assert_cookies_removed(&answer);
        assert!(!session.lives(&server).await, "{how}");
        session.refresh(&server).await.expect(401);
    }
    for request in [
        server.bare(Method::POST, "/auth/logout"),
        server.bare(Method::POST, "/auth/logout").header("cookie", "argusai_access_token=x; argusai_refresh_token=y"),
        server.bare(Method::POST, "/auth/logout").header("authorization", "Bearer x"),
        server.request(Method::POST, "/auth/logout"),
    ] {
        let answer = send(request).await;
        answer.expect(204);
        assert_cookies_removed(&answer);
    }
    assert_eq!(send(logout().json(&json!({"all": true}))).await.faults(), ["all"]);
}

#[tokio::test]
async fn another_password_ends_all_sessions_and_begins_one() {
    let server = Server::start().await;
    let (first, second) = (person(&server, "ada", "viewer").await, login(&server, "ada", PASSWORD).await);
    let change = |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        let request = first.request(&server, Method::POST, "/auth/change-password").json(&body);
        send(request)
    };
    assert_eq!(change("wrong", "another horse").await.faults(), ["current_password"]);
    assert_eq!(change("wrong", "short").await.faults(), ["current_password", "new_password"]);
    for bad in ["short", PASSWORD, "I am Ada, you see"] {
        assert_eq!(change(PASSWORD, bad).await.faults(), ["new_password"], "{bad}");
    }
    let strange = first.post(&server, "/auth/change-password", json!({"current_password": 5, "password": "x"})).await;
    assert_eq!(strange.faults(), ["current_password", "new_password", "password"]);
    assert!(first.lives(&server).await && second.lives(&server).await);
    let answer = change(PASSWORD, "another horse").await;
    assert_eq!(answer.expect(200)["user"]["must_change_password"], false);
    let third = Session::of(&answer);
    assert!(!first.lives(&server).await && !second.lives(&server).await && third.lives(&server).await);
    second.refresh(&server).await.expect(401);
    try_login(&server, "ada", PASSWORD).await.expect(401);
    login(&server, "ada", "another horse").await;
}

#[tokio::test]
async fn guesses_at_the_present_password_are_counted() {
    let server = Server::start().await;
    let session = person(&server, "ada", "viewer").await;
    let guess = || {
        session.post(
            &server,
            "/auth/change-password",
            json!({"current_password": "wrong", "new_password": "another horse"}),
        )
    };
    for _ in 0..5 {
        guess().await.expect(422);
    }
    guess().await.expect(429);
    try_login(&server, "ada", PASSWORD).await.expect(429);
    assert!(session.lives(&server).await);
}

#[tokio::test]
async fn sessions_are_seen_and_ended_by_their_user() {
    let server = Server::start().await;
    let first = person(&server, "ada", "viewer").await;
    let stranger = person(&server, "bob", "admin").await;
    server.clock.advance(MINUTE);
    let second = login(&server, "ada", PASSWORD).await;
    server.clock.advance(MINUTE);
    let list = first.get(&server, "/auth/sessions").await.expect(200);
    let of = |i: usize| &list["items"][i];
    assert_eq!((&list["total"], &list["limit"], &list["pages"]), (&json!(2), &json!(20), &json!(1)));
    assert_eq!((&of(0)["is_current"], &of(1)["is_current"]), (&json!(false), &json!(true)), "newest first");
    assert_eq!(
        (&of(0)["created_at"], &of(0)["last_active_at"]),
        (&json!("2025-12-23T10:31:00.000Z"), &json!("2025-12-23T10:31:00.000Z"))
    );
    assert_eq!(
        (&of(1)["created_at"], &of(1)["last_active_at"]),
        (&json!("2025-12-23T10:30:00.000Z"), &json!("2025-12-23T10:32:00.000Z"))
    );
    assert_eq!(of(0)["ip_address"], "127.0.0.1");
    assert_eq!(of(0).as_object().unwrap().len(), 6);
    let path = |id: &serde_json::Value| format!("/auth/sessions/{}", id.as_str().unwrap());
    stranger.delete(&server, &path(&of(0)["id"])).await.expect(404);
    first.delete(&server, "/auth/sessions/nonsense").await.expect(404);
    first.delete(&server, &path(&of(0)["id"])).await.expect(204);
    first.delete(&server, &path(&of(0)["id"])).await.expect(404);
    assert!(!second.lives(&server).await);
    let third = login(&server, "ada", PASSWORD).await;
    first.delete(&server, "/auth/sessions").await.expect(204);
    assert!(first.lives(&server).await && !third.lives(&server).await && stranger.lives(&server).await);
    first.delete(&server, &path(&of(1)["id"])).await.expect(204);
    assert!(!first.lives(&server).await, "the current one too");
}

#[tokio::test]
async fn the_eleventh_session_ends_the_longest_idle() {
    let server = Server::start().await;
    let mut sessions = vec![person(&server, "ada", "viewer").await];
    for _ in 0..9 {
        server.clock.advance(Duration::from_secs(1));
        sessions.push(login(&server, "ada", PASSWORD).await);
    }
    server.clock.advance(Duration::from_secs(1));
    assert!(sessions[0].lives(&server).await, "and is used now");
    login(&server, "ada", PASSWORD).await;
    assert!(sessions[0].lives(&server).await && !sessions[1].lives(&server).await && sessions[2].lives(&server).await);
}

#[tokio::test]
async fn a_key_is_no_user() {
    let server = Server::start().await;
    let me = server.get("/auth/me").await.expect(200);
    assert_eq!((&me["auth"], &me["user"], &me["api_key"]["name"]), (&json!("api_key"), &json!(null), &json!("test")));
    assert_eq!(me["permissions"], json!(["read:events", "read:cameras", "write:cameras", "admin"]));
    let writer = server.key(&[argus_core::api_key::Scope::WriteCameras]).await;
    let me = send(server.bare(Method::GET, "/auth/me").header("x-api-key", writer)).await.expect(200);
    assert_eq!(me["permissions"], json!(["read:cameras", "write:cameras"]));
    for (method, path) in [
        (Method::GET, "/auth/sessions"),
        (Method::DELETE, "/auth/sessions"),
        (Method::DELETE, "/auth/sessions/0193f000-0000-7000-8000-000000000000"),
        (Method::POST, "/auth/change-password"),
    ] {
        send(server.request(method, path)).await.expect(403);
    }
}

#[tokio::test]
async fn use_is_written_down_at_the_stop() {
    let mut server = Server::start().await;
    let session = person(&server, "ada", "viewer").await;
    server.clock.advance(Duration::from_secs(30));
    assert!(session.lives(&server).await);
    let id = session.id().parse().unwrap();
    server.stop().await;
    let stored = server.db.session_list(id, 1, 10, server.clock.now()).await.unwrap();
    assert_eq!(stored.items[0].last_active_at, server.clock.now());
}
