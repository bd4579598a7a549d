//! Describers against real HTTP servers on the loopback, and the chain against describers that obey the test.

// `cfg(test)`, which always holds here, tells clippy that helpers beside the tests are tests, too.
#[cfg(test)]
mod chain;
#[cfg(test)]
mod openai;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod server;

use argus_core::Timestamp;
use argus_core::camera::AnalysisMode;
use argus_core::describe::{DescribeFrame, DescribeRequest, EventFacts, ProviderChoice};
use argus_core::event::DetectionType;
use bytes::Bytes;

/// A request with so many pictures, each of different bytes.
fn request(pictures: u8) -> DescribeRequest {
    DescribeRequest {
        frames: (0..pictures)
            .map(|n| DescribeFrame {
                index: u32::from(n),
                offset_ms: i64::from(n) * 1000,
                jpeg: Bytes::from(vec![0xff, 0xd8, 0xff, n, 0xff, 0xd9]),
                sha256: format!("{n:064x}"),
                width: 640,
                height: 360,
            })
            .collect(),
        facts: EventFacts {
            camera_name: "Front door".into(),
            started_at: Timestamp::from_millis(1_766_485_800_000),
            duration_ms: Some(8_000),
            detection_type: DetectionType::Motion,
            zones: vec!["Path".into()],
            area: None,
            largest_ratio: None,
            first_center: None,
            last_center: None,
            confidence: 70,
        },
        instruction: None,
        usual: None,
        language: "en".into(),
        timezone: "UTC".into(),
        mode: AnalysisMode::MultiFrame,
        choice: ProviderChoice::default(),
        within: std::time::Duration::from_secs(240),
    }
}
