//! Every request that came in, for tests to ask about.

use std::collections::VecDeque;
use std::time::Duration;

/// So many requests are remembered, and so many bytes of each body.
const REQUESTS_KEPT: usize = 50_000;
const BODY_KEPT: usize = 16 * 1024;

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Since the console was started.
    pub at: Duration,
    /// Number of the connection, counted from 1.
    pub connection: u64,
    /// Such as `GET`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// The query, empty when there is none.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The first 16 KiB.
    pub body: Vec<u8>,
    /// What was answered; 0 when the connection was dropped instead, or while the answer is being made.
    pub status: u16,
}

impl Request {
    /// The first header of that name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The list of them.
#[derive(Default)]
pub(crate) struct Journal {
    first: u64,
    requests: VecDeque<Request>,
}

impl Journal {
    /// Adds one and tells its number.
    pub(crate) fn add(&mut self, mut request: Request) -> u64 {
        request.body.truncate(BODY_KEPT);
        self.requests.push_back(request);
        if self.requests.len() > REQUESTS_KEPT {
            self.requests.pop_front();
            self.first += 1;
        }
        self.first + u64::try_from(self.requests.len()).unwrap_or(0) - 1
    }

    pub(crate) fn answered(&mut self, number: u64, status: u16) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(request) = at.and_then(|at| self.requests.get_mut(at)) {
            request.status = status;
        }
    }

    pub(crate) fn all(&self) -> Vec<Request> {
        self.requests.iter().cloned().collect()
    }

    pub(crate) fn count(&self, is: impl Fn(&Request) -> bool) -> usize {
        self.requests.iter().filter(|request| is(request)).count()
    }

    pub(crate) fn clear(&mut self) {
        self.first += u64::try_from(self.requests.len()).unwrap_or(0);
        self.requests.clear();
    }
}
