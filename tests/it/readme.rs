//! The README's commands do what it says, as they stand there.

use argus_tests::http::Client;
use argus_tests::server::{ServerProcess, run, run_with_input};
use serde_json::Value;

const README: &str = include_str!("../../README.md");
const PROGRAM: &str = "target/release/argus-server ";

/// What is typed into a shell, block by block.
fn blocks() -> Vec<String> {
    README.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().replace("\\\n", " ")).collect()
}

/// The arguments of the commands of the program that begin with `command`.
fn arguments(command: &str) -> Vec<Vec<String>> {
    let whole = format!("{PROGRAM}{command}");
    let found = blocks().into_iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>());
    let found = found.filter_map(|line| line.split_once(&whole).map(|(_, rest)| format!("{command}{rest}")));
    let words = |line: String| {
        let line = line.split(['#', '&', ')']).next().unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    found.map(words).collect()
}

/// Every body that is posted with curl, with its path.
fn posted() -> Vec<(String, Value)> {
    let block_bodies = |block: String| -> Vec<(String, Value)> {
        let commands = block.split("curl -s http://localhost:8000").skip(1);
        let with_body = commands.filter_map(|command| {
            let (path, rest) = command.split_once(' ').unwrap();
            let body = rest.split_once("-d '")?.1.split_once('\'').unwrap().0;
            // What a reader fills in; the camera of the page is on a network that no test may ask.
            let body = body.replace("\"…\"", "\"correct horse battery\"").replace("192.0.2.10", "127.0.0.1");
            Some((path.to_owned(), serde_json::from_str(&body).unwrap()))
        });
        with_body.collect()
    };
    blocks().into_iter().flat_map(block_bodies).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_works() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(dir.path()).await;
    assert_eq!(arguments("serve"), [["serve"]]);
    let keys = arguments("api-key");
    assert_eq!(keys.len(), 1, "{keys:?}");
    let words: Vec<&str> = keys[0].iter().map(String::as_str).collect();
    let (status, key, stderr) = run(dir.path(), &words).await;
    assert_eq!(status.code(), Some(0), "{words:?}: {stderr}");
    let client = Client::new(server.origin(), key.trim());

    let posted = posted();
    let paths: Vec<_> = posted.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/api/v1/cameras", "/api/v1/ai/providers", "/api/v1/auth/setup"]);
    for (path, body) in &posted {
        let answer = client.root().post(path, body).await;
        assert!((200..300).contains(&answer.status), "{path}: {} {}", answer.status, answer.json);
    }
    client.get("/events").await.expect(200);

    // A second user, as the first has the name.
    let users = arguments("user");
    assert_eq!(users.len(), 1, "{users:?}");
    let other = tempfile::tempdir().unwrap();
    let words: Vec<&str> = users[0].iter().map(String::as_str).collect();
    let (status, id, stderr) = run_with_input(other.path(), &words, "correct horse battery\n").await;
    assert_eq!((status.code(), id.lines().count()), (Some(0), 1), "{words:?}: {stderr}");
}
