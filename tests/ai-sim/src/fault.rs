//! What can go wrong.

use std::time::Duration;

use bytes::Bytes;

/// A failure, in the vendor's own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The key is wrong.
    Unauthorized,
    /// The key may not do this.
    Forbidden,
    /// There is no such model.
    ModelNotFound,
    /// Too many requests, with the wish when to come back or without.
    RateLimited(Option<Duration>),
    /// The account's money is spent.
    QuotaSpent,
    /// The question is longer than the model takes.
    ContextTooLong,
    /// A filter does not let the question through.
    ContentRefused,
    /// The model takes no pictures.
    Blind,
    /// An error of the vendor's own (500).
    ServerError,
    /// Down for now (503).
    Unavailable,
    /// Too much to do (529, or what the vendor has in its place).
    Overloaded,
    /// A proxy in front says so in HTML (502).
    BadGateway,
    /// A success that holds an error.
    ErrorInSuccess,
    /// The model answers that it does not answer.
    Refusal,
    /// The answer broke off at the limit of its length.
    CutOff,
    /// The answer broke off at the limit of its length while the model still thought; with Anthropic and Ollama, which are
    /// not asked to think, as [`Fault::CutOff`].
    ThoughtTooLong,
    /// A success whose answer has no words.
    EmptyContent,
    /// Words without the form that was asked for.
    NotStructured,
    /// A success with a body that is no JSON.
    InvalidJson,
    /// A success without a body.
    EmptyBody,
    /// Half of the body, then the connection ends.
    CutMidBody,
    /// The connection ends without a word.
    Close,
    /// No answer at all.
    Hang,
    /// The head and the beginning of a body, and nothing more.
    HangMidBody,
    /// The answer in bits, one each so long.
    SlowDrip(Duration),
    /// An answer without end, until the other side has had enough.
    Huge,
    /// The way to another place (307).
    Redirect(String),
    /// Status and an error that repeats the request's headers, with the key.
    EchoKey(u16),
    /// Words that repeat the request's headers, with the key.
    EchoKeyInAnswer,
    /// This status and body.
    Raw(u16, Bytes),
}
