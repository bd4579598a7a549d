//! Tickets for `/ws`: for clients that can send no header with the handshake. Good once, for 30 s.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use argus_core::{Secret, Timestamp};

use crate::auth::Credentials;
use crate::error::ApiError;
use crate::random;

/// How long a ticket is good.
pub(crate) const LIFETIME: Duration = Duration::from_secs(30);
/// Most tickets of one session that are out; one more ends its oldest, and nobody else's.
const MOST_OF_ONE: usize = 32;
/// The same of one key: a program may fetch them for all of its users at once.
const MOST_OF_KEY: usize = 1000;
/// Most tickets that are out; one more ends the oldest. Hundreds of callers would have to use up theirs.
const MOST: usize = 10_000;

/// The tickets that are out, known by their hashes.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<Out>);

#[derive(Default)]
struct Out {
    tickets: HashMap<[u8; 32], Ticket>,
    /// By their ends, hence by age: all are good for as long.
    order: BTreeSet<(Timestamp, [u8; 32])>,
    /// Those of each caller that are good, by age.
    of: HashMap<Credentials, VecDeque<[u8; 32]>>,
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
        out.make_room(of);
        out.drop_old(now, MOST - 1);
        out.tickets.insert(hash, Ticket { of, expires_at });
        out.order.insert((expires_at, hash));
        out.of.entry(of).or_default().push_back(hash);
        Ok((ticket, expires_at))
    }

    /// Takes a ticket in and gives what it stands for; `None` when it is none, was used or is old.
    pub(crate) fn redeem(&self, ticket: &str, now: Timestamp) -> Option<Credentials> {
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = out.take(&random::hash(ticket))?;
        (now < ticket.expires_at).then_some(ticket.of)
    }
}

impl Out {
    fn drop_old(&mut self, now: Timestamp, most: usize) {
        while self.order.len() > most || self.order.first().is_some_and(|(end, _)| *end <= now) {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.take(&oldest);
        }
    }

    /// Ends the oldest ticket of a caller who has as many as one may have.
    fn make_room(&mut self, of: Credentials) {
        let most = match of {
            Credentials::Key(_) => MOST_OF_KEY,
            Credentials::User(_) => MOST_OF_ONE,
        };
        let own = self.of.get(&of);
        let oldest = own.filter(|own| own.len() >= most).and_then(|own| own.front().copied());
        if let Some(oldest) = oldest {
            self.take(&oldest);
        }
    }

    fn take(&mut self, hash: &[u8; 32]) -> Option<Ticket> {
        let ticket = self.tickets.remove(hash)?;
        self.order.remove(&(ticket.expires_at, *hash));
        if let Some(own) = self.of.get_mut(&ticket.of) {
            own.retain(|other| other != hash);
            if own.is_empty() {
                self.of.remove(&ticket.of);
            }
        }
        Some(ticket)
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

    /// Another caller for each number.
    fn caller(n: usize) -> Credentials {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        Credentials::Key(hash)
    }

    #[test]
    fn who_asks_for_many_ends_only_their_own() {
        let tickets = Tickets::default();
        let (other, _) = tickets.issue(caller(0), at(0)).unwrap();
        let (first, _) = tickets.issue(caller(1), at(0)).unwrap();
        let (second, _) = tickets.issue(caller(1), at(0)).unwrap();
        for _ in 2..=MOST_OF_KEY {
            tickets.issue(caller(1), at(0)).unwrap();
        }
        assert_eq!(tickets.redeem(first.expose(), at(1)), None);
        assert_eq!(tickets.redeem(second.expose(), at(1)), Some(caller(1)));
        for _ in 0..2 * MOST {
            tickets.issue(caller(1), at(2)).unwrap();
        }
        let out = tickets.0.lock().unwrap();
        assert_eq!((out.order.len(), out.of[&caller(1)].len()), (MOST_OF_KEY + 1, MOST_OF_KEY));
        drop(out);
        assert_eq!(tickets.redeem(other.expose(), at(3)), Some(caller(0)));
    }

    #[test]
    fn a_session_has_fewer_than_a_key() {
        let tickets = Tickets::default();
        let session = Credentials::User(SessionId::new(at(0)));
        for _ in 0..2 * MOST_OF_ONE {
            tickets.issue(session, at(0)).unwrap();
        }
        assert_eq!(tickets.0.lock().unwrap().of[&session].len(), MOST_OF_ONE);
    }

    #[test]
    fn memory_has_a_bound() {
        let tickets = Tickets::default();
        let (first, _) = tickets.issue(caller(0), at(0)).unwrap();
        let (second, _) = tickets.issue(caller(1), at(1)).unwrap();
        for n in 2..=MOST {
            tickets.issue(caller(n), at(2)).unwrap();
        }
        assert_eq!(tickets.redeem(first.expose(), at(2)), None);
        assert_eq!(tickets.redeem(second.expose(), at(2)), Some(caller(1)));
        tickets.issue(caller(0), at(30_002)).unwrap();
        let out = tickets.0.lock().unwrap();
        assert_eq!((out.tickets.len(), out.order.len(), out.of.len()), (1, 1, 1));
    }
}
