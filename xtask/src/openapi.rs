//! `cargo xtask openapi`: the document that the handlers describe, as a file of the repository.

use anyhow::bail;
use clap::Args;
use xshell::{Shell, cmd};

use crate::workspace;

/// Where it is kept.
const FILE: &str = "docs/openapi.json";

/// Write docs/openapi.json from the handlers, or compare it with them.
#[derive(Args)]
pub(crate) struct Openapi {
    /// Fail when the file differs, instead of writing it.
    #[arg(long)]
    pub(crate) check: bool,
}

impl Openapi {
    pub(crate) fn run(&self, sh: &Shell) -> anyhow::Result<()> {
        let program = workspace::build(sh, &workspace::Target::Example("openapi"), false, &[])?;
        let mut document = cmd!(sh, "{program}").read()?;
        document.push('\n');
        if !self.check {
            sh.write_file(FILE, document)?;
            println!("wrote {FILE}");
            return Ok(());
        }
        let kept = sh.read_file(FILE).unwrap_or_default();
        if let Some(line) = first_difference(&kept, &document) {
            bail!(
                "{FILE} is not what the handlers say, from line {line} on; run `cargo xtask openapi` and look at the change"
            );
        }
        Ok(())
    }
}

/// The number of the first line that differs, from 1.
fn first_difference(one: &str, other: &str) -> Option<usize> {
    if one == other {
        return None;
    }
    let same = one.lines().zip(other.lines()).take_while(|(a, b)| a == b).count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn finds_the_line() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("", "a\n"), Some(1));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
    }
}
