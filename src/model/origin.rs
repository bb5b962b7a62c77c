//! Web origins.

use super::{Fault, short};

/// A web origin (RFC 6454): scheme, host and port, compared exactly; or `null`, the opaque one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Lower-cased, without a port that is the scheme's own.
    canonical: Box<str>,
}

/// Schemes whose pages have no origin of their own: browsers send `null` for them, or never load a page by them.
const OPAQUE_SCHEMES: [&str; 8] = ["about", "blob", "data", "file", "javascript", "mailto", "ws", "wss"];

impl Origin {
    /// # Errors
    /// It is neither `null` nor `scheme://host[:port]` as browsers send it: nothing that can match is refused, and
    /// nothing that cannot is taken.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let canonical = if text == "null" { Ok(text.to_owned()) } else { canonical_origin(text) };
        let canonical = canonical.map_err(|why| {
            let msg = format!("not an origin (scheme://host or scheme://host:port): {}: {why}", short(text));
            Fault::new("value_error", msg)
        })?;
        Ok(Self { canonical: canonical.into() })
    }
}

/// The form in which origins are compared, or why no page has this one.
fn canonical_origin(text: &str) -> Result<String, &'static str> {
    let (scheme, authority) = text.split_once("://").ok_or("it has no scheme, like https://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character));
    if !is_scheme {
        return Err("its scheme is none");
    }
    if authority.contains(['/', '?', '#', '\\']) {
        return Err("it has a path; an origin ends with host or port");
    }
    if authority.contains('@') {
        return Err("it has a user's name");
    }
    if authority.contains('*') {
        return Err("* stands for nothing in an origin: name each host");
    }
    // A colon inside the brackets of an IPv6 address is no port's.
    let behind_brackets = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match authority[behind_brackets..].rfind(':') {
        Some(colon) => {
            let (host, port) = authority.split_at(behind_brackets + colon);
            (host, Some(parse_port(&port[1..]).ok_or("its port is no number from 1 to 65535")?))
        }
        None => (authority, None),
    };
    let no_host = "its host is none";
    let odd = |character: char| character.is_whitespace() || character.is_control();
    if host.is_empty() || host.contains(odd) || (behind_brackets == 0 && host.contains(':')) {
        return Err(no_host);
    }
    if host.starts_with('.') || host.contains("..") {
        return Err("a dot stands for no part of a host's name: name each host");
    }
    let scheme = scheme.to_ascii_lowercase();
    if OPAQUE_SCHEMES.contains(&scheme.as_str()) {
        return Err("no page has an origin of this scheme; where browsers send null, allow null");
    }
    let own_port = match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    // Browsers send an international name in its ASCII form.
    let host = match own_port {
        Some(_) => url::Host::parse(host).map_err(|_| no_host)?.to_string(),
        None => host.to_lowercase(),
    };
    Ok(match port.filter(|port| own_port != Some(*port)) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_by_scheme_host_and_port() {
        let same = |a: &str, b: &str| Origin::parse(a).unwrap() == Origin::parse(b).unwrap();
        assert!(same("https://Shop.example", "https://shop.example:443"));
        assert!(same("capacitor://localhost", "capacitor://localhost"));
        assert!(same("http://[::1]:8080", "http://[::1]:8080"));
        assert!(same("null", "null"));
        assert!(same("https://B\u{fc}cher.example", "https://xn--bcher-kva.example"));
        for other in
            ["http://shop.example", "https://shop.example:444", "https://shop.example.evil", "https://www.shop.example"]
        {
            assert!(!same("https://shop.example", other), "{other}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "*",
            "shop.example",
            "https://",
            "https://a/",
            "https://a:x",
            "https://a b",
            "https://u@a",
            "https://::1",
            "://a",
            "https://*.example.org",
            "https://*",
            "*://a",
            "app://*.example",
            "https://a:*",
            "https://.example.org",
            "https://a..b",
            "https://a/path",
            "https://a?query",
            "https://a#",
            "https://user:word@a",
            "https://a:",
            "https://a:0",
            "https://a:+443",
            "https://a:65536",
            "https://a,https://b",
            "wss://a",
            "file://a",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
        let told = |text| Origin::parse(text).unwrap_err().msg;
        assert!(told("https://*.example.org").contains("name each host"));
        assert!(told("https://a/path").contains("a path") && told("https://u@a").contains("user"));
    }
}
