//! Describes a JPEG: by a vision model when one is named, else by the built-in describer.
//!
//! ```text
//! cargo run -p argus-ai --example describe_jpeg -- door.jpg --kind ollama --model qwen2.5vl:7b
//! ARGUS_AI_KEY=… cargo run -p argus-ai --example describe_jpeg -- door.jpg --kind anthropic --model claude-haiku-4-5
//! ```
//!
//! A key is read from `ARGUS_AI_KEY`, not from the arguments, which every user of a machine can see.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use argus_ai::{BUILTIN_MODEL, Providers};
use argus_core::call::Unbooked;
use argus_core::camera::AnalysisMode;
use argus_core::describe::{DescribeFrame, DescribeRequest, EventFacts, ProviderChoice};
use argus_core::event::DetectionType;
use argus_core::ports::Describer;
use argus_core::provider::{ProviderConfig, ProviderKind, StoredProvider};
use argus_core::{Clock, ProviderId, Secret, Timestamp};
use clap::Parser;
use sha2::{Digest as _, Sha256};

/// Describes a JPEG.
#[derive(Parser)]
struct Args {
    /// The picture.
    jpeg: PathBuf,
    /// Who is asked: openai, xai, anthropic, gemini, ollama or `openai_compatible`.
    #[arg(long, default_value = "openai_compatible")]
    kind: String,
    /// The model to ask; without one, the built-in describer answers alone.
    #[arg(long)]
    model: Option<String>,
    /// Where it is asked; the vendor's own address when absent.
    #[arg(long)]
    base_url: Option<String>,
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
    let (width, height) = image::load_from_memory(&jpeg).map(|image| (image.width(), image.height()))?;

    let providers = Providers::new(Arc::new(Wall));
    let mut all = Vec::new();
    if let Some(model) = &args.model {
        let kind: ProviderKind = args.kind.parse()?;
        #[expect(clippy::disallowed_methods, reason = "a program's edge, where configuration comes in")]
        let api_key = std::env::var("ARGUS_AI_KEY").ok().map(Secret::new);
        let provider = stored(kind, model, args.base_url.clone(), api_key, 1);
        providers.check(&provider.config)?;
        all.push(provider);
    }
    // Last: whatever fails before, something true is said.
    all.push(stored(ProviderKind::Builtin, BUILTIN_MODEL, None, None, 1000));
    providers.configure(&all);

    let request = DescribeRequest {
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
        picture: None,
        instruction: args.instruction,
        usual: None,
        language: args.language,
        timezone: "UTC".into(),
        mode: AnalysisMode::SingleFrame,
        choice: ProviderChoice::default(),
        within: Duration::from_secs(240),
    };
    let outcome = providers.describe(&request, &Unbooked).await;
    for step in &outcome.record.fallback_path {
        println!("{} did not answer: {}: {}", step.provider_name, step.error_kind, step.message);
    }
    let words = outcome.result?;
    println!("{}", words.text);
    println!(
        "by {}, model {}; objects {:?}; confidence {:?}; tokens {:?} in, {:?} out; {:?} dollars; {:?} ms",
        outcome.record.provider.unwrap_or_default(),
        outcome.record.model.unwrap_or_default(),
        words.objects.iter().map(|o| o.as_str()).collect::<Vec<_>>(),
        words.confidence,
        outcome.record.tokens_input,
        outcome.record.tokens_output,
        outcome.record.cost,
        outcome.record.latency_ms,
    );
    Ok(())
}

fn stored(
    kind: ProviderKind,
    model: &str,
    base_url: Option<String>,
    api_key: Option<Secret>,
    priority: u16,
) -> StoredProvider {
    let now = Wall.now();
    let config = ProviderConfig {
        kind,
        name: kind.as_str().to_owned(),
        model: model.to_owned(),
        base_url,
        api_key,
        enabled: true,
        priority,
        timeout_s: 120,
        max_output_tokens: 400,
        prices: None,
        max_concurrent: 1,
        requests_per_minute: None,
    };
    StoredProvider { id: ProviderId::new(now), created_at: now, updated_at: now, config }
}
