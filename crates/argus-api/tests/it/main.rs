//! The interface as its clients see it: a real server on a free port, a real database in a temporary folder, and in place
//! of the running system one that only keeps books.

#[cfg(test)]
mod abuse;
#[cfg(test)]
mod api_keys;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod cameras;
#[cfg(test)]
mod cors;
#[cfg(test)]
mod csrf;
#[cfg(test)]
mod cupboard;
#[cfg(test)]
mod describe;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod events;
#[cfg(test)]
mod export;
#[cfg(test)]
mod health;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod jwt;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod media;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod outer;
#[cfg(test)]
mod people;
#[cfg(test)]
mod protect;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod providers_book;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod rate;
#[cfg(test)]
mod reanalyse;
#[cfg(test)]
mod reproduce;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod stats;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod tickets;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod users;
#[cfg(test)]
mod ws;
