//! What a sign-in gives: an access token, a refresh token, and the answer with both cookies.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use argus_core::user::User;
use argus_core::{Secret, SessionId, Timestamp};
use argus_db::NewSession;
use serde::Serialize;
use utoipa::ToSchema;

use crate::attempts::Network;
use crate::cookies;
use crate::error::ApiError;
use crate::peer;
use crate::state::Shared;

/// Longest name of a program that is kept, characters.
const AGENT: usize = 500;

/// An answer to a sign-in.
#[derive(Serialize, ToSchema)]
pub struct SignedIn {
    /// For the header `Authorization: Bearer …`; a JWT.
    access_token: String,
    /// Always `bearer`.
    #[schema(example = "bearer")]
    token_type: &'static str,
    /// Seconds that the access token is good.
    #[schema(example = 900)]
    expires_in: u32,
    /// Who signed in.
    user: User,
}

/// Where a request comes from.
pub(crate) struct Visitor {
    pub(crate) network: Network,
    pub(crate) ip: Option<String>,
    pub(crate) agent: Option<String>,
}

impl Visitor {
    pub(crate) fn of(req: &HttpRequest) -> Self {
        let ip = peer::address(req);
        let agent = req.headers().get(header::USER_AGENT);
        let agent = agent.map(|v| String::from_utf8_lossy(v.as_bytes()).chars().take(AGENT).collect());
        Self { network: ip.into(), ip: ip.map(|ip| ip.to_string()), agent }
    }
}

/// A session that is about to begin.
pub(crate) struct Opening {
    pub(crate) session: NewSession,
    pub(crate) refresh: Secret,
}

impl Opening {
    pub(crate) fn new(shared: &Shared, from: &Visitor, now: Timestamp) -> Result<Self, ApiError> {
        let id = SessionId::new(now);
        let (refresh, new) = shared.accounts.refresh.issue(id, now)?;
        let (ip_address, user_agent) = (from.ip.clone(), from.agent.clone());
        let session = NewSession { id, ip_address, user_agent, refresh: new };
        Ok(Self { session, refresh })
    }
}

/// What a sign-in gives.
pub(crate) struct Grant {
    pub(crate) user: User,
    access: Secret,
    refresh: Secret,
}

impl Grant {
    /// For a session that is stored.
    pub(crate) fn new(
        shared: &Shared,
        user: User,
        session: SessionId,
        refresh: Secret,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let access = shared.accounts.access.issue(&user, session, now)?;
        Ok(Self { user, access, refresh })
    }

    /// The answer, with both cookies.
    pub(crate) fn answer(self, req: &HttpRequest, status: StatusCode) -> Result<HttpResponse, ApiError> {
        let body = SignedIn {
            access_token: self.access.expose().to_owned(),
            token_type: "bearer",
            expires_in: cookies::ACCESS_S,
            user: self.user,
        };
        let mut answer = HttpResponse::build(status).json(body);
        cookies::give(req, answer.headers_mut(), &self.access, &self.refresh)?;
        Ok(answer)
    }
}
