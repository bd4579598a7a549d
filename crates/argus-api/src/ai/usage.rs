//! What calls to providers came to, and the budgets.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Data, Json};
use argus_core::usage::{BudgetStates, UsageGroup, UsageGroupBy, UsageSums};
use argus_core::{Invalid, Timestamp};
use argus_db::BudgetRules;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{Admin, Caller};
use crate::error::ApiError;
use crate::paths;
use crate::query::Query;
use crate::state::Shared;

/// How far back it is looked when nothing is said.
const USUAL: Duration = Duration::from_hours(30 * 24);

/// Which calls, and by what they are grouped.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameters; they are read one by one")]
pub(crate) struct UsageQuery {
    /// From this moment on; 30 days before `to` when absent.
    #[param(required = false)]
    from: Timestamp,
    /// To this moment, included; now when absent.
    #[param(required = false)]
    to: Timestamp,
    /// `day` when absent.
    #[param(required = false)]
    group_by: UsageGroupBy,
}

/// What calls of a span of time came to.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct UsageView {
    /// From this moment on.
    pub from: Timestamp,
    /// To this moment, included.
    pub to: Timestamp,
    /// By what `groups` are made.
    pub group_by: UsageGroupBy,
    /// All together.
    #[serde(flatten)]
    pub sums: UsageSums,
    /// By group, ascending by key; empty with `none`.
    pub groups: Vec<UsageGroup>,
    /// The budgets of the present day and month.
    pub budgets: BudgetStates,
}

/// Sums calls to providers, and tells how the budgets stand. Every call is one, failed ones too.
#[utoipa::path(
    get,
    path = paths::AI_USAGE,
    operation_id = "get_ai_usage",
    tag = "ai",
    params(UsageQuery),
    responses((status = 200, description = "Sums and budgets", body = UsageView), (status = 422)),
    extensions(("x-permission" = json!("admin")))
)]
pub(crate) async fn usage(
    _: Caller<Admin>,
    shared: Data<Shared>,
    req: HttpRequest,
) -> Result<Json<UsageView>, ApiError> {
    let mut query = Query::parse(req.query_string())?;
    let (from, to) = (query.time("from"), query.time("to"));
    let group_by = query.read("group_by", |text| text.parse().map_err(|fault: Invalid| fault.reason));
    let now = shared.state.clock.now();
    let to = to.unwrap_or(now);
    let from = from.unwrap_or_else(|| to.minus(USUAL));
    if from > to {
        query.fault("to", "must not be before from");
    }
    query.done()?;
    let group_by = group_by.unwrap_or(UsageGroupBy::Day);
    let settings = shared.state.control.settings();
    let timezone = settings.general.timezone.clone();
    // The whole of the last millisecond.
    let until = to.plus(Duration::from_micros(999));
    let found = shared.state.db.ai_usage(from, until, group_by, timezone.clone()).await?;
    let rules = BudgetRules { limits: settings.ai.budgets.clone(), timezone };
    let budgets = shared.state.db.ai_budgets(rules, now).await?;
    Ok(Json(UsageView { from, to, group_by, sums: found.sums, groups: found.groups, budgets }))
}
