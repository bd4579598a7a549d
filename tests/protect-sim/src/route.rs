//! Which part of the console answers a request.

use serde_json::{Value, json};

use crate::access::{Login, Pass, Session};
use crate::console::Console;
use crate::fault::What;
use crate::model::{is_true, text};
use crate::options::CookieStyle;
use crate::reply::Reply;
use crate::server::Asked;
use crate::stream::{Order, Start, Stream};
use crate::{private, public};

/// What comes of a request.
pub(crate) enum Outcome {
    Reply(Reply),
    Upgrade(Box<Start>),
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

pub(crate) fn answer(console: &Console, asked: &Asked, is_upgrade: bool, what: Option<&What>) -> Outcome {
    let segments: Vec<&str> = asked.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let is_application = matches!(segments.as_slice(), ["proxy", ..]) && console.state().is_down();
    if is_application {
        return down(console).into();
    }
    let later = match what {
        Some(What::Stream(after, order)) => Some((*after, order.clone())),
        _ => None,
    };
    match (asked.method.as_str(), segments.as_slice()) {
        ("GET", []) => {
            let token = console.state().chance.uuid();
            Reply::new(200, "text/html", "<!DOCTYPE html><html></html>").with("x-csrf-token", token).into()
        }
        ("GET", ["api", "system"]) => system(console).into(),
        ("POST", ["api", "auth", "login"]) => login(console, asked).into(),
        ("POST", ["api", "auth", "logout"]) => {
            let session = console.state().access.session(asked.cookie(console.options.cookie.name()));
            if let Some(session) = session {
                console.state().access.logout(session.number);
            }
            Reply::ok(&json!({})).into()
        }
        ("POST", ["proxy", "users", "api", "v2", "user", "self", "keys"]) => {
            with_session(console, asked, what, |session| key(console, asked, session)).into()
        }
        (_, ["proxy", "protect", "api", rest @ ..]) => {
            with_session(console, asked, what, |session| private::answer(console, asked, session, rest)).into()
        }
        ("GET", ["proxy", "protect", "ws", "updates"]) if is_upgrade => updates(console, asked, later),
        (_, ["proxy", "protect", "integration", "v1", rest @ ..]) => {
            integration(console, asked, is_upgrade, rest, later)
        }
        _ => Reply::not_found(segments.last().copied().unwrap_or_default()).into(),
    }
}

/// What the proxy says while the application is away: by turns what was seen of it.
fn down(console: &Console) -> Reply {
    let mut state = console.state();
    state.down_answers += 1;
    match state.down_answers % 4 {
        0 => Reply::proxy_page(200),
        1 => Reply::proxy_page(502),
        2 => Reply::proxy_page(503),
        _ => Reply::proxy_page(404),
    }
}

fn system(console: &Console) -> Reply {
    let state = console.state();
    let nvr = state.model.nvr();
    Reply::ok(&json!({
        "hardware": {"shortname": text(nvr, "hostShortname").unwrap_or("UNVRPRO")},
        "name": text(nvr, "name"), "mac": text(nvr, "mac"), "isSingleUser": false, "isSsoEnabled": true,
    }))
}

fn login(console: &Console, asked: &Asked) -> Reply {
    let body = asked.json();
    let (Some(name), Some(password)) = (text(&body, "username"), text(&body, "password")) else {
        return Reply::bad("username and password are required");
    };
    let came = {
        let mut state = console.state();
        let state = &mut *state;
        let tools = (&console.options, &console.clock, &mut state.chance);
        let cookie = asked.cookie(console.options.cookie.name());
        state.access.login(tools, name, password, is_true(&body, "rememberMe"), cookie)
    };
    match came {
        Login::In(session) => {
            access_event(console, &session);
            let user = console.state().model.find("users", &session.user_id).cloned().unwrap_or_default();
            let answer = json!({"id": session.user_id, "unique_id": session.user_id, "username": session.user.name,
                "full_name": session.user.name, "status": "ACTIVE", "permissions": text(&user, "allPermissions"),
                "isOwner": false, "isSuperAdmin": session.user.is_admin, "scopes": [], "deviceToken": null});
            Reply::ok(&answer)
                .with("x-csrf-token", session.csrf.clone())
                .with("set-cookie", set_cookie(console.options.cookie, &session.cookie))
        }
        Login::WrongPassword | Login::OldCookie => Reply::json(
            401,
            &json!({"code": "AUTHENTICATION_FAILED_INVALID_CREDENTIALS", "message": "Invalid username or password", "level": "debug"}),
        ),
        Login::NeedsCode => Reply::json(
            499,
            &json!({"code": "MFA_AUTH_REQUIRED", "message": "MFA authentication required", "level": "debug",
                "data": {"authenticators": [{"type": "totp", "status": "active"}]}}),
        ),
        Login::LockedOut => Reply::json(
            429,
            &json!({"code": "AUTHENTICATION_FAILED_LIMIT_REACHED", "message": "You've reached the login attempt limit", "level": "debug"}),
        ),
    }
}

fn set_cookie(style: CookieStyle, value: &str) -> String {
    match style {
        CookieStyle::Token => format!("TOKEN={value}; path=/; samesite=strict; secure; httponly"),
        CookieStyle::UosToken => {
            format!("UOS_TOKEN={value}; Path=/; SameSite=None; Secure; HttpOnly; Partitioned")
        }
    }
}

/// The console's own log has each login, and the private stream tells it.
fn access_event(console: &Console, session: &Session) {
    let now = console.clock.now_ms();
    let mut state = console.state();
    let id = state.event_id(&console.options);
    let event = json!({"id": id, "modelKey": "event", "type": "access", "start": now, "end": null, "score": 0,
        "smartDetectTypes": [], "smartDetectEvents": [], "camera": null, "partition": null, "user": session.user_id,
        "metadata": {"clientPlatform": "web"}, "thumbnail": null, "heatmap": null, "timestamp": null});
    state.change(&console.options, "add", "event", &id, &event);
    drop(state);
    console.wake();
}

/// Answers with the session of the request, and hands out a new cookie when that is due.
fn with_session(
    console: &Console,
    asked: &Asked,
    what: Option<&What>,
    answer: impl FnOnce(&Session) -> Reply,
) -> Reply {
    let style = console.options.cookie;
    let session = console.state().access.session(asked.cookie(style.name()));
    let Some(session) = session else { return Reply::unauthorized() };
    let is_write = !matches!(asked.method.as_str(), "GET" | "HEAD");
    if is_write && !session.takes_csrf(asked.header("x-csrf-token")) {
        return Reply::json(403, &json!({"error": "Invalid CSRF token", "name": "FORBIDDEN"}));
    }
    let reply = answer(&session);
    let rotated = {
        let mut state = console.state();
        let state = &mut *state;
        let tools = (&console.options, &console.clock, &mut state.chance);
        state.access.rotate(session.number, tools, matches!(what, Some(What::Rotate)))
    };
    match rotated {
        None => reply.with("x-csrf-token", session.csrf),
        Some(new) => reply
            .with("x-csrf-token", new.csrf.clone())
            .with("x-updated-csrf-token", new.csrf)
            .with("set-cookie", "theme=dark; Path=/".to_owned())
            .with("set-cookie", set_cookie(style, &new.cookie)),
    }
}

fn key(console: &Console, asked: &Asked, session: &Session) -> Reply {
    if !session.user.is_admin {
        return Reply::forbidden();
    }
    let body = asked.json();
    let Some(name) = text(&body, "name") else { return Reply::bad("a name is required") };
    let mut state = console.state();
    let key = format!("{}{}", state.chance.alias(), state.chance.alias());
    state.access.add_key(&key);
    let id = state.chance.uuid();
    Reply::ok(&json!({"code": "SUCCESS", "msg": "success", "data": {"id": id, "name": name, "full_api_key": key}}))
}

fn updates(console: &Console, asked: &Asked, later: Option<(u32, Order)>) -> Outcome {
    let cookie = asked.cookie(console.options.cookie.name());
    let state = console.state();
    if state.access.session(cookie).is_none() {
        return Reply::unauthorized().into();
    }
    let place = match asked.parameter("lastUpdateId") {
        // Without an id, a stream begins now.
        None | Some("") => Some(state.updates.end()),
        Some(id) => state.place_after(id),
    };
    let start = Start { stream: Stream::Updates, key: None, place, later };
    Outcome::Upgrade(Box::new(start))
}

fn integration(
    console: &Console,
    asked: &Asked,
    is_upgrade: bool,
    rest: &[&str],
    later: Option<(u32, Order)>,
) -> Outcome {
    let limit = console.options.rate_limit;
    let key = asked.header("x-api-key").map(str::to_owned);
    let pass = console.state().access.pass(key.as_deref(), limit);
    let left = match pass {
        Pass::Unknown => {
            return Reply::json(401, &json!({"error": "Unauthorized", "name": "UNAUTHORIZED"})).into();
        }
        Pass::TooMany => {
            if console.options.limit_closes_streams {
                let order = Order::Close(1008, "rate limit".into());
                console.state().order(&order, |open| open.key == key);
            }
            return limited(
                Reply::json(429, &json!({"error": "Too many requests", "name": "TOO_MANY_REQUESTS"})),
                limit,
                0,
            )
            .into();
        }
        Pass::Granted(left) => left,
    };
    let stream = match (asked.method.as_str(), rest) {
        ("GET", ["subscribe", "devices"]) if is_upgrade => Some(Stream::Devices),
        ("GET", ["subscribe", "events"]) if is_upgrade => Some(Stream::Events),
        _ => None,
    };
    if let Some(stream) = stream {
        let state = console.state();
        let place = match stream {
            Stream::Devices => state.devices.end(),
            _ => state.events.end(),
        };
        return Outcome::Upgrade(Box::new(Start { stream, key, place: Some(place), later }));
    }
    limited(public::answer(console, asked, rest), limit, left).into()
}

fn limited(reply: Reply, limit: Option<usize>, left: usize) -> Reply {
    let Some(limit) = limit else { return reply };
    reply
        .with("ratelimit-policy", format!("\"{limit}-in-1sec\"; q={limit}; w=1"))
        .with("ratelimit", format!("\"{limit}-in-1sec\"; r={left}; t=1"))
}

/// The JSON of a list, for callers that have it as a slice.
pub(crate) fn list(items: &[Value]) -> Reply {
    Reply::ok(&Value::Array(items.to_vec()))
}
