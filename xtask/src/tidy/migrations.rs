//! Migrations come in pairs: one dialect each, up and down.

use std::collections::{BTreeMap, BTreeSet};

use super::files::File;

const DIALECTS: [&str; 2] = ["sqlite", "postgres"];
const DIRECTIONS: [&str; 2] = ["up.sql", "down.sql"];

/// Checks that both dialects have the same migrations, each with both directions, in a folder `<stamp>_<name>`.
pub(super) fn check(files: &[File]) -> Vec<String> {
    let mut found: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    let mut faults = Vec::new();
    for file in files {
        let Some(rest) = file.path.strip_prefix("migrations/") else { continue };
        match rest.split('/').collect::<Vec<_>>().as_slice() {
            [dialect, name, direction] if DIALECTS.contains(dialect) && DIRECTIONS.contains(direction) => {
                found.entry(name).or_default().insert((dialect, direction));
            }
            _ => faults.push(format!("{}: not migrations/<dialect>/<stamp>_<name>/{{up,down}}.sql", file.path)),
        }
    }
    let mut stamps: BTreeMap<String, &str> = BTreeMap::new();
    for (name, parts) in &found {
        for dialect in DIALECTS {
            for direction in DIRECTIONS {
                if !parts.contains(&(dialect, direction)) {
                    faults.push(format!("migrations/{dialect}/{name}/{direction} is missing"));
                }
            }
        }
        let stamp: String = name.split('_').next().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        if stamp.is_empty() {
            faults.push(format!("migration {name} has no stamp"));
        } else if let Some(other) = stamps.insert(stamp, name) {
            faults.push(format!("migrations {other} and {name} have the same stamp"));
        }
    }
    if found.is_empty() {
        faults.push("there are no migrations".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<File> {
        paths.iter().map(|path| File { path: (*path).to_owned(), text: Some(String::new()) }).collect()
    }

    const PAIR: [&str; 4] = [
        "migrations/sqlite/2026-01-01-000000_first/up.sql",
        "migrations/sqlite/2026-01-01-000000_first/down.sql",
        "migrations/postgres/2026-01-01-000000_first/up.sql",
        "migrations/postgres/2026-01-01-000000_first/down.sql",
    ];

    #[test]
    fn a_pair_is_in_order() {
        assert_eq!(check(&files(&PAIR)), Vec::<String>::new());
    }

    #[test]
    fn each_missing_part_is_told() {
        for left_out in PAIR {
            let rest: Vec<&str> = PAIR.into_iter().filter(|path| *path != left_out).collect();
            assert_eq!(check(&files(&rest)), [format!("{left_out} is missing")]);
        }
    }

    #[test]
    fn strays_and_doubled_stamps_are_told() {
        let mut paths = PAIR.to_vec();
        paths.push("migrations/sqlite/notes.txt");
        let doubled: Vec<String> = PAIR.iter().map(|path| path.replace("first", "second")).collect();
        paths.extend(doubled.iter().map(String::as_str));
        let faults = check(&files(&paths));
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert_eq!(check(&[]), ["there are no migrations"]);
    }
}
