//! AI: providers, pictures that somebody sends, what calls came to, and what left the machine.

pub(crate) mod capabilities;
pub(crate) mod describe;
pub(crate) mod egress;
mod form;
mod picture;
pub(crate) mod providers;
mod request;
mod sent;
mod shallow;
pub(crate) mod usage;
mod view;

pub(crate) use request::READ_ONLY;

pub use capabilities::CapabilitiesView;
pub use describe::{DescriptionView, TokensView};
pub use egress::{EgressDays, EgressView};
pub use sent::{SentCall, SentPicture};
pub use usage::UsageView;
pub use view::ProviderView;
