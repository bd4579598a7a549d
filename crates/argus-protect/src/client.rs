//! Both interfaces of one controller, as far as there are credentials for them.

use std::sync::Arc;

use argus_core::controller::{ControllerConfig, ControllerFeatures};
use argus_core::{Clock, Secret};

use crate::clock::ConsoleClock;
use crate::http::{Call, Http};
use crate::local::Local;
use crate::lockout::Lockouts;
use crate::official::Official;
use crate::session::{Keep, Session};
use crate::tls::{Shown, Tls, Trust};
use crate::{ProtectError, Tuning};

/// A client of one controller. It speaks only when it is asked to: what keeps a connection is in [`crate::Protect`].
pub struct Client {
    http: Arc<Http>,
    local: Option<Local>,
    official: Option<Official>,
}

impl Client {
    /// A client with the credentials of `config`. Nothing is sent yet.
    ///
    /// # Errors
    /// `Unreachable` when the host is no host, `TlsUntrusted` when TLS cannot be set up.
    pub fn new(config: &ControllerConfig, clock: Arc<dyn Clock>, tuning: Tuning) -> Result<Self, ProtectError> {
        Self::with(config, clock, Arc::new(tuning), Lockouts::default(), None, Arc::new(|_kept| {}), true)
    }

    pub(crate) fn with(
        config: &ControllerConfig,
        clock: Arc<dyn Clock>,
        tuning: Arc<Tuning>,
        lockouts: Lockouts,
        kept: Option<&Secret>,
        keep: Keep,
        judges: bool,
    ) -> Result<Self, ProtectError> {
        let tls = Tls::new(Trust::of(config), judges)?;
        let http = Arc::new(Http::new(&config.host, config.port, tls, ConsoleClock::new(clock), tuning)?);
        let local = match (&config.username, &config.password) {
            (Some(username), Some(password)) => {
                let session = Session::new(Arc::clone(&http), username, password, lockouts, kept, keep);
                Some(Local::new(Arc::clone(&http), session))
            }
            _ => None,
        };
        let official = config.api_key.clone().map(|key| Official::new(Arc::clone(&http), key));
        Ok(Self { http, local, official })
    }

    /// The local interface, with an account.
    #[must_use]
    pub fn local(&self) -> Option<&Local> {
        self.local.as_ref()
    }

    /// The integration interface, with a key.
    #[must_use]
    pub fn official(&self) -> Option<&Official> {
        self.official.as_ref()
    }

    /// What the credentials allow.
    #[must_use]
    pub fn features(&self) -> ControllerFeatures {
        let any = self.local.is_some() || self.official.is_some();
        ControllerFeatures { events: any, snapshots: any, clips: self.local.is_some() }
    }

    /// The certificate that was shown last.
    #[must_use]
    pub fn certificate(&self) -> Option<Shown> {
        self.http.tls.shown()
    }

    /// The console's clock against ours.
    #[must_use]
    pub fn clock(&self) -> &ConsoleClock {
        &self.http.clock
    }

    /// Knocks without any secret: whether somebody answers there, in TLS, with a certificate that will do.
    ///
    /// # Errors
    /// Why not.
    pub async fn knock(&self) -> Result<(), ProtectError> {
        self.http.once(&Call::get("its name", self.http.url(&["api/system"], &[])).connecting()).await.map(|_answer| ())
    }

    pub(crate) fn http(&self) -> &Arc<Http> {
        &self.http
    }
}
