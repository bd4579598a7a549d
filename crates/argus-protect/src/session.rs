//! The sign-in with a local account: one session for all calls, renewed once when the console forgot it, never forced
//! when the console refuses.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argus_core::{Secret, Timestamp};
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::ProtectError;
use crate::cookie::Cookie;
use crate::error::of_status;
use crate::http::{Answer, Call, Http};
use crate::lockout::{Lockout, Lockouts};
use crate::tls::hex;

/// A session counts as over that long before it ends, because clocks differ.
const MARGIN: Duration = Duration::from_secs(60);

/// How long a session is used whose end cannot be read.
const SHORT_LIFE: Duration = Duration::from_secs(30 * 60);

const CSRF: &str = "x-csrf-token";
const UPDATED_CSRF: &str = "x-updated-csrf-token";

/// Takes what is to be kept over a restart.
pub(crate) type Keep = Arc<dyn Fn(Option<Secret>) + Send + Sync>;

/// What is kept: readable again only with the same account.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    account: String,
    cookie: Option<String>,
    csrf: Option<String>,
    expires_us: Option<i64>,
    locked_until_us: Option<i64>,
    #[serde(default)]
    attempts: u32,
    /// How often this password was refused in a row.
    #[serde(default)]
    refusals: u32,
}

/// A session that stands.
#[derive(Clone)]
struct Live {
    pair: Secret,
    csrf: Option<Secret>,
    expires_at: Timestamp,
    /// Which sign-in made it.
    generation: u64,
}

/// The sign-in of one account.
pub struct Session {
    http: Arc<Http>,
    username: String,
    password: Secret,
    console: String,
    account: String,
    lockouts: Lockouts,
    /// Locked while something is kept, so that the newest is kept last.
    keep: Mutex<Keep>,
    live: Mutex<Option<Live>>,
    /// Sign-ins that were tried; also names the sessions.
    tries: AtomicU64,
    /// Held while signing in; what the last try came to.
    gate: tokio::sync::Mutex<Option<ProtectError>>,
    /// A password that was refused is not sent again and again. Another configuration makes another of these.
    refused: Mutex<Option<Refused>>,
    /// When the controller was last asked without the password that is kept back.
    knocked: Mutex<Option<Instant>>,
    /// The session that was made because of a 403; no other is made for that reason while it stands.
    made_for_403: AtomicU64,
    /// What this account was allowed to use.
    allowed: Mutex<BTreeSet<Right>>,
    /// What it was refused.
    denied: Mutex<BTreeSet<Right>>,
}

/// The last refusal of a password.
#[derive(Clone)]
struct Refused {
    /// `None`: before this process began, and it may be tried at once.
    at: Option<Instant>,
    error: ProtectError,
    /// In a row.
    times: u32,
}

