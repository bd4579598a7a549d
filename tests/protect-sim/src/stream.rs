//! The streams of a console, each a WebSocket.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::console::{Console, Open};
use crate::server::Link;

/// So many messages are taken out of a log at a time.
const BATCH: usize = 256;
/// So long a client may take to read what is sent before the connection is given up.
const SEND_LIMIT: Duration = Duration::from_secs(30);

/// A kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// `/proxy/protect/ws/updates`.
    Updates,
    /// `subscribe/devices` of the integration interface.
    Devices,
    /// `subscribe/events` of the integration interface.
    Events,
}

impl Stream {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Updates, Self::Devices, Self::Events];
}

/// What an open stream is to do.
#[derive(Clone, Debug)]
pub enum Order {
    /// Closes with a code and a reason.
    Close(u16, String),
    /// Closes the TCP connection without a close frame, which clients see as 1006.
    End,
    /// Resets the TCP connection.
    Abort,
    /// Sends nothing any more. Pings are answered, or nothing is read either (half-open).
    Silent {
        /// Whether pings are answered.
        answers_pings: bool,
    },
    /// Sends a binary message.
    Binary(Vec<u8>),
    /// Sends a text message.
    Text(String),
    /// Sends a binary message in fragments of that many bytes.
    Fragments(Vec<u8>, usize),
    /// Sends so many pings at once.
    Pings(u32),
}

/// An order, and the place in the log that comes before it.
pub(crate) struct Due {
    pub(crate) place: u64,
    pub(crate) order: Order,
}

/// What a stream starts with.
pub(crate) struct Start {
    pub(crate) stream: Stream,
    pub(crate) key: Option<String>,
    /// The place in the log to go on from; `None` when the resume id is unknown.
    pub(crate) place: Option<u64>,
    /// After so many messages this.
    pub(crate) later: Option<(u32, Order)>,
}

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How a stream goes on after an order.
enum Next {
    On,
    Silent,
    Stop,
}

/// A stream in the list of those that are open, for as long as this lives.
pub(crate) struct Entry {
    console: Arc<Console>,
    number: u64,
    inbox: mpsc::Receiver<Due>,
}

impl Entry {
    /// Adds it, so that it takes orders from when its client is told that it is open.
    pub(crate) fn new(console: &Arc<Console>, start: &Start) -> Self {
        let (orders, inbox) = mpsc::channel(64);
        let mut state = console.state();
        let number = state.next_stream;
        state.next_stream += 1;
        state.open.insert(number, Open { stream: start.stream, key: start.key.clone(), orders });
        Self { console: Arc::clone(console), number, inbox }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.console.state().open.remove(&self.number);
    }
}

/// Serves a stream until it ends.
pub(crate) async fn serve(mut entry: Entry, link: Link, upgraded: Upgraded, start: Start) {
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let console = Arc::clone(&entry.console);
    let stopped = link.stop.clone();
    tokio::select! {
        () = stopped.cancelled() => {}
        _ = run(&console, &link, &mut socket, &mut entry.inbox, start) => {}
    }
}

