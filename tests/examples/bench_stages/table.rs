//! Tables as Markdown shows them.

/// Prints a table under a heading; the first column is text, the others are aligned to the right.
pub(crate) fn print(title: &str, head: &[&str], rows: &[Vec<String>]) {
    println!("\n### {title}\n");
    println!("| {} |", head.join(" | "));
    let rules: Vec<&str> = head.iter().enumerate().map(|(n, _)| if n == 0 { "---" } else { "---:" }).collect();
    println!("| {} |", rules.join(" | "));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}
