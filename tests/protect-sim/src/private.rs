//! The console's own interface, `/proxy/protect/api`.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::access::Session;
use crate::clock::millis;
use crate::console::Console;
use crate::media::{self, Shown};
use crate::model::{is_true, merge, number, text};
use crate::options::Early;
use crate::reply::Reply;
use crate::route;
use crate::server::Asked;

/// So many prepared exports are remembered.
const PREPARED_KEPT: usize = 1000;
/// The largest picture there is.
const LARGEST: (u32, u32) = (1920, 1080);

pub(crate) fn answer(console: &Console, asked: &Asked, session: &Session, rest: &[&str]) -> Reply {
    match (asked.method.as_str(), rest) {
        ("GET", ["bootstrap"]) => bootstrap(console, session),
        ("GET", ["nvr"]) => Reply::ok(console.state().model.nvr()),
        ("GET", ["users", "self"]) => one(console, "users", &session.user_id),
        ("GET", ["keyrings" | "ulp-users"]) if session.user.is_admin => Reply::ok(&json!([])),
        ("GET", ["keyrings" | "ulp-users"]) => Reply::forbidden(),
        ("GET", ["events"]) => events(console, asked),
        ("GET", ["events", id]) => console.state().model.event(id).map_or_else(|| Reply::not_found("event"), Reply::ok),
        ("GET", ["events", id, what]) => event_media(console, asked, session, id, what),
        ("GET", ["cameras", id, "snapshot"]) => snapshot(console, asked, session, id, "snapshot"),
        ("GET", ["cameras", id, "package-snapshot"]) => snapshot(console, asked, session, id, "package"),
        ("GET", ["cameras", id, "recording-snapshot"]) => recording_snapshot(console, asked, session, id),
        ("GET", ["video", "export"]) => export(console, asked, session),
        ("GET", ["video", "prepare"]) => prepare(console, asked, session),
        ("GET", ["video", "download"]) => download(console, asked, session),
        ("PATCH", ["cameras", id]) => patch(console, asked, session, id),
        (
            "GET",
            [
                list @ ("cameras" | "sensors" | "lights" | "chimes" | "viewers" | "bridges" | "liveviews" | "users"
                | "groups" | "aiports" | "ringtones"),
            ],
        ) => route::list(console.state().model.list(list)),
        ("GET", [list, id]) => one(console, list, id),
        _ => Reply::not_found(rest.last().copied().unwrap_or_default()),
    }
}

fn bootstrap(console: &Console, session: &Session) -> Reply {
    let mut bootstrap = console.state().model.bootstrap.clone();
    if let Some(top) = bootstrap.as_object_mut() {
        top.insert("authUserId".into(), session.user_id.clone().into());
    }
    Reply::ok(&bootstrap)
}

fn one(console: &Console, list: &str, id: &str) -> Reply {
    let state = console.state();
    state.model.find(list, id).map_or_else(|| Reply::not_found(list.trim_end_matches('s')), Reply::ok)
}

