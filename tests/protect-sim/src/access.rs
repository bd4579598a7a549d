//! Who may ask: users, sessions, the lockout, and the keys of the integration interface.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::chance::Chance;
use crate::clock::Clock;
use crate::options::{Options, User};

/// So many sessions are held; the oldest goes first.
const SESSIONS_KEPT: usize = 1000;
/// So long the former cookie and CSRF token of a session still do after a rotation.
const GRACE: Duration = Duration::from_secs(5);

/// A session.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) user: User,
    pub(crate) user_id: String,
    pub(crate) cookie: String,
    pub(crate) csrf: String,
    remembered: bool,
    expires: Instant,
    answers: u32,
    former: Option<(String, String, Instant)>,
}

/// What came of a login.
pub(crate) enum Login {
    In(Box<Session>),
    WrongPassword,
    NeedsCode,
    LockedOut,
    /// A dead cookie came with it.
    OldCookie,
}

#[derive(Default)]
struct Key {
    is_revoked: bool,
    recent: VecDeque<Instant>,
}

/// What a key may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Go on; so many requests are left in this second.
    Granted(usize),
    Unknown,
    TooMany,
}

/// The state of all that.
pub(crate) struct Access {
    sessions: VecDeque<Session>,
    keys: HashMap<String, Key>,
    failures: u32,
    locked_until: Option<Instant>,
    next: u64,
    /// Overrides the life of sessions made from now on.
    pub(crate) life: Option<Duration>,
}

impl Access {
    pub(crate) fn new(options: &Options) -> Self {
        let keys = options.api_keys.iter().map(|key| (key.clone(), Key::default())).collect();
        Self { sessions: VecDeque::new(), keys, failures: 0, locked_until: None, next: 1, life: None }
    }

    /// `cookie` is what came with the request, under the name that this console uses.
    pub(crate) fn login(
        &mut self,
        tools: (&Options, &Clock, &mut Chance),
        name: &str,
        password: &str,
        remember: bool,
        cookie: Option<&str>,
    ) -> Login {
        let (options, clock, chance) = tools;
        let now = Instant::now();
        if self.locked_until.is_some_and(|until| now < until) {
            self.locked_until = Some(now + options.lockout);
            return Login::LockedOut;
        }
        if cookie.is_some_and(|cookie| self.find(cookie).is_none()) {
            return Login::OldCookie;
        }
        let Some(user) = options.users.iter().find(|user| user.name == name && user.password == password) else {
            self.failures += 1;
            if self.failures >= options.login_failures {
                self.failures = 0;
                self.locked_until = Some(now + options.lockout);
            }
            return Login::WrongPassword;
        };
        if user.needs_code {
            return Login::NeedsCode;
        }
        self.failures = 0;
        let (short, long) = options.session_life;
        let life = self.life.unwrap_or(if remember { long } else { short });
        let number = self.next;
        self.next += 1;
        let user_id = user_id(&user.name);
        let csrf = chance.uuid();
        let session = Session {
            number,
            cookie: token(&user_id, &csrf, clock.now_ms(), life, chance),
            user: user.clone(),
            user_id,
            csrf,
            remembered: remember,
            expires: now + life,
            answers: 0,
            former: None,
        };
        self.sessions.push_back(session.clone());
        if self.sessions.len() > SESSIONS_KEPT {
            self.sessions.pop_front();
        }
        Login::In(Box::new(session))
    }

    fn find(&self, cookie: &str) -> Option<&Session> {
        let now = Instant::now();
        self.sessions.iter().find(|session| {
            let is_former = session.former.as_ref().is_some_and(|(former, _, until)| former == cookie && now < *until);
            now < session.expires && (session.cookie == cookie || is_former)
        })
    }

    pub(crate) fn session(&self, cookie: Option<&str>) -> Option<Session> {
        self.find(cookie?).cloned()
    }

    /// Counts an answer to a session; when it is its turn, gives the session with its new cookie and token.
    pub(crate) fn rotate(
        &mut self,
        number: u64,
        tools: (&Options, &Clock, &mut Chance),
        force: bool,
    ) -> Option<Session> {
        let (options, clock, chance) = tools;
        let session = self.sessions.iter_mut().find(|session| session.number == number)?;
        session.answers += 1;
        let is_due = options.rotate_every.is_some_and(|every| session.answers.is_multiple_of(every.max(1)));
        if !is_due && !force {
            return None;
        }
        let (short, long) = options.session_life;
        let life = self.life.unwrap_or(if session.remembered { long } else { short });
        let csrf = chance.uuid();
        let cookie = token(&session.user_id, &csrf, clock.now_ms(), life, chance);
        let now = Instant::now();
        let former = std::mem::replace(&mut session.cookie, cookie);
        let former_csrf = std::mem::replace(&mut session.csrf, csrf);
        session.former = Some((former, former_csrf, now + GRACE));
        session.expires = now + life;
        Some(session.clone())
    }

