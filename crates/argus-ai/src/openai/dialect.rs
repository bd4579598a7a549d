//! What an endpoint understands of the ways to ask for JSON and to limit its length.

use super::config::OpenAiKind;
use super::fault::Fault;

/// How the form of the answer is asked for, from the strictest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `response_format` of type `json_schema`.
    Schema,
    /// `response_format` of type `json_object`.
    Object,
    /// By the prompt alone.
    Prompt,
}

/// How the length of the answer is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// OpenAI's present name; its newer models refuse the old one.
    MaxCompletionTokens,
    /// The old name, which every compatible server knows.
    MaxTokens,
}

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) format: Format,
    pub(super) limit: Limit,
    /// Whether the other name of the limit was refused, so that the two are not tried in turns for ever.
    switched: bool,
}

impl Dialect {
    /// The way to begin with.
    pub(super) fn of(kind: OpenAiKind) -> Self {
        let limit = match kind {
            OpenAiKind::OpenAi => Limit::MaxCompletionTokens,
            OpenAiKind::Compatible => Limit::MaxTokens,
        };
        Self { format: Format::Schema, limit, switched: false }
    }

    /// The next way to ask after a refusal that is about this one. There are at most three steps.
    pub(super) fn simpler(self, fault: &Fault) -> Option<Self> {
        if fault.refused_limit && !self.switched {
            let limit = match self.limit {
                Limit::MaxCompletionTokens => Limit::MaxTokens,
                Limit::MaxTokens => Limit::MaxCompletionTokens,
            };
            return Some(Self { limit, switched: true, ..self });
        }
        if fault.refused_format {
            let format = match self.format {
                Format::Schema => Format::Object,
                Format::Object => Format::Prompt,
                Format::Prompt => return None,
            };
            return Some(Self { format, ..self });
        }
        None
    }
}
