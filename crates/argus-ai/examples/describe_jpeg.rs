//! Describes a JPEG: by a model behind an OpenAI-compatible endpoint when one is named, else by the built-in describer.
//!
//! ```text
//! cargo run -p argus-ai --example describe_jpeg -- door.jpg --base-url http://127.0.0.1:1234/v1 --model qwen2.5-vl-7b
//! ```
//!
//! A key is read from `OPENAI_API_KEY`, not from the arguments, which every user of a machine can see.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use argus_ai::{Builtin, Chain, OPENAI_BASE_URL, OpenAi, OpenAiConfig, OpenAiKind, Provider};
use argus_core::camera::AnalysisMode;
use argus_core::describe::{DescribeFrame, DescribeRequest, EventFacts, ProviderChoice};
use argus_core::event::DetectionType;
use argus_core::ports::Describer;
use argus_core::{Clock, Secret, Timestamp};
use clap::Parser;
use sha2::{Digest as _, Sha256};

/// Describes a JPEG.
#[derive(Parser)]
struct Args {
    /// The picture.
    jpeg: PathBuf,
    /// The model to ask; without one, the built-in describer answers alone.
    #[arg(long)]
    model: Option<String>,
    /// Where it is asked.
    #[arg(long, default_value = OPENAI_BASE_URL)]
    base_url: String,
    /// What to ask instead of the built-in task.
    #[arg(long)]
    instruction: Option<String>,
    /// Tag of the language of the answer.
    #[arg(long, default_value = "en")]
    language: String,
}

/// The machine's clock.
struct Wall;

impl Clock for Wall {
    #[expect(clippy::disallowed_methods, reason = "a program's edge, where time comes in")]
    fn now(&self) -> Timestamp {
        jiff::Timestamp::now().into()
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the result of a command-line program")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let jpeg = std::fs::read(&args.jpeg).with_context(|| format!("{} cannot be read", args.jpeg.display()))?;
    ensure!(jpeg.starts_with(&[0xff, 0xd8]), "{} is not a JPEG", args.jpeg.display());
    let (width, height) = size(&jpeg).context("the JPEG has no frame header")?;

    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    if let Some(model) = args.model {
        let kind = if args.base_url == OPENAI_BASE_URL { OpenAiKind::OpenAi } else { OpenAiKind::Compatible };
        let mut config = OpenAiConfig::new(kind, args.base_url, model);
        #[expect(clippy::disallowed_methods, reason = "a program's edge, where configuration comes in")]
        let key = std::env::var("OPENAI_API_KEY").ok();
        config.api_key = key.map(Secret::new);
        providers.push(Arc::new(OpenAi::new(config)?));
    }
    // Last: whatever fails before, something true is said.
    providers.push(Arc::new(Builtin::new()));

    let outcome = Chain::new(providers, Arc::new(Wall))
        .describe(
            &DescribeRequest {
                frames: vec![DescribeFrame {
                    index: 0,
                    offset_ms: 0,
                    sha256: Sha256::digest(&jpeg).iter().map(|b| format!("{b:02x}")).collect(),
                    jpeg: jpeg.into(),
                    width,
                    height,
                }],
                facts: EventFacts {
                    camera_name: args.jpeg.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
                    started_at: Wall.now(),
                    duration_ms: Some(0),
                    detection_type: DetectionType::Motion,
                    zones: vec![],
                    area: None,
                    largest_ratio: None,
                    first_center: None,
                    last_center: None,
                    confidence: 50,
                },
                instruction: args.instruction,
                usual: None,
                language: args.language,
                timezone: "UTC".into(),
                mode: AnalysisMode::SingleFrame,
                choice: ProviderChoice::default(),
                within: std::time::Duration::from_secs(240),
            },
            &argus_core::call::Unbooked,
        )
        .await;

    for step in &outcome.record.fallback_path {
        println!("{} did not answer: {}: {}", step.provider_name, step.error_kind, step.message);
    }
    let words = outcome.result?;
    println!("{}", words.text);
    println!(
        "by {}, model {}; objects {:?}; confidence {:?}; tokens {:?} in, {:?} out; {:?} ms",
        outcome.record.provider.unwrap_or_default(),
        outcome.record.model.unwrap_or_default(),
        words.objects.iter().map(|o| o.as_str()).collect::<Vec<_>>(),
        words.confidence,
        outcome.record.tokens_input,
        outcome.record.tokens_output,
        outcome.record.latency_ms,
    );
    Ok(())
}

/// Width and height from the frame header (ITU-T T.81, B.2.2), pixels.
fn size(jpeg: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        let [0xff, marker, high, low] = *jpeg.get(at..at + 4)? else { return None };
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let [h1, h0, w1, w0] = *jpeg.get(at + 5..at + 9)? else { return None };
            return Some((u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into()));
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
}
