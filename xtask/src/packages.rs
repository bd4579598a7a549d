//! The system packages that Argus builds and runs with, and how each package manager is asked for them.
//!
//! Only the Debian names are tried by CI; the others follow the distributions' package lists.

use anyhow::{Context, bail};
use xshell::{Shell, cmd};

use crate::workspace::which;

/// What a task is about to do; each needs what the ones before it need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Build the server and run it.
    Server,
    /// Also build and run every test: an RTSP server, encoders, PostgreSQL.
    Tests,
}

/// A package manager that this program can speak to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Apt,
    Dnf,
    Pacman,
    Brew,
}

/// One package: from which need on it is wanted, whether it can be done without, and its name at each manager
/// (empty: comes with another one).
struct Package {
    need: Need,
    optional: bool,
    apt: &'static str,
    dnf: &'static str,
    pacman: &'static str,
    brew: &'static str,
}

const fn package(
    need: Need,
    apt: &'static str,
    dnf: &'static str,
    pacman: &'static str,
    brew: &'static str,
) -> Package {
    Package { need, optional: false, apt, dnf, pacman, brew }
}

const fn optional(need: Need, apt: &'static str) -> Package {
    Package { need, optional: true, apt, dnf: "", pacman: "", brew: "" }
}

/// In Homebrew the one formula `gstreamer` holds the plugins and the RTSP server library too.
const PACKAGES: &[Package] = &[
    package(Need::Server, "pkg-config", "pkgconf-pkg-config", "pkgconf", "pkgconf"),
    package(Need::Server, "libgstreamer1.0-dev", "gstreamer1-devel", "gstreamer", "gstreamer"),
    package(Need::Server, "libgstreamer-plugins-base1.0-dev", "gstreamer1-plugins-base-devel", "gst-plugins-base", ""),
    package(Need::Server, "gstreamer1.0-plugins-base", "gstreamer1-plugins-base", "", ""),
    package(Need::Server, "gstreamer1.0-plugins-good", "gstreamer1-plugins-good", "gst-plugins-good", ""),
    package(Need::Server, "gstreamer1.0-plugins-bad", "gstreamer1-plugins-bad-free", "gst-plugins-bad", ""),
    package(Need::Server, "gstreamer1.0-plugins-ugly", "gstreamer1-plugins-ugly-free", "gst-plugins-ugly", ""),
    package(Need::Server, "gstreamer1.0-libav", "gstreamer1-plugin-libav", "gst-libav", ""),
    // TLS: for cameras over rtsps, and the root certificates for vendors' endpoints.
    package(Need::Server, "glib-networking", "glib-networking", "glib-networking", ""),
    package(Need::Server, "ca-certificates", "ca-certificates", "ca-certificates", ""),
    package(Need::Tests, "libgstrtspserver-1.0-dev", "gstreamer1-rtsp-server-devel", "gst-rtsp-server", ""),
    package(Need::Tests, "ffmpeg", "ffmpeg-free", "ffmpeg", "ffmpeg"),
    package(Need::Tests, "libpq-dev", "libpq-devel", "postgresql-libs", "libpq"),
    package(Need::Tests, "postgresql", "postgresql-server", "postgresql", "postgresql@17"),
    // A network of its own, for what must not leave the house.
    package(Need::Tests, "iproute2", "iproute", "iproute2", ""),
    // schemathesis and the OpenAPI validator live in an environment of their own.
    package(Need::Tests, "python3-venv", "python3", "python", "python"),
    // The pages of the documentation are looked at in a browser. Homebrew has none of these as packages of the command line.
    package(Need::Tests, "chromium", "chromium", "chromium", ""),
    package(Need::Tests, "chromium-driver", "chromedriver", "", ""),
    // Footage of people walking, for the benchmarks; they draw their own scenes without it.
    optional(Need::Tests, "opencv-doc"),
];

impl Manager {
    fn find() -> Option<Self> {
        [("brew", Self::Brew), ("apt-get", Self::Apt), ("dnf", Self::Dnf), ("pacman", Self::Pacman)]
            .into_iter()
            .find(|(program, _)| which(program).is_some())
            .map(|(_, manager)| manager)
    }

    fn name(self, package: &Package) -> &'static str {
        match self {
            Self::Apt => package.apt,
            Self::Dnf => package.dnf,
            Self::Pacman => package.pacman,
            Self::Brew => package.brew,
        }
    }

    fn has(self, sh: &Shell, name: &str) -> bool {
        let status = "${db:Status-Status}";
        let answer = match self {
            Self::Apt => cmd!(sh, "dpkg-query -W -f {status} {name}"),
            Self::Dnf => cmd!(sh, "rpm -q {name}"),
            Self::Pacman => cmd!(sh, "pacman -T {name}"),
            Self::Brew => cmd!(sh, "brew list --versions {name}"),
        };
        match answer.quiet().ignore_stderr().read() {
            Ok(text) if self == Self::Apt => text.trim() == "installed",
            Ok(_) => true,
            Err(_) => false,
        }
    }

    /// The command lines that bring the named packages, without `sudo`.
    fn install_commands(self, names: &[&str]) -> Vec<Vec<String>> {
        let fixed: &[&[&str]] = match self {
            // Questions of a package's own set-up would wait for an answer for ever.
            Self::Apt => &[
                &["apt-get", "update"],
                &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends"],
            ],
            Self::Dnf => &[&["dnf", "install", "-y"]],
            Self::Pacman => &[&["pacman", "-S", "--needed", "--noconfirm"]],
            Self::Brew => &[&["brew", "install"]],
        };
        let mut commands: Vec<Vec<String>> =
            fixed.iter().map(|words| words.iter().map(ToString::to_string).collect()).collect();
        if let Some(last) = commands.last_mut() {
            last.extend(names.iter().map(ToString::to_string));
        }
        commands
    }

    /// Homebrew refuses root, the others need it.
    fn wants_root(self) -> bool {
        self != Self::Brew
    }
}

