//! Programs of Python's world that tests run against the server, in a folder of their own below `target`.

use std::path::PathBuf;

use xshell::{Shell, cmd};

use crate::workspace;

/// Under this name tests find the folder with the programs.
pub(crate) const VARIABLE: &str = "ARGUS_TEST_TOOLS";
/// What is installed, with exact versions.
const REQUIREMENTS: &str = "tests/schemathesis/requirements.txt";

/// The folder of the programs, installed when they are missing or others are wanted; `None`, said loudly, when they cannot
/// be had: without the package index the other tests run all the same.
pub(crate) fn ensure(sh: &Shell) -> anyhow::Result<Option<PathBuf>> {
    let folder = workspace::target_dir()?.join("tools/python");
    let programs = folder.join("bin");
    let wanted = sh.read_file(REQUIREMENTS)?;
    let kept = folder.join("installed.txt");
    if sh.read_file(&kept).is_ok_and(|installed| installed == wanted) {
        return Ok(Some(programs));
    }
    let pip = programs.join("pip");
    let installed = cmd!(sh, "python3 -m venv {folder}")
        .run()
        .and_then(|()| cmd!(sh, "{pip} install --quiet --disable-pip-version-check -r {REQUIREMENTS}").run());
    if let Err(failure) = installed {
        workspace::heading("SKIPPED: schemathesis and the OpenAPI validator");
        println!("they could not be installed into {}: {failure}", folder.display());
        return Ok(None);
    }
    sh.write_file(kept, wanted)?;
    Ok(Some(programs))
}
