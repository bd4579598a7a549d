//! Every fault of every vendor: its kind, its sentence, when to come back, and no key anywhere.

use std::time::{Duration, Instant};

use argus_ai_sim::{AiSim, Dialect, Fault, Lack};
use argus_core::describe::DescribeFailure::{
    self, InvalidAnswer, ModelNotFound, Quota, RateLimited, ServerError, Timeout, Unauthorized, Unreachable,
};

use super::{AMPLE, HALF_KEY, Reach, ask, config, of, question, vendor};

/// What is to come of a fault: the kind of failure with the beginning of its sentence, or words.
type Expected = Result<&'static str, (DescribeFailure, &'static str)>;

/// The words of a fake that answers.
const WORDS: &str = "{\"confidence\":91,\"description\":\"A person in a dark coat walks to the door.\"";

fn table() -> Vec<(Fault, Expected)> {
    let drip = Fault::SlowDrip(Duration::from_millis(50));
    vec![
        (Fault::Unauthorized, Err((Unauthorized, "the endpoint refuses the key (HTTP 40"))),
        (Fault::Forbidden, Err((Unauthorized, "the endpoint refuses the key (HTTP 403)"))),
        (Fault::ModelNotFound, Err((ModelNotFound, "there is no such model (HTTP 40"))),
        (Fault::RateLimited(None), Err((RateLimited, "too many requests for now (HTTP 429): "))),
        (Fault::RateLimited(Some(Duration::from_secs(7))), Err((RateLimited, "too many requests for now"))),
        (Fault::QuotaSpent, Err((Quota, "the account's money or quota is spent (HTTP 4"))),
        (Fault::ContextTooLong, Err((InvalidAnswer, "the request is longer than the model takes (HTTP 400): "))),
        (Fault::ContentRefused, Err((InvalidAnswer, "the provider refuses the content (HTTP 40"))),
        (Fault::Blind, Err((InvalidAnswer, "the model takes no pictures (HTTP "))),
        (Fault::ServerError, Err((ServerError, "the provider failed (HTTP 500): "))),
        (Fault::Unavailable, Err((ServerError, "the provider is overloaded (HTTP 503): "))),
        (Fault::Overloaded, Err((ServerError, "the provider is overloaded (HTTP 5"))),
        (Fault::BadGateway, Err((ServerError, "the provider failed (HTTP 502): "))),
        (Fault::ErrorInSuccess, Err((ServerError, "the provider "))),
        (Fault::Refusal, Err((InvalidAnswer, "the model refused: "))),
        (Fault::CutOff, Ok(WORDS)),
        (Fault::EmptyContent, Ok("")),
        (Fault::NotStructured, Ok("I see a person in front of a door.")),
        (Fault::InvalidJson, Err((InvalidAnswer, "the endpoint's answer is not JSON"))),
        (Fault::EmptyBody, Err((InvalidAnswer, "the endpoint's answer is empty"))),
        (Fault::Raw(200, "{}".into()), Err((InvalidAnswer, "the endpoint answered without any "))),
        (Fault::Raw(200, "[1]".into()), Err((InvalidAnswer, "the endpoint answered without any "))),
        (Fault::Raw(204, "".into()), Err((InvalidAnswer, "the endpoint's answer is empty"))),
        (Fault::CutMidBody, Err((ServerError, "the answer broke off: "))),
        (Fault::Close, Err((ServerError, "127.0.0.1:"))),
        (Fault::Hang, Err((Timeout, "no whole answer within 0.4 s"))),
        (Fault::HangMidBody, Err((Timeout, "no whole answer within 0.4 s"))),
        (drip, Err((Timeout, "no whole answer within 0.4 s"))),
        (Fault::Huge, Err((InvalidAnswer, "the answer is larger than 4194304 bytes"))),
        (Fault::EchoKey(400), Err((InvalidAnswer, "the endpoint refuses the request (HTTP 400): you sent "))),
        (Fault::EchoKey(401), Err((Unauthorized, "the endpoint refuses the key (HTTP 401)"))),
        (Fault::EchoKey(500), Err((ServerError, "the provider failed (HTTP 500): you sent "))),
        (Fault::EchoKey(200), Err((ServerError, "the provider failed (HTTP 500): you sent "))),
    ]
}

