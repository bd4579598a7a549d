//! Live messages by long poll.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use argus_core::journal::{Message, MessageType};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use crate::auth::{self, AnyCaller, Caller};
use crate::error::ApiError;
use crate::feed;
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

/// Which messages, and how long to wait for one.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameters; they are read one by one")]
pub(crate) struct JournalQuery {
    /// Number of the last message dealt with; absent: the newest.
    #[param(minimum = 0, required = false)]
    after: i64,
    /// Most messages in the answer.
    #[param(minimum = 1, maximum = 500, default = 100, required = false)]
    limit: u32,
    /// Seconds to wait when there is none.
    #[param(minimum = 0, maximum = 60, default = 0, required = false)]
    wait: u32,
    /// Only these types.
    #[param(style = Form, explode = false, required = false)]
    types: Vec<MessageType>,
}

/// Messages, and where to go on.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct JournalView {
    /// In ascending order. When messages are missing, the first says so (`journal.gap`).
    pub items: Vec<Message>,
    /// The `after` of the next request.
    pub next_after: i64,
    /// The newest number of all.
    pub last_seq: i64,
}

/// Gives messages after a position, and waits for one when there is none yet.
#[utoipa::path(
    get,
    path = paths::JOURNAL,
    operation_id = "get_journal",
    tag = "live",
    params(JournalQuery),
    responses((status = 200, description = "Messages, or none within `wait`", body = JournalView), (status = 422)),
    extensions(("x-permission" = json!("any")))
)]
pub(crate) async fn journal(
    caller: Caller<AnyCaller>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<JournalView>, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let audience = feed::types(caller.identity(), &mut query)?;
    let after = feed::after(&mut query);
    let number = |n: Option<i64>, default| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
    let limit = number(query.int("limit", 1..=500), 100);
    let wait = number(query.int("wait", 0..=60), 0);
    query.done()?;
    let until = Instant::now() + Duration::from_secs(wait.into());
    let (db, shutdown) = (&shared.state.db, &shared.state.shutdown);
    // Before anything is read, so that nothing slips through between reading and waiting.
    let (mut news, mut after) = (db.journal_watch(), after);
    let mut has_waited = false;
    loop {
        news.borrow_and_update();
        let (bounds, found) = db.journal_page(after, limit, audience.clone()).await?;
        let asked = after.unwrap_or(bounds.newest);
        let mut items: Vec<Message> = feed::gap(asked, bounds, shared.state.clock.now()).into_iter().collect();
        let begin = items.first().map_or(asked, |gap| gap.seq);
        let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(items.len());
        let is_full = found.len() >= free;
        items.extend(found.into_iter().take(free));
        let next_after = match items.last() {
            Some(last) if is_full => last.seq,
            _ => begin.max(bounds.newest),
        };
        after = Some(next_after);
        let last_seq = bounds.newest.max(next_after);
        if has_waited && !items.is_empty() {
            // Who may not see it any more gets nothing that came meanwhile.
            let now = auth::current(&shared, caller.identity().credentials()).await?;
            let now = now.ok_or(ApiError::Unauthenticated("the credentials have ended"))?.without_duty()?;
            if let Some(lost) = feed::lost(&audience, now.scopes()) {
                return Err(ApiError::Forbidden(lost));
            }
        }
        if !items.is_empty() || wait == 0 || shutdown.is_cancelled() {
            return Ok(Json(JournalView { items, next_after, last_seq }));
        }
        let woken = tokio::select! {
            woken = timeout_at(until, news.changed()) => matches!(woken, Ok(Ok(()))),
            () = shutdown.cancelled() => false,
        };
        has_waited = true;
        if !woken {
            return Ok(Json(JournalView { items, next_after, last_seq }));
        }
    }
}
