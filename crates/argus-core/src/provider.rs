//! A provider of descriptions: how it is reached, what it costs, and how it is doing.

use serde::Serialize;

use crate::describe::DescribeFailure;
use crate::names::names;
use crate::{ProviderId, Secret, Timestamp};

names! {
    /// What kind of provider.
    ProviderKind {
        /// `OpenAI` itself.
        OpenAi = "openai",
        /// xAI Grok.
        Xai = "xai",
        /// Anthropic's Messages API.
        Anthropic = "anthropic",
        /// Google Gemini.
        Gemini = "gemini",
        /// Ollama by its own API.
        Ollama = "ollama",
        /// Whatever speaks as `OpenAI` does: `OpenRouter`, LM Studio, vLLM, llama.cpp, `LocalAI`.
        OpenAiCompatible = "openai_compatible",
        /// From what was measured, without any network.
        Builtin = "builtin",
    }
}

/// Prices of a model in US dollars per million tokens; `None` when unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Prices {
    /// Of what is sent.
    #[cfg_attr(feature = "openapi", schema(required, minimum = 0))]
    pub input_per_million: Option<f64>,
    /// Of what is answered.
    #[cfg_attr(feature = "openapi", schema(required, minimum = 0))]
    pub output_per_million: Option<f64>,
}

/// How a provider is reached and asked.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderConfig {
    /// What it speaks.
    pub kind: ProviderKind,
    /// 1..100 characters, unique ignoring case.
    pub name: String,
    /// 1..200 characters.
    pub model: String,
    /// http or https, without credentials; `None`: that of the kind.
    pub base_url: Option<String>,
    /// At most 512 characters.
    pub api_key: Option<Secret>,
    /// Whether it is asked.
    pub enabled: bool,
    /// 1..1000, lower comes first.
    pub priority: u16,
    /// 1..300, of one call.
    pub timeout_s: u16,
    /// 16..4096.
    pub max_output_tokens: u16,
    /// What was set by hand; `None`: as the price table says.
    pub prices: Option<Prices>,
    /// 1..64, calls at the same time.
    pub max_concurrent: u8,
    /// 1..10000 calls begun in a minute; `None`: no limit.
    pub requests_per_minute: Option<u16>,
}

/// A provider as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredProvider {
    /// Names it.
    pub id: ProviderId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// How it is reached.
    pub config: ProviderConfig,
}

names! {
    /// How a provider is doing.
    ProviderState {
        /// Not asked since the server started.
        Unknown = "unknown",
        /// Its last call was answered.
        Ok = "ok",
        /// Its last call failed.
        Degraded = "degraded",
        /// It is left alone for a while.
        Down = "down",
    }
}

names! {
    /// Whether a provider is asked at all.
    BreakerState {
        /// It is.
        Closed = "closed",
        /// Not for a while, after failures in a row.
        Open = "open",
        /// The next call decides.
        HalfOpen = "half_open",
    }
}

/// How a provider is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProviderHealth {
    /// In a word.
    pub state: ProviderState,
    /// The last failure, as a sentence.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_error: Option<String>,
    /// When that was.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_error_at: Option<Timestamp>,
    /// The last answer.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_success_at: Option<Timestamp>,
    /// Whether it is asked.
    pub breaker: BreakerState,
    /// Until when it is not.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub breaker_until: Option<Timestamp>,
}

impl ProviderHealth {
    /// Of a provider that was not asked yet.
    pub const UNKNOWN: Self = Self {
        state: ProviderState::Unknown,
        last_error: None,
        last_error_at: None,
        last_success_at: None,
        breaker: BreakerState::Closed,
        breaker_until: None,
    };
}

/// What a provider can take and give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProviderCapabilities {
    /// Pictures in one call.
    pub max_images: u32,
    /// Such as `image/jpeg`.
    pub image_formats: Vec<String>,
    /// Whether the form of the answer can be demanded.
    pub json_output: bool,
}

/// What is known of a kind of provider (`GET /ai/capabilities`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KindInfo {
    /// The kind.
    pub kind: ProviderKind,
    /// Whether there is an enabled provider of it.
    pub configured: bool,
    /// Whether it needs a key.
    pub needs_key: bool,
    /// Whether it needs an address.
    pub needs_base_url: bool,
    /// The address when none is given.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub default_base_url: Option<String>,
    /// The model when none is given.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub default_model: Option<String>,
    /// Pictures in one call.
    pub max_images: u32,
    /// Such as `image/jpeg`.
    pub image_formats: Vec<String>,
    /// Whether the form of the answer can be demanded.
    pub json_output: bool,
}

/// How the try of a provider came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProviderTest {
    /// It described the built-in picture.
    pub success: bool,
    /// What happened, as a sentence.
    pub message: String,
    /// Kind of failure.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub error_kind: Option<DescribeFailure>,
    /// The model that was asked.
    pub model: String,
    /// Models that it offers, where it can list them; empty otherwise.
    pub models: Vec<String>,
    /// What it said of the picture.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub description: Option<String>,
    /// Whole call.
    pub latency_ms: u32,
    /// In and out together.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub tokens_used: Option<u32>,
    /// US dollars.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub cost: Option<f64>,
}
