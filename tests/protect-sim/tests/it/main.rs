//! The fake controller seen from outside: by a plain client, and by real ones.

mod access;
mod certify;
mod client;
mod driver;
mod faults;
mod integration;
mod media;
mod site;
mod streams;
