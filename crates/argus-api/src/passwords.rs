//! Password hashes: Argon2id, which is slow and wants memory on purpose, behind a gate.
//!
//! Two are made or checked at once, whatever is asked: each needs 19 MiB and tens of milliseconds of a core.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher as _, PasswordVerifier as _};
use argus_core::Secret;
use tokio::sync::Semaphore;

use crate::error::ApiError;

/// Hashes at once.
const AT_ONCE: usize = 2;
/// Callers that wait for their turn; more are sent away.
const WAITING: usize = 256;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the password of nobody is checked against, so that it takes as long as that of somebody. It has the form and the
/// costs of a real hash, and is the hash of nothing that is known.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$Tm9ib2R5IGhhcyB0aGlzIQ$\
                      V2hvZXZlciBmaW5kcyBhIHBhc3N3b3JkIGZvciB0aGk";

/// The gate.
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    places: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), places: Semaphore::new(AT_ONCE + WAITING) }
    }
}

impl Passwords {
    /// Hashes a password under a new salt.
    ///
    /// # Errors
    /// `Busy` when too many wait, `Secrecy` when the system gives no randomness.
    pub(crate) async fn hash(&self, password: Secret) -> Result<Secret, ApiError> {
        self.in_turn(move || hash(&password)).await
    }

    /// Whether the hash is that of the password. Without a hash it takes as long, and is not.
    ///
    /// # Errors
    /// `Busy` when too many wait, `Secrecy` when the hash is none.
    pub(crate) async fn verify(&self, password: Secret, hash: Option<Secret>) -> Result<bool, ApiError> {
        self.in_turn(move || {
            let known = hash.as_ref().map_or(NOBODY, Secret::expose);
            let parsed = PasswordHash::new(known).map_err(|e| ApiError::Secrecy(Box::new(e)))?;
            match Argon2::default().verify_password(password.expose().as_bytes(), &parsed) {
                Ok(()) => Ok(hash.is_some()),
                Err(Error::PasswordInvalid) => Ok(false),
                Err(e) => Err(ApiError::Secrecy(Box::new(e))),
            }
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        const BUSY: ApiError = ApiError::Busy("too many passwords are being checked");
        let Ok(_place) = self.places.try_acquire() else { return Err(BUSY) };
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(BUSY) };
        #[expect(clippy::disallowed_methods, reason = "hashing keeps a core busy and would stall every other request")]
        let task = tokio::task::spawn_blocking(move || {
            // The turn is over with the work, also when nobody waits for it any more.
            let _turn = turn;
            work()
        });
        task.await.unwrap_or(Err(ApiError::Panicked))
    }
}

/// Hashes a password where blocking is allowed.
///
/// # Errors
/// `Secrecy` when the system gives no randomness.
pub(crate) fn hash(password: &Secret) -> Result<Secret, ApiError> {
    let hash: Result<PasswordHash, _> = Argon2::default().hash_password(password.expose().as_bytes());
    hash.map(|h| Secret::new(h.to_string())).map_err(|e| ApiError::Secrecy(Box::new(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_fits_its_hash() {
        let passwords = Passwords::default();
        let known = passwords.hash(Secret::new("correct horse")).await.unwrap();
        let verify = |p: &str, h: Option<&Secret>| passwords.verify(Secret::new(p), h.cloned());
        assert!(verify("correct horse", Some(&known)).await.unwrap());
        assert!(!verify("correct horsf", Some(&known)).await.unwrap());
        assert!(!verify("correct horse", None).await.unwrap());
        assert!(verify("x", Some(&Secret::new("plain text"))).await.is_err());
        assert!(passwords.hash(Secret::new("correct horse")).await.unwrap() != known, "every hash has its own salt");
    }

    #[test]
    fn nobody_costs_as_much_as_somebody() {
        let real = hash(&Secret::new("x")).unwrap();
        let form = |h: &str| {
            let parts: Vec<String> = h.split('$').map(str::to_owned).collect();
            (parts[..4].to_vec(), parts[4].len(), parts[5].len())
        };
        assert_eq!(form(NOBODY), form(real.expose()));
        PasswordHash::new(NOBODY).unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_crowd_is_served_two_at_a_time() {
        let passwords = Arc::new(Passwords::default());
        let busy = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let crowd: Vec<_> = (0..40)
            .map(|_| {
                let (passwords, busy) = (Arc::clone(&passwords), Arc::clone(&busy));
                tokio::spawn(async move {
                    let work = move || {
                        let at_once = busy.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                        std::thread::yield_now();
                        busy.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        Ok(at_once)
                    };
                    passwords.in_turn(work).await.unwrap()
                })
            })
            .collect();
        for one in crowd {
            assert!(one.await.unwrap() <= AT_ONCE);
        }
    }
}
