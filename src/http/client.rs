//! What is known of the client from the connection and the request's head (docs/contract.md, section 10).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::header::{ACCEPT_LANGUAGE, DNT, FORWARDED, HeaderMap, HeaderName, ORIGIN, REFERER, USER_AGENT};
use ipnet::IpNet;

use super::{App, connection::Peer};
use crate::{model::ClientFacts, settings::KeepIp};

const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The written list of what is kept of a request, and no more.
pub fn facts(app: &App, peer: &Peer, headers: &HeaderMap) -> ClientFacts {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into());
    let ip = match app.ip {
        KeepIp::None => None,
        KeepIp::Full => Some(address(&app.settings.trusted_proxies, peer, headers)),
        KeepIp::Anonymous => Some(anonymous(address(&app.settings.trusted_proxies, peer, headers))),
    };
    ClientFacts {
        ip: ip.map(|ip| ip.to_string().into()),
        user_agent: text(USER_AGENT),
        referer: text(REFERER),
        origin: text(ORIGIN),
        accept_language: text(ACCEPT_LANGUAGE),
    }
}

/// Whether the visitor asks not to be tracked: by Do Not Track, or by Global Privacy Control.
pub fn asks_not_to_be_tracked(headers: &HeaderMap) -> bool {
    [DNT, SEC_GPC].iter().any(|name| headers.get(name).is_some_and(|value| value.as_bytes().trim_ascii() == b"1"))
}

/// The client's address: the peer's, or what trusted proxies say: from the right, the first that is no such proxy.
pub fn address(trusted: &[IpNet], connected: &Peer, headers: &HeaderMap) -> IpAddr {
    let peer = connected.ip.to_canonical();
    if !connected.is_trusted(trusted) {
        return peer;
    }
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|net| net.contains(ip));
    let list = |name: HeaderName| {
        let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
        values.flat_map(|value| value.split(',')).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut hops: Vec<Option<IpAddr>> = list(X_FORWARDED_FOR).iter().map(|hop| parse_hop(hop)).collect();
    if hops.is_empty() {
        hops = list(FORWARDED).iter().map(|element| forwarded_for(element).and_then(parse_hop)).collect();
    }
    let mut client = peer;
    for hop in hops.into_iter().rev() {
        let Some(hop) = hop else { return peer };
        client = hop;
        if !is_trusted(&hop) {
            break;
        }
    }
    client
}

/// The `for` of one element of `Forwarded` (RFC 7239).
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// An address, with or without a port, an IPv6 one with or without brackets.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let ip = bare.parse().or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()));
    ip.ok().map(|ip: IpAddr| ip.to_canonical())
}

fn anonymous(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, name: &'static str, value: &str) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        address(&trusted, &Peer::at(peer.parse().unwrap(), false), &headers).to_string()
    }

    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        let xff = "x-forwarded-for";
        assert_eq!(seen("192.0.2.1", xff, "198.51.100.7"), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", xff, "198.51.100.7"), "198.51.100.7");
        assert_eq!(seen("::ffff:10.0.0.1", xff, "1.1.1.1, 198.51.100.7:443, 10.9.9.9"), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", xff, "198.51.100.7, unknown"), "10.0.0.1");
        assert_eq!(seen("fd00::1", "forwarded", "for=1.1.1.1, For=\"[2001:db8::7]:4711\";proto=https"), "2001:db8::7");
        assert_eq!(seen("10.0.0.1", "forwarded", "for=_hidden"), "10.0.0.1");
    }

    #[test]
    fn who_comes_over_a_unix_socket_is_a_trusted_proxy() {
        let mut headers = HeaderMap::new();
        let seen = |headers: &HeaderMap| address(&[], &Peer::on_unix_socket(), headers).to_string();
        assert_eq!(seen(&headers), "127.0.0.1");
        headers.insert("x-forwarded-for", "192.0.2.1, 198.51.100.7".parse().unwrap());
        assert_eq!(seen(&headers), "198.51.100.7");
    }

    #[test]
    fn an_anonymous_address_keeps_its_network_only() {
        let kept = |ip: &str| anonymous(ip.parse().unwrap()).to_string();
        assert_eq!(kept("198.51.100.7"), "198.51.100.0");
        assert_eq!(kept("2001:db8:1:2:3:4:5:6"), "2001:db8:1::");
    }
}
