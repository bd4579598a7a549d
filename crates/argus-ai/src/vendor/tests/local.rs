//! A call that was found to stay in the own network stays there.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use argus_ai_sim::{AiSim, Dialect};
use argus_core::describe::DescribeFailure::{Unauthorized, Unreachable};
use argus_core::provider::ProviderConfig;
use async_trait::async_trait;

use super::super::ollama::Ollama;
use super::super::reach::Lookup;
use super::super::transport::{Auth, Transport};
use super::super::{Vendor, endpoint};
use super::{AMPLE, Reach, config, question};

/// An address of documentation (RFC 5737), which nobody has.
const OUTSIDE: &str = "203.0.113.7";

/// A book of names in which every name means the same, and that can be rewritten.
#[derive(Clone)]
struct Book(Arc<Mutex<Vec<&'static str>>>);

impl Book {
    fn new(addresses: &[&'static str]) -> Self {
        Self(Arc::new(Mutex::new(addresses.to_vec())))
    }

    fn rewrite(&self, addresses: &[&'static str]) {
        *self.0.lock().unwrap() = addresses.to_vec();
    }
}

#[async_trait]
impl Lookup for Book {
    async fn lookup(&self, _name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(self.0.lock().unwrap().iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect())
    }
}

/// A vendor at `http://ollama.lan`, whose name this book knows.
fn at_home(sim: &AiSim, book: &Book, key: bool) -> Ollama {
    let url = format!("http://ollama.lan:{}", sim.address().port());
    let mut config = config(Dialect::Ollama, &url);
    if !key {
        config.api_key = None;
    }
    let (endpoint, model) = endpoint::check(&config).unwrap();
    let names = Arc::new(book.clone());
    Ollama::new(model, Transport::with_names(endpoint, Auth::Bearer, names).unwrap())
}

#[tokio::test]
async fn a_name_that_moves_outside_is_not_followed() {
    for key in [false, true] {
        let sim = AiSim::start(Dialect::Ollama);
        let book = Book::new(&["127.0.0.1"]);
        let vendor = at_home(&sim, &book, key);
        assert_eq!(vendor.reach(AMPLE).await, Ok(Reach::Local));
        // Between the check and the connection the name comes to mean another place, alone or beside the old one.
        for moved in [&[OUTSIDE][..], &["127.0.0.1", OUTSIDE]] {
            book.rewrite(moved);
            let error = vendor.ask(&question(1), Reach::Local, AMPLE).await.result.unwrap_err();
            assert_eq!(error.kind, Unreachable, "{error}");
            assert!(error.message.ends_with("ollama.lan is outside of the own network"), "{error}");
            let error = vendor.models(Reach::Local, AMPLE).await.unwrap_err();
            assert!(error.message.ends_with("ollama.lan is outside of the own network"), "{error}");
            assert_eq!(vendor.reach(AMPLE).await, Ok(Reach::Remote));
        }
        assert!(sim.requests().is_empty());
        book.rewrite(&["127.0.0.1"]);
        assert!(vendor.ask(&question(1), Reach::Local, AMPLE).await.result.is_ok());
        assert_eq!(sim.requests()[0].header("host").unwrap(), vendor.host());
    }
}

/// The fake's own address stands for one outside: the book alone says where it is.
#[tokio::test]
async fn a_key_does_not_go_outside_in_the_clear() {
    let sim = AiSim::start(Dialect::Ollama);
    let book = Book::new(&[OUTSIDE]);
    let vendor = at_home(&sim, &book, true);
    let error = vendor.ask(&question(1), Reach::Remote, AMPLE).await.result.unwrap_err();
    assert_eq!(error.kind, Unauthorized, "{error}");
    assert!(error.message.starts_with("base_url must begin with https://: ollama.lan:"), "{error}");
    let error = vendor.models(Reach::Remote, AMPLE).await.unwrap_err();
    assert!(error.message.starts_with("base_url must begin with https://"), "{error}");
    assert!(sim.requests().is_empty());
}

#[tokio::test]
async fn addresses_need_no_look_up() {
    for (url, expected) in [
        ("http://127.0.0.1:11434", Reach::Local),
        ("http://[fd00::7]:11434", Reach::Local),
        ("http://[::ffff:8.8.8.8]:11434", Reach::Remote),
        ("https://8.8.8.8", Reach::Remote),
    ] {
        let keyless = ProviderConfig { api_key: None, ..config(Dialect::Ollama, url) };
        let vendor = super::vendor(&keyless).unwrap();
        assert_eq!(vendor.reach(AMPLE).await, Ok(expected), "{url}");
        assert_eq!(expected.is_remote(), expected == Reach::Remote);
    }
}
