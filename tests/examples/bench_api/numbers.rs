//! Figures and tables.

use std::time::Duration;

/// A whole number as a fraction.
pub(crate) fn float(n: impl TryInto<u32>) -> f64 {
    n.try_into().map_or(f64::NAN, f64::from)
}

/// Microseconds.
pub(crate) fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The value below which the given percentage of all lies; they are sorted.
pub(crate) fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last * percent).div_ceil(100)).copied().unwrap_or(f64::NAN)
}

/// Median, 99 % and the largest.
pub(crate) fn spread(values: &mut [f64]) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [quantile(values, 50), quantile(values, 99), quantile(values, 100)]
}

/// Prints a table under a heading; the first column is text, the others are aligned to the right.
pub(crate) fn table(title: &str, head: &[&str], rows: &[Vec<String>]) {
    println!("\n### {title}\n");
    println!("| {} |", head.join(" | "));
    let rules: Vec<&str> = head.iter().enumerate().map(|(n, _)| if n == 0 { "---" } else { "---:" }).collect();
    println!("| {} |", rules.join(" | "));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}