/// The names that are wanted for `need` at `manager`, in order.
fn wanted(manager: Manager, need: Need, optional: bool) -> Vec<&'static str> {
    PACKAGES
        .iter()
        .filter(|package| package.need <= need && package.optional == optional)
        .map(|package| manager.name(package))
        .filter(|name| !name.is_empty())
        .collect()
}

/// Installs what is missing for `need`, showing each command before it runs.
///
/// With `no_install` it fails instead and says what to install.
pub(crate) fn ensure(sh: &Shell, need: Need, no_install: bool) -> anyhow::Result<()> {
    let Some(manager) = Manager::find() else {
        println!("no known package manager here; Argus needs GStreamer 1.22 or newer with its development files, its");
        println!(
            "plugin sets base, good, bad, ugly and libav, and pkg-config; the tests also its RTSP server library,"
        );
        println!("ffmpeg and PostgreSQL with libpq. Going on as if they were there.");
        return Ok(());
    };
    let missing: Vec<&str> = wanted(manager, need, false).into_iter().filter(|name| !manager.has(sh, name)).collect();
    if !missing.is_empty() {
        let commands = with_sudo(sh, manager, manager.install_commands(&missing))?;
        if no_install {
            bail!(
                "these system packages are missing: {}\ninstall them, or run again without --no-install:\n  {}",
                missing.join(" "),
                commands.iter().map(|words| words.join(" ")).collect::<Vec<_>>().join("\n  ")
            );
        }
        println!("installing system packages: {}", missing.join(" "));
        for words in commands {
            run_words(sh, &words)
                .with_context(|| format!("the packages could not be installed ({})", words.join(" ")))?;
        }
    }
    if no_install {
        return Ok(());
    }
    for name in wanted(manager, need, true) {
        if !manager.has(sh, name)
            && let Some(words) = with_sudo(sh, manager, manager.install_commands(&[name]))?.last()
            && run_words(sh, words).is_err()
        {
            println!("going on without {name}, which is optional");
        }
    }
    Ok(())
}

fn with_sudo(sh: &Shell, manager: Manager, mut commands: Vec<Vec<String>>) -> anyhow::Result<Vec<Vec<String>>> {
    if manager.wants_root() && !is_root(sh)? {
        for words in &mut commands {
            words.insert(0, "sudo".to_owned());
        }
    }
    Ok(commands)
}

fn run_words(sh: &Shell, words: &[String]) -> anyhow::Result<()> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    if program == "sudo" && which("sudo").is_none() {
        bail!("not root, and there is no sudo: run as root\n  {}", arguments.join(" "));
    }
    sh.cmd(program).args(arguments).run()?;
    Ok(())
}

/// Whether this process is the superuser.
pub(crate) fn is_root(sh: &Shell) -> anyhow::Result<bool> {
    Ok(cmd!(sh, "id -u").quiet().read().context("`id -u` failed")?.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_need_all_that_the_server_needs() {
        for manager in [Manager::Apt, Manager::Dnf, Manager::Pacman, Manager::Brew] {
            let server = wanted(manager, Need::Server, false);
            let tests = wanted(manager, Need::Tests, false);
            assert!(!server.is_empty(), "{manager:?}");
            assert!(tests.starts_with(&server) && tests.len() > server.len(), "{manager:?}: {tests:?}");
        }
    }

    #[test]
    fn the_names_follow_the_command() {
        let commands = Manager::Apt.install_commands(&["a", "b"]);
        assert_eq!(commands[0], ["apt-get", "update"]);
        assert!(commands[1].ends_with(&["--no-install-recommends", "a", "b"].map(str::to_owned)), "{commands:?}");
        assert_eq!(Manager::Pacman.install_commands(&["a"]), [["pacman", "-S", "--needed", "--noconfirm", "a"]]);
    }

    #[test]
    fn the_readme_names_what_the_server_needs() {
        let readme = std::fs::read_to_string(crate::workspace::root().join("README.md")).unwrap();
        let commands: Vec<&str> = readme.lines().skip_while(|line| !line.starts_with("apt-get install")).collect();
        let end = commands.iter().position(|line| *line == "```").unwrap();
        let named: std::collections::BTreeSet<&str> =
            commands[..end].iter().flat_map(|line| line.split('#').next().unwrap().split_whitespace()).collect();
        for name in wanted(Manager::Apt, Need::Server, false) {
            assert!(named.contains(name), "{name} is not in the README");
        }
    }

    #[test]
    fn optional_packages_are_never_required() {
        assert!(!wanted(Manager::Apt, Need::Tests, false).contains(&"opencv-doc"));
        assert!(wanted(Manager::Apt, Need::Tests, true).contains(&"opencv-doc"));
        assert!(wanted(Manager::Apt, Need::Server, true).is_empty());
    }
}
