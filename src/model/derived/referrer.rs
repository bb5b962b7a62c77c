//! Where a visitor came from: another site than the page's own.

use std::{borrow::Cow, net::IpAddr};

use psl::Psl as _;

use crate::model::members::{member, text};

/// What tells where a page's visitor came from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival<'a> {
    /// What the page says of it, as JSON: `{"host": ...}`, or an address.
    pub said: Option<&'a str>,
    /// `Referer` and `Origin` of the request's head. Of a browser they name the page itself.
    pub referer: Option<&'a str>,
    pub origin: Option<&'a str>,
}

impl<'a> Arrival<'a> {
    /// The host that the visitor of the page with this address came from, or its address, as it is told; `None`: none, or
    /// the page's own site.
    pub fn referrer(&self, page: Option<&str>) -> Option<Cow<'a, str>> {
        let said = self.said.and_then(|said| text(member(said, "host").unwrap_or(said)));
        let said = said.filter(|said| !said.is_empty());
        let told = said.or(self.referer.filter(|referer| !referer.is_empty()).map(Cow::Borrowed))?;
        let site = page.map(host).filter(|host| !host.is_empty()).or_else(|| self.origin.map(host));
        Some(told).filter(|told| !site.is_some_and(|site| is_same_site(site, host(told))))
    }
}

/// The host of an address; of what is none, what stands before its path.
pub fn host(address: &str) -> &str {
    let behind = address.split_once("://").map_or(address, |(_, behind)| behind);
    let authority = &behind[..behind.find(['/', '?', '#']).unwrap_or(behind.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = host.rfind(':').filter(|at| host[at + 1..].bytes().all(|byte| byte.is_ascii_digit()));
    &host[..port.unwrap_or(host.len())]
}

/// Whether two hosts are one site: the same, but for `www.`, or below one name that somebody registered. Where names are
/// registered (`.com`, `.co.uk`, `.github.io`) says the list of public suffixes.
pub fn is_same_site(one: &str, other: &str) -> bool {
    if one.eq_ignore_ascii_case(other) {
        return true;
    }
    let [one, other] = [one, other].map(|host| {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        host.strip_prefix("www.").map_or_else(|| host.clone(), str::to_owned)
    });
    one == other || registered(&one).is_some_and(|name| registered(&other) == Some(name))
}

/// The name that somebody registered, which a host is below; an address of a machine has none.
fn registered(host: &str) -> Option<&str> {
    if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    std::str::from_utf8(psl::List.domain(host.as_bytes())?.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_below_one_registered_name_are_one_site() {
        for (one, other, same) in [
            ("shop.example", "SHOP.example", true),
            ("shop.example", "www.shop.example", true),
            ("www.shop.example", "checkout.shop.example", true),
            ("blog.shop.co.uk", "shop.co.uk", true),
            ("shop.example.", "shop.example", true),
            ("www.github.io", "github.io", true),
            ("localhost", "localhost", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("[::1]", "[::1]", true),
            ("shop.example", "myshop.example", false),
            ("shop.co.uk", "bank.co.uk", false),
            ("ada.github.io", "bob.github.io", false),
            ("ada.myshopify.com", "bob.myshopify.com", false),
            ("10.0.0.1", "10.1.0.1", false),
            ("shop.example", "shop.com", false),
            ("localhost", "otherhost", false),
            ("", "shop.example", false),
        ] {
            assert_eq!(is_same_site(one, other), same, "{one} {other}");
            assert_eq!(is_same_site(other, one), same, "{other} {one}");
        }
    }

    #[test]
    fn a_page_s_own_site_is_no_referrer() {
        let referrer = |page, said, referer, origin| {
            Arrival { said, referer, origin }.referrer(page).map(Cow::into_owned).unwrap_or_default()
        };
        let page = Some("https://www.shop.example:8443/a?b");
        assert_eq!(referrer(page, Some(r#"{"host":"search.example"}"#), None, None), "search.example");
        assert_eq!(
            referrer(page, Some(r#""https://u@search.example/?q=x""#), None, None),
            "https://u@search.example/?q=x"
        );
        assert_eq!(referrer(page, Some(r#"{"host":"Shop.example"}"#), None, None), "");
        assert_eq!(
            referrer(page, Some(r#"{"host":"pay.shop.example:444"}"#), Some("https://search.example/"), None),
            ""
        );
        assert_eq!(referrer(page, Some(r#"{"host":null}"#), Some("https://www.shop.example/"), None), "");
        assert_eq!(referrer(page, None, Some("https://shop.example/a"), None), "");
        assert_eq!(referrer(page, None, Some("https://search.example/"), None), "https://search.example/");
        // A page that does not tell its host is where its requests come from.
        assert_eq!(referrer(Some("/a"), None, Some("https://shop.example/a"), Some("https://shop.example")), "");
        assert_eq!(referrer(None, Some(r#"{"host":"shop.example"}"#), None, Some("https://shop.example")), "");
        assert_eq!(referrer(Some("/a"), None, Some("https://search.example/"), None), "https://search.example/");
        assert_eq!(referrer(None, None, Some(""), None), "");
    }
}
