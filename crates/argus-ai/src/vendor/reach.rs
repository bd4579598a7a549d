//! Where a host is: in the own network, or outside.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use argus_core::describe::{DescribeError, DescribeFailure};
use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::provider::failure;
use crate::text::one_line;

/// Whether a call leaves the own network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Every address of the host is loopback, link-local or private.
    Local,
    /// At least one is not.
    Remote,
}

impl Reach {
    /// For the ledger.
    pub(crate) fn is_remote(self) -> bool {
        self == Self::Remote
    }
}

/// Loopback, private (RFC 1918, RFC 4193) or link-local (RFC 3927, RFC 4291). Shared address space (RFC 6598) belongs to
/// a carrier or an overlay network, not to the house, and counts as outside.
pub(super) fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => match mapped(ip) {
            Some(ip) => is_local(ip),
            None => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        },
    }
}

/// The IPv4 address that an IPv6 address stands for (`::ffff:a.b.c.d`).
fn mapped(ip: Ipv6Addr) -> Option<IpAddr> {
    ip.to_ipv4_mapped().map(IpAddr::V4)
}

/// Host and port; an IPv6 address stands in brackets.
pub(super) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    }
}

/// Looks names up.
#[async_trait]
pub(super) trait Lookup: Send + Sync {
    /// The addresses of a name; their port does not matter.
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>>;
}

/// The machine's own resolver.
pub(super) struct System;

#[async_trait]
impl Lookup for System {
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.collect())
    }
}

/// Where the host of an address is.
///
/// # Errors
/// `Unreachable` when nobody knows its name, `Timeout`.
pub(super) async fn reach(url: &Url, names: &dyn Lookup, within: Duration) -> Result<Reach, DescribeError> {
    let name = match url.host() {
        Some(Host::Ipv4(ip)) => return Ok(of(&[ip.into()])),
        Some(Host::Ipv6(ip)) => return Ok(of(&[ip.into()])),
        Some(Host::Domain(name)) => name,
        None => return Err(failure(DescribeFailure::Unreachable, "the address has no host")),
    };
    match tokio::time::timeout(within, names.lookup(name)).await {
        Ok(Ok(found)) if !found.is_empty() => Ok(of(&found.iter().map(SocketAddr::ip).collect::<Vec<_>>())),
        Ok(Ok(_nothing)) => Err(failure(DescribeFailure::Unreachable, format!("{name} has no address"))),
        Ok(Err(e)) => {
            let why = one_line(&e.to_string(), 200);
            Err(failure(DescribeFailure::Unreachable, format!("the address of {name} cannot be found: {why}")))
        }
        Err(_elapsed) => Err(failure(DescribeFailure::Timeout, format!("the address of {name} was not found in time"))),
    }
}

fn of(addresses: &[IpAddr]) -> Reach {
    if addresses.iter().all(|ip| is_local(*ip)) { Reach::Local } else { Reach::Remote }
}

/// Looks names up for connections. With `local_only` a name that means an address outside cannot be connected to, also
/// when it meant another a moment ago: what was checked and what is connected to are one look-up.
#[derive(Clone)]
pub(super) struct Resolver {
    pub(super) names: Arc<dyn Lookup>,
    pub(super) local_only: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { names, local_only } = self.clone();
        Box::pin(async move {
            let found = names.lookup(name.as_str()).await?;
            if local_only && !found.iter().all(|address| is_local(address.ip())) {
                return Err(format!("{} is outside of the own network", name.as_str()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_inside_or_outside() {
        let check = |ip: &str, expected: bool| assert_eq!(is_local(ip.parse().unwrap()), expected, "{ip}");
        for inside in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.9",
            "169.254.1.1",
            "::1",
            "fd00::1",
            "fe80::1",
        ] {
            check(inside, true);
        }
        for outside in ["8.8.8.8", "172.32.0.1", "100.64.0.1", "0.0.0.0", "::", "2001:db8::1", "ff02::1", "224.0.0.1"] {
            check(outside, false);
        }
        check("::ffff:192.168.1.9", true);
        check("::ffff:8.8.8.8", false);
    }

    #[test]
    fn hosts_have_their_port() {
        let check = |url: &str, expected: &str| assert_eq!(host(&Url::parse(url).unwrap()), expected);
        check("https://api.example/v1", "api.example:443");
        check("http://[::1]:8080", "[::1]:8080");
        check("http://10.0.0.1", "10.0.0.1:80");
    }

    struct Fixed(&'static [&'static str]);

    #[async_trait]
    impl Lookup for Fixed {
        async fn lookup(&self, _name: &str) -> io::Result<Vec<SocketAddr>> {
            Ok(self.0.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect())
        }
    }

    #[tokio::test]
    async fn one_address_outside_is_enough() {
        let url = Url::parse("http://ollama.lan:11434").unwrap();
        let reach = |ips: &'static [&'static str]| {
            let url = url.clone();
            async move { reach(&url, &Fixed(ips), Duration::from_secs(5)).await }
        };
        assert_eq!(reach(&["192.168.1.5", "fd00::5"]).await, Ok(Reach::Local));
        assert_eq!(reach(&["192.168.1.5", "8.8.8.8"]).await, Ok(Reach::Remote));
        assert_eq!(reach(&[]).await.unwrap_err().kind, DescribeFailure::Unreachable);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_ends_in_time() {
        struct Never;
        #[async_trait]
        impl Lookup for Never {
            async fn lookup(&self, _name: &str) -> io::Result<Vec<SocketAddr>> {
                std::future::pending().await
            }
        }
        let url = Url::parse("http://ollama.lan").unwrap();
        let error = reach(&url, &Never, Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(error.kind, DescribeFailure::Timeout);
    }
}