/// Where a vendor has a form of its own for the same thing.
fn expected(dialect: Dialect, fault: &Fault, general: Expected) -> Expected {
    match (dialect, fault) {
        // Its filter answers with a success and no candidates, its model's own refusal is a finish.
        (Dialect::Gemini, Fault::ContentRefused | Fault::Refusal) => {
            Err((InvalidAnswer, "the provider's content filter held the answer back ("))
        }
        // A model at home refuses in words.
        (Dialect::Ollama, Fault::Refusal) => Ok("I'm sorry, I can't help with that."),
        _ => general,
    }
}

/// Whether the model may have worked: a success that is of no use, an answer that did not end, a connection that broke.
fn may_be_charged(dialect: Dialect, fault: &Fault) -> bool {
    match fault {
        Fault::ErrorInSuccess | Fault::Refusal | Fault::InvalidJson | Fault::EmptyBody | Fault::Huge => true,
        Fault::Raw(status, _) | Fault::EchoKey(status) => (200..300).contains(status),
        Fault::CutMidBody | Fault::Close | Fault::Hang | Fault::HangMidBody | Fault::SlowDrip(_) => true,
        Fault::ContentRefused => dialect == Dialect::Gemini,
        _ => false,
    }
}

#[tokio::test]
async fn every_fault_of_every_vendor_is_understood() {
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        for (fault, general) in table() {
            let what = format!("{dialect:?} {fault:?}");
            sim.forget();
            sim.fault_next(1, fault.clone());
            let begun = Instant::now();
            let late = matches!(fault, Fault::Hang | Fault::HangMidBody | Fault::SlowDrip(_));
            let asked = ask(&sim, if late { Duration::from_millis(400) } else { AMPLE }).await;
            assert!(begun.elapsed() < Duration::from_secs(20), "{what} took {:?}", begun.elapsed());
            assert_eq!(sim.requests().len(), 1, "{what} was asked for again");
            assert!(!asked.ask_again, "{what}");
            match (&asked.result, expected(dialect, &fault, general)) {
                (Ok(answer), Ok(words)) => {
                    assert!(answer.text.starts_with(words), "{what}: {answer:?}");
                    assert_eq!(answer.cut_off, fault == Fault::CutOff, "{what}");
                    assert_eq!((answer.tokens_input, answer.tokens_output), (Some(1200), Some(40)), "{what}");
                }
                (Err(error), Err((kind, sentence))) => {
                    assert_eq!(error.kind, kind, "{what}: {error}");
                    assert!(error.message.starts_with(sentence), "{what}: {error}");
                    let wait = match (&fault, dialect) {
                        (Fault::RateLimited(wait), _) => *wait,
                        _ => None,
                    };
                    assert_eq!(error.retry_after, wait, "{what}");
                    assert!(!error.message.contains(char::is_control), "{what}: {error}");
                }
                (result, expected) => panic!("{what}: {result:?} in place of {expected:?}"),
            }
            // A refusal that was answered was paid for.
            if fault == Fault::Refusal && asked.result.is_err() {
                assert_eq!(asked.spent.as_ref().and_then(|s| s.tokens_input), Some(1200), "{what}");
            }
            assert_eq!(asked.maybe_charged, asked.result.is_err() && may_be_charged(dialect, &fault), "{what}");
            let whole = !late && !matches!(fault, Fault::Close | Fault::CutMidBody | Fault::Huge);
            let hidden = matches!(&asked.result, Err(e) if e.kind == Unauthorized);
            assert_eq!(asked.raw.is_some(), whole && !hidden, "{what}: {:?}", asked.raw);
            assert!(asked.raw.as_ref().is_none_or(|raw| raw.chars().count() <= 65_536), "{what}");
            assert_eq!(asked.first_byte.is_some(), !matches!(fault, Fault::Close | Fault::Hang), "{what}");
            assert!(!format!("{asked:?}").contains(HALF_KEY), "{what}: {asked:?}");
        }
    }
}

#[tokio::test]
async fn waits_have_the_vendors_own_forms() {
    // Milliseconds in a header, in the body, or rounded to seconds.
    for (dialect, expected) in [(Dialect::OpenAi, 1500), (Dialect::Gemini, 1500), (Dialect::Anthropic, 1000)] {
        let sim = AiSim::start(dialect);
        sim.fault(Fault::RateLimited(Some(Duration::from_millis(1500))));
        let error = ask(&sim, AMPLE).await.result.unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_millis(expected)), "{dialect:?}");
    }
}

