//! Which hosts the server may call: public addresses, or what the settings name.
//!
//! A private address is refused wherever it comes from: an address in the URL, a name's entry in the DNS or a redirect.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

use super::dns::Resolver;

/// Where lookups may go.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts {
    /// Any public address, beside what is named.
    pub public: bool,
    pub names: Vec<String>,
    pub networks: Vec<IpNet>,
}

impl AllowedHosts {
    fn allows_name(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn allows_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address)) || (self.public && is_public(address))
    }

    /// Whether the host of `url` may be asked; what its name leads to is looked at when it is resolved.
    ///
    /// # Errors
    /// It may not.
    pub(super) fn check(&self, url: &Url) -> Result<(), String> {
        let allowed = match url.host() {
            Some(url::Host::Ipv4(address)) => self.allows_address(address.into()),
            Some(url::Host::Ipv6(address)) => self.allows_address(address.into()),
            Some(url::Host::Domain(_)) => true,
            None => false,
        };
        if allowed { Ok(()) } else { Err(format!("lookups may not go to {}", url.host_str().unwrap_or_default())) }
    }
}

/// Resolves names to those of their addresses that may be asked.
pub(super) struct CheckedResolver {
    pub allowed: AllowedHosts,
    pub names: Arc<Resolver>,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (allowed, names) = (self.allowed.clone(), self.names.clone());
        Box::pin(async move {
            let name = name.as_str();
            let found = names.addresses(name).await?;
            let named = allowed.allows_name(name);
            let open = found.iter().filter(|address| named || allowed.allows_address(**address));
            let open: Vec<_> = open.map(|address| SocketAddr::new(*address, 0)).collect();
            if open.is_empty() {
                return Err(format!("lookups may not go to {name}").into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is of the public Internet: not one of the ranges that IANA keeps for special use.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a == 192 && b == 0 && c == 0))
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            // What is given out to the public lies in 2000::/3; 6to4, Teredo and documentation lead elsewhere.
            (0x2000..0x4000).contains(&first)
                && first != 0x2002
                && !(first == 0x2001 && (v6.segments()[1] == 0 || v6.segments()[1] == 0x0db8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_not_public_in_any_spelling() {
        let hosts = AllowedHosts { public: true, ..AllowedHosts::default() };
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://10.1.2.3/",
            "http://192.168.0.1/",
            "http://172.16.0.1/",
            "http://169.254.169.254/latest",
            "http://100.64.0.1/",
            "http://0.0.0.0/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://255.255.255.255/",
            "http://224.0.0.1/",
        ] {
            assert!(hosts.check(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        for url in
            ["http://93.184.215.14/", "http://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/", "https://crm.example.com/"]
        {
            assert!(hosts.check(&Url::parse(url).unwrap()).is_ok(), "{url}");
        }
        let listed = AllowedHosts { networks: vec!["10.0.0.0/8".parse().unwrap()], ..AllowedHosts::default() };
        assert!(listed.check(&Url::parse("http://10.1.2.3/").unwrap()).is_ok());
        assert!(listed.check(&Url::parse("http://93.184.215.14/").unwrap()).is_err(), "only what is listed");
    }
}
