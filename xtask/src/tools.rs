//! Programs of Python's and Node's world that tests run, each set in a folder of its own below `target/tools`.

use std::path::PathBuf;

use xshell::{PushEnv, Shell, cmd};

use crate::workspace;

/// A set of programs.
struct Set {
    /// For people.
    title: &'static str,
    /// Below `target/tools`.
    folder: &'static str,
    /// What is installed, with exact versions.
    requirements: &'static str,
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
        requirements: "tests/schemathesis/requirements.txt",
        variable: "ARGUS_TEST_TOOLS",
    },
    Set {
        title: "the LiteLLM proxy",
        folder: "litellm",
        requirements: "tests/litellm/requirements.txt",
        variable: "ARGUS_TEST_LITELLM",
    },
    Set {
        title: "uiprotect 15, a client that certifies the controller simulator",
        folder: "uiprotect",
        requirements: "tests/protect-sim/drivers/requirements.txt",
        variable: "ARGUS_TEST_UIPROTECT",
    },
    Set {
        title: "uiprotect 25, a client that certifies the controller simulator",
        folder: "uiprotect-25",
        requirements: "tests/protect-sim/drivers/requirements-25.txt",
        variable: "ARGUS_TEST_UIPROTECT_25",
    },
    Set {
        title: "unifi-protect, another client that certifies the controller simulator",
        folder: "unifi-protect",
        requirements: "tests/protect-sim/drivers/package.json",
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
        let is_npm = self.requirements.ends_with(NPM);
        let programs = if is_npm { folder.clone() } else { folder.join("bin") };
        let requirements = self.requirements;
        let wanted = sh.read_file(requirements)?;
        let kept = folder.join("installed.txt");
        if sh.read_file(&kept).is_ok_and(|installed| installed == wanted) {
            return Ok(Some(programs));
        }
        let installed = if is_npm {
            sh.create_dir(&folder)?;
            sh.write_file(folder.join(NPM), &wanted)?;
            let quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel", "error"];
            cmd!(sh, "npm install --prefix {folder} {quiet...}").run()
        } else {
            let pip = programs.join("pip");
            // What is never run is not compiled.
            let options = ["--quiet", "--disable-pip-version-check", "--prefer-binary", "--no-compile"];
            cmd!(sh, "python3 -m venv {folder}")
                .run()
                .and_then(|()| cmd!(sh, "{pip} install {options...} -r {requirements}").run())
        };
        if let Err(failure) = installed {
            workspace::heading(&format!("SKIPPED: {}", self.title));
            println!("it could not be installed into {}: {failure}", folder.display());
            return Ok(None);
        }
        sh.write_file(kept, wanted)?;
        Ok(Some(programs))
    }
}
