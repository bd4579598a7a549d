//! Which crate may know which: the diagram of `docs/architecture.md` as a table.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand};

/// What a crate may depend on.
struct Rule {
    name: &'static str,
    /// Crates of this workspace that it may depend on directly.
    may_know: &'static [&'static str],
    /// Crates from outside that it may not reach, directly or through others.
    never: &'static [&'static str],
    /// Crates from outside that it may depend on directly; none: any but `never`.
    only: Option<&'static [&'static str]>,
}

const fn rule(name: &'static str, may_know: &'static [&'static str], never: &'static [&'static str]) -> Rule {
    Rule { name, may_know, never, only: None }
}

/// Whatever touches the world outside the process; argus-core decides, others act.
const WORLD: &[&str] = &["tokio", "diesel", "actix-web", "gstreamer", "reqwest", "object_store", "async-openai"];
/// Cameras and vendors, which the engine and the API see through ports alone.
const BEHIND_PORTS: &[&str] = &["gstreamer", "async-openai", "argus-capture", "argus-protect", "argus-ai"];

const ALL: &[&str] = &[
    "argus-core",
    "argus-motion",
    "argus-capture",
    "argus-db",
    "argus-protect",
    "argus-ai",
    "argus-engine",
    "argus-api",
    "argus-server",
];

const TESTS: &[&str] = &[
    "argus-core",
    "argus-motion",
    "argus-capture",
    "argus-db",
    "argus-protect",
    "argus-ai",
    "argus-engine",
    "argus-api",
    "argus-server",
    "argus-ai-sim",
    "argus-protect-sim",
];

const RULES: &[Rule] = &[
    rule("argus-core", &[], WORLD),
    Rule { name: "argus-motion", may_know: &["argus-core"], never: WORLD, only: Some(&["thiserror"]) },
    rule("argus-capture", &["argus-core", "argus-motion"], &["diesel", "actix-web", "async-openai"]),
    rule("argus-db", &["argus-core"], &["actix-web", "gstreamer", "async-openai", "reqwest"]),
    rule("argus-protect", &["argus-core"], &["diesel", "actix-web", "gstreamer", "async-openai"]),
    rule("argus-ai", &["argus-core"], &["diesel", "actix-web", "gstreamer"]),
    rule("argus-engine", &["argus-core", "argus-db", "argus-motion"], &["gstreamer", "async-openai", "actix-web"]),
    rule("argus-api", &["argus-core", "argus-db"], BEHIND_PORTS),
    rule("argus-server", ALL, &[]),
    // Fakes of what cannot be had: they know nothing of Argus, or they would only agree with it.
    rule("argus-ai-sim", &[], &[]),
    rule("argus-protect-sim", &[], &[]),
    rule("argus-tests", TESTS, &[]),
    rule("xtask", &[], WORLD),
];

/// The dependencies of one workspace crate that are not for its tests.
#[derive(Default)]
struct Known {
    direct: BTreeSet<String>,
    reached: BTreeSet<String>,
}

/// Reads the workspace's dependencies, all features on, and checks them against the table.
pub(super) fn check_workspace() -> anyhow::Result<Vec<String>> {
    let metadata = MetadataCommand::new().features(CargoOpt::AllFeatures).exec().context("cargo metadata failed")?;
    Ok(check(&known(&metadata)?))
}

fn known(metadata: &Metadata) -> anyhow::Result<BTreeMap<String, Known>> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
    let name_of: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p.name.to_string())).collect();
    let edges: BTreeMap<_, Vec<_>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let normal = node
                .deps
                .iter()
                .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development))
                .map(|dep| &dep.pkg)
                .collect();
            (&node.id, normal)
        })
        .collect();
    let mut all = BTreeMap::new();
    for member in &metadata.workspace_members {
        let mut known = Known::default();
        let mut seen = BTreeSet::from([member]);
        let mut open = vec![member];
        while let Some(id) = open.pop() {
            for &dependency in edges.get(id).into_iter().flatten() {
                let name = name_of.get(dependency).cloned().unwrap_or_default();
                if id == member {
                    known.direct.insert(name.clone());
                }
                known.reached.insert(name);
                if seen.insert(dependency) {
                    open.push(dependency);
                }
            }
        }
        all.insert(name_of.get(member).cloned().unwrap_or_default(), known);
    }
    Ok(all)
}

fn check(workspace: &BTreeMap<String, Known>) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, known) in workspace {
        let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
            faults.push(format!("{name} is not in the table of xtask/src/tidy/edges.rs: say there what it may know"));
            continue;
        };
        for dependency in &known.direct {
            let ours = workspace.contains_key(dependency);
            if ours && !rule.may_know.contains(&dependency.as_str()) {
                faults.push(format!("{name} may not know {dependency}"));
            }
            if let Some(only) = rule.only
                && !ours
                && !only.contains(&dependency.as_str())
            {
                faults
                    .push(format!("{name} depends on {dependency}; from outside it may only use {}", only.join(", ")));
            }
        }
        for never in rule.never {
            if known.reached.contains(*never) {
                faults.push(format!("{name} must never reach {never} (`cargo tree -p {name} -i {never}`)"));
            }
        }
    }
    for rule in RULES {
        if !workspace.contains_key(rule.name) {
            faults.push(format!("{} is in the table and not in the workspace", rule.name));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The workspace as the table allows it: each crate with all that it may know.
    fn allowed() -> BTreeMap<String, Known> {
        RULES
            .iter()
            .map(|rule| {
                let direct: BTreeSet<String> = rule.may_know.iter().map(ToString::to_string).collect();
                (rule.name.to_owned(), Known { reached: direct.clone(), direct })
            })
            .collect()
    }

    fn add(workspace: &mut BTreeMap<String, Known>, name: &str, dependency: &str) {
        let known = workspace.get_mut(name).unwrap();
        known.direct.insert(dependency.to_owned());
        known.reached.insert(dependency.to_owned());
    }

    #[test]
    fn the_allowed_workspace_has_no_fault() {
        assert_eq!(check(&allowed()), Vec::<String>::new());
    }

    #[test]
    fn a_forbidden_edge_is_found() {
        for (name, dependency, says) in [
            ("argus-core", "argus-db", "may not know"),
            ("argus-api", "argus-engine", "may not know"),
            ("argus-core", "tokio", "must never reach"),
            ("argus-engine", "gstreamer", "must never reach"),
            ("argus-motion", "rayon", "from outside it may only use thiserror"),
            ("xtask", "argus-core", "may not know"),
        ] {
            let mut workspace = allowed();
            add(&mut workspace, name, dependency);
            let faults = check(&workspace);
            assert!(faults.iter().any(|fault| fault.contains(says)), "{name} -> {dependency}: {faults:?}");
        }
    }

    #[test]
    fn what_others_bring_along_counts_too() {
        let mut workspace = allowed();
        workspace.get_mut("argus-api").unwrap().reached.insert("gstreamer".to_owned());
        assert_eq!(check(&workspace).len(), 1);
    }

    #[test]
    fn new_and_lost_crates_are_told() {
        let mut workspace = allowed();
        let lost = workspace.remove("argus-ai").unwrap();
        workspace.insert("argus-new".to_owned(), lost);
        let faults = check(&workspace);
        assert!(faults.iter().any(|fault| fault.contains("argus-new is not in the table")), "{faults:?}");
        assert!(faults.iter().any(|fault| fault.contains("argus-ai is in the table")), "{faults:?}");
    }
}
