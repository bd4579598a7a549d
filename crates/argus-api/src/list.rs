//! Pages of lists.

use serde::Serialize;
use utoipa::ToSchema;

use crate::query::Query;

/// Which page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// From 1.
    #[param(minimum = 1, default = 1, maximum = 2_147_483_647, required = false)]
    pub page: u32,
    /// Most items on a page.
    #[param(minimum = 1, default = 20, maximum = 500, required = false)]
    pub limit: u32,
}

impl PageQuery {
    /// Takes `page` and `limit` out of the parameters.
    pub(crate) fn read(query: &mut Query) -> Self {
        let number = |n: Option<i64>, default| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
        Self {
            page: number(query.int("page", 1..=i64::from(i32::MAX)), 1),
            limit: number(query.int("limit", 1..=500), 20),
        }
    }

    /// The items of this page out of all.
    pub(crate) fn of<T>(self, all: Vec<T>) -> List<T> {
        let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
        let skip = u64::from(self.page - 1) * u64::from(self.limit);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let items = all.into_iter().skip(skip).take(limit).collect();
        List { items, total, page: self.page, limit: self.limit, pages: pages(total, self.limit) }
    }
}

/// How many pages there are.
pub(crate) fn pages(total: u64, limit: u32) -> u64 {
    total.div_ceil(u64::from(limit.max(1)))
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct List<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// All matches, on all pages.
    pub total: u64,
    /// Which page, from 1.
    pub page: u32,
    /// Most items on a page.
    pub limit: u32,
    /// ⌈`total` / `limit`⌉.
    pub pages: u64,
}

impl<T> List<T> {
    /// A page as the database gives it, with its items as they are shown.
    pub(crate) fn of<U>(page: argus_db::Page<U>, view: impl FnMut(U) -> T) -> Self {
        Self {
            pages: pages(page.total, page.limit),
            items: page.items.into_iter().map(view).collect(),
            total: page.total,
            page: page.page,
            limit: page.limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_where_they_end() {
        let cut = |page, limit| PageQuery { page, limit }.of((1..=5).collect::<Vec<_>>());
        assert_eq!((cut(1, 2).items, cut(3, 2).items, cut(4, 2).items), (vec![1, 2], vec![5], vec![]));
        assert_eq!((cut(2_147_483_647, 500).items, cut(1, 2).pages, cut(1, 5).pages), (vec![], 3, 1));
        assert_eq!(PageQuery { page: 1, limit: 9 }.of(Vec::<u8>::new()).pages, 0);
    }
}