/// `GET events`, with its oddities: a start wants an end or a limit, and times count only where types are given.
fn events(console: &Console, asked: &Asked) -> Reply {
    let (start, end, limit) = (asked.number("start"), asked.number("end"), asked.number("limit"));
    if start.is_some() && end.is_none() && limit.is_none() {
        return Reply::bad("'end' or 'limit' is required with 'start'");
    }
    let (types, smart, cameras) =
        (asked.parameters("types"), asked.parameters("smartDetectTypes"), asked.parameters("cameras"));
    let (start, end) = if types.is_empty() { (None, None) } else { (start, end) };
    let state = console.state();
    let wanted = |event: &&Value| {
        let began = number(event, "start").unwrap_or(0);
        let has_smart = || {
            let types = event.get("smartDetectTypes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            types.iter().filter_map(Value::as_str).any(|one| smart.contains(&one))
        };
        start.is_none_or(|start| began >= start || number(event, "end").is_some_and(|end| end >= start))
            && end.is_none_or(|end| began <= end)
            && (types.is_empty() || text(event, "type").is_some_and(|kind| types.contains(&kind)))
            && (smart.is_empty() || has_smart())
            && (cameras.is_empty() || text(event, "camera").is_some_and(|id| cameras.contains(&id)))
    };
    let mut found: Vec<&Value> = state.model.events().filter(wanted).collect();
    found.sort_by_key(|event| number(event, "start"));
    if asked.parameter("orderDirection") != Some("ASC") {
        found.reverse();
    }
    let count = |value: Option<i64>, other: usize| value.and_then(|n| usize::try_from(n).ok()).unwrap_or(other);
    let page = found.into_iter().skip(count(asked.number("offset"), 0)).take(count(limit, usize::MAX));
    Reply::ok(&Value::Array(page.cloned().collect()))
}

fn event_media(console: &Console, asked: &Asked, session: &Session, id: &str, what: &str) -> Reply {
    if !session.user.read_media {
        return Reply::forbidden();
    }
    let event = console.state().model.event(id).cloned();
    let Some(event) = event else { return Reply::not_found("event") };
    let wait = millis(console.options.lags.thumbnail);
    let is_there = number(&event, "end").is_some_and(|end| console.clock.now_ms() >= end + wait);
    if !is_there {
        return Reply::not_found("thumbnail");
    }
    match what {
        "thumbnail" => {
            let at_ms = number(&event, "timestamp").or_else(|| number(&event, "start")).unwrap_or(0);
            let camera = text(&event, "camera").unwrap_or("none").to_owned();
            Reply::jpeg(media::picture(&Shown { kind: "thumbnail".into(), camera, at_ms }, size(console, asked)))
        }
        "animated-thumbnail" => Reply::new(200, "image/gif", Bytes::from_static(media::GIF)),
        "heatmap" => Reply::new(200, "image/png", media::heatmap()),
        "smartDetectTrack" => {
            let mut track = crate::fixtures::track();
            merge(&mut track, &json!({"event": id, "camera": event.get("camera")}));
            Reply::ok(&track)
        }
        _ => Reply::not_found(what),
    }
}

/// The size that was asked for, in the form of a camera's picture.
fn size(console: &Console, asked: &Asked) -> (u32, u32) {
    let wanted = |name: &str| asked.parameter(name).and_then(|n| n.parse::<u32>().ok()).filter(|n| *n > 0);
    let (width, height) = match (wanted("w"), wanted("h")) {
        (None, None) => console.options.picture,
        (Some(width), None) => (width, width.saturating_mul(9) / 16),
        (None, Some(height)) => (height.saturating_mul(16) / 9, height),
        (Some(width), Some(height)) => (width, height),
    };
    (width.clamp(16, LARGEST.0), height.clamp(16, LARGEST.1))
}

fn snapshot(console: &Console, asked: &Asked, session: &Session, id: &str, kind: &str) -> Reply {
    if !session.user.read_live {
        return Reply::forbidden();
    }
    let camera = console.state().model.camera(id).cloned();
    let Some(camera) = camera else { return Reply::not_found("camera") };
    if text(&camera, "state") != Some("CONNECTED") {
        return Reply::json(503, &json!({"error": "Camera is offline", "name": "API_ERROR"}));
    }
    let is_behind_port = is_true(&camera, "isPairedWithAiPort") || is_true(&camera, "isThirdPartyCamera");
    if is_behind_port && !asked.query.is_empty() {
        return Reply::json(500, &json!({"error": "Internal error", "name": "INTERNAL_ERROR"}));
    }
    if kind == "package" && !camera.pointer("/featureFlags/hasPackageCamera").is_some_and(|has| has == true) {
        return Reply::not_found("package camera");
    }
    let shown = Shown { kind: kind.into(), camera: id.into(), at_ms: console.clock.now_ms() };
    Reply::jpeg(media::picture(&shown, size(console, asked)))
}

fn recording_snapshot(console: &Console, asked: &Asked, session: &Session, id: &str) -> Reply {
    if !session.user.read_media {
        return Reply::forbidden();
    }
    let Some(at_ms) = asked.number("ts") else { return Reply::bad("'ts' is required") };
    let camera = console.state().model.camera(id).cloned();
    let Some(camera) = camera else { return Reply::not_found("camera") };
    if !records(&camera) || at_ms > console.clock.now_ms() {
        return Reply::not_found("recording");
    }
    let shown = Shown { kind: "recording".into(), camera: id.into(), at_ms };
    Reply::jpeg(media::picture(&shown, size(console, asked)))
}

fn records(camera: &Value) -> bool {
    camera.pointer("/recordingSettings/mode").is_none_or(|mode| mode != "never")
}

/// What an export asks for.
struct Wanted {
    camera: String,
    channel: String,
    start: i64,
    end: i64,
}

impl Wanted {
    fn of(asked: &Asked, session: &Session) -> Result<Self, Reply> {
        if !session.user.read_media {
            return Err(Reply::forbidden());
        }
        let (Some(camera), Some(start), Some(end)) =
            (asked.parameter("camera"), asked.number("start"), asked.number("end"))
        else {
            return Err(Reply::bad("'camera', 'start' and 'end' are required"));
        };
        let channel = match asked.parameter("lens") {
            Some(lens) => format!("lens{lens}"),
            None => asked.parameter("channel").unwrap_or("0").to_owned(),
        };
        if end <= start || channel == "3" {
            return Err(Reply::bad("the interval or the channel is wrong"));
        }
        Ok(Self { camera: camera.into(), channel, start, end })
    }

    /// The clip, or what there is instead.
    fn clip(&self, console: &Console) -> Reply {
        let now = console.clock.now_ms();
        if self.end > now {
            return Reply::bad("'end' lies in the future");
        }
        let mut state = console.state();
        let Some(camera) = state.model.camera(&self.camera) else { return Reply::not_found("camera") };
        if !records(camera) {
            return Reply::new(404, "text/plain", "no recording");
        }
        let rule = console.options.clips;
        let film = state.clip.clone();
        let is_ready = now >= self.end + millis(rule.ready);
        let early = match rule.early {
            Early::Any => match state.chance.next() % 4 {
                0 => Early::NotFound502,
                1 => Early::Error500,
                2 => Early::Empty,
                _ => Early::Cut,
            },
            early => early,
        };
        drop(state);
        let whole = || {
            let clip = media::clip(&film, &self.camera, &self.channel, self.start, self.end);
            Reply::new(200, "video/mp4", clip)
        };
        match (is_ready, early) {
            (true, _) => whole(),
            (false, Early::NotFound502 | Early::Any) => Reply::json(404, &json!({"error": 502})),
            (false, Early::Error500) => Reply::json(500, &json!({"error": "Internal error", "name": "INTERNAL_ERROR"})),
            (false, Early::Empty) => Reply::new(200, "video/mp4", Bytes::new()),
            (false, Early::Cut) => Reply { is_cut: true, ..whole() },
        }
    }
}

fn export(console: &Console, asked: &Asked, session: &Session) -> Reply {
    match Wanted::of(asked, session) {
        Ok(wanted) => wanted.clip(console),
        Err(reply) => reply,
    }
}

fn prepare(console: &Console, asked: &Asked, session: &Session) -> Reply {
    let wanted = match Wanted::of(asked, session) {
        Ok(wanted) => wanted,
        Err(reply) => return reply,
    };
    let came = wanted.clip(console);
    if came.status >= 400 {
        return came;
    }
    let mut state = console.state();
    let name = format!("{}.mp4", state.chance.uuid());
    if state.prepared.len() >= PREPARED_KEPT {
        state.prepared.clear();
    }
    let kept = json!({"camera": wanted.camera, "channel": wanted.channel, "start": wanted.start, "end": wanted.end});
    state.prepared.insert(name.clone(), kept);
    Reply::ok(&json!({"fileName": name}))
}

fn download(console: &Console, asked: &Asked, session: &Session) -> Reply {
    if !session.user.read_media {
        return Reply::forbidden();
    }
    let kept = asked.parameter("filename").and_then(|name| console.state().prepared.get(name).cloned());
    let Some(kept) = kept else { return Reply::not_found("file") };
    let field = |key: &str| text(&kept, key).unwrap_or_default().to_owned();
    let wanted = Wanted {
        camera: field("camera"),
        channel: field("channel"),
        start: number(&kept, "start").unwrap_or(0),
        end: number(&kept, "end").unwrap_or(0),
    };
    wanted.clip(console)
}

/// Changes a camera. Switching RTSP of a channel on makes an alias, switching it off forgets it.
fn patch(console: &Console, asked: &Asked, session: &Session, id: &str) -> Reply {
    if !session.user.is_admin {
        return Reply::forbidden();
    }
    let mut change = asked.json();
    if !change.is_object() {
        return Reply::bad("an object is required");
    }
    let mut state = console.state();
    let Some(camera) = state.model.camera(id).cloned() else { return Reply::not_found("camera") };
    if let Some(Value::Array(channels)) = change.get_mut("channels") {
        for channel in channels {
            let known = camera.get("channels").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let Some(known) = known.iter().find(|known| known.get("id") == channel.get("id")) else { continue };
            let mut whole = known.clone();
            merge(&mut whole, channel);
            let alias = match (is_true(&whole, "isRtspEnabled"), text(&whole, "rtspAlias")) {
                (true, Some(alias)) => alias.into(),
                (true, None) => state.chance.alias().into(),
                (false, _) => Value::Null,
            };
            merge(&mut whole, &json!({"rtspAlias": alias}));
            *channel = whole;
        }
    }
    state.change(&console.options, "update", "camera", id, &change);
    let answer = state.model.camera(id).map_or_else(|| Reply::not_found("camera"), Reply::ok);
    drop(state);
    console.wake();
    answer
}
