//! Pages of lists.

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: u64,
    /// Which page, from 1.
    pub page: u32,
    /// Most items on a page.
    pub limit: u32,
}

/// First row of a page, counted from 0; `page` 0 is taken as 1.
pub(crate) fn offset(page: u32, limit: u32) -> i64 {
    i64::from(page.saturating_sub(1)).saturating_mul(i64::from(limit))
}

/// A count of rows; never negative.
pub(crate) fn total(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
