//! Programs of Python's world that tests run beside the server, each set in a folder of its own below `target`.

use std::path::PathBuf;

use xshell::{PushEnv, Shell, cmd};

use crate::workspace;

/// A set of programs.
struct Set {
    /// For people.
    name: &'static str,
    /// Below `target/tools`.
    folder: &'static str,
    /// What is installed, with exact versions.
    requirements: &'static str,
    /// Under this name tests find the folder with the programs.
    variable: &'static str,
}

/// Apart from each other, because they want different versions of the same things.
const SETS: [Set; 2] = [
    Set {
        name: "schemathesis and the OpenAPI validator",
        folder: "python",
        requirements: "tests/schemathesis/requirements.txt",
        variable: "ARGUS_TEST_TOOLS",
    },
    Set {
        name: "the LiteLLM proxy",
        folder: "litellm",
        requirements: "tests/litellm/requirements.txt",
        variable: "ARGUS_TEST_LITELLM",
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
        let Self { name, requirements, .. } = self;
        let folder = workspace::target_dir()?.join("tools").join(self.folder);
        let programs = folder.join("bin");
        let wanted = sh.read_file(requirements)?;
        let kept = folder.join("installed.txt");
        if sh.read_file(&kept).is_ok_and(|installed| installed == wanted) {
            return Ok(Some(programs));
        }
        let pip = programs.join("pip");
        // Nothing is built from source, and what is never run is not compiled.
        let options = ["--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--no-compile"];
        let installed = cmd!(sh, "python3 -m venv {folder}")
            .run()
            .and_then(|()| cmd!(sh, "{pip} install {options...} -r {requirements}").run());
        if let Err(failure) = installed {
            workspace::heading(&format!("SKIPPED: {name}"));
            println!("they could not be installed into {}: {failure}", folder.display());
            return Ok(None);
        }
        sh.write_file(kept, wanted)?;
        Ok(Some(programs))
    }
}
