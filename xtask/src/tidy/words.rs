//! What has no business in the repository: addresses of package registries, paths of one machine, and chapters of a paper
//! that is not here.

use std::path::Path;

use super::files::File;

/// Registries, in two halves, so that this list does not find itself. Mirrors differ from machine to machine: which one
/// is asked is the business of cargo's, apt's and npm's own configuration.
const REGISTRIES: &[(&str, &str)] = &[
    ("crates", ".io"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("deb.debian", ".org"),
];

/// Written by tools, with addresses in them by their own format.
const GENERATED: &[&str] = &["Cargo.lock", "package-lock.json"];

/// Papers that are not part of the repository, in two halves: whoever reads a comment cannot look up their chapters.
const PAPERS: &[(&str, &str)] = &[("con", "tract ")];

/// Whether the line names a chapter of such a paper.
fn names_a_chapter(line: &str) -> bool {
    let line = line.to_lowercase();
    PAPERS.iter().any(|(name, end)| {
        line.split(&format!("{name}{end}")).skip(1).any(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    })
}

/// Checks every text file.
pub(super) fn check(files: &[File], root: &Path) -> Vec<String> {
    let mut forbidden: Vec<String> = REGISTRIES.iter().map(|(name, end)| format!("{name}{end}")).collect();
    // A root of few characters would be found everywhere.
    forbidden.extend(Some(format!("{}/", root.display())).filter(|path| path.len() > 6));
    forbidden.extend(["/root", "/home", "/Users"].map(|home| format!("{home}/.")));
    let mut faults = Vec::new();
    for file in files {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        if GENERATED.contains(&name) {
            continue;
        }
        for (number, line) in file.text.as_deref().unwrap_or_default().lines().enumerate() {
            faults.extend(
                forbidden
                    .iter()
                    .filter(|word| line.contains(word.as_str()))
                    .map(|word| format!("{}:{}: {word} does not belong here", file.path, number + 1)),
            );
            if names_a_chapter(line) {
                let place = format!("{}:{}", file.path, number + 1);
                faults.push(format!("{place}: say what it says, or name docs/api.md: that paper is not here"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(path: &str, text: &str) -> Vec<String> {
        check(&[File { path: path.to_owned(), text: Some(text.to_owned()) }], Path::new("/srv/argus"))
    }

    #[test]
    fn registries_and_paths_are_found_with_their_line() {
        let host = format!("see\nhttps://{}{}/x", "crates", ".io");
        assert_eq!(check_text("README.md", &host).len(), 1);
        assert!(check_text("README.md", &host)[0].starts_with("README.md:2:"));
        assert_eq!(check_text("a.rs", "include!(\"/srv/argus/x\")").len(), 1);
        assert!(check_text("a.rs", "/srv/argusx and nothing else").is_empty());
        assert!(check_text("Cargo.lock", &host).is_empty());
    }

    #[test]
    fn chapters_of_what_is_not_here_are_found() {
        let paper = |rest: &str| format!("/// Longest name (con{}{rest}", "tract ");
        assert_eq!(check_text("a.rs", &paper("4.4).")).len(), 1);
        assert!(check_text("a.rs", &paper("of 1999).")).is_empty());
    }
}
