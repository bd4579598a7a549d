//! Live messages by WebSocket.

mod connection;

use std::future::{Future, Ready, ready};
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{self, Data};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use argus_core::journal::{Message, MessageType};
use argus_db::JournalEntry;
use tracing::Instrument as _;

use crate::auth::{self, AnyCaller, Caller, Identity};
use crate::error::ApiError;
use crate::query::Query;
use crate::state::{Shared, shared};
use crate::{csrf, feed, paths};
use connection::Connection;

/// Largest frame that is read.
const FRAME: usize = 4096;

/// A request that asks for a WebSocket. Comes before the caller, because the route does.
pub(crate) struct Upgrade;

impl FromRequest for Upgrade {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(if asks_for_upgrade(req.headers()) { Ok(Self) } else { Err(ApiError::UpgradeRequired) })
    }
}

/// RFC 6455, 4.2.1.
fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    let lists = |name: header::HeaderName, wanted: &str| {
        let values = headers.get_all(name).filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    lists(header::UPGRADE, "websocket")
        && lists(header::CONNECTION, "upgrade")
        && lists(header::SEC_WEBSOCKET_VERSION, "13")
        && headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// Who wants to listen: the owner of the ticket, which then alone counts, or who the request's own credentials name.
pub(crate) struct Listener(Identity);

impl FromRequest for Listener {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        // What is wrong with the query is told later.
        let ticket = Query::parse(req.query_string()).ok().and_then(|mut query| query.one("ticket"));
        let caller = Caller::<AnyCaller>::from_request(req, payload);
        let req = req.clone();
        Box::pin(async move {
            if let Some(ticket) = ticket {
                let owner = owner(shared(&req), &ticket).await?;
                // As with the key itself: a handshake is a request.
                auth::admit_if_key(&req, &owner)?;
                return owner.without_duty().map(Self);
            }
            let caller = caller.await?;
            if caller.is_by_cookie() {
                // Other sites' pages may open sockets here, with the cookies of this one.
                csrf::check_origin(&req)?;
            }
            Ok(Self(caller.identity().clone()))
        })
    }
}

/// Who stands behind a ticket.
async fn owner(shared: &Shared, ticket: &str) -> Result<Identity, ApiError> {
    const USED: ApiError = ApiError::Unauthenticated("the ticket is unknown, used or old");
    let credentials = shared.accounts.tickets.redeem(ticket, shared.state.clock.now()).ok_or(USED)?;
    auth::current(shared, credentials).await?.ok_or(USED)
}

/// Which messages.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameters; they are read one by one")]
pub(crate) struct WsQuery {
    /// A one-time ticket in place of other credentials.
    #[param(required = false)]
    ticket: String,
    /// Number of the last message dealt with: what came after it is sent first. Absent: what happens from now on.
    #[param(minimum = 0, required = false)]
    after: i64,
    /// Only these types.
    #[param(style = Form, explode = false, required = false)]
    types: Vec<MessageType>,
}

/// Sends messages as they happen, each as one text frame.
#[utoipa::path(
    get,
    path = paths::WS,
    operation_id = "open_websocket",
    tag = "live",
    params(WsQuery),
    responses(
        (status = 101, description = "The connection speaks WebSocket now"),
        (status = 422),
        (status = 426, description = "The request does not ask for a WebSocket")
    ),
    extensions(("x-permission" = json!("any")))
)]
pub(crate) async fn ws(
    _: Upgrade,
    Listener(caller): Listener,
    shared: Data<Shared>,
    req: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    query.one("ticket");
    let audience = feed::types(&caller, &mut query)?;
    let after = feed::after(&mut query);
    query.done()?;
    let bounds = shared.state.db.journal_bounds().await?;
    let gap = after.and_then(|after| feed::gap(after, bounds, shared.state.clock.now()));
    let gap = gap.map(entry).transpose()?;
    let cursor = gap.as_ref().map_or(after.unwrap_or(bounds.newest), |gap| gap.seq);
    let upgraded = actix_ws::handle(&req, payload).map_err(|_refused| ApiError::UpgradeRequired)?;
    let (answer, session, stream) = upgraded;
    let connection = Connection::new(shared, caller.credentials(), audience, cursor, gap);
    tracing::debug!("websocket opened");
    let serving = async move {
        let end = connection.run(session, stream.max_frame_size(FRAME)).await;
        tracing::debug!(end, "websocket closed");
    };
    // With the request's span: what is logged of the connection has the id of its handshake.
    actix_web::rt::spawn(serving.in_current_span());
    Ok(answer)
}

/// A message of our own in the form of those of the journal.
fn entry(message: Message) -> Result<JournalEntry, ApiError> {
    let text = serde_json::to_string(&message)?;
    Ok(JournalEntry { seq: message.seq, r#type: message.r#type, camera_id: None, event_id: None, notice: None, text })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn only_a_whole_handshake_is_one() {
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        assert!(!asks_for_upgrade(&headers));
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="));
        assert!(asks_for_upgrade(&headers));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        assert!(!asks_for_upgrade(&headers));
    }
}
