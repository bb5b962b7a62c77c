//! The client's address: whose word about it counts, and how it is kept (docs/contract.md, section 10).

mod support;

use serde_json::{Value, json};
use support::Setup;

/// What is kept of the address of a client that sends these headers.
fn kept(settings: &[(&str, &str)], headers: &[(&str, &str)]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let setup = settings.iter().fold(Setup::new(folder.path()), |setup, (key, value)| setup.set(key, value));
    let daemon = setup.start();
    daemon.shop();
    let body = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"id": "e", "type": "x"}]});
    assert_eq!(daemon.request("POST", "/track", headers, body.to_string().as_bytes()).status, 200);
    daemon.record("/event/e")["event"]["request"]["ip"].clone()
}

#[test]
fn it_is_kept_in_full_anonymous_or_not_at_all() {
    assert_eq!(kept(&[("track.ip", "full")], &[]), "127.0.0.1");
    assert_eq!(kept(&[], &[]), "127.0.0.0");
    assert_eq!(kept(&[("track.ip", "none")], &[]), Value::Null);
}

#[test]
fn a_proxy_s_word_counts_only_if_it_is_trusted() {
    let full = ("track.ip", "full");
    let trusted = ("server.trusted_proxies", "127.0.0.1, 10.0.0.0/8");
    let forwarded = ("X-Forwarded-For", "198.51.100.7, 203.0.113.9, 10.1.2.3");
    assert_eq!(kept(&[full], &[forwarded]), "127.0.0.1");
    assert_eq!(kept(&[full, trusted], &[forwarded]), "203.0.113.9", "from the right, the first that is no such proxy");
    assert_eq!(kept(&[full, trusted], &[("Forwarded", "for=\"[2001:db8::1]:4711\";proto=https")]), "2001:db8::1");
    assert_eq!(kept(&[full, trusted], &[("X-Forwarded-For", "198.51.100.7, garbage")]), "127.0.0.1");
}

#[test]
fn the_last_80_bits_of_ipv6_are_not_kept() {
    let forwarded = ("X-Forwarded-For", "2001:db8:1:2:3:4:5:6");
    assert_eq!(kept(&[("server.trusted_proxies", "127.0.0.1")], &[forwarded]), "2001:db8:1::");
}
