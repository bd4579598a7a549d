//! What Argus itself costs for a description: everything but the vendor's own time.
//!
//! A vendor's double runs on the loopback and answers at once. For each kind and number of pictures this tells the time of
//! one description from end to end, processor time and allocations of the thread that makes it (the vendor's threads are
//! not among them), and how often the pictures were copied: bytes allocated, divided by the pictures' bytes. Base64 alone
//! is 1.33. A part that is cut out of a picture is made on a thread of its own: it is in the time alone.
//!
//! ```text
//! cargo xtask bench ai
//! cargo xtask bench ai -- --quick
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use argus_ai::Providers;
use argus_ai_sim::{AiSim, Dialect};
use argus_core::call::Unbooked;
use argus_core::camera::AnalysisMode;
use argus_core::describe::{DescribeFrame, DescribeRequest, EventFacts, ProviderChoice};
use argus_core::event::{Area, DetectionType};
use argus_core::ports::Describer;
use argus_core::provider::{ProviderConfig, ProviderKind, StoredProvider};
use argus_core::{ManualClock, ProviderId, Secret, Timestamp};
use clap::Parser;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use sha2::{Digest as _, Sha256};

/// Measures the overhead of a description.
#[derive(Parser)]
struct Args {
    /// Few repeats: whether it runs, not how fast.
    #[arg(long)]
    quick: bool,
    /// Descriptions for each figure.
    #[arg(long, default_value_t = 200)]
    repeats: u32,
}

/// Counts what is allocated on threads that asked for it: the vendor's is not among them.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static COUNTED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

#[expect(unsafe_code, reason = "an allocator that counts is the only way to see what is allocated")]
// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTED.try_with(std::cell::Cell::get).unwrap_or(false) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        }
        // SAFETY: the layout is the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: it came from there, with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(clippy::print_stdout, reason = "the result of a command-line program")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let repeats = if args.quick { 3 } else { args.repeats.max(1) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{repeats} descriptions each; pictures of 1920 x 1080");
    println!(
        "{:<10} {:>8} {:>6} {:>12} {:>12} {:>14} {:>12} {:>8}",
        "vendor", "pictures", "part", "median ms", "cpu ms", "allocations", "MB alloc", "copies"
    );
    COUNTED.set(true);
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini, Dialect::Ollama] {
        for (pictures, part) in [(1, false), (5, false), (20, false), (5, true)] {
            let row = runtime.block_on(measure(dialect, pictures, part, repeats))?;
            println!(
                "{:<10} {:>8} {:>6} {:>12.2} {:>12.2} {:>14} {:>12.2} {:>8.2}",
                format!("{dialect:?}"),
                pictures,
                part,
                row.median.as_secs_f64() * 1e3,
                row.cpu.as_secs_f64() * 1e3,
                row.allocations,
                row.megabytes,
                row.copies,
            );
        }
    }
    Ok(())
}

/// Of one description.
struct Row {
    median: Duration,
    cpu: Duration,
    allocations: u64,
    megabytes: f64,
    copies: f64,
}

async fn measure(dialect: Dialect, pictures: u32, part: bool, repeats: u32) -> anyhow::Result<Row> {
    let sim = AiSim::start(dialect);
    sim.models(&["vision-1"]);
    let providers = Providers::new(Arc::new(ManualClock::new(now())));
    providers.configure(&[provider(dialect, sim.base_url())]);
    let request = request(pictures, part)?;
    let size: usize = request.frames.iter().map(|frame| frame.jpeg.len()).sum();
    // The first makes the connection.
    providers.describe(&request, &Unbooked).await.result?;
    let mut times = Vec::new();
    let (allocations, bytes) = (ALLOCATIONS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
    let cpu = thread_cpu();
    for _ in 0..repeats {
        let begun = Instant::now();
        let outcome = providers.describe(&request, &Unbooked).await;
        times.push(begun.elapsed());
        outcome.result?;
        sim.forget();
    }
    let cpu = thread_cpu().zip(cpu).map(|(after, before)| after.saturating_sub(before)).unwrap_or_default();
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - allocations;
    let bytes = BYTES.load(Ordering::Relaxed) - bytes;
    times.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "figures for reading")]
    let (bytes, size) = (bytes as f64 / f64::from(repeats), size as f64);
    Ok(Row {
        median: times.get(times.len() / 2).copied().context("nothing was measured")?,
        cpu: cpu / repeats,
        allocations: allocations / u64::from(repeats),
        megabytes: bytes / 1e6,
        copies: bytes / size,
    })
}

/// Processor time of this thread (`/proc/thread-self/schedstat`, nanoseconds); `None` where there is none.
fn thread_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_766_485_800_000)
}

fn provider(dialect: Dialect, base_url: String) -> StoredProvider {
    let kind = match dialect {
        Dialect::OpenAi => ProviderKind::OpenAi,
        Dialect::Xai => ProviderKind::Xai,
        Dialect::OpenRouter => ProviderKind::OpenAiCompatible,
        Dialect::Anthropic => ProviderKind::Anthropic,
        Dialect::Gemini => ProviderKind::Gemini,
        Dialect::Ollama => ProviderKind::Ollama,
    };
    let config = ProviderConfig {
        kind,
        name: kind.as_str().to_owned(),
        model: "vision-1".to_owned(),
        base_url: Some(base_url),
        api_key: Some(Secret::new("sk-bench")),
        enabled: true,
        priority: 1,
        timeout_s: 30,
        max_output_tokens: 400,
        prices: None,
        max_concurrent: 1,
        requests_per_minute: None,
    };
    StoredProvider { id: ProviderId::new(now()), created_at: now(), updated_at: now(), config }
}

fn request(pictures: u32, part: bool) -> anyhow::Result<DescribeRequest> {
    let frame = |index: u32| -> anyhow::Result<DescribeFrame> {
        let level = |n: u32| u8::try_from(n % 256).unwrap_or_default();
        let image = RgbImage::from_fn(1920, 1080, |x, y| Rgb([level(x / 8 + index), level(y / 4), level(x * y / 512)]));
        let mut jpeg = Vec::new();
        image.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, 85))?;
        let sha256 = Sha256::digest(&jpeg).iter().map(|b| format!("{b:02x}")).collect();
        Ok(DescribeFrame {
            index,
            offset_ms: i64::from(index) * 500,
            jpeg: jpeg.into(),
            sha256,
            width: 1920,
            height: 1080,
        })
    };
    Ok(DescribeRequest {
        frames: (0..pictures).map(frame).collect::<Result<_, _>>()?,
        facts: EventFacts {
            camera_name: "Front door".to_owned(),
            started_at: now(),
            duration_ms: Some(8_000),
            detection_type: DetectionType::Motion,
            zones: vec!["Path".to_owned()],
            area: part.then_some(Area { x: 0.6, y: 0.5, width: 0.1, height: 0.15 }),
            largest_ratio: None,
            first_center: None,
            last_center: None,
            confidence: 70,
        },
        picture: None,
        instruction: None,
        usual: None,
        language: "en".to_owned(),
        timezone: "UTC".to_owned(),
        mode: AnalysisMode::MultiFrame,
        choice: ProviderChoice::default(),
        within: Duration::from_secs(60),
    })
}
