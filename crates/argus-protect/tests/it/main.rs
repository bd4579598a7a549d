//! The client against a simulated controller, over real sockets.

mod limits;
mod media;
mod probe;
mod rig;
mod session;
mod streams;
