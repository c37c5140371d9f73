//! Whether a text is an IP address: the three functions of Node's `net`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// 4 or 6 if `text` is an IP address of that version, else 0 (Node's
/// `net.isIP`).
///
/// The rules are those of [`is_ipv4`] and [`is_ipv6`].
///
/// ```
/// use tidewheel::net;
///
/// assert_eq!(net::is_ip("127.0.0.1"), 4);
/// assert_eq!(net::is_ip("::1"), 6);
/// assert_eq!(net::is_ip("localhost"), 0);
/// ```
pub fn is_ip(text: &str) -> u8 {
    if is_ipv4(text) {
        4
    } else if is_ipv6(text) {
        6
    } else {
        0
    }
}

/// Whether `text` is an IPv4 address in dotted decimal, four parts without
/// leading zeros (Node's `net.isIPv4`).
///
/// ```
/// use tidewheel::net;
///
/// assert!(net::is_ipv4("127.0.0.1"));
/// assert!(!net::is_ipv4("127.000.000.001"));
/// assert!(!net::is_ipv4("127.0.0.1/24"));
/// ```
pub fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

/// Whether `text` is an IPv6 address, with or without a zone (Node's
/// `net.isIPv6`). Brackets do not belong to it.
///
/// ```
/// use tidewheel::net;
///
/// assert!(net::is_ipv6("fe80::1%eth0"));
/// assert!(!net::is_ipv6("[::1]"));
/// ```
pub fn is_ipv6(text: &str) -> bool {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    address.parse::<Ipv6Addr>().is_ok() && zone.is_none_or(is_zone)
}

/// The name or number of an interface, as far as Node looks at it.
fn is_zone(zone: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b':');
    !zone.is_empty() && zone.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: &[&str] = &[
        "127.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "8.8.8.8",
        "1.2.3.4",
        "10.0.200.99",
    ];

    const IPV6: &[&str] = &[
        "::",
        "::1",
        "::0",
        "::ffff",
        "1::",
        "0:0:0:0:0:0:0:0",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7::",
        "::2:3:4:5:6:7:8",
        "1::3:4:5:6:7:8",
        "1:2::8",
        "0001:0002::",
        "2001:DB8::FF",
        "2001:db8::aBcD",
        "fe80::204:61ff:fe9d:f156",
        "::1.2.3.4",
        "::ffff:127.0.0.1",
        "::FFFF:255.255.255.255",
        "64:ff9b::192.0.2.33",
        "1:2:3:4:5:6:1.2.3.4",
        "1:2:3:4:5::1.2.3.4",
        "1::1.2.3.4",
        "fe80::1%eth0",
        "fe80::1%eth0.0",
        "fe80::1%lo-1",
        "fe80::1%1",
        "fe80::1%a:b",
        "::1%0",
        "::ffff:1.2.3.4%eth0",
        "1:2:3:4:5:6:7:8%Z",
    ];

    const NEITHER: &[&str] = &[
        "",
        " ",
        "localhost",
        "example.com",
        "1",
        "0x7f.0.0.1",
        "127.0.0",
        "127.0.0.",
        "127.0.0.1.",
        ".127.0.0.1",
        "127.0.0.1.1",
        "127.0.0.01",
        "127.000.000.001",
        "127.0.0.256",
        "256.0.0.1",
        "-1.0.0.1",
        "1.2.3.+4",
        "1..2.3",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4\n",
        "1.2.3.4/24",
        "1.2.3.4:80",
        "1.2.3.4%eth0",
        "\u{661}.2.3.4",
        ":",
        ":::",
        ":::1",
        "1:::2",
        "1::2::3",
        "::1::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7:",
        ":2:3:4:5:6:7:8",
        "1:",
        ":1",
        "::g",
        "::12345",
        "00001::",
        "[::1]",
        "[::1]:80",
        "::1/64",
        "::1 ",
        " ::1",
        "::1.2.3",
        "::1.2.3.256",
        "::1.2.3.04",
        "::1.2.3.4.5",
        "1.2.3.4::",
        "::1.2.3.4:5",
        "1:2:3:4:5:6:7:1.2.3.4",
        "::-1",
        "::+1",
        "fe80::1%",
        "%eth0",
        "fe80::1%eth0%1",
        "fe80::1%eth@0",
        "fe80::1%eth_0",
        "fe80::1%eth 0",
        "fe80::1%\u{e9}",
        "::1%eth0/64",
    ];

    #[test]
    fn told_apart_as_node_does() {
        for (version, texts) in [(4, IPV4), (6, IPV6), (0, NEITHER)] {
            for text in texts {
                assert_eq!(is_ip(text), version, "{text:?}");
                assert_eq!(is_ipv4(text), version == 4, "{text:?}");
                assert_eq!(is_ipv6(text), version == 6, "{text:?}");
            }
        }
    }
}
