//! Users and their sessions, for tests.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{Answer, Server, send};

/// What every user signs in with unless a test says otherwise.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A sign-in.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) user: Value,
}

impl Session {
    /// What an answer to a sign-in gave.
    pub(crate) fn of(answer: &Answer) -> Self {
        let body = answer.json();
        let access = body["access_token"].as_str().unwrap().to_owned();
        assert_eq!(cookie(answer, "argusai_access_token").unwrap(), access);
        Self { access, refresh: cookie(answer, "argusai_refresh_token").unwrap(), user: body["user"].clone() }
    }

    pub(crate) fn id(&self) -> &str {
        self.user["id"].as_str().unwrap()
    }

    /// A request as a program makes it.
    pub(crate) fn request(&self, server: &Server, method: Method, path: &str) -> RequestBuilder {
        server.bare(method, path).header("authorization", format!("Bearer {}", self.access))
    }

    pub(crate) async fn get(&self, server: &Server, path: &str) -> Answer {
        send(self.request(server, Method::GET, path)).await
    }

    pub(crate) async fn post(&self, server: &Server, path: &str, body: Value) -> Answer {
        send(self.request(server, Method::POST, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, server: &Server, path: &str) -> Answer {
        send(self.request(server, Method::DELETE, path)).await
    }

    /// The cookies as a browser sends them.
    pub(crate) fn cookies(&self) -> String {
        format!("theme=dark; argusai_access_token={}; argusai_refresh_token={}", self.access, self.refresh)
    }

    /// Asks for the next tokens.
    pub(crate) async fn refresh(&self, server: &Server) -> Answer {
        let request = server.bare(Method::POST, "/auth/refresh").header("x-requested-with", "test");
        send(request.header("cookie", format!("argusai_refresh_token={}", self.refresh))).await
    }

    /// Whether the access token is good.
    pub(crate) async fn lives(&self, server: &Server) -> bool {
        match self.get(server, "/auth/me").await.status {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        }
    }
}

/// The value that an answer sets a cookie to.
pub(crate) fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let prefix = format!("{name}=");
    cookie_lines(answer).into_iter().find_map(|line| {
        let value = line.strip_prefix(&prefix)?;
        Some(value.split(';').next().unwrap().to_owned())
    })
}

/// The headers `Set-Cookie`.
pub(crate) fn cookie_lines(answer: &Answer) -> Vec<String> {
    answer.headers.get_all("set-cookie").iter().map(|v| v.to_str().unwrap().to_owned()).collect()
}

/// Checks that an answer removes both cookies.
pub(crate) fn assert_cookies_removed(answer: &Answer) {
    assert_eq!(
        cookie_lines(answer),
        [
            "argusai_access_token=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
            "argusai_refresh_token=; Path=/api/v1/auth; Max-Age=0; HttpOnly; SameSite=Lax",
        ]
    );
}

pub(crate) async fn try_login(server: &Server, username: &str, password: &str) -> Answer {
    let body = json!({"username": username, "password": password});
    send(server.bare(Method::POST, "/auth/login").json(&body)).await
}

pub(crate) async fn login(server: &Server, username: &str, password: &str) -> Session {
    let answer = try_login(server, username, password).await;
    answer.expect(200);
    Session::of(&answer)
}

/// Adds a user with the usual password and signs in.
pub(crate) async fn person(server: &Server, username: &str, role: &str) -> Session {
    let body = json!({"username": username, "password": PASSWORD, "role": role});
    server.post("/users", body).await.expect(201);
    login(server, username, PASSWORD).await
}
