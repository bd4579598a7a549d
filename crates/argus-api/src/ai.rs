//! AI (contract 11): providers, pictures that somebody sends, what calls came to, and what left the machine.

pub(crate) mod capabilities;
pub(crate) mod describe;
mod form;
mod picture;
pub(crate) mod providers;
mod request;
mod view;

pub use capabilities::CapabilitiesView;
pub use describe::{DescriptionView, TokensView};
pub use view::ProviderView;
