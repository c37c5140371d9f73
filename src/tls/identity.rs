//! Is a certificate for the host that was asked for? Node's rules.

use std::net::IpAddr;

use super::certificate::{AltName, Certificate};
use crate::error::{Code, Error, Result};

/// Whether `certificate` is for `host`, by Node's rules (`tls.checkServerIdentity`).
///
/// An address must be among the addresses of the certificate. A name must match one of its DNS names; only if it has
/// none, a common name. Letter case and a trailing dot do not matter. A `*` stands within the first label only, for any
/// characters of that label, and needs two labels after it.
///
/// This is what to begin a check of your own with:
///
/// ```
/// use tidewheel::tls::{self, Certificate};
/// use tidewheel::{Code, Error};
///
/// fn pinned(host: &str, certificate: &Certificate) -> Result<(), Error> {
///     tls::check_server_identity(host, certificate)?;
///     match certificate.fingerprint256().as_str() {
///         "25:FE:39:.." => Ok(()),
///         other => Err(Error::new(Code::CertRejected, format!("unknown certificate {other}"))),
///     }
/// }
/// ```
///
/// # Errors
///
/// `ERR_TLS_CERT_ALTNAME_INVALID`, with the names that it is for.
pub fn check_server_identity(host: &str, certificate: &Certificate) -> Result<()> {
    let names = certificate.alt_names();
    let listed = || {
        names
            .iter()
            .map(AltName::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        if names.contains(&AltName::Ip(address)) {
            return Ok(());
        }
        return Err(mismatch(&format!(
            "IP: {address} is not in the cert's list: {}",
            listed()
        )));
    }
    let dns = || {
        names.iter().filter_map(|name| match name {
            AltName::Dns(pattern) => Some(pattern.as_str()),
            _ => None,
        })
    };
    if dns().next().is_some() {
        if dns().any(|pattern| matches(pattern, host)) {
            return Ok(());
        }
        return Err(mismatch(&format!(
            "Host: {host}. is not in the cert's altnames: {}",
            listed()
        )));
    }
    let mut common = certificate.common_names().peekable();
    if common.peek().is_none() {
        return Err(mismatch("Cert does not contain a DNS name"));
    }
    let tried: Vec<_> = common.collect();
    if tried.iter().any(|pattern| matches(pattern, host)) {
        return Ok(());
    }
    Err(mismatch(&format!(
        "Host: {host}. is not cert's CN: {}",
        tried.join(", ")
    )))
}

pub(crate) fn mismatch(reason: &str) -> Error {
    let message = format!("Hostname/IP does not match certificate's altnames: {reason}");
    Error::new(Code::CertAltnameInvalid, message)
}

/// Whether a pattern of a certificate means `host`.
fn matches(pattern: &str, host: &str) -> bool {
    let pattern = labels(pattern);
    let host = labels(host);
    if pattern.len() != host.len() || pattern.iter().chain(&host).any(String::is_empty) {
        return false;
    }
    if pattern[1..] != host[1..] || pattern[1..].iter().any(|label| label.contains('*')) {
        return false;
    }
    let Some((before, after)) = pattern[0].split_once('*') else {
        return pattern[0] == host[0];
    };
    // A `*` for a whole domain would be for everybody's; within the letters of a foreign script it means nothing.
    let allowed = pattern.len() > 2 && !after.contains('*') && !pattern[0].starts_with("xn--");
    let first = &host[0];
    allowed
        && first.len() >= before.len() + after.len()
        && first.starts_with(before)
        && first.ends_with(after)
}

fn labels(name: &str) -> Vec<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.split('.').map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_hosts() {
        for (pattern, host) in [
            ("a.com", "a.com"),
            ("a.com", "A.COM."),
            ("A.com.", "a.com"),
            ("*.a.com", "b.a.com"),
            ("b*.a.com", "bcd.a.com"),
            ("*d.a.com", "bcd.a.com"),
            ("b*d.a.com", "bcd.a.com"),
            ("localhost", "localhost"),
            ("*.a.com", "xn--80ak6aa92e.a.com"),
        ] {
            assert!(matches(pattern, host), "{pattern} {host}");
        }
        for (pattern, host) in [
            ("a.com", "b.com"),
            ("*.a.com", "a.com"),
            ("*.a.com", "c.b.a.com"),
            ("*.com", "a.com"),
            ("*", "a"),
            ("*", "localhost"),
            ("b.*.com", "b.a.com"),
            ("*.*.com", "b.a.com"),
            ("**.a.com", "b.a.com"),
            ("bb*b.a.com", "bb.a.com"),
            ("xn--*.a.com", "xn--b.a.com"),
            ("*.a.com", ".a.com"),
            ("", ""),
            ("a..com", "a..com"),
        ] {
            assert!(!matches(pattern, host), "{pattern} {host}");
        }
    }
}
