//! A request's body that knows how much of it went out.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::Meter;

/// So much is handed over at once. A connection takes the next piece when it has room for it, so that what was taken of
/// an exchange that broke off is known to within what the connection buffers.
const PIECE: usize = 64 * 1024;

/// Counts what a connection takes. One that is not made takes nothing.
pub(super) struct Counted {
    inner: reqwest::Body,
    /// What came out of it and was not taken yet.
    rest: Bytes,
    meter: Meter,
}

impl Counted {
    pub(super) fn new(inner: reqwest::Body, meter: Meter) -> Self {
        Self { inner, rest: Bytes::new(), meter }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end_or_failure => return Poll::Ready(end_or_failure),
            }
        }
        let size = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(size);
        self.meter.sent(size);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.inner.size_hint().exact() {
            Some(left) => SizeHint::with_exact(left + self.rest.len() as u64),
            None => SizeHint::default(),
        }
    }
}
