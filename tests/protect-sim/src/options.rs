//! What a simulated console is like.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::Value;

use crate::fixtures;

/// How a simulated console is set up. The default suits tests: no lags, Protect 7.1.87 on the recorded site A.
#[derive(Clone)]
pub struct Options {
    /// Where it listens.
    pub host: IpAddr,
    /// 0 takes a free one.
    pub port: u16,
    /// What `GET bootstrap` answers at first.
    pub bootstrap: Value,
    /// Version of Protect, put into the bootstrap and into `meta/info`; `None` leaves what the bootstrap says.
    pub version: Option<String>,
    /// Who can sign in.
    pub users: Vec<User>,
    /// Keys of the integration interface that are good from the start.
    pub api_keys: Vec<String>,
    /// How the session is handed out.
    pub cookie: CookieStyle,
    /// How long a session lasts without and with `rememberMe`.
    pub session_life: (Duration, Duration),
    /// After so many answers a session gets a new cookie and a new CSRF token; `None`: never.
    pub rotate_every: Option<u32>,
    /// So many failed logins in a row lock everyone out.
    pub login_failures: u32,
    /// For that long, counted anew from each further try.
    pub lockout: Duration,
    /// Requests in one second for each key; `None`: any number.
    pub rate_limit: Option<usize>,
    /// Whether a key over its limit also loses its open streams (close code 1008).
    pub limit_closes_streams: bool,
    /// How late things are told.
    pub lags: Lags,
    /// When footage can be fetched.
    pub clips: ClipRule,
    /// Pictures are that large when no size is asked for.
    pub picture: (u32, u32),
    /// What a stream does when it is asked to go on from an id that is not known any more.
    pub stale: Stale,
    /// How many updates can be gone back to.
    pub update_log: usize,
    /// Event ids are UUIDs (Protect 7) instead of 24 hex digits.
    pub uuid_events: bool,
    /// Whole objects on the private stream come without `id` and `modelKey`, as on some builds of Protect 7.
    pub bare_payloads: bool,
    /// Added to the machine's clock.
    pub skew_ms: i64,
    /// Names in the certificate.
    pub certificate_names: Vec<String>,
    /// The same seed makes the same ids and chances.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            bootstrap: fixtures::bootstrap_a(),
            version: Some("7.1.87".into()),
            users: vec![
                User::admin("argus", "correct horse"),
                User::viewer("viewer", "battery staple"),
                User::cloud("cloud", "staple"),
            ],
            api_keys: vec!["sim-api-key".into()],
            cookie: CookieStyle::UosToken,
            session_life: (Duration::from_secs(2 * 3600), Duration::from_secs(30 * 24 * 3600)),
            rotate_every: None,
            login_failures: 5,
            lockout: Duration::from_secs(300),
            rate_limit: Some(10),
            limit_closes_streams: true,
            lags: Lags::none(),
            clips: ClipRule { ready: Duration::ZERO, early: Early::NotFound502 },
            picture: (640, 360),
            stale: Stale::CloseWithReason,
            update_log: 20_000,
            uuid_events: true,
            bare_payloads: false,
            skew_ms: 0,
            certificate_names: vec!["unifi.local".into()],
            seed: 1,
        }
    }
}

impl Options {
    /// As measured on real consoles: lags, and footage 7.5 s after an event.
    #[must_use]
    pub fn recorded() -> Self {
        Self {
            lags: Lags::recorded(),
            clips: ClipRule { ready: Duration::from_millis(7500), early: Early::NotFound502 },
            ..Self::default()
        }
    }
}

/// Somebody who can sign in.
#[derive(Clone)]
pub struct User {
    /// Name to sign in with.
    pub name: String,
    /// Its password.
    pub password: String,
    /// An account of the cloud with a second factor: the login answers 499.
    pub needs_code: bool,
    /// May change things and make keys.
    pub is_admin: bool,
    /// May see live pictures.
    pub read_live: bool,
    /// May see recordings, thumbnails and clips.
    pub read_media: bool,
}

impl User {
    /// May do everything.
    #[must_use]
    pub fn admin(name: &str, password: &str) -> Self {
        Self {
            name: name.into(),
            password: password.into(),
            needs_code: false,
            is_admin: true,
            read_live: true,
            read_media: true,
        }
    }

