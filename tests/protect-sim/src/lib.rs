//! A fake UniFi Protect controller that real clients accept, for tests.
//!
//! It holds one truth about a site (a recorded bootstrap) and shows it over both interfaces: the console's own one with its
//! login and its binary update stream, and the official integration interface with its keys. What happens is told over all
//! of them alike, as late, as often and in the order that a [`Script`] says; what goes wrong is said by a [`Fault`].
//! Everything is kept in a journal. It knows nothing of Argus.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use argus_protect_sim::{Options, Sim};
//!
//! let sim = Sim::start(Options::default()).await?;
//! let doorbell = sim.doorbells().remove(0);
//! let event = sim.ring(&doorbell);
//! assert_eq!(sim.happenings()[0].id, event);
//! # anyhow::Ok(())
//! # })?;
//! # anyhow::Ok(())
//! ```

mod access;
mod chance;
mod clock;
mod console;
mod fault;
pub mod fixtures;
pub mod frame;
mod happening;
mod journal;
mod log;
pub mod media;
mod model;
mod options;
mod private;
mod public;
mod reply;
mod route;
mod server;
mod sim;
mod stream;
mod tls;

pub use fault::{Body, Fault, What, When};
pub use happening::{Happening, Script, Shape};
pub use journal::Request;
pub use options::{ClipRule, CookieStyle, Early, Lags, Options, Stale, User};
pub use sim::Sim;
pub use stream::{Order, Stream};
pub use tls::Wire;
