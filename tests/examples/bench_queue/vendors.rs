//! Two providers that answer, behind one that does not.

use std::net::{Ipv4Addr, TcpListener};

use argus_ai_sim::{AiSim, Dialect, Fault};
use argus_tests::http::Client;
use serde_json::{Value, json};

use crate::Options;

/// How the first in the chain is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dead {
    /// Nobody listens there.
    Refuses,
    /// It takes the question and says nothing.
    Hangs,
}

impl Dead {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refuses => "refused",
            Self::Hangs => "hangs",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Refuses => "The first of three providers refuses connections",
            Self::Hangs => "The first of three providers hangs",
        }
    }
}

pub(crate) struct Vendors {
    dead: AiSim,
    dead_url: String,
    alive: [AiSim; 2],
    timeout_s: u32,
}

impl Vendors {
    pub(crate) fn start(options: &Options, dead: Dead) -> Self {
        let sim = |dialect| {
            let sim = AiSim::start(dialect);
            sim.latency(options.latency);
            // Their pictures would fill the memory.
            sim.keep(0);
            sim
        };
        let hanging = sim(Dialect::OpenAi);
        hanging.fault(Fault::Hang);
        let dead_url = match dead {
            Dead::Hangs => hanging.base_url(),
            Dead::Refuses => {
                // A port that was free a moment ago, and that nobody has listened on since.
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
                format!("http://{}/v1", free.local_addr().expect("its address"))
            }
        };
        let alive = [sim(Dialect::Anthropic), sim(Dialect::OpenAi)];
        Self { dead: hanging, dead_url, alive, timeout_s: options.timeout_s }
    }

    /// Makes them the server's providers, and no others.
    pub(crate) async fn configure(&self, client: &Client) {
        let add = async |fields: Value| client.post("/ai/providers", &fields).await.expect(201);
        let kinds = ["anthropic", "openai"];
        add(json!({"kind": "openai", "name": "Dead", "model": "sim-vision", "base_url": self.dead_url,
            "api_key": "sk-bench", "priority": 10, "timeout_s": self.timeout_s}))
        .await;
        for (n, (sim, kind)) in self.alive.iter().zip(kinds).enumerate() {
            add(json!({"kind": kind, "name": format!("Alive {}", n + 1), "model": "sim-vision",
                "base_url": sim.base_url(), "api_key": "sk-bench", "priority": 20 + n,
                "prices": {"input_per_million": 1, "output_per_million": 4}}))
            .await;
        }
        let list = client.get("/ai/providers").await.expect(200).json;
        let builtin = list["items"].as_array().into_iter().flatten().find(|p| p["kind"] == "builtin").cloned();
        let id = builtin.expect("the built-in provider")["id"].as_str().expect("an id").to_owned();
        client.put(&format!("/ai/providers/{id}"), &json!({"enabled": false})).await.expect(200);
    }

    /// Questions that the living ones were asked; they answer all.
    pub(crate) fn answered(&self) -> u64 {
        self.alive.iter().map(AiSim::questions).sum()
    }

    /// Questions that ended at the one that hangs.
    pub(crate) fn in_vain(&self) -> u64 {
        self.dead.questions()
    }
}
