//! Web origins.

use super::{Fault, short};

/// A web origin (RFC 6454): scheme, host and port, compared exactly; or `null`, the opaque one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Lower-cased, without a port that is the scheme's own.
    canonical: Box<str>,
}

impl Origin {
    /// # Errors
    /// It is neither `null` nor `scheme://host[:port]`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let canonical = if text == "null" { Some(text.to_owned()) } else { canonical_origin(text) };
        let canonical = canonical.ok_or_else(|| {
            let msg = format!("not an origin (scheme://host or scheme://host:port): {}", short(text));
            Fault::new("value_error", msg)
        })?;
        Ok(Self { canonical: canonical.into() })
    }
}

fn canonical_origin(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character));
    // A colon inside the brackets of an IPv6 address is no port's.
    let behind_brackets = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match authority[behind_brackets..].rfind(':') {
        Some(colon) => {
            let (host, port) = authority.split_at(behind_brackets + colon);
            (host, Some(port[1..].parse::<u16>().ok()?))
        }
        None => (authority, None),
    };
    let host_ends =
        |character: char| character.is_whitespace() || character.is_control() || "/?#@\\".contains(character);
    if !is_scheme || host.is_empty() || host.contains(host_ends) || (behind_brackets == 0 && host.contains(':')) {
        return None;
    }
    let scheme = scheme.to_ascii_lowercase();
    let own_port = match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    // Browsers send an international name in its ASCII form.
    let host = match own_port {
        Some(_) => url::Host::parse(host).ok()?.to_string(),
        None => host.to_lowercase(),
    };
    Some(match port.filter(|port| own_port != Some(*port)) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
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
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }
}
