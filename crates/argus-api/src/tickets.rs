//! Tickets for `/ws`: for clients that can send no header with the handshake. Good once, for 30 s (contract 4.5).

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use argus_core::{Secret, Timestamp};

use crate::auth::Credentials;
use crate::error::ApiError;
use crate::random;

/// How long a ticket is good.
pub(crate) const LIFETIME: Duration = Duration::from_secs(30);
/// Most tickets that are out; one more ends the oldest.
const MOST: usize = 10_000;

/// The tickets that are out, known by their hashes.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<Out>);

#[derive(Default)]
struct Out {
    tickets: HashMap<[u8; 32], Ticket>,
    /// By age: all are good for as long.
    order: VecDeque<([u8; 32], Timestamp)>,
}

struct Ticket {
    of: Credentials,
    expires_at: Timestamp,
}

impl Tickets {
    /// Makes a ticket that stands for these credentials.
    pub(crate) fn issue(&self, of: Credentials, now: Timestamp) -> Result<(Secret, Timestamp), ApiError> {
        let ticket = random::token()?;
        let (hash, expires_at) = (random::hash(ticket.expose()), now.plus(LIFETIME));
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.drop_old(now, MOST - 1);
        out.tickets.insert(hash, Ticket { of, expires_at });
        out.order.push_back((hash, expires_at));
        Ok((ticket, expires_at))
    }

    /// Takes a ticket in and gives what it stands for; `None` when it is none, was used or is old.
    pub(crate) fn redeem(&self, ticket: &str, now: Timestamp) -> Option<Credentials> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = out.tickets.remove(&random::hash(ticket))?;
        (now < ticket.expires_at).then_some(ticket.of)
    }
}

impl Out {
    fn drop_old(&mut self, now: Timestamp, most: usize) {
        while self.order.len() > most || self.order.front().is_some_and(|(_, end)| *end <= now) {
            let Some((hash, _)) = self.order.pop_front() else { break };
            self.tickets.remove(&hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use argus_core::SessionId;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_766_485_800_000 + ms)
    }

    #[test]
    fn a_ticket_is_good_once_and_for_30_s() {
        let tickets = Tickets::default();
        let of = Credentials::User(SessionId::new(at(0)));
        let (ticket, until) = tickets.issue(of, at(0)).unwrap();
        assert_eq!(until, at(30_000));
        assert_eq!(tickets.redeem("x", at(0)), None);
        assert_eq!(tickets.redeem(ticket.expose(), at(29_999)), Some(of));
        assert_eq!(tickets.redeem(ticket.expose(), at(29_999)), None);
        let (ticket, _) = tickets.issue(of, at(0)).unwrap();
        assert_eq!(tickets.redeem(ticket.expose(), at(30_000)), None);
    }

    #[test]
    fn memory_has_a_bound() {
        let tickets = Tickets::default();
        let of = Credentials::User(SessionId::new(at(0)));
        let (first, _) = tickets.issue(of, at(0)).unwrap();
        let (second, _) = tickets.issue(of, at(0)).unwrap();
        for _ in 2..=MOST {
            tickets.issue(of, at(0)).unwrap();
        }
        assert_eq!(tickets.redeem(first.expose(), at(1)), None);
        assert_eq!(tickets.redeem(second.expose(), at(1)), Some(of));
        tickets.issue(of, at(30_000)).unwrap();
        let out = tickets.0.lock().unwrap();
        assert_eq!((out.tickets.len(), out.order.len()), (1, 1));
    }
}
