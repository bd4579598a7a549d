//! The first user and those of the command line, with the real program.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use argus_tests::http::{Answer, Client};
use argus_tests::server::{ServerOptions, ServerProcess, run, run_with_input};
use serde_json::json;

const PASSWORD: &str = "correct horse battery";
const DEADLINE: Duration = Duration::from_secs(15);

async fn create(dir: &Path, username: &str, role: &str, more: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut args = vec!["user", "create", "--username", username, "--role", role, "--password-stdin"];
    args.extend(more);
    let (status, stdout, stderr) = run_with_input(dir, &args, input).await;
    (status.code(), stdout, stderr)
}

async fn login(server: &ServerProcess, username: &str, password: &str) -> Answer {
    let client = Client::new(server.origin(), "");
    client.post("/auth/login", &json!({"username": username, "password": password})).await
}

/// What follows the name of a line of standard output.
fn told(server: &ServerProcess, name: &str) -> Option<String> {
    server.stdout_lines().iter().find_map(|line| line.strip_prefix(name).map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_setup_token_makes_the_first_user_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("setup-token");
    let mut server = ServerProcess::start(dir.path()).await;
    let first = told(&server, "setup token: ").unwrap();
    assert!(server.stdout_lines()[0].starts_with("setup token: "), "{:?}", server.stdout_lines());
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), first);
    assert!(server.terminate(DEADLINE).await.unwrap().success());

    // Every start has its own while there is nobody.
    let mut server = ServerProcess::start(dir.path()).await;
    let token = told(&server, "setup token: ").unwrap();
    assert_ne!(token, first);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&dir.path().join("token.key"))), (0o600, 0o600));
    let client = Client::new(server.origin(), "");
    let ask = |token: &str| json!({"username": "ada", "password": PASSWORD, "token": token});
    client.post("/auth/setup", &ask(&first)).await.expect(403);
    let made = client.post("/auth/setup", &ask(&token)).await.expect(201);
    assert_eq!(made.json["user"]["role"], "admin");
    assert!(!file.exists());
    assert!(server.terminate(DEADLINE).await.unwrap().success());

    let server = ServerProcess::start(dir.path()).await;
    assert_eq!(told(&server, "setup token: "), None);
    assert!(!file.exists());
    // The session goes on over the restart: key and sessions are kept.
    let bearer = format!("Bearer {}", made.json["access_token"].as_str().unwrap());
    let client = Client::new(server.origin(), "");
    let me = client.send(client.request(reqwest::Method::GET, "/auth/me").header("authorization", bearer)).await;
    assert_eq!(me.expect(200).json["user"]["username"], "ada");
    let log = server.log_text();
    for secret in [&token, &first, PASSWORD, made.json["access_token"].as_str().unwrap()] {
        assert!(!log.contains(secret), "a secret in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_made_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let input = format!("{PASSWORD}\nmore\n");
    // Before the first start …
    let (code, stdout, stderr) = create(dir.path(), "Ada", "admin", &["--email", "ada@example.org"], &input).await;
    assert_eq!((code, stdout.lines().count()), (Some(0), 1), "{stderr}");
    let server = ServerProcess::start(dir.path()).await;
    assert_eq!(told(&server, "setup token: "), None);
    let signed_in = login(&server, "ada", PASSWORD).await.expect(200);
    assert_eq!(
        (&signed_in.json["user"]["id"], &signed_in.json["user"]["email"]),
        (&json!(stdout.trim()), &json!("ada@example.org"))
    );
    // … and beside a running server, where the user is valid at once.
    let (code, _, stderr) = create(dir.path(), "bob", "viewer", &[], PASSWORD).await;
    assert_eq!(code, Some(0), "{stderr}");
    login(&server, "bob", PASSWORD).await.expect(200);
    login(&server, "bob", "more").await.expect(401);

    for (username, role, more, input) in [
        ("ADA", "viewer", &[][..], PASSWORD),
        ("eve", "root", &[], PASSWORD),
        ("eve", "viewer", &[], "short"),
        ("eve", "viewer", &[], "eve is my name"),
        ("eve", "viewer", &[], ""),
        ("e e", "viewer", &[], PASSWORD),
        ("eve", "viewer", &["--email", "nowhere"], PASSWORD),
        ("eve", "viewer", &["--email", "ADA@example.org"], PASSWORD),
    ] {
        let (code, stdout, stderr) = create(dir.path(), username, role, more, input).await;
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(5), "", 1), "{username} {role}: {stderr}");
        assert!(input.is_empty() || !stderr.contains(input), "{stderr}");
    }
    let (status, ..) = run(dir.path(), &["user", "create", "--username", "eve", "--role", "viewer"]).await;
    assert_eq!(status.code(), Some(2), "the option is needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_made_beside_a_server_ends_its_setup_token() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(dir.path()).await;
    let token = told(&server, "setup token: ").unwrap();
    assert_eq!(create(dir.path(), "ada", "admin", &[], PASSWORD).await.0, Some(0));
    assert!(!dir.path().join("setup-token").exists());
    let body = json!({"username": "bob", "password": PASSWORD, "token": token});
    Client::new(server.origin(), "").post("/auth/setup", &body).await.expect(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_how_to_sign_in() {
    let dir = tempfile::tempdir().unwrap();
    let options = ServerOptions { args: vec!["demo".into()], ..ServerOptions::default() };
    let mut server = ServerProcess::start_with(dir.path(), &options).await;
    let lines = server.stdout_lines();
    let names: Vec<&str> = lines.iter().map(|line| line.split([':', ' ']).next().unwrap()).collect();
    assert_eq!(names, ["api", "login", "listening"], "{lines:?}");
    let password = told(&server, "login: demo / ").unwrap();
    let signed_in = login(&server, "demo", &password).await.expect(200);
    assert_eq!(
        (&signed_in.json["user"]["role"], &signed_in.json["user"]["must_change_password"]),
        (&json!("admin"), &json!(false))
    );
    assert!(server.terminate(DEADLINE).await.unwrap().success());
    assert!(!server.log_text().contains(&password));
}
