//! What a fake was told to do, and what it was asked.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::{Fault, Request, default_answer};

/// Most requests that are kept; a test that asks more often looks at them in between.
const MAX_REQUESTS: usize = 20_000;

/// Something that an endpoint does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Answers by a JSON schema.
    JsonSchema,
    /// Answers as JSON of any form; with Anthropic, tools.
    JsonObject,
    /// Being made to call a tool, with Anthropic; tools that it may call it takes.
    ForcedTool,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
    /// `max_tokens`.
    MaxTokens,
    /// Being told how much to think.
    Thinking,
    /// Pictures.
    Vision,
    /// A key: it takes requests without one, as servers at home do.
    Key,
}

/// Makes the model's words of a question.
pub(crate) type Words = Arc<dyn Fn(&Request) -> String + Send + Sync>;

/// All of it, behind one lock.
pub(crate) struct Settings {
    pub(crate) requests: Vec<Request>,
    /// How many of them are kept.
    pub(crate) most: usize,
    /// Questions so far, kept or not.
    pub(crate) questions: u64,
    pub(crate) next: VecDeque<Fault>,
    pub(crate) always: Option<Fault>,
    pub(crate) words: Words,
    pub(crate) latency: Duration,
    pub(crate) key: Option<String>,
    pub(crate) models: Option<Vec<String>>,
    pub(crate) lacks: Vec<Lack>,
    pub(crate) tokens: (u32, u32),
    pub(crate) cost: Option<f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            requests: Vec::new(),
            most: MAX_REQUESTS,
            questions: 0,
            next: VecDeque::new(),
            always: None,
            words: Arc::new(|_| default_answer().to_string()),
            latency: Duration::ZERO,
            key: None,
            models: None,
            lacks: Vec::new(),
            tokens: (1200, 40),
            cost: None,
        }
    }
}

impl Settings {
    /// Keeps a request, the newest when there are too many.
    pub(crate) fn keep(&mut self, request: Request) {
        if self.most == 0 {
            return;
        }
        if self.requests.len() >= self.most {
            self.requests.remove(0);
        }
        self.requests.push(request);
    }

    /// The fault that a question meets now.
    pub(crate) fn next_fault(&mut self) -> Option<Fault> {
        self.next.pop_front().or_else(|| self.always.clone())
    }

    pub(crate) fn lacks(&self, lack: Lack) -> bool {
        self.lacks.contains(&lack)
    }

    pub(crate) fn knows(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|names| names.iter().any(|name| name == model))
    }

    pub(crate) fn listed(&self) -> Vec<String> {
        self.models.clone().unwrap_or_else(|| vec![crate::DEFAULT_MODEL.to_owned()])
    }
}
