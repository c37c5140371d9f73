//! Where a socket or a server is: an IP address with its port, or a UNIX
//! socket's name. One type serves as result (`address()`, `remote()`), as
//! argument (`connect`, `listen`) and inside errors.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// The address of a socket or a server.
///
/// ```
/// use tidewheel::net::{Address, Family};
///
/// let address = Address::from("127.0.0.1:8124".parse::<std::net::SocketAddr>().unwrap());
/// assert_eq!(address.port(), Some(8124));
/// assert_eq!(address.family(), Some(Family::Ipv4));
/// assert_eq!(address.to_string(), "127.0.0.1:8124");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// The path of a UNIX socket.
    Path(PathBuf),
    /// The name of a UNIX socket in Linux's abstract namespace, without the
    /// NUL that comes before it.
    Abstract(Vec<u8>),
    /// A UNIX socket that was never bound, as the connecting side usually is.
    Unnamed,
}

impl Address {
    /// The IP address, unless this is a UNIX socket.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket_addr().map(SocketAddr::ip)
    }

    /// The port, unless this is a UNIX socket.
    pub fn port(&self) -> Option<u16> {
        self.socket_addr().map(SocketAddr::port)
    }

    /// The family of the IP address, unless this is a UNIX socket.
    pub fn family(&self) -> Option<Family> {
        self.ip().map(Family::from)
    }

    /// The path of a UNIX socket that has one.
    ///
    /// ```
    /// use std::path::Path;
    /// use tidewheel::net::Address;
    ///
    /// let address = Address::Path("/tmp/echo.sock".into());
    /// assert_eq!(address.path(), Some(Path::new("/tmp/echo.sock")));
    /// assert_eq!(address.port(), None);
    /// ```
    pub fn path(&self) -> Option<&Path> {
        match self {
            Address::Path(path) => Some(path),
            _ => None,
        }
    }

    /// As Node joins address and port in error messages: no brackets around
    /// IPv6 (`:::8107`), and port 0 left out.
    pub(crate) fn joined(&self) -> String {
        match self.socket_addr() {
            None => self.to_string(),
            Some(at) if at.port() == 0 => host(at),
            Some(at) => format!("{}:{}", host(at), at.port()),
        }
    }

    fn socket_addr(&self) -> Option<&SocketAddr> {
        match self {
            Address::Ip(at) => Some(at),
            _ => None,
        }
    }
}

/// `127.0.0.1:8124`, `[::1]:8124`, the path, or `@name` for an abstract name.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(at) => at.fmt(f),
            Address::Path(path) => path.display().fmt(f),
            Address::Abstract(name) => write!(f, "@{}", printable(name)),
            Address::Unnamed => f.write_str("(unnamed)"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(at: SocketAddr) -> Self {
        Address::Ip(at)
    }
}

/// The family of an IP address.
///
/// ```
/// use tidewheel::net::Family;
///
/// assert_eq!(Family::Ipv6.to_string(), "IPv6");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// IP version 4.
    Ipv4,
    /// IP version 6.
    Ipv6,
}

impl Family {
    /// `"IPv4"` or `"IPv6"`, as Node says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<IpAddr> for Family {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }
}

/// The address alone, with the zone of a link-local one, which `ip()` drops.
fn host(at: &SocketAddr) -> String {
    match at {
        SocketAddr::V6(at) if at.scope_id() != 0 => format!("{}%{}", at.ip(), at.scope_id()),
        _ => at.ip().to_string(),
    }
}

/// Names are padded with NULs by some programs; `@` is how `ss` shows these.
fn printable(name: &[u8]) -> Cow<'_, str> {
    match String::from_utf8_lossy(name) {
        text if text.contains('\0') => Cow::Owned(text.replace('\0', "@")),
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Address {
        Address::Ip(text.parse().unwrap())
    }

    #[test]
    fn shown_and_joined() {
        let cases = [
            (ip("127.0.0.1:8124"), "127.0.0.1:8124", "127.0.0.1:8124"),
            (ip("[::1]:8124"), "[::1]:8124", "::1:8124"),
            (ip("[::]:8107"), "[::]:8107", ":::8107"),
            (ip("127.0.0.1:0"), "127.0.0.1:0", "127.0.0.1"),
            (ip("[::]:0"), "[::]:0", "::"),
            (ip("[fe80::1%3]:80"), "[fe80::1%3]:80", "fe80::1%3:80"),
            (Address::Path("/tmp/a".into()), "/tmp/a", "/tmp/a"),
            (Address::Abstract(b"name".to_vec()), "@name", "@name"),
            (Address::Abstract(b"a\0\0".to_vec()), "@a@@", "@a@@"),
            (Address::Unnamed, "(unnamed)", "(unnamed)"),
        ];
        for (address, shown, joined) in cases {
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.joined(), joined);
        }
    }

    #[test]
    fn parts_of_an_ip_address() {
        let address = ip("[::1]:80");
        assert_eq!(address.ip(), Some("::1".parse().unwrap()));
        assert_eq!(address.port(), Some(80));
        assert_eq!(address.family(), Some(Family::Ipv6));
        assert_eq!(address.path(), None);
        assert_eq!(ip("10.0.0.1:80").family(), Some(Family::Ipv4));
    }

    #[test]
    fn parts_of_a_unix_address() {
        let unix = [
            (Address::Path("/x".into()), Some(Path::new("/x"))),
            (Address::Abstract(b"x".to_vec()), None),
            (Address::Unnamed, None),
        ];
        for (address, path) in unix {
            assert_eq!(address.path(), path);
            assert_eq!((address.ip(), address.port()), (None, None));
            assert_eq!(address.family(), None);
        }
    }

    #[test]
    fn family_is_said_as_node_does() {
        assert_eq!(Family::Ipv4.as_str(), "IPv4");
        assert_eq!(Family::Ipv6.to_string(), "IPv6");
    }
}
