//! The `LiteLLM` proxy: a server that speaks like `OpenAI` and that nobody here wrote. Its models answer by themselves
//! (`tests/litellm/config.yaml`), so that nothing leaves the machine.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use argus_ai_sim::Dialect;
use argus_core::describe::DescribeFailure::{InvalidAnswer, ModelNotFound, RateLimited, ServerError};
use argus_core::provider::{ProviderConfig, ProviderKind};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::super::Vendor;
use super::{AMPLE, Reach, config, question, vendor};

/// Starting takes half a minute on a slow machine, most of it for reading itself.
const START: Duration = Duration::from_secs(180);

/// Where `cargo xtask test` puts the program; `None`, said loudly, where it could not.
#[expect(clippy::disallowed_methods, reason = "a test is told by the environment where programs are")]
fn program() -> Option<PathBuf> {
    let program = std::env::var("ARGUS_TEST_LITELLM").ok().map(|folder| Path::new(&folder).join("litellm"));
    let program = program.filter(|program| program.exists());
    if program.is_none() {
        // Past the runner's capture: a test that passes is not shown.
        let line =
            "SKIPPED: the LiteLLM proxy is not there: run `cargo xtask test`, which installs it where PyPI is in reach";
        writeln!(std::io::stderr(), "{line}").unwrap();
    }
    program
}

/// Starts the proxy on a free port and waits until it answers.
async fn start(program: &Path) -> (Child, String) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/litellm/config.yaml");
    let mut child = Command::new(program)
        .args(["--host", "127.0.0.1", "--port", &free.to_string(), "--telemetry", "False", "--config"])
        .arg(file)
        // Its own copy of prices in place of a look at the network.
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let base = format!("http://127.0.0.1:{free}/v1");
    let lists = at(&base, "sim-vision");
    let deadline = Instant::now() + START;
    loop {
        match lists.models(Reach::Local, Duration::from_secs(10)).await {
            Ok(_) => return (child, base),
            Err(e) => {
                assert!(Instant::now() < deadline, "the proxy does not come up: {e}");
                assert_eq!(child.try_wait().unwrap(), None, "the proxy ended");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

fn at(base: &str, model: &str) -> Arc<dyn Vendor> {
    let compatible = ProviderConfig {
        kind: ProviderKind::OpenAiCompatible,
        model: model.into(),
        ..config(Dialect::OpenRouter, base)
    };
    vendor(&compatible).unwrap()
}

#[tokio::test]
async fn the_litellm_proxy_is_understood() {
    let Some(program) = program() else { return };
    let (_child, base) = start(&program).await;
    let ask = |model: &'static str| {
        let vendor = at(&base, model);
        async move { vendor.ask(&question(2), Reach::Local, AMPLE).await }
    };
    let models = at(&base, "sim-vision").models(Reach::Local, AMPLE).await.unwrap();
    assert_eq!(models, ["sim-vision", "sim-limited", "sim-long", "sim-broken"]);

    let asked = ask("sim-vision").await;
    let answer = asked.result.unwrap();
    assert_eq!(answer.text, r#"{"description": "A cat on a wall.", "objects": ["animal"], "confidence": 80}"#);
    assert!(answer.tokens_input.is_some() && answer.tokens_output.is_some() && !answer.cut_off, "{answer:?}");

    for (model, kind, sentence) in [
        ("sim-limited", RateLimited, "too many requests for now (HTTP 429): "),
        ("sim-long", InvalidAnswer, "the request is longer than the model takes (HTTP 400): "),
        ("sim-broken", ServerError, "the provider failed (HTTP 500): "),
        ("sim-unknown", ModelNotFound, "there is no such model (HTTP 400): "),
    ] {
        let asked = ask(model).await;
        assert!(!asked.ask_again, "{model}: {asked:?}");
        let error = asked.result.unwrap_err();
        assert_eq!(error.kind, kind, "{model}: {error}");
        assert!(error.message.starts_with(sentence), "{model}: {error}");
    }
}