/// What is used, and of which camera: rights may be given for each by itself.
type Right = (&'static str, String);

/// Most rights that are remembered.
const MOST_RIGHTS: usize = 4096;

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub(crate) fn new(
        http: Arc<Http>,
        username: &str,
        password: &Secret,
        lockouts: Lockouts,
        kept: Option<&Secret>,
        keep: Keep,
    ) -> Self {
        let console = format!("{}:{}", http.host, http.port);
        let account = hex(&Sha256::digest(format!("{console}\n{username}\n{}", password.expose()).as_bytes()));
        let session = Self {
            http,
            username: username.to_owned(),
            password: password.clone(),
            console,
            account,
            lockouts,
            keep: Mutex::new(keep),
            live: Mutex::new(None),
            tries: AtomicU64::new(0),
            gate: tokio::sync::Mutex::new(None),
            refused: Mutex::new(None),
            knocked: Mutex::new(None),
            made_for_403: AtomicU64::new(u64::MAX),
            allowed: Mutex::default(),
            denied: Mutex::default(),
        };
        if let Some(kept) = kept.and_then(|k| serde_json::from_str::<Kept>(k.expose()).ok()) {
            session.restore(kept);
        }
        session
    }

    fn restore(&self, kept: Kept) {
        if let Some(until) = kept.locked_until_us {
            let until = Timestamp::from_micros(until);
            self.lockouts.seed(&self.console, Lockout { until, attempts: kept.attempts });
        }
        if kept.account == self.account && kept.refusals > 0 {
            // One that may still be tried is, at once: the machine may have been away for long.
            let at = (kept.refusals >= self.http.tuning.refusals).then(Instant::now);
            let error = ProtectError::Unauthorized(kept_back(self.http.tuning.refused_pause));
            *locked(&self.refused) = Some(Refused { at, error, times: kept.refusals });
        }
        let (Some(pair), Some(expires)) = (kept.cookie, kept.expires_us) else { return };
        if kept.account == self.account {
            *locked(&self.live) = Some(Live {
                pair: Secret::new(pair),
                csrf: kept.csrf.map(Secret::new),
                expires_at: Timestamp::from_micros(expires),
                generation: 0,
            });
        }
    }

    /// Until when the console is left alone, if it refuses sign-ins.
    #[must_use]
    pub fn locked_until(&self) -> Option<Timestamp> {
        self.lockouts.get(&self.console).map(|l| l.until).filter(|until| *until > self.http.clock.now())
    }

    /// Whether the account was refused something the last time, of every camera that it was asked of.
    pub(crate) fn is_denied(&self, what: &str) -> bool {
        let any = |rights: &Mutex<BTreeSet<Right>>| locked(rights).iter().any(|right| right.0 == what);
        any(&self.denied) && !any(&self.allowed)
    }

    /// How often signing in was tried.
    #[must_use]
    pub fn sign_ins(&self) -> u64 {
        self.tries.load(Ordering::SeqCst)
    }

    /// Sends a call as this account: signs in when that is needed, and once more when the console forgot the session.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer, ProtectError> {
        let mut live = self.live(None).await?;
        let mut answer = self.http.once(&dressed(call, &live)).await?;
        let right = (call.what, camera(&call.url));
        if self.forgot(&right, answer.status, live.generation) {
            let is_403 = answer.status == 403;
            live = self.live(Some(live.generation)).await?;
            if is_403 {
                self.made_for_403.store(live.generation, Ordering::SeqCst);
            }
            answer = self.http.once(&dressed(call, &live)).await?;
            self.note_refusal(answer.status);
        }
        self.learn(&answer.headers, live.generation);
        self.judge(right, answer.status)?;
        Ok(answer)
    }

    /// The same for a body that is read as it comes.
    pub(crate) async fn open(&self, call: &Call) -> Result<reqwest::Response, ProtectError> {
        let mut live = self.live(None).await?;
        let mut response = self.http.open(&dressed(call, &live)).await?;
        if response.status().as_u16() == 401 {
            live = self.live(Some(live.generation)).await?;
            response = self.http.open(&dressed(call, &live)).await?;
            self.note_refusal(response.status().as_u16());
        }
        self.learn(response.headers(), live.generation);
        self.judge((call.what, camera(&call.url)), response.status().as_u16())?;
        Ok(response)
    }

    /// Headers for a WebSocket, and which session they are of.
    pub(crate) async fn headers(&self) -> Result<(HeaderMap, u64), ProtectError> {
        let live = self.live(None).await?;
        Ok((headers(&live), live.generation))
    }

    /// Says that the console no longer knows a session.
    pub(crate) fn forget(&self, generation: u64) {
        let mut live = locked(&self.live);
        if live.as_ref().is_some_and(|l| l.generation == generation) {
            *live = None;
        }
    }

    /// Signs out, without regard for the answer.
    pub async fn sign_out(&self) {
        let Some(live) = locked(&self.live).take() else { return };
        let call = Call::post("the sign-out", self.http.url(&["api/auth/logout"], &[]), json!({}));
        let _ = self.http.once(&dressed(&call, &live)).await;
        locked(&self.keep)(None);
    }

    /// Whether an answer means that the session is gone: 401, or 403 for what was allowed before. A session that was made
    /// for a 403 and gets one too was not the reason.
    fn forgot(&self, right: &Right, status: u16, generation: u64) -> bool {
        let may_be_gone =
            || self.made_for_403.load(Ordering::SeqCst) != generation && locked(&self.allowed).contains(right);
        status == 401 || (status == 403 && may_be_gone())
    }

    /// A session that was just made and is not accepted: making another is of no use for a while.
    fn note_refusal(&self, status: u16) {
        if status == 401 {
            self.note_refused(not_accepted());
        }
    }

    fn note_refused(&self, error: ProtectError) {
        let mut refused = locked(&self.refused);
        let times = refused.as_ref().map_or(0, |r| r.times).saturating_add(1);
        *refused = Some(Refused { at: Some(Instant::now()), error, times });
    }

    /// The refusal that still counts.
    fn refusal(&self) -> Option<Refused> {
        let tuning = &self.http.tuning;
        let pause = |r: &Refused| if r.times < tuning.refusals { tuning.error_pause } else { tuning.refused_pause };
        locked(&self.refused).clone().filter(|r| r.at.is_some_and(|at| at.elapsed() < pause(r)))
    }

    fn judge(&self, right: Right, status: u16) -> Result<(), ProtectError> {
        let put = |rights: &Mutex<BTreeSet<Right>>, right| {
            let mut rights = locked(rights);
            if rights.len() < MOST_RIGHTS {
                rights.insert(right);
            }
        };
        match status {
            401 => Err(not_accepted()),
            403 => {
                locked(&self.allowed).remove(&right);
                let what = right.0;
                put(&self.denied, right);
                Err(ProtectError::Forbidden(what.into()))
            }
            200..=299 => {
                locked(&self.denied).remove(&right);
                put(&self.allowed, right);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The session, made anew when there is none, when it is over, or when it is the one that is `stale`. Many callers
    /// at once make one sign-in.
    async fn live(&self, stale: Option<u64>) -> Result<Live, ProtectError> {
        let before = self.tries.load(Ordering::SeqCst);
        if let Some(live) = self.current(stale) {
            return Ok(live);
        }
        let mut gate = self.gate.lock().await;
        if let Some(live) = self.current(stale) {
            return Ok(live);
        }
        // Somebody tried while this caller waited: that answer is good for all who waited.
        if let Some(failure) = gate.as_ref().filter(|_| self.tries.load(Ordering::SeqCst) > before) {
            return Err(failure.clone());
        }
        let made = self.sign_in().await;
        *gate = made.as_ref().err().cloned();
        made
    }

    fn current(&self, stale: Option<u64>) -> Option<Live> {
        let now = self.http.clock.now();
        let live = locked(&self.live);
        live.as_ref().filter(|l| Some(l.generation) != stale && l.expires_at > now.plus(MARGIN)).cloned()
    }

    async fn sign_in(&self) -> Result<Live, ProtectError> {
        if let Some(until) = self.locked_until() {
            return Err(ProtectError::Locked { until });
        }
        if let Some(refused) = self.refusal() {
            if refused.at.is_some_and(|at| at.elapsed() < self.http.tuning.error_pause) {
                return Err(refused.error);
            }
            let kept_back = || ProtectError::Unauthorized(kept_back(self.http.tuning.refused_pause));
            // It is tried again all the same, only without the password: is it there, with the right certificate? Now and
            // then, however many calls want the account meanwhile.
            if locked(&self.knocked).is_some_and(|at| at.elapsed() < self.http.tuning.error_pause) {
                return Err(kept_back());
            }
            *locked(&self.knocked) = Some(Instant::now());
            self.http.once(&Call::get("its name", self.http.url(&["api/system"], &[])).connecting()).await?;
            return Err(kept_back());
        }
        // A dead cookie would turn a good sign-in into a refusal.
        *locked(&self.live) = None;
        let mut answer = self.attempt(None).await?;
        if matches!(answer.status, 401 | 403) && !is_wrong_password(&answer) {
            // Some versions want a token for writes even here.
            let root = self.http.once(&Call::get("the start page", self.http.url(&[""], &[])).connecting()).await?;
            if let Some(csrf) = csrf(&root.headers) {
                answer = self.attempt(Some(&csrf)).await?;
            }
        }
        let result = self.signed_in(&answer);
        if let Ok(live) = &result {
            self.lockouts.clear(&self.console);
            *locked(&self.live) = Some(live.clone());
        }
        match &result {
            Err(e @ ProtectError::Unauthorized(_)) => self.note_refused(e.clone()),
            // Whether it would take the password is not known.
            Err(ProtectError::Busy { .. } | ProtectError::Locked { .. }) => {}
            _ => *locked(&self.refused) = None,
        }
        if !matches!(result, Err(ProtectError::Busy { .. })) {
            self.store();
        }
        result
    }

    async fn attempt(&self, csrf: Option<&Secret>) -> Result<Answer, ProtectError> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        let body =
            json!({ "username": self.username, "password": self.password.expose(), "rememberMe": true, "token": "" });
        let mut call = Call::post("the sign-in", self.http.url(&["api/auth/login"], &[]), body).connecting();
        if let Some(value) = csrf.and_then(|c| HeaderValue::from_str(c.expose()).ok()) {
            call.headers.insert(CSRF, value);
        }
        self.http.once(&call).await
    }

    fn signed_in(&self, answer: &Answer) -> Result<Live, ProtectError> {
        let now = self.http.clock.now();
        match answer.status {
            200..=299 => {}
            401 | 403 => {
                return Err(ProtectError::Unauthorized(
                    "the controller refuses the user name or the password: check both; the account must be a local one"
                        .into(),
                ));
            }
            499 => {
                return Err(ProtectError::Unauthorized(
                    "this account signs in through Ubiquiti's cloud and needs a second factor: make a local account on the controller".into(),
                ));
            }
            429 => {
                let asked = answer.header("retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs);
                let t = &self.http.tuning;
                let lock = self.lockouts.refused(&self.console, now, t.lockout, t.lockout_longest, asked);
                return Err(ProtectError::Locked { until: lock.until });
            }
            // The console's proxy answers for an absent application with these.
            400 | 404 | 408 | 425 | 500..=599 => {
                return Err(ProtectError::Busy { what: "the sign-in", status: answer.status });
            }
            status => return Err(of_status("the sign-in", status)),
        }
        let Some(cookie) = Cookie::find(&answer.headers) else {
            return Err(ProtectError::NotProtect("its sign-in gives no session".into()));
        };
        let generation = self.tries.load(Ordering::SeqCst);
        Ok(Live {
            csrf: csrf(&answer.headers).or_else(|| cookie.csrf.clone()),
            expires_at: self.expiry(&cookie),
            pair: cookie.pair,
            generation,
        })
    }

    fn expiry(&self, cookie: &Cookie) -> Timestamp {
        match cookie.expires_s {
            Some(seconds) => self.http.clock.ours(seconds.saturating_mul(1000)),
            None => self.http.clock.now().plus(SHORT_LIFE),
        }
    }

    /// Takes over a renewed cookie or token; any answer may carry one.
    fn learn(&self, headers: &HeaderMap, generation: u64) {
        let cookie = Cookie::find(headers);
        let updated = headers.get(UPDATED_CSRF).and_then(|v| v.to_str().ok()).map(Secret::new);
        {
            let mut live = locked(&self.live);
            let Some(live) = live.as_mut().filter(|l| l.generation == generation) else { return };
            let same = cookie.as_ref().is_none_or(|c| c.pair == live.pair);
            if same && updated.as_ref().is_none_or(|c| live.csrf.as_ref() == Some(c)) {
                return;
            }
            if let Some(cookie) = cookie.filter(|_| !same) {
                live.expires_at = self.expiry(&cookie);
                live.pair = cookie.pair;
                live.csrf = cookie.csrf.or(live.csrf.take());
            }
            if updated.is_some() {
                live.csrf = updated;
            }
        }
        self.store();
    }

    /// Gives what must outlive a restart to the keeper.
    fn store(&self) {
        let keep = locked(&self.keep);
        let live = locked(&self.live).clone();
        let lockout = self.lockouts.get(&self.console);
        let refusals = locked(&self.refused).as_ref().map_or(0, |r| r.times);
        if live.is_none() && lockout.is_none() && refusals == 0 {
            return keep(None);
        }
        let kept = Kept {
            account: self.account.clone(),
            cookie: live.as_ref().map(|l| l.pair.expose().to_owned()),
            csrf: live.as_ref().and_then(|l| l.csrf.as_ref()).map(|c| c.expose().to_owned()),
            expires_us: live.as_ref().map(|l| l.expires_at.as_micros()),
            locked_until_us: lockout.map(|l| l.until.as_micros()),
            attempts: lockout.map_or(0, |l| l.attempts),
            refusals,
        };
        keep(serde_json::to_string(&kept).ok().map(Secret::new));
    }
}

/// The camera that a call is about; empty where it is about none.
fn camera(url: &url::Url) -> String {
    let asked = url.query_pairs().find(|(key, _)| key == "camera").map(|(_, id)| id.into_owned());
    let named = || url.path_segments()?.skip_while(|part| *part != "cameras").nth(1).map(str::to_owned);
    asked.or_else(named).unwrap_or_default()
}

/// What is said of a password that was refused so often that it is not sent any more.
fn kept_back(pause: Duration) -> String {
    let hours = pause.as_secs().div_ceil(3600);
    format!(
        "the controller refused the user name or the password several times: correct them here; lest everybody who uses \
         the account is locked out, they are sent again in {hours} hours, or at once when the controller is changed here"
    )
}

fn not_accepted() -> ProtectError {
    ProtectError::Unauthorized(
        "the controller signs the account in and then does not accept the session: restart the controller".into(),
    )
}

/// A call with the session's headers.
fn dressed(call: &Call, live: &Live) -> Call {
    let mut call = call.clone();
    call.headers.extend(headers(live));
    call
}

fn headers(live: &Live) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: header::HeaderName, value: &Secret| {
        if let Ok(mut value) = HeaderValue::from_str(value.expose()) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    };
    put(header::COOKIE, &live.pair);
    if let Some(csrf) = &live.csrf {
        put(header::HeaderName::from_static(CSRF), csrf);
    }
    headers
}

fn csrf(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(UPDATED_CSRF).or_else(|| headers.get(CSRF))?;
    value.to_str().ok().filter(|v| !v.is_empty()).map(Secret::new)
}

/// Whether a refusal says that it is about the password, so that no token would help.
fn is_wrong_password(answer: &Answer) -> bool {
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    body.get("code").and_then(Value::as_str).is_some_and(|code| code.contains("INVALID_CREDENTIALS"))
}
