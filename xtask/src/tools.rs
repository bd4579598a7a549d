//! Programs of Python's and Node's world that tests run, each set in a folder of its own below `target/tools`.

use std::iter;
use std::path::{Path, PathBuf};

use xshell::{PushEnv, Shell, cmd};

use crate::workspace;

/// A set of programs.
struct Set {
    /// For people.
    title: &'static str,
    /// Below `target/tools`.
    folder: &'static str,
    /// What is installed, with exact versions: lists for pip, then one for npm, which pip has to bring.
    requirements: &'static [&'static str],
    /// Under this name tests find the folder with the programs.
    variable: &'static str,
}

/// Ends the name of a list of requirements that is for npm, not for pip.
const NPM: &str = "package.json";

/// Apart from each other, because they want different versions of the same things.
const SETS: [Set; 5] = [
    Set {
        title: "schemathesis and the OpenAPI validator",
        folder: "python",
        requirements: &["tests/schemathesis/requirements.txt"],
        variable: "ARGUS_TEST_TOOLS",
    },
    Set {
        title: "the LiteLLM proxy",
        folder: "litellm",
        requirements: &["tests/litellm/requirements.txt"],
        variable: "ARGUS_TEST_LITELLM",
    },
    Set {
        title: "uiprotect 15, a client that certifies the controller simulator",
        folder: "uiprotect",
        requirements: &["tests/protect-sim/drivers/requirements.txt"],
        variable: "ARGUS_TEST_UIPROTECT",
    },
    Set {
        title: "uiprotect 25, a client that certifies the controller simulator",
        folder: "uiprotect-25",
        requirements: &["tests/protect-sim/drivers/requirements-25.txt"],
        variable: "ARGUS_TEST_UIPROTECT_25",
    },
    Set {
        title: "unifi-protect, another client that certifies the controller simulator",
        folder: "unifi-protect",
        requirements: &["tests/protect-sim/drivers/requirements-node.txt", "tests/protect-sim/drivers/package.json"],
        variable: "ARGUS_TEST_UNIFI_PROTECT",
    },
];

/// Installs what is missing or wanted in another version, and names the folders in the environment for as long as the
/// answer lives. What cannot be had is said loudly: without the package index the other tests run all the same.
pub(crate) fn ensure(sh: &Shell) -> anyhow::Result<Vec<PushEnv<'_>>> {
    let mut named = Vec::new();
    for set in &SETS {
        if let Some(programs) = set.ensure(sh)? {
            named.push(sh.push_env(set.variable, programs));
        }
    }
    Ok(named)
}

impl Set {
    fn ensure(&self, sh: &Shell) -> anyhow::Result<Option<PathBuf>> {
        let folder = workspace::target_dir()?.join("tools").join(self.folder);
        let programs = folder.join("bin");
        let mut wanted = String::new();
        for requirements in self.requirements {
            wanted.push_str(&sh.read_file(requirements)?);
        }
        let kept = folder.join("installed.txt");
        if sh.read_file(&kept).is_ok_and(|installed| installed == wanted) {
            return Ok(Some(programs));
        }
        let installed = cmd!(sh, "python3 -m venv {folder}")
            .run()
            .and_then(|()| self.requirements.iter().try_for_each(|list| install(sh, &folder, list)));
        if let Err(failure) = installed {
            workspace::heading(&format!("SKIPPED: {}", self.title));
            println!("it could not be installed into {}: {failure}", folder.display());
            return Ok(None);
        }
        sh.write_file(kept, wanted)?;
        Ok(Some(programs))
    }
}

/// Installs what one list names.
fn install(sh: &Shell, folder: &Path, requirements: &str) -> xshell::Result<()> {
    let programs = folder.join("bin");
    if requirements.ends_with(NPM) {
        // npm is a script for the Node beside it.
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(iter::once(programs.clone()).chain(std::env::split_paths(&others)));
        let _path = path.map(|path| sh.push_env("PATH", path));
        let npm = programs.join("npm");
        sh.copy_file(requirements, folder.join(NPM))?;
        let quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel", "error"];
        return cmd!(sh, "{npm} install --prefix {folder} {quiet...}").run();
    }
    let pip = programs.join("pip");
    // What is never run is not compiled.
    let options = ["--quiet", "--disable-pip-version-check", "--prefer-binary", "--no-compile"];
    cmd!(sh, "{pip} install {options...} -r {requirements}").run()
}
