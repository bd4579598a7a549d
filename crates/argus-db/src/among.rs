//! `column IN (…)` in words that do not depend on how many there are, so that SQLite prepares the statement once: preparing
//! a statement on `event` takes as long as reading ten of its rows.

use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{Bool, Text};
use serde::Serialize;

use crate::conn::MultiBackend;
use crate::error::DbError;
use crate::value::json;

/// A condition for SQLite: the text in the column is among these.
pub(crate) struct Among<C> {
    column: C,
    /// A JSON list of texts.
    list: String,
}

/// That the column is one of these. Only for SQLite; elsewhere `eq_any` is one parameter by itself.
pub(crate) fn among<C>(column: C, texts: &[impl Serialize]) -> Result<Among<C>, DbError> {
    Ok(Among { column, list: json("list", &texts)? })
}

impl<C> Expression for Among<C> {
    type SqlType = Bool;
}

impl<C> QueryId for Among<C> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C> ValidGrouping<()> for Among<C> {
    type IsAggregate = is_aggregate::Never;
}

impl<C: SelectableExpression<S>, S> SelectableExpression<S> for Among<C> {}

impl<C: AppearsOnTable<S>, S> AppearsOnTable<S> for Among<C> {}

impl<C: QueryFragment<MultiBackend>> QueryFragment<MultiBackend> for Among<C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(" IN (SELECT value FROM json_each(");
        out.push_bind_param::<Text, String>(&self.list)?;
        out.push_sql("))");
        Ok(())
    }
}
