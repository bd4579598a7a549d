//! One open WebSocket: reads the journal by its own cursor, so that no reader delays another.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use actix_ws::{CloseCode, CloseReason, Closed, Message, MessageStream, ProtocolError, Session};
use argus_core::chain;
use argus_db::{Audience, JournalEntry};
use futures_util::SinkExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::auth::{Credentials, current};
use crate::error::ApiError;
use crate::feed;
use crate::metrics::Presence;
use crate::state::Shared;

/// Most messages that wait for a slow reader.
const WAITING: usize = 1024;
/// Most bytes that wait for a slow reader.
const WAITING_BYTES: usize = 8 << 20;
/// Messages read from the journal at once.
const READ_AT_ONCE: u32 = 256;
/// Answers to the reader's own frames that wait; more are dropped, as a reader that does not read does not need them.
const ANSWERS: usize = 16;
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a connection needs beside its socket.
pub(super) struct Connection {
    shared: Data<Shared>,
    credentials: Credentials,
    audience: Audience,
    /// Number of the last message that was looked at.
    cursor: i64,
    /// Up to this number messages are read at the reader's pace, and only when nothing waits: those that were there
    /// before it came, and those that came while it was catching up. What is newer is read as it comes, and waits.
    replay_to: i64,
    waiting: VecDeque<Arc<JournalEntry>>,
    waiting_bytes: usize,
    answers: VecDeque<Message>,
    presence: Presence,
}

/// Why a connection ends.
enum End {
    /// The reader went away, or its connection broke.
    Gone,
    /// No sign of life for too long.
    Silent,
    /// We end it.
    Close(CloseCode, &'static str),
}

impl End {
    /// The close code, or why there is none: a small set, for counting.
    fn name(&self) -> &'static str {
        match self {
            Self::Gone | Self::Close(CloseCode::Normal, _) => "gone",
            Self::Silent => "silent",
            Self::Close(CloseCode::Away, _) => "1001",
            Self::Close(CloseCode::Policy, _) => "1008",
            Self::Close(CloseCode::Size, _) => "1009",
            Self::Close(CloseCode::Again, _) => "1013",
            Self::Close(..) => "other",
        }
    }
}

impl Connection {
    pub(super) fn new(
        shared: Data<Shared>,
        credentials: Credentials,
        audience: Audience,
        cursor: i64,
        first: Option<JournalEntry>,
    ) -> Self {
        let waiting_bytes = first.as_ref().map_or(0, |first| first.text.len());
        Self {
            presence: shared.metrics.ws_opened(),
            shared,
            credentials,
            audience,
            cursor,
            replay_to: cursor,
            waiting: first.into_iter().map(Arc::new).collect(),
            waiting_bytes,
            answers: VecDeque::new(),
        }
    }

