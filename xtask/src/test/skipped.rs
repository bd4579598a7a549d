//! The tests that passed because they proved nothing: each says so on standard error, which the runner hides for what passes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::workspace;

/// What a test begins the line with.
const MARK: &str = "SKIPPED: ";

/// Prints at its end what the tests of a run skipped. The runner writes what each of them said into a file
/// (`.config/nextest.toml`); without the runner, nothing is hidden.
pub(super) struct Skipped(PathBuf);

impl Skipped {
    /// From now on.
    pub(super) fn watch() -> Self {
        // There, wherever cargo builds.
        let file = workspace::root().join("target/nextest/default/junit.xml");
        // Of another run.
        let _ = std::fs::remove_file(&file);
        Self(file)
    }
}

impl Drop for Skipped {
    fn drop(&mut self) {
        let found = skipped(&std::fs::read_to_string(&self.0).unwrap_or_default());
        if !found.is_empty() {
            workspace::heading("skipped: what follows was not tested");
            for (what, times) in found {
                println!("{times:3} x {what}");
            }
        }
    }
}

/// What was skipped and how often, in a report in the form of `JUnit`.
fn skipped(report: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (_, what) in report.lines().filter_map(|line| line.split_once(MARK)) {
        // The last line of an output is followed by the end of its element.
        let what = what.split_once('<').map_or(what, |(what, _)| what);
        *found.entry(plain(what.trim_end())).or_default() += 1;
    }
    found
}

fn plain(text: &str) -> String {
    // The ampersand last, so that nothing is read twice.
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (written, meant)| text.replace(written, meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_found_once_with_its_count() {
        let report = "<testcase name=\"a\"><system-out>running 1 test</system-out>\n\
            <system-err>SKIPPED: no `ip` &amp; no &quot;x&quot;: os error 2</system-err></testcase>\n\
            <system-err>noise\nSKIPPED: no client\n</system-err><system-err>SKIPPED: no client</system-err>\n\
            <testcase name=\"b\"/>";
        let wanted = [("no `ip` & no \"x\": os error 2", 1), ("no client", 2)];
        assert_eq!(skipped(report), wanted.map(|(what, times)| (what.to_owned(), times)).into());
        assert!(skipped("<testcase name=\"skipped_things\"/>").is_empty());
    }
}