#[tokio::test]
async fn redirects_lead_nowhere() {
    for dialect in Dialect::ALL {
        let (sim, elsewhere) = (AiSim::start(dialect), AiSim::start(dialect));
        sim.fault(Fault::Redirect(format!("{}/chat/completions", elsewhere.base_url())));
        let error = ask(&sim, AMPLE).await.result.unwrap_err();
        assert_eq!(error.kind, InvalidAnswer, "{dialect:?}: {error}");
        assert!(error.message.starts_with("the endpoint redirects elsewhere (HTTP 307)"), "{dialect:?}: {error}");
        assert!(elsewhere.requests().is_empty(), "{dialect:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        let vendor = of(&sim);
        drop(sim);
        let asked = vendor.ask(&question(1), Reach::Local, AMPLE).await;
        assert!(!asked.maybe_charged, "{dialect:?}");
        let error = asked.result.unwrap_err();
        assert_eq!(error.kind, Unreachable, "{dialect:?}: {error}");
        assert!(error.message.contains(" cannot be reached: "), "{dialect:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_made_in_time_is_unreachable_and_costs_nothing() {
    // It takes connections and says nothing, so that the handshake never ends.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("https://{}", silent.local_addr().unwrap());
    for dialect in Dialect::ALL {
        let asked = vendor(&config(dialect, &at)).unwrap().ask(&question(1), Reach::Local, AMPLE).await;
        let error = asked.result.unwrap_err();
        assert_eq!((error.kind, asked.maybe_charged), (Unreachable, false), "{dialect:?}: {error}");
    }
}

#[tokio::test]
async fn a_wrong_key_and_an_unknown_model_are_told_by_the_list_of_models_too() {
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        sim.key("another-key");
        let error = of(&sim).models(Reach::Local, AMPLE).await.unwrap_err();
        assert_eq!(error.kind, Unauthorized, "{dialect:?}: {error}");
    }
}

#[tokio::test]
async fn a_blind_model_of_ollama_is_known_before_it_is_asked() {
    let sim = AiSim::start(Dialect::Ollama);
    assert_eq!(of(&sim).doubt(Reach::Local, AMPLE).await, None);
    sim.lacks(&[Lack::Vision]);
    let doubt = of(&sim).doubt(Reach::Local, AMPLE).await.unwrap();
    assert_eq!(doubt, "the model some-model takes no pictures: it has no vision capability");
    sim.models(&["another"]);
    assert_eq!(of(&sim).doubt(Reach::Local, AMPLE).await, None, "the question itself will tell");
}

#[tokio::test]
async fn only_what_a_connection_took_counts_as_sent() {
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        let asked = ask(&sim, AMPLE).await;
        let body = sim.requests().last().unwrap().body.len() as u64;
        assert_eq!(asked.bytes_sent, Some(body), "{dialect:?}");
        assert_eq!(asked.bytes_sent, Some(of(&sim).body_bytes(&question(1))), "{dialect:?}");
        // It went out, whatever came of it.
        sim.fault_next(1, Fault::Close);
        assert_eq!(ask(&sim, AMPLE).await.bytes_sent, Some(body), "{dialect:?}");
        // Nobody listens: nothing did.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let nowhere = config(dialect, &format!("http://{}", free.local_addr().unwrap()));
        drop(free);
        let asked = vendor(&nowhere).unwrap().ask(&question(1), Reach::Local, AMPLE).await;
        assert_eq!((asked.bytes_sent, asked.result.unwrap_err().kind), (Some(0), Unreachable));
    }
}

#[tokio::test]
async fn refusals_of_the_content_are_marked() {
    for dialect in Dialect::ALL {
        let sim = AiSim::start(dialect);
        for (fault, refused) in [
            (Fault::Refusal, true),
            (Fault::ContentRefused, true),
            (Fault::ServerError, false),
            (Fault::CutOff, false),
            (Fault::EmptyContent, false),
        ] {
            sim.fault_next(1, fault.clone());
            let asked = ask(&sim, AMPLE).await;
            // Ollama's models refuse in their own words, which are an answer.
            let expected = refused && asked.result.is_err();
            assert_eq!(asked.refused, expected, "{dialect:?} {fault:?} {asked:?}");
        }
    }
}
