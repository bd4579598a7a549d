use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use argus_tests::server::{ServerOptions, ServerProcess};
use argus_tests::wait::wait_until;

const DEADLINE: Duration = Duration::from_secs(15);

/// A program that behaves as the script says.
fn script(dir: &Path, text: &str) -> ServerOptions {
    let program: PathBuf = dir.join("program");
    let draft = dir.join("draft");
    std::fs::write(&draft, format!("#!/bin/sh\n{text}\n")).unwrap();
    // Another process writes it: a program that a fork of this one holds open for writing cannot be run.
    let installed = Command::new("install").args(["-m", "755"]).args([&draft, &program]).status().unwrap();
    assert!(installed.success());
    ServerOptions { program: Some(program), ..ServerOptions::default() }
}

const SERVE: &str = "echo setup token: x; echo \"listening on http://127.0.0.1:1234\"; echo $* >&2";

#[tokio::test]
async fn a_process_is_read_watched_and_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let options = script(
        dir.path(),
        &format!("trap 'kill $!; exit 0' TERM; {SERVE}; while :; do tail -f /dev/null & wait $!; done"),
    );
    let data_dir = dir.path().join("data");
    let mut server = ServerProcess::start_with(&data_dir, &options).await;
    assert_eq!(server.origin(), "http://127.0.0.1:1234");
    assert_eq!(server.stdout_lines()[0], "setup token: x");
    let wanted = format!("--data-dir {} --listen 127.0.0.1:0", data_dir.display());
    wait_until("the arguments in the log", DEADLINE, || server.log_text().trim() == wanted).await;
    assert_eq!(server.threads(), 1);
    assert!(server.fds() >= 3 && server.rss_kib() > 100, "{} {}", server.fds(), server.rss_kib());
    server.settles_at(1, server.fds(), DEADLINE).await;
    assert!(server.terminate(DEADLINE).await.unwrap().success());
    assert_eq!((server.threads(), server.fds(), server.rss_kib()), (0, 0, 0));
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_dies_by_kill() {
    let dir = tempfile::tempdir().unwrap();
    let options = script(dir.path(), &format!("trap '' TERM; {SERVE}; exec tail -f /dev/null"));
    let mut server = ServerProcess::start_with(dir.path(), &options).await;
    assert_eq!(server.terminate(Duration::from_millis(200)).await, None);
    assert_eq!(server.exited(), None);
    server.kill().await;
    assert!(!server.exited().unwrap().success());
}

#[tokio::test]
#[should_panic(expected = "in vain for at most 9 threads")]
async fn a_process_that_is_gone_never_settles() {
    let dir = tempfile::tempdir().unwrap();
    let options = script(dir.path(), &format!("{SERVE}; exec tail -f /dev/null"));
    let mut server = ServerProcess::start_with(dir.path(), &options).await;
    server.kill().await;
    server.settles_at(9, 99, Duration::from_millis(50)).await;
}

#[tokio::test]
async fn dropping_ends_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let options = script(dir.path(), &format!("{SERVE}; exec tail -f /dev/null"));
    let server = ServerProcess::start_with(dir.path(), &options).await;
    let proc = PathBuf::from(format!("/proc/{}/exe", server.pid()));
    assert!(proc.read_link().is_ok());
    drop(server);
    wait_until("the end of the process", DEADLINE, || proc.read_link().is_err()).await;
}

#[tokio::test]
#[should_panic(expected = "the disk is full")]
async fn a_process_that_does_not_start_shows_its_log() {
    let dir = tempfile::tempdir().unwrap();
    ServerProcess::start_with(dir.path(), &script(dir.path(), "echo the disk is full >&2; exit 4")).await;
}
