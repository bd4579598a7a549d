//! Tries of a provider, and earlier requests that are sent again.

use argus_core::call::Refusal;
use argus_core::describe::{DescribeFailure, DescribeRequest, Resend};
use argus_core::event::{Area, StatusReason};
use argus_core::ports::Describer;
use argus_core::provider::{BreakerState, ProviderState, StoredProvider};

use crate::fake::{Does, FakeVendor, GOOD, Rig, builtin, jpeg, request, stored};
use crate::frames::hex;

#[tokio::test(start_paused = true)]
async fn a_try_describes_the_test_picture_and_lists_the_models() {
    let mut a = stored("a", 1);
    a.config.enabled = false;
    let vendor = FakeVendor::new([Does::Says(GOOD, 40)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    let test = rig.providers.test(&a, &rig.book).await;
    assert!(test.success);
    assert_eq!(test.message, "a described the test picture.");
    assert_eq!((test.error_kind, test.model.as_str()), (None, "fake-1"));
    assert_eq!(test.models, ["fake-1", "fake -2"]);
    assert_eq!(test.description.as_deref(), Some("A man carries a parcel."));
    assert_eq!((test.latency_ms, test.tokens_used, test.cost), (40, Some(1100), Some(0.0011)));
    assert!(rig.book.is_closed() && rig.book.names() == ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_succeeds_ends_a_pause() {
    let a = stored("a", 1);
    let vendor = FakeVendor::new([Does::Fails(DescribeFailure::Quota, 0)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    rig.providers.configure(std::slice::from_ref(&a));
    rig.providers.describe(&request(1), &rig.book).await;
    assert_eq!(rig.providers.health(a.id).state, ProviderState::Down);
    let test = rig.providers.test(&a, &rig.book).await;
    assert_eq!((test.success, test.error_kind), (false, Some(DescribeFailure::Quota)));
    assert_eq!(rig.providers.health(a.id).state, ProviderState::Down);
    vendor.now_does(Does::Says(GOOD, 0));
    assert!(rig.providers.test(&a, &rig.book).await.success);
    let health = rig.providers.health(a.id);
    assert_eq!((health.state, health.breaker), (ProviderState::Ok, BreakerState::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_try_says_why_it_was_not_made() {
    let a = stored("a", 1);
    let vendor = FakeVendor::new([Does::Says(GOOD, 0)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    let why = async |refusal| {
        *rig.book.refuses.lock().unwrap() = vec![("a".into(), refusal)];
        let test = rig.providers.test(&a, &rig.book).await;
        assert!(!test.success && test.models.is_empty());
        test.message
    };
    assert_eq!(
        why(Refusal::Budget(StatusReason::BudgetMonthly)).await,
        "it was not asked: the month's budget is spent"
    );
    assert!(why(Refusal::LocalOnly).await.contains("ai.local_only"));
    assert!(why(Refusal::Unavailable("no database".into())).await.contains("no database"));
    assert_eq!(vendor.calls(), 0);
    let nobody = stored("nobody", 1);
    assert!(rig.providers.test(&nobody, &rig.book).await.message.starts_with("it cannot be asked: "));
    assert!(rig.providers.test(&builtin(), &rig.book).await.success);
}

/// A described event with a picture that was cut, as the request that it can be sent again by.
async fn described(rig: &Rig, a: &StoredProvider) -> Resend {
    let mut asked = request(2);
    for frame in &mut asked.frames {
        frame.jpeg = jpeg(1280, 720).into();
        (frame.width, frame.height, frame.sha256) = (1280, 720, hex(&frame.jpeg));
    }
    asked.facts.area = Some(Area { x: 0.5, y: 0.5, width: 0.1, height: 0.1 });
    let asked = DescribeRequest { instruction: Some("Say\n\n[picture 1]\n\nwhat you see.".into()), ..asked };
    let record = rig.providers.describe(&asked, &rig.book).await.record;
    Resend {
        provider: a.id,
        model: record.model.unwrap(),
        prompt: record.prompt,
        parameters: record.parameters,
        frames: asked.frames,
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_sent_again_as_it_was() {
    let a = stored("a", 1);
    let vendor = FakeVendor::new([Does::WantsAnotherWay, Does::Says(GOOD, 0)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    rig.providers.configure(std::slice::from_ref(&a));
    let earlier = described(&rig, &a).await;
    // What would be sent now is another request.
    let mut changed = a.clone();
    changed.config.max_output_tokens = 999;
    rig.providers.configure(&[changed]);
    let outcome = rig.providers.resend(&earlier, &rig.book).await;
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    let asked = vendor.asked.lock().unwrap();
    let (before, again) = (&asked[1].0, &asked[2].0);
    assert_eq!((&before.prompt, &before.frames), (&again.prompt, &again.frames));
    assert_eq!(before.frames.len(), 3, "two pictures and the part of one");
    // The vendor is given the parameters of then.
    assert_eq!(again.parameters.as_ref().unwrap()["max_tokens"], 400);
    assert!(!again.parameters.as_ref().unwrap().contains_key("argus"));
    let booked = rig.book.booked.lock().unwrap();
    let (then, now) = (&booked[1].1, &booked[2].1);
    assert_eq!((&then.prompt, &then.parameters, &then.frames), (&now.prompt, &now.parameters, &now.frames));
    assert_eq!((outcome.record.prompt, outcome.record.parameters), (earlier.prompt, earlier.parameters));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_as_it_was_is_not_sent() {
    let a = stored("a", 1);
    let vendor = FakeVendor::new([Does::Says(GOOD, 0)]);
    let rig = Rig::new(&[(&a, &vendor)]);
    rig.providers.configure(std::slice::from_ref(&a));
    let earlier = described(&rig, &a).await;
    let why = async |change: &dyn Fn(&mut Resend)| {
        let mut changed = earlier.clone();
        change(&mut changed);
        let outcome = rig.providers.resend(&changed, &rig.book).await;
        outcome.result.unwrap_err().message
    };
    let other = stored("b", 2).id;
    assert_eq!(why(&|r| r.provider = other).await, "the provider is gone");
    assert_eq!(why(&|r| r.model = "fake-0".into()).await, "a is asked for fake-1 now, not for fake-0");
    assert_eq!(why(&|r| r.frames.truncate(1)).await, "it cannot be sent as it was: 2 of its 3 pictures are gone");
    for other in [0, 1] {
        // The part that was cut out is of the second one.
        let change = |r: &mut Resend| {
            r.frames[other].jpeg = jpeg(1281, 720).into();
            r.frames[other].sha256 = hex(&r.frames[other].jpeg);
        };
        assert_eq!(why(&change).await, format!("it cannot be sent as it was: picture {other} is another one now"));
    }
    assert!(why(&|r| r.prompt = "Say what you see.".into()).await.contains("does not have the form"));
    assert_eq!(vendor.calls(), 1);

    *rig.book.refuses.lock().unwrap() = vec![("a".into(), Refusal::Budget(StatusReason::BudgetDaily))];
    let outcome = rig.providers.resend(&earlier, &rig.book).await;
    assert_eq!(outcome.record.unpaid, Some(StatusReason::BudgetDaily));
    let mut off = a.clone();
    off.config.enabled = false;
    rig.providers.configure(&[off]);
    assert_eq!(why(&|_| ()).await, "a is switched off");
    assert_eq!(vendor.calls(), 1);
}
