//! Pieces of SQL that are the same each time. Diesel's own `sql` prepares its statement anew at every use, because it could
//! be different each time; that takes as long as reading some rows.

use std::marker::PhantomData;

use diesel::expression::{
    AppearsOnTable, Expression, SelectableExpression, TypedExpressionType, ValidGrouping, is_aggregate,
};
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{SqlType, Text};

use crate::conn::MultiBackend;

/// An expression in SQL, of a type that whoever writes it answers for.
#[derive(Clone, Debug)]
pub(crate) struct Fixed<T> {
    before: &'static str,
    text: Option<(String, &'static str)>,
    is_kept: bool,
    sql_type: PhantomData<T>,
}

/// These words.
pub(crate) fn fixed<T: SqlType>(sql: &'static str) -> Fixed<T> {
    Fixed { before: sql, text: None, is_kept: true, sql_type: PhantomData }
}

/// These words around a text.
pub(crate) fn around<T: SqlType>(before: &'static str, text: String, after: &'static str) -> Fixed<T> {
    Fixed { before, text: Some((text, after)), is_kept: true, sql_type: PhantomData }
}

impl<T> Fixed<T> {
    /// Whether the connection keeps the prepared statement: not where it is one of very many.
    pub(crate) fn kept(self, is_kept: bool) -> Self {
        Self { is_kept, ..self }
    }
}

impl<T: SqlType + TypedExpressionType> Expression for Fixed<T> {
    type SqlType = T;
}

impl<T> QueryId for Fixed<T> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T, G> ValidGrouping<G> for Fixed<T> {
    type IsAggregate = is_aggregate::Never;
}

impl<T, S> SelectableExpression<S> for Fixed<T> where Self: AppearsOnTable<S> {}

impl<T, S> AppearsOnTable<S> for Fixed<T> where Self: Expression {}

impl<T> QueryFragment<MultiBackend> for Fixed<T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        if !self.is_kept {
            out.unsafe_to_cache_prepared();
        }
        out.push_sql(self.before);
        if let Some((text, after)) = &self.text {
            out.push_bind_param::<Text, String>(text)?;
            out.push_sql(after);
        }
        Ok(())
    }
}
