//! An earlier request, sent again: byte for byte the same.

use argus_ai_sim::{Dialect, Lack, Request};
use argus_core::call::Unbooked;
use argus_core::describe::Resend;
use argus_core::ports::Describer;

use crate::support::{providers, request, vendor};

fn questions(all: Vec<Request>) -> Vec<Request> {
    all.into_iter().filter(|request| !request.pictures.is_empty()).collect()
}

#[tokio::test]
async fn the_same_body_is_sent_whoever_the_vendor() {
    for dialect in Dialect::ALL {
        let (sim, provider) = vendor(dialect, 1);
        // What was learned of the endpoint then must hold now.
        if dialect == Dialect::OpenAi {
            sim.lacks(&[Lack::JsonSchema]);
        }
        let before = providers();
        before.configure(std::slice::from_ref(&provider));
        let asked = request(2);
        let record = before.describe(&asked, &Unbooked).await.record;
        let earlier = Resend {
            provider: provider.id,
            model: record.model.unwrap(),
            prompt: record.prompt,
            parameters: record.parameters,
            frames: asked.frames,
        };
        // Another program, later, with other settings: nothing is known but what is on record.
        let after = providers();
        let mut changed = provider.clone();
        (changed.config.max_output_tokens, changed.config.priority) = (999, 7);
        after.configure(&[changed]);
        let outcome = after.resend(&earlier, &Unbooked).await;
        assert!(outcome.result.is_ok(), "{dialect:?}: {:?}", outcome.result);
        let mut sent = questions(sim.requests());
        let (again, first) = (sent.pop().unwrap(), sent.pop().unwrap());
        assert_eq!((first.method, first.path, first.query), (again.method, again.path, again.query), "{dialect:?}");
        assert!(first.body == again.body, "{dialect:?}: the bodies differ");
        assert_eq!(again.pictures.len(), 3, "{dialect:?}");
    }
}
