//! The interface as its clients see it: a real server on a free port, a real database in a temporary folder, and in place
//! of the running system one that only keeps books.

#[cfg(test)]
mod auth;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod cameras;
#[cfg(test)]
mod events;
#[cfg(test)]
mod export;
#[cfg(test)]
mod health;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod media;
#[cfg(test)]
mod outer;
#[cfg(test)]
mod rate;
#[cfg(test)]
mod reanalyse;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod stats;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod ws;
