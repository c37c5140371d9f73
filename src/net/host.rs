//! Whom to connect to or where to listen: what a program may write for a host,
//! and what the options make of host, port and path.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::address::Address;

/// A host, by name or by IP address: made by `.into()` from texts and from the
/// address types of `std::net`.
///
/// A text that is an IP address, also one with a numeric zone (`fe80::1%2`), is
/// taken as such and never looked up.
///
/// ```
/// use std::net::Ipv4Addr;
/// use tidewheel::net::ConnectOptions;
///
/// let by_name = ConnectOptions::from(("example.com", 80));
/// let by_address = ConnectOptions::from((Ipv4Addr::LOCALHOST, 80));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A whole socket address, so that the zone is kept; its port is replaced.
    Ip(SocketAddr),
    Name(String),
}

/// What host, port and path together mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Address(Address),
    Localhost(u16),
    Name(String, u16),
}

impl Host {
    /// The address of `at` with its zone, which an `IpAddr` has no place for.
    pub(crate) fn of(at: SocketAddr) -> Self {
        Host(Kind::Ip(at))
    }

    /// The address, if it is one.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match &self.0 {
            Kind::Ip(at) => Some(at.ip()),
            Kind::Name(_) => None,
        }
    }

    /// Node takes an empty host for none.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.0, Kind::Name(name) if name.is_empty())
    }

    pub(crate) fn with_port(&self, port: u16) -> Target {
        match &self.0 {
            Kind::Ip(at) => {
                let mut at = *at;
                at.set_port(port);
                Target::Address(Address::Ip(at))
            }
            Kind::Name(name) if name.eq_ignore_ascii_case("localhost") => Target::Localhost(port),
            Kind::Name(name) => Target::Name(name.clone(), port),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Ip(at) => at.ip().fmt(f),
            Kind::Name(name) => f.write_str(name),
        }
    }
}

impl From<String> for Host {
    fn from(text: String) -> Self {
        match ip_literal(&text) {
            Some(at) => Host::of(at),
            None => Host(Kind::Name(text)),
        }
    }
}

impl From<&str> for Host {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for Host {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Host::of(SocketAddr::new(ip, 0))
    }
}

impl From<Ipv4Addr> for Host {
    fn from(ip: Ipv4Addr) -> Self {
        IpAddr::V4(ip).into()
    }
}

impl From<Ipv6Addr> for Host {
    fn from(ip: Ipv6Addr) -> Self {
        IpAddr::V6(ip).into()
    }
}

/// The address of a UNIX socket by its path, where a leading NUL starts a name
/// in the abstract namespace; `None` if the path is empty.
pub(crate) fn unix_address(path: &Path) -> Option<Address> {
    match path.as_os_str().as_bytes() {
        [] => None,
        [0, name @ ..] => Some(Address::Abstract(name.to_vec())),
        _ => Some(Address::Path(path.to_owned())),
    }
}

/// The path that [`unix_address`] reads as the abstract `name`.
pub(crate) fn abstract_path(name: &[u8]) -> PathBuf {
    OsString::from_vec([b"\0", name].concat()).into()
}

/// A zone given by name needs the system, so such a text is left to the lookup.
fn ip_literal(text: &str) -> Option<SocketAddr> {
    let Some((ip, zone)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse().ok()?, 0));
    };
    let is_number = zone.bytes().all(|c| c.is_ascii_digit());
    let zone = zone.parse().ok().filter(|_| is_number)?;
    Some(SocketAddrV6::new(ip.parse().ok()?, 0, 0, zone).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: impl Into<Host>) -> Target {
        host.into().with_port(80)
    }

    #[test]
    fn addresses_are_not_looked_up() {
        let cases = [
            ("127.0.0.1", "127.0.0.1:80"),
            ("::1", "[::1]:80"),
            ("fe80::1%3", "[fe80::1%3]:80"),
            ("::ffff:1.2.3.4", "[::ffff:1.2.3.4]:80"),
        ];
        for (text, shown) in cases {
            let address = Address::Ip(shown.parse().unwrap());
            assert_eq!(target(text), Target::Address(address), "{text}");
        }
    }

    #[test]
    fn the_rest_are_names() {
        let names = [
            "example.com",
            "fe80::1%lo",
            "fe80::1%",
            "fe80::1%+1",
            "fe80::1%4294967296",
            "127.0.0.1%1",
            "127.0.0.01",
            "[::1]",
            "localhost.",
        ];
        for name in names {
            assert_eq!(target(name), Target::Name(name.into(), 80));
        }
        assert_eq!(target("localhost"), Target::Localhost(80));
        assert_eq!(target("LocalHost"), Target::Localhost(80));
    }

    #[test]
    fn every_type_of_host() {
        let v4 = Target::Address(Address::Ip("127.0.0.1:80".parse().unwrap()));
        let text = String::from("127.0.0.1");
        assert_eq!(target(&text), v4);
        assert_eq!(target(text), v4);
        assert_eq!(target(Ipv4Addr::LOCALHOST), v4);
        assert_eq!(target(IpAddr::V4(Ipv4Addr::LOCALHOST)), v4);
        let v6 = Target::Address(Address::Ip("[::1]:80".parse().unwrap()));
        assert_eq!(target(Ipv6Addr::LOCALHOST), v6);
        let zoned: SocketAddr = "[fe80::1%7]:80".parse().unwrap();
        assert_eq!(target(Host::of(zoned)), Target::Address(Address::Ip(zoned)));
    }

    #[test]
    fn unix_names() {
        assert_eq!(unix_address(Path::new("")), None);
        let path = Address::Path("/tmp/x".into());
        assert_eq!(unix_address(Path::new("/tmp/x")), Some(path));
        for name in [&b"name"[..], b"", b"a\0b", b"\xff"] {
            let address = Address::Abstract(name.to_vec());
            assert_eq!(unix_address(&abstract_path(name)), Some(address));
        }
    }

    #[test]
    fn an_empty_host_is_none() {
        assert!(Host::from("").is_empty());
        assert!(!Host::from("::").is_empty());
        assert!(!Host::from("x").is_empty());
    }
}