    pub(crate) fn logout(&mut self, number: u64) {
        self.sessions.retain(|session| session.number != number);
    }

    pub(crate) fn expire_sessions(&mut self) {
        self.sessions.clear();
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn unlock(&mut self) {
        self.locked_until = None;
        self.failures = 0;
    }

    pub(crate) fn add_key(&mut self, key: &str) {
        self.keys.insert(key.to_owned(), Key::default());
    }

    pub(crate) fn revoke_key(&mut self, key: &str) {
        if let Some(key) = self.keys.get_mut(key) {
            key.is_revoked = true;
        }
    }

    /// Counts a request with a key.
    pub(crate) fn pass(&mut self, key: Option<&str>, limit: Option<usize>) -> Pass {
        let Some(key) = key.and_then(|key| self.keys.get_mut(key)).filter(|key| !key.is_revoked) else {
            return Pass::Unknown;
        };
        let Some(limit) = limit else { return Pass::Granted(usize::MAX) };
        let now = Instant::now();
        while key.recent.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            key.recent.pop_front();
        }
        if key.recent.len() >= limit {
            return Pass::TooMany;
        }
        key.recent.push_back(now);
        Pass::Granted(limit - key.recent.len())
    }
}

impl Session {
    /// Whether a write with that token may be done.
    pub(crate) fn takes_csrf(&self, token: Option<&str>) -> bool {
        let now = Instant::now();
        let former = self.former.as_ref().filter(|(_, _, until)| now < *until).map(|(_, csrf, _)| csrf.as_str());
        token.is_some_and(|token| token == self.csrf || former == Some(token))
    }
}

/// The id of a user, made of its name.
pub(crate) fn user_id(name: &str) -> String {
    Sha256::digest(name).iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// A JWT as consoles make it; nobody but the console could verify its signature.
fn token(user: &str, csrf: &str, now_ms: i64, life: Duration, chance: &mut Chance) -> String {
    let issued = now_ms / 1000;
    let expires = issued + i64::try_from(life.as_secs()).unwrap_or(0);
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({"alg": "HS256", "typ": "JWT"}));
    let body = part(json!({"userId": user, "passwordRevision": 1, "isRemembered": life.as_secs() > 7200,
        "csrfToken": csrf, "iat": issued, "exp": expires, "jti": chance.uuid()}));
    let signature = URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{head}.{body}")));
    format!("{head}.{body}.{signature}")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Door {
        options: Options,
        clock: Clock,
        chance: Chance,
        access: Access,
    }

    impl Door {
        fn new() -> Self {
            let options = Options::default();
            Self { clock: Clock::new(0), chance: Chance::new(1), access: Access::new(&options), options }
        }

        fn tries(&mut self, password: &str) -> &'static str {
            let tools = (&self.options, &self.clock, &mut self.chance);
            match self.access.login(tools, "argus", password, false, None) {
                Login::In(_) => "in",
                Login::WrongPassword => "wrong",
                Login::LockedOut => "locked",
                Login::NeedsCode | Login::OldCookie => "other",
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_try_prolongs_a_lockout() {
        let mut door = Door::new();
        for _ in 0..5 {
            assert_eq!(door.tries("no"), "wrong");
        }
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(299)).await;
            assert_eq!(door.tries("correct horse"), "locked");
        }
        tokio::time::advance(Duration::from_secs(301)).await;
        assert_eq!(door.tries("correct horse"), "in");
    }

    #[tokio::test(start_paused = true)]
    async fn a_former_cookie_does_for_a_while() {
        let mut door = Door::new();
        assert_eq!(door.tries("correct horse"), "in");
        let first = door.access.sessions[0].clone();
        let tools = (&door.options, &door.clock, &mut door.chance);
        let second = door.access.rotate(first.number, tools, true).unwrap();
        assert!(door.access.session(Some(&first.cookie)).is_some() && second.takes_csrf(Some(&first.csrf)));
        tokio::time::advance(GRACE).await;
        assert!(door.access.session(Some(&first.cookie)).is_none() && !second.takes_csrf(Some(&first.csrf)));
        assert!(door.access.session(Some(&second.cookie)).is_some());
        tokio::time::advance(Duration::from_secs(2 * 3600)).await;
        assert!(door.access.session(Some(&second.cookie)).is_none());
    }
}
