//! Who is spoken like.

mod anthropic;
mod gemini;
mod ollama;
mod openai;

use std::time::Duration;

use serde_json::Value;

use crate::check::{Found, Wrong};
use crate::reply::Reply;
use crate::settings::Settings;
use crate::{Fault, Request};

/// A vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `OpenAI`'s chat completions.
    OpenAi,
    /// The same by xAI, whose errors differ.
    Xai,
    /// The same by `OpenRouter`, which tells costs and has numbers as codes.
    OpenRouter,
    /// Anthropic's Messages API.
    Anthropic,
    /// Google's Gemini.
    Gemini,
    /// Ollama's own chat.
    Ollama,
}

impl Dialect {
    /// Every vendor.
    pub const ALL: [Self; 6] = [Self::OpenAi, Self::Xai, Self::OpenRouter, Self::Anthropic, Self::Gemini, Self::Ollama];

    /// The path of the base URL that people give.
    pub(crate) fn base_path(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Xai => "/v1",
            Self::OpenRouter => "/api/v1",
            Self::Gemini => "/v1beta",
            Self::Anthropic | Self::Ollama => "",
        }
    }

    pub(crate) fn speaks(self) -> &'static dyn Speaks {
        match self {
            Self::OpenAi => &openai::Speaker::OpenAi,
            Self::Xai => &openai::Speaker::Xai,
            Self::OpenRouter => &openai::Speaker::OpenRouter,
            Self::Anthropic => &anthropic::Speaker,
            Self::Gemini => &gemini::Speaker,
            Self::Ollama => &ollama::Speaker,
        }
    }
}

/// What is asked for by method and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The model.
    Question,
    /// Which models there are.
    Models,
    /// What a model can do (Ollama).
    Show,
    /// Nothing that there is.
    Nothing,
}

/// An error in no vendor's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    Bad(Wrong),
    Unauthorized,
    Forbidden,
    NoModel(String),
    NoPath,
    RateLimited(Option<Duration>),
    Quota,
    Context,
    Content,
    Blind,
    Server,
    Unavailable,
    Overloaded,
    TooLarge,
}

impl Error {
    /// The error that a fault stands for; `None` when it is none that a vendor words.
    pub(crate) fn of(fault: &Fault, model: &str) -> Option<Self> {
        Some(match fault {
            Fault::Unauthorized => Self::Unauthorized,
            Fault::Forbidden => Self::Forbidden,
            Fault::ModelNotFound => Self::NoModel(model.to_owned()),
            Fault::RateLimited(wait) => Self::RateLimited(*wait),
            Fault::QuotaSpent => Self::Quota,
            Fault::ContextTooLong => Self::Context,
            Fault::ContentRefused => Self::Content,
            Fault::Blind => Self::Blind,
            Fault::ServerError => Self::Server,
            Fault::Unavailable => Self::Unavailable,
            Fault::Overloaded => Self::Overloaded,
            _ => return None,
        })
    }
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    CutOff,
    Thought,
    Refusal,
    Empty,
}

/// One vendor's forms.
pub(crate) trait Speaks: Sync {
    /// What is asked for.
    fn route(&self, request: &Request) -> Route;

    /// The key, where this vendor looks for it.
    fn key<'a>(&self, request: &'a Request) -> Option<&'a str>;

    /// Reads a question, up to the first rule that it breaks.
    fn read(&self, request: &Request, settings: &Settings) -> Found;

    /// A success with these words.
    fn answer(&self, request: &Request, words: &str, end: End, settings: &Settings) -> Value;

    /// A refusal.
    fn error(&self, error: &Error) -> Reply;

    /// A success that holds an error.
    fn error_in_success(&self) -> Value;

    /// The list of models.
    fn models(&self, settings: &Settings) -> Value;

    /// What is known of a model.
    fn show(&self, _settings: &Settings) -> Value {
        Value::Null
    }
}
