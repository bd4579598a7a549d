//! The fakes as clients see them that nobody here wrote: `LiteLLM` has one for each of these vendors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use argus_ai_sim::{AiSim, Dialect, Fault};
use serde_json::{Value, json};

const CLIENTS: [(Dialect, &str); 6] = [
    (Dialect::OpenAi, "openai/some-model"),
    (Dialect::Xai, "xai/some-model"),
    (Dialect::OpenRouter, "openrouter/some-model"),
    (Dialect::Anthropic, "anthropic/some-model"),
    (Dialect::Gemini, "gemini/some-model"),
    (Dialect::Ollama, "ollama_chat/some-model"),
];

/// Where `cargo xtask test` puts the programs; `None`, said loudly, where it could not.
#[expect(clippy::disallowed_methods, reason = "a test is told by the environment where programs are")]
fn python() -> Option<PathBuf> {
    use std::io::Write as _;
    let python = std::env::var("ARGUS_TEST_LITELLM").ok().map(|folder| Path::new(&folder).join("python"));
    let python = python.filter(|python| python.exists());
    if python.is_none() {
        // Past the runner's capture: a test that passes is not shown.
        let line = "SKIPPED: LiteLLM is not there: run `cargo xtask test`, which installs it where PyPI is in reach";
        writeln!(std::io::stderr(), "{line}").unwrap();
    }
    python
}

#[tokio::test]
async fn other_peoples_clients_understand_the_fakes() {
    let Some(python) = python() else { return };
    let faults = [
        (None, "text"),
        (Some(Fault::RateLimited(Some(Duration::from_secs(1)))), "RateLimitError"),
        (Some(Fault::Unauthorized), "AuthenticationError"),
        (Some(Fault::ServerError), "InternalServerError"),
    ];
    let mut sims = Vec::new();
    let mut calls = Vec::new();
    for (dialect, model) in CLIENTS {
        for (fault, expected) in &faults {
            let sim = AiSim::start(dialect);
            sim.answer("A cat on a wall.");
            sim.tokens(321, 12);
            if let Some(fault) = fault {
                sim.fault(fault.clone());
            }
            calls.push(json!([model, sim.base_url()]));
            sims.push((sim, *expected));
        }
    }
    let done = tokio::process::Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients.py"))
        .arg(Value::from(calls).to_string())
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
    let answers: Vec<Value> = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(answers.len(), sims.len());
    for ((sim, expected), answer) in sims.iter().zip(&answers) {
        let what = format!("{:?} {expected}: {answer}", sim.dialect());
        let question = sim.requests().into_iter().find(|asked| !asked.pictures.is_empty()).expect(&what);
        assert!(question.pictures[0].starts_with(&[0xff, 0xd8, 0xff]), "{what}");
        if *expected == "text" {
            assert_eq!(answer, &json!({ "text": "A cat on a wall.", "input": 321, "output": 12 }), "{what}");
            continue;
        }
        // A wrong key is a 400 with xAI and Gemini, of which the one client makes more than the other.
        let named = match (sim.dialect(), *expected) {
            (Dialect::Xai | Dialect::Gemini, "AuthenticationError") => &["BadRequestError", "AuthenticationError"][..],
            // It has one name for most of what OpenRouter answers.
            (Dialect::OpenRouter, "InternalServerError") => &["InternalServerError", "APIError"],
            _ => &[*expected],
        };
        assert!(named.contains(&answer["error"].as_str().unwrap()), "{what}");
    }
}