async fn run(
    console: &Console,
    link: &Link,
    socket: &mut Socket,
    inbox: &mut mpsc::Receiver<Due>,
    start: Start,
) -> Result<(), Error> {
    let mut changed = console.changed.subscribe();
    let Some(mut place) = start.place else {
        let order = match console.options.stale {
            crate::Stale::CloseWithReason => Order::Close(1008, "invalid lastUpdateId".into()),
            crate::Stale::Close => Order::Close(1000, String::new()),
            crate::Stale::Abort => Order::Abort,
        };
        obey(link, socket, order).await?;
        return Ok(());
    };
    let mut is_silent = console.state().mute.contains(&start.stream);
    let mut orders = VecDeque::new();
    if let Some((after, order)) = start.later {
        orders.push_back(Due { place: place + u64::from(after), order });
    }
    loop {
        changed.mark_unchanged();
        while let Ok(due) = inbox.try_recv() {
            orders.push_back(due);
        }
        // What was told before an order comes before it.
        let is_due = |due: &Due| is_silent || due.place <= place;
        if orders.front().is_some_and(is_due)
            && let Some(due) = orders.pop_front()
        {
            match obey(link, socket, due.order).await? {
                Next::On => {}
                Next::Silent => is_silent = true,
                Next::Stop => return Ok(()),
            }
            continue;
        }
        let most = orders.front().map_or(BATCH, |due| {
            usize::try_from(due.place.saturating_sub(place)).map_or(BATCH, |most| most.min(BATCH))
        });
        let batch = if is_silent { Vec::new() } else { take(console, start.stream, place, most)? };
        if !batch.is_empty() {
            place += u64::try_from(batch.len()).unwrap_or(0);
            let all = async {
                for message in batch {
                    socket.feed(message).await?;
                }
                socket.flush().await
            };
            tokio::time::timeout(SEND_LIMIT, all).await.unwrap_or(Err(Error::ConnectionClosed))?;
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            moved = changed.changed(), if !is_silent => if moved.is_err() { return Ok(()) },
            due = inbox.recv() => match due {
                None => return Ok(()),
                Some(due) => orders.push_back(due),
            },
            // Reading answers pings.
            message = socket.next() => match message {
                None | Some(Ok(Message::Close(_))) => {
                    // The other side is told that its closing was heard, if it still listens.
                    let _ = socket.flush().await;
                    return Ok(());
                }
                Some(message) => {
                    message?;
                }
            },
        }
    }
}

/// The next messages of a stream.
fn take(console: &Console, stream: Stream, place: u64, most: usize) -> Result<Vec<Message>, Error> {
    let state = console.state();
    let text = |text: String| Message::Text(text.into());
    let batch = match stream {
        Stream::Updates => state
            .updates
            .from(place, most)
            .map(|batch| batch.into_iter().map(|update| Message::Binary(update.message)).collect()),
        Stream::Devices => state.devices.from(place, most).map(|batch| batch.into_iter().map(text).collect()),
        Stream::Events => state.events.from(place, most).map(|batch| batch.into_iter().map(text).collect()),
    };
    // A reader that is too slow loses its connection, as what it missed is gone.
    batch.ok_or(Error::ConnectionClosed)
}

async fn obey(link: &Link, socket: &mut Socket, order: Order) -> Result<Next, Error> {
    match order {
        Order::Close(code, reason) => {
            let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
            socket.close(Some(frame)).await?;
            // Until the other side has closed, too, as RFC 6455 wants it.
            let rest = async { while let Some(Ok(_)) = socket.next().await {} };
            let _ = tokio::time::timeout(Duration::from_secs(2), rest).await;
            Ok(Next::Stop)
        }
        Order::End => Ok(Next::Stop),
        Order::Abort => {
            link.reset();
            Ok(Next::Stop)
        }
        Order::Silent { answers_pings: true } => Ok(Next::Silent),
        Order::Silent { answers_pings: false } => std::future::pending().await,
        Order::Binary(message) => {
            socket.send(Message::Binary(message.into())).await?;
            Ok(Next::On)
        }
        Order::Text(message) => {
            socket.send(Message::Text(message.into())).await?;
            Ok(Next::On)
        }
        Order::Fragments(message, size) => {
            let pieces: Vec<&[u8]> = message.chunks(size.max(1)).collect();
            let last = pieces.len().saturating_sub(1);
            for (at, piece) in pieces.into_iter().enumerate() {
                let kind = if at == 0 { Data::Binary } else { Data::Continue };
                let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), at == last);
                socket.send(Message::Frame(frame)).await?;
            }
            Ok(Next::On)
        }
        Order::Pings(count) => {
            for n in 0..count {
                socket.feed(Message::Ping(n.to_be_bytes().to_vec().into())).await?;
            }
            socket.flush().await?;
            Ok(Next::On)
        }
    }
}
