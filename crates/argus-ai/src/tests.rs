//! The chain with vendors that obey the test, under time that obeys it, too.

mod ask;
mod budget;
mod change;
mod order;
mod properties;
mod repeat;
