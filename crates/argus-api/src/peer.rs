//! Who is at the other end: the TCP peer, or what a trusted proxy says about its own caller.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::uri::Authority;

use crate::conn::Link;
use crate::http_config::HttpConfig;
use crate::state::shared;

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";

/// Address of the caller: the TCP peer, or behind a trusted proxy the last forwarded address that is not such a proxy.
pub(crate) fn address(req: &HttpRequest) -> Option<IpAddr> {
    let peer = tcp_peer(req)?;
    Some(behind(&shared(req).state.http, peer, req.headers()))
}

/// Whether the caller's connection is encrypted: to this server, or to a trusted proxy that says so.
pub(crate) fn is_tls(req: &HttpRequest) -> bool {
    req.conn_data::<Link>().is_some_and(Link::is_tls)
        || (is_proxied(req) && last(req.headers(), PROTO).is_some_and(|proto| proto.eq_ignore_ascii_case("https")))
}

/// Host and port as the caller wrote them, in lower case: for this server, or for a trusted proxy that passes them on.
pub(crate) fn host(req: &HttpRequest) -> Option<String> {
    let forwarded = if is_proxied(req) { last(req.headers(), HOST) } else { None };
    let own = || req.headers().get(header::HOST).and_then(|v| v.to_str().ok());
    // HTTP/2 says it in the address of the request.
    let written = forwarded.or_else(own).or_else(|| req.uri().authority().map(Authority::as_str));
    written.map(|host| host.trim().to_ascii_lowercase()).filter(|host| !host.is_empty())
}

/// The other end of the connection. IPv4 callers of a dual-stack socket come as `::ffff:a.b.c.d`.
fn tcp_peer(req: &HttpRequest) -> Option<IpAddr> {
    req.peer_addr().map(|a| a.ip().to_canonical())
}

fn is_proxied(req: &HttpRequest) -> bool {
    tcp_peer(req).is_some_and(|peer| shared(req).state.http.trusts(peer))
}

/// Goes back along the forwarded addresses for as long as each was told by a proxy that is trusted.
fn behind(config: &HttpConfig, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut caller = peer;
    let lines: Vec<&str> = headers.get_all(FOR).map(|v| v.to_str().unwrap_or("?")).collect();
    let mut told = lines.iter().rev().flat_map(|line| line.rsplit(','));
    while config.trusts(caller) {
        // What is no address cannot be gone behind: the proxy itself is the last that is known.
        let Some(next) = told.next().and_then(forwarded) else { break };
        caller = next;
    }
    caller
}

/// An address as proxies write it: bare, in brackets, with or without a port.
fn forwarded(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    ip.map(|ip| ip.to_canonical())
}

/// The last of the values of a header: the one that the nearest proxy wrote.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get_all(name).last()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::http_config::network;

    fn check(peer: &str, lines: &[&str], expected: &str) {
        let trusted_proxies = vec![network("10.0.0.0/8").unwrap(), network("fd00::/8").unwrap()];
        let config = HttpConfig { trusted_proxies, ..HttpConfig::default() };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HeaderName::from_static(FOR), HeaderValue::from_str(line).unwrap());
        }
        let got = behind(&config, peer.parse().unwrap(), &headers);
        assert_eq!(got, expected.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        check("192.0.2.1", &["198.51.100.7"], "192.0.2.1");
        check("10.0.0.1", &["198.51.100.7"], "198.51.100.7");
        check("10.0.0.1", &[], "10.0.0.1");
    }

    #[test]
    fn what_the_caller_claimed_itself_is_not_believed() {
        check("10.0.0.1", &["127.0.0.1, 198.51.100.7"], "198.51.100.7");
        check("10.0.0.1", &["127.0.0.1", "198.51.100.7, 10.0.0.2"], "198.51.100.7");
        check("10.0.0.1", &["10.0.0.9, 10.0.0.2"], "10.0.0.9");
        check("10.0.0.1", &["198.51.100.7, nonsense"], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.7,"], "10.0.0.1");
    }

    #[test]
    fn addresses_come_in_many_forms() {
        for (text, expected) in [
            ("198.51.100.7:4711", "198.51.100.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
        ] {
            check("fd00::1", &[text], expected);
        }
    }

    #[test]
    fn the_nearest_proxy_has_the_last_word() {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_static(PROTO);
        headers.append(name.clone(), HeaderValue::from_static("https"));
        assert_eq!(last(&headers, PROTO), Some("https"));
        headers.append(name, HeaderValue::from_static("https, http"));
        assert_eq!(last(&headers, PROTO), Some("http"));
        assert_eq!(last(&headers, HOST), None);
    }
}
