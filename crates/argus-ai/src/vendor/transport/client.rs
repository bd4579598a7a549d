//! The HTTP client under the transport.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::vendor::reach::Resolver;

/// Limit for name look-up, connection and TLS together.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a connection is kept for the next call. Many servers end it after 5 s, and a call that meets that moment fails;
/// it is not sent twice.
const KEEP: Duration = Duration::from_secs(4);

/// TLS is verified against the machine's certificate authorities. Proxies of the environment are not used: nothing may go
/// to a host that the configuration does not name.
///
/// # Errors
/// When the endpoint wants TLS and this machine knows no certificate authority.
pub(super) fn build(base: &Url, resolver: Resolver) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder();
    if base.scheme() == "http" {
        // Trusts nobody, and never needs to; the machine's authorities would be read in vain, and a small container for
        // a model beside it may have none.
        builder = builder.tls_certs_only(std::iter::empty());
    }
    builder
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .dns_resolver(Arc::new(resolver))
        .connect_timeout(CONNECT)
        .pool_idle_timeout(KEEP)
        .user_agent(concat!("argus/", env!("CARGO_PKG_VERSION")))
        .build()
}
