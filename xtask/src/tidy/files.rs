//! The files of the repository, and how long they may be.

use anyhow::Context;
use xshell::{Shell, cmd};

/// A file of the repository.
pub(super) struct File {
    /// From the root, with `/`.
    pub(super) path: String,
    /// Its text; none when it is not UTF-8.
    pub(super) text: Option<String>,
}

/// Lines of a Rust file without the tests beside the code.
const LONGEST: usize = 800;
/// Composition and command line only; what grows beyond belongs into a crate. Comments and blank lines do not count here:
/// nothing is moved out by documenting it less. Nor does the configuration, whose table of keys grows with what it offers.
const SERVER_TOTAL: usize = 600;
const SERVER_MAIN: usize = 40;
const SERVER: &str = "bins/argus-server/src/";

/// What git knows or would add. The target folder and private data are ignored by git, so they are not here.
pub(super) fn list(sh: &Shell) -> anyhow::Result<Vec<File>> {
    let root = sh.current_dir();
    let names = cmd!(sh, "git ls-files -z --cached --others --exclude-standard")
        .quiet()
        .read()
        .context("git ls-files failed")?;
    let mut files: Vec<File> = names
        .split('\0')
        .filter(|name| !name.is_empty() && root.join(name).is_file())
        .map(|name| File { path: name.to_owned(), text: std::fs::read_to_string(root.join(name)).ok() })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}

/// Checks lengths and names of the Rust files.
pub(super) fn check(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut server = 0;
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        let text = without_tests(file.text.as_deref().unwrap_or_default());
        let lines = text.len();
        if lines > LONGEST {
            faults
                .push(format!("{}: {lines} lines without its tests, at most {LONGEST}: look for the seam", file.path));
        }
        if file.path.ends_with("/mod.rs") {
            faults.push(format!("{}: modules are name.rs with name/ beside it", file.path));
        }
        if let Some(name) = file.path.strip_prefix(SERVER) {
            if name.split('/').any(|part| part == "tests.rs" || part == "tests") {
                continue;
            }
            if name != "config.rs" && !name.starts_with("config/") {
                server += statements(&text);
            }
            if name == "main.rs" && lines >= SERVER_MAIN {
                faults.push(format!("{}: {lines} lines, under {SERVER_MAIN}", file.path));
            }
        }
    }
    if server >= SERVER_TOTAL {
        faults.push(format!(
            "{SERVER}: {server} lines of code, under {SERVER_TOTAL}: what is not composition has a crate"
        ));
    }
    faults
}

/// How many lines are neither blank nor a comment.
fn statements(lines: &[&str]) -> usize {
    lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// The lines before the module of tests, which by custom is the end of a file.
fn without_tests(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| matches!(pair, [attribute, item] if *attribute == "#[cfg(test)]" && item.starts_with("mod ")));
    lines.truncate(tests.unwrap_or(lines.len()));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, lines: usize) -> File {
        File { path: path.to_owned(), text: Some("x\n".repeat(lines)) }
    }

    #[test]
    fn tests_beside_the_code_are_not_counted() {
        assert_eq!(without_tests("a\nb\n").len(), 2);
        assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\n}\n"), ["a"]);
        assert_eq!(without_tests("a\n#[cfg(test)]\nfn helper() {}\nb\n").len(), 4);
        assert_eq!(without_tests("").len(), 0);
    }

    #[test]
    fn long_files_and_mod_files_are_told() {
        assert!(check(&[file("crates/a/src/lib.rs", LONGEST), file("README.md", 5000)]).is_empty());
        assert_eq!(check(&[file("crates/a/src/lib.rs", LONGEST + 1)]).len(), 1);
        assert_eq!(check(&[file("crates/a/src/b/mod.rs", 1)]).len(), 1);
    }

    #[test]
    fn the_server_stays_small() {
        assert!(
            check(&[file("bins/argus-server/src/main.rs", 39), file("bins/argus-server/src/lib.rs", 560)]).is_empty()
        );
        assert_eq!(check(&[file("bins/argus-server/src/main.rs", 40)]).len(), 1);
        assert_eq!(check(&[file("bins/argus-server/src/a.rs", 300), file("bins/argus-server/src/b.rs", 300)]).len(), 1);
        assert!(check(&[file("bins/argus-server/src/config/tests.rs", 700)]).is_empty());
        let commented = format!("{}{}", "x\n".repeat(500), "    // why\n\n".repeat(100));
        let commented = File { path: "bins/argus-server/src/wire.rs".to_owned(), text: Some(commented) };
        assert!(check(&[commented]).is_empty());
    }
}
