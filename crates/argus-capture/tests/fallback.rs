//! A decoder that cannot be started is passed over, wherever one is needed. Alone in its process, as it registers one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "it/common.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use all of it")]
mod common;

use std::time::Duration;

use argus_capture::GateMode;
use argus_core::PrivacyMask;
use argus_core::camera::Source;
use argus_core::ports::{CameraFeeds, FeedPlan};
use argus_core::zone::{Point, Zone, ZoneKind};
use common::{Bench, pattern, pictures, plan};
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

mod imp {
    use std::sync::LazyLock;

    use gstreamer as gst;
    use gstreamer::glib;
    use gstreamer::subclass::prelude::*;

    /// Says that it decodes H.264 and has nothing to do it with.
    #[derive(Debug, Default)]
    pub struct Broken;

    #[glib::object_subclass]
    impl ObjectSubclass for Broken {
        const NAME: &'static str = "ArgusBrokenDecoder";
        type Type = super::Broken;
        type ParentType = gst::Element;
    }

    impl ObjectImpl for Broken {}
    impl GstObjectImpl for Broken {}

    impl ElementImpl for Broken {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new("broken", "Codec/Decoder/Video", "cannot be linked", "Argus")
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let pad = |name, direction, media: &str| {
                    let caps = gst::Caps::new_empty_simple(media);
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Sometimes, &caps).unwrap()
                };
                vec![
                    pad("sink", gst::PadDirection::Sink, "video/x-h264"),
                    pad("src", gst::PadDirection::Src, "video/x-raw"),
                ]
            });
            &TEMPLATES
        }
    }
}

glib::wrapper! {
    /// A decoder of the first rank that cannot be linked.
    pub struct Broken(ObjectSubclass<imp::Broken>) @extends gst::Element, gst::Object;
}

#[tokio::test]
async fn the_next_decoder_takes_the_place_of_one_that_cannot_be_started() {
    gst::init().unwrap();
    gst::Element::register(None, "argusbroken", gst::Rank::from(1000), Broken::static_type()).unwrap();
    let bench = Bench::new();
    let vertices = [(0.0, 0.0), (0.1, 0.0), (0.1, 0.1)].map(|(x, y)| Point { x, y }).to_vec();
    let zone = Zone { id: "z".into(), name: "z".into(), kind: ZoneKind::Privacy, enabled: true, vertices };
    for privacy in [PrivacyMask::default(), PrivacyMask::from_zones(&[zone])] {
        let plan = FeedPlan { privacy, ..plan(Source::Test(pattern()), Some(5)) };
        let mut feed = bench.feeds(GateMode::Off).open(plan);
        let mut first = None;
        while first.is_none() {
            if let Some(argus_core::ports::FeedItem::Picture(p)) = common::next(&mut feed).await {
                first = Some(p.taken_at);
            }
        }
        let from = first.unwrap();
        let snapshot = feed.handle.snapshot(None).await.unwrap();
        assert_eq!((snapshot.width, snapshot.height), (320, 180));
        pictures(&mut feed, 3).await;
        let recorder = feed.handle.start_clip(from).await.unwrap();
        let clip = recorder.finish(from.plus(Duration::from_secs(1))).await.unwrap();
        assert!(clip.bytes > 0);
        feed.handle.stop().await;
    }
}
