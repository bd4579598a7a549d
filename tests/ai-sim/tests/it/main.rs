//! The fakes by themselves: what vendors document is taken, and what they refuse is refused.

// `cfg(test)`, which always holds here, tells clippy that helpers beside the tests are tests, too.
#[cfg(test)]
mod clients;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod strict;

use argus_ai_sim::{AiSim, SampleRequest};
use serde_json::Value;

/// Sends a sample's request and gives status and body.
#[cfg(test)]
async fn send(sim: &AiSim, request: &SampleRequest) -> (u16, Value) {
    let url = format!("http://{}{}", sim.address(), request.path);
    let mut post = client().post(url).json(&request.body);
    for (name, value) in &request.headers {
        post = post.header(name, value.as_str().unwrap());
    }
    let response = post.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[cfg(test)]
fn client() -> reqwest::Client {
    // Fakes have no TLS; reading the machine's authorities would take longer than the test.
    let builder = reqwest::Client::builder().tls_certs_only(std::iter::empty()).no_proxy();
    builder.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}
