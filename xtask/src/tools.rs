//! Programs of Python's and Node's world that tests run, in folders of their own below `target`.

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

/// Ends the name of a list of requirements that is for npm, not for pip.
const NPM: &str = "package.json";

/// Sets have folders of their own, as the versions that they want of others differ.
pub(crate) const ALL: [Tools; 4] = [
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
        title: "uiprotect 15, a client that certifies the controller simulator",
    },
    Tools {
        variable: "ARGUS_TEST_UIPROTECT_25",
        folder: "uiprotect-25",
        requirements: "tests/protect-sim/drivers/requirements-25.txt",
        title: "uiprotect 25, a client that certifies the controller simulator",
    },
    Tools {
        variable: "ARGUS_TEST_UNIFI_PROTECT",
        folder: "unifi-protect",
        requirements: "tests/protect-sim/drivers/package.json",
        title: "unifi-protect, another client that certifies the controller simulator",
    },
];

impl Tools {
    /// The folder of the programs, installed when they are missing or others are wanted; `None`, said loudly, when they cannot
    /// be had: without the package index the other tests run all the same.
    pub(crate) fn ensure(&self, sh: &Shell) -> anyhow::Result<Option<PathBuf>> {
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
            let quiet = ["--quiet", "--disable-pip-version-check"];
            cmd!(sh, "python3 -m venv {folder}")
                .run()
                .and_then(|()| cmd!(sh, "{pip} install {quiet...} -r {requirements}").run())
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