    /// Serves the connection to its end and tells why it ended.
    pub(super) async fn run(mut self, mut session: Session, mut stream: MessageStream) -> &'static str {
        let end = self.serve(&mut session, &mut stream).await;
        self.shared.metrics.ws_ended(end.name());
        self.presence.waits(0);
        match end {
            End::Gone => "gone",
            End::Silent => "silent",
            End::Close(code, reason) => {
                // Before it, a slow reader has to take what is on its way: that may last as long as silence may.
                let patience = if code == CloseCode::Again { self.shared.state.timing.silence } else { FAREWELL };
                let close = session.close(Some(CloseReason { code, description: Some(reason.to_owned()) }));
                // Whoever does not take even this is dropped without it.
                tokio::select! {
                    _ = timeout(patience, close) => {}
                    () = self.shared.state.shutdown.cancelled(), if code == CloseCode::Again => {}
                }
                // Closing a socket with unread input would throw away what was sent last.
                let _ = timeout(FAREWELL, async { while let Some(Ok(_)) = stream.recv().await {} }).await;
                reason
            }
        }
    }

    async fn serve(&mut self, session: &mut Session, stream: &mut MessageStream) -> End {
        let timing = self.shared.state.timing;
        let shutdown = self.shared.state.shutdown.clone();
        let mut ping = every(timing.ping);
        let mut recheck = every(timing.recheck);
        let mut heard = Instant::now();
        let mut news = self.shared.state.db.journal_watch();
        self.replay_to = *news.borrow();
        loop {
            if let Err(end) = self.read_on(&mut news).await {
                return end;
            }
            self.presence.waits(self.waiting.len());
            let has_output = !self.answers.is_empty() || !self.waiting.is_empty();
            tokio::select! {
                () = shutdown.cancelled() => return End::Close(CloseCode::Away, "the server stops"),
                got = stream.recv() => {
                    heard = Instant::now();
                    match self.hear(got) {
                        Ok(()) => {}
                        Err(end) => return end,
                    }
                }
                _ = ping.tick() => {
                    if heard.elapsed() >= timing.silence {
                        return End::Silent;
                    }
                    self.answer(Message::Ping(bytes::Bytes::new()));
                }
                _ = recheck.tick() => {
                    if let Some(reason) = self.ended().await {
                        return End::Close(CloseCode::Policy, reason);
                    }
                }
                () = tokio::time::sleep_until(heard + timing.silence) => return End::Silent,
                sent = poll_fn(|cx| session.poll_ready_unpin(cx)), if has_output => {
                    if sent.and_then(|()| self.send_next(session)).is_err() {
                        return End::Gone;
                    }
                }
                // A long past of which little concerns takes many pages, and others are heard between them.
                () = std::future::ready(()), if self.may_read() && self.cursor < *news.borrow() => {}
                changed = news.changed(), if self.may_read() => {
                    if changed.is_err() {
                        return End::Close(CloseCode::Away, "the server stops");
                    }
                }
            }
        }
    }

    /// During a replay nothing is read while something waits; afterwards always.
    fn may_read(&self) -> bool {
        self.waiting.is_empty() || self.cursor >= self.replay_to
    }

    /// Reads what the journal has behind the cursor.
    async fn read_on(&mut self, news: &mut watch::Receiver<i64>) -> Result<(), End> {
        let newest = *news.borrow_and_update();
        if self.may_read() && newest > self.cursor {
            let before = self.cursor;
            let found = match self.shared.state.db.journal_tail(self.cursor, READ_AT_ONCE).await {
                Ok(found) => found,
                Err(failure) => {
                    tracing::warn!(error = chain(&failure), "a websocket cannot read the journal");
                    return Err(End::Close(CloseCode::Again, "the journal cannot be read now"));
                }
            };
            // An empty answer holds everything up to the newest number known before it was read: the rest is gone.
            self.cursor = found.last().map_or(newest, |last| last.seq).max(self.cursor);
            let was_behind = before < self.replay_to;
            // What expired while a replay was under way is a gap, and is told as one: by the next connection.
            if was_behind && self.is_cut_off(before).await {
                self.waiting.clear();
                return Err(End::Close(CloseCode::Again, "messages have expired: come back with after"));
            }
            for entry in found.into_iter().filter(|e| self.audience.gets(e)) {
                self.waiting_bytes += entry.text.len();
                self.waiting.push_back(entry);
            }
            if was_behind {
                // Whoever takes all that it is given is not slow, however much came meanwhile.
                self.replay_to = newest.max(self.replay_to);
            }
            let is_slow = self.waiting.len() > WAITING || self.waiting_bytes > WAITING_BYTES;
            if is_slow && self.cursor > self.replay_to {
                self.waiting.clear();
                return Err(End::Close(CloseCode::Again, "too slow: come back with after"));
            }
        }
        Ok(())
    }

    /// Whether something behind this number is no longer kept.
    async fn is_cut_off(&self, seq: i64) -> bool {
        match self.shared.state.db.journal_bounds().await {
            Ok(bounds) => bounds.oldest > seq + 1,
            // Then nobody knows: as for a gap, the reader asks anew.
            Err(_) => true,
        }
    }

    /// Puts the next frame where the socket takes it from; it was found ready before.
    fn send_next(&mut self, session: &mut Session) -> Result<(), Closed> {
        let next = self.answers.pop_front().or_else(|| {
            let entry = self.waiting.pop_front()?;
            self.waiting_bytes -= entry.text.len();
            self.shared.metrics.ws_message();
            Some(Message::Text(entry.text.as_str().into()))
        });
        next.map_or(Ok(()), |message| session.start_send_unpin(message))
    }

    fn answer(&mut self, message: Message) {
        if self.answers.len() < ANSWERS {
            self.answers.push_back(message);
        }
    }

    /// Deals with what came from the reader.
    fn hear(&mut self, got: Option<Result<Message, ProtocolError>>) -> Result<(), End> {
        match got {
            None | Some(Err(ProtocolError::Io(_))) => Err(End::Gone),
            Some(Err(ProtocolError::Overflow)) => Err(End::Close(CloseCode::Size, "frames hold at most 4 KiB")),
            Some(Err(_)) => Err(End::Close(CloseCode::Protocol, "that was no WebSocket frame")),
            Some(Ok(Message::Close(_))) => Err(End::Close(CloseCode::Normal, "as you wish")),
            Some(Ok(Message::Ping(payload))) => {
                self.answer(Message::Pong(payload));
                Ok(())
            }
            Some(Ok(Message::Text(text))) if text == "ping" => {
                self.answer(Message::Text("pong".into()));
                Ok(())
            }
            Some(Ok(_)) => Ok(()),
        }
    }

    /// Why the caller may not listen any more, if that is so.
    async fn ended(&self) -> Option<&'static str> {
        match current(&self.shared, self.credentials).await {
            Ok(Some(caller)) if !caller.has_duty() && feed::lost(&self.audience, caller.scopes()).is_none() => None,
            Ok(Some(_)) => Some("a permission has ended"),
            Ok(None) => Some("the session or key has ended"),
            Err(failure) => {
                // A database that is away for a moment ends no connection.
                log_recheck(&failure);
                None
            }
        }
    }
}

fn log_recheck(failure: &ApiError) {
    tracing::warn!(error = chain(failure), "credentials of a websocket could not be looked at again");
}

/// A timer that first ticks after its period.
fn every(period: Duration) -> tokio::time::Interval {
    let mut timer = interval(period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer.reset();
    timer
}
