//! Programs of Python's world that tests run against the server, in folders of their own below `target`.

use std::path::PathBuf;

use xshell::{Shell, cmd};

use crate::workspace;

/// A set of programs that tests use.
pub(crate) struct Tools {
    /// Under this name tests find the folder with the programs.
    pub(crate) variable: &'static str,
    /// The folder's name.
    folder: &'static str,
    /// What is installed, with exact versions.
    requirements: &'static str,
    /// What it is, for people.
    title: &'static str,
}

/// Sets have folders of their own, as the versions that they want of others differ.
pub(crate) const ALL: [Tools; 2] = [
    Tools {
        variable: "ARGUS_TEST_TOOLS",
        folder: "python",
        requirements: "tests/schemathesis/requirements.txt",
        title: "schemathesis and the OpenAPI validator",
    },
    Tools {
        variable: "ARGUS_TEST_UIPROTECT",
        folder: "uiprotect",
        requirements: "tests/protect-sim/drivers/requirements.txt",
        title: "uiprotect, the client that certifies the controller simulator",
    },
];

impl Tools {
    /// The folder of the programs, installed when they are missing or others are wanted; `None`, said loudly, when they cannot
    /// be had: without the package index the other tests run all the same.
    pub(crate) fn ensure(&self, sh: &Shell) -> anyhow::Result<Option<PathBuf>> {
        let folder = workspace::target_dir()?.join("tools").join(self.folder);
        let programs = folder.join("bin");
        let requirements = self.requirements;
        let wanted = sh.read_file(requirements)?;
        let kept = folder.join("installed.txt");
        if sh.read_file(&kept).is_ok_and(|installed| installed == wanted) {
            return Ok(Some(programs));
        }
        let pip = programs.join("pip");
        let installed = cmd!(sh, "python3 -m venv {folder}")
            .run()
            .and_then(|()| cmd!(sh, "{pip} install --quiet --disable-pip-version-check -r {requirements}").run());
        if let Err(failure) = installed {
            workspace::heading(&format!("SKIPPED: {}", self.title));
            println!("it could not be installed into {}: {failure}", folder.display());
            return Ok(None);
        }
        sh.write_file(kept, wanted)?;
        Ok(Some(programs))
    }
}