    /// May look, live and back.
    #[must_use]
    pub fn viewer(name: &str, password: &str) -> Self {
        Self { is_admin: false, ..Self::admin(name, password) }
    }

    /// May see the list of cameras and what happens, but no picture.
    #[must_use]
    pub fn limited(name: &str, password: &str) -> Self {
        Self { is_admin: false, read_live: false, read_media: false, ..Self::admin(name, password) }
    }

    /// Signs in with a second factor only.
    #[must_use]
    pub fn cloud(name: &str, password: &str) -> Self {
        Self { needs_code: true, ..Self::admin(name, password) }
    }
}

/// How the session is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieStyle {
    /// `TOKEN`, as before UniFi OS 4.
    Token,
    /// `UOS_TOKEN` with `Partitioned`, as since UniFi OS 4.
    UosToken,
}

impl CookieStyle {
    /// The cookie's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "TOKEN",
            Self::UosToken => "UOS_TOKEN",
        }
    }
}

/// How late things are told, after they are.
#[derive(Clone, Copy, Debug)]
pub struct Lags {
    /// A ring.
    pub ring: Duration,
    /// The beginning of motion.
    pub motion: Duration,
    /// The beginning of a smart detection.
    pub smart: Duration,
    /// The end of motion.
    pub motion_end: Duration,
    /// The end of a smart detection.
    pub smart_end: Duration,
    /// Between the repeated ends.
    pub repeat: Duration,
    /// How long a ring stays open.
    pub ring_lasts: Duration,
    /// A thumbnail, after the end.
    pub thumbnail: Duration,
    /// More than that on the private stream.
    pub private_extra: Duration,
    /// More than that on the integration streams.
    pub public_extra: Duration,
}

impl Lags {
    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self {
            ring: Duration::ZERO,
            motion: Duration::ZERO,
            smart: Duration::ZERO,
            motion_end: Duration::ZERO,
            smart_end: Duration::ZERO,
            repeat: Duration::from_millis(1),
            ring_lasts: Duration::from_secs(1),
            thumbnail: Duration::ZERO,
            private_extra: Duration::ZERO,
            public_extra: Duration::ZERO,
        }
    }

    /// As captured on Protect 7.1.87 (`fixtures/integration`).
    #[must_use]
    pub fn recorded() -> Self {
        Self {
            ring: Duration::from_millis(2000),
            motion: Duration::from_millis(3000),
            smart: Duration::from_millis(2400),
            motion_end: Duration::from_millis(1700),
            smart_end: Duration::from_millis(6500),
            repeat: Duration::from_millis(300),
            ring_lasts: Duration::from_secs(302),
            thumbnail: Duration::from_millis(2000),
            private_extra: Duration::ZERO,
            public_extra: Duration::ZERO,
        }
    }

    /// All of them multiplied.
    #[must_use]
    pub fn scaled(self, by: f64) -> Self {
        Self {
            ring: self.ring.mul_f64(by),
            motion: self.motion.mul_f64(by),
            smart: self.smart.mul_f64(by),
            motion_end: self.motion_end.mul_f64(by),
            smart_end: self.smart_end.mul_f64(by),
            repeat: self.repeat.mul_f64(by),
            ring_lasts: self.ring_lasts.mul_f64(by),
            thumbnail: self.thumbnail.mul_f64(by),
            private_extra: self.private_extra.mul_f64(by),
            public_extra: self.public_extra.mul_f64(by),
        }
    }
}

/// When footage can be fetched.
#[derive(Clone, Copy, Debug)]
pub struct ClipRule {
    /// So long after its end.
    pub ready: Duration,
    /// What comes before that.
    pub early: Early,
}

/// What comes instead of a clip that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// 404 with `{"error":502}`.
    NotFound502,
    /// 500.
    Error500,
    /// 200 without a byte.
    Empty,
    /// 200 with half of the bytes it promised.
    Cut,
    /// One of these, by chance.
    Any,
}

/// What a stream does that is asked to go on from an unknown id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// Closes at once, naming `lastUpdateId`.
    CloseWithReason,
    /// Closes at once without a word.
    Close,
    /// Drops the connection.
    Abort,
}
