//! Protocol versions, by their names and by those of OpenSSL's methods.

use std::fmt;
use std::str::FromStr;

use rustls::version::{TLS12, TLS13};
use rustls::SupportedProtocolVersion;

use crate::error::{Code, Error, Result};

/// A version of the protocol. Nothing below 1.2 is offered: it is broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum TlsVersion {
    /// `TLSv1.2`.
    V1_2,
    /// `TLSv1.3`.
    V1_3,
}

impl TlsVersion {
    /// Node's name: `"TLSv1.3"`.
    pub fn as_str(self) -> &'static str {
        match self {
            TlsVersion::V1_2 => "TLSv1.2",
            TlsVersion::V1_3 => "TLSv1.3",
        }
    }

    pub(crate) fn of(version: rustls::ProtocolVersion) -> Option<TlsVersion> {
        match version {
            rustls::ProtocolVersion::TLSv1_2 => Some(TlsVersion::V1_2),
            rustls::ProtocolVersion::TLSv1_3 => Some(TlsVersion::V1_3),
            _ => None,
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Node's names. `TLSv1` and `TLSv1.1` are refused with `ERR_TLS_INVALID_PROTOCOL_VERSION`.
impl FromStr for TlsVersion {
    type Err = Error;

    fn from_str(name: &str) -> Result<TlsVersion> {
        match name {
            "TLSv1.2" => Ok(TlsVersion::V1_2),
            "TLSv1.3" => Ok(TlsVersion::V1_3),
            _ => Err(Error::new(
                Code::TlsInvalidProtocolVersion,
                format!("{name:?} is not a valid TLS protocol version: supported are TLSv1.2 and TLSv1.3"),
            )),
        }
    }
}

/// The versions that a context may speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Versions {
    pub(crate) min: TlsVersion,
    pub(crate) max: TlsVersion,
}

impl Versions {
    const ALL: Versions = Versions {
        min: TlsVersion::V1_2,
        max: TlsVersion::V1_3,
    };

    /// What the options ask for, of which `method` excludes the other two.
    pub(crate) fn choose(
        min: Option<TlsVersion>,
        max: Option<TlsVersion>,
        method: Option<&str>,
    ) -> Result<Versions> {
        let Some(method) = method else {
            let min = min.unwrap_or(Versions::ALL.min);
            let max = max.unwrap_or(Versions::ALL.max);
            if min > max {
                let message = format!("min_version {min} is above max_version {max}");
                return Err(Error::new(Code::TlsProtocolVersionConflict, message));
            }
            return Ok(Versions { min, max });
        };
        if min.is_some() || max.is_some() {
            let message =
                format!("secure_protocol {method:?} conflicts with min_version and max_version");
            return Err(Error::new(Code::TlsProtocolVersionConflict, message));
        }
        of_method(method)
    }

    pub(crate) fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWER: &[&SupportedProtocolVersion] = &[&TLS13];
        static OLDER: &[&SupportedProtocolVersion] = &[&TLS12];
        static BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        match (self.min, self.max) {
            (TlsVersion::V1_3, _) => NEWER,
            (_, TlsVersion::V1_2) => OLDER,
            _ => BOTH,
        }
    }
}

/// The names of OpenSSL's functions, as Node takes them.
fn of_method(method: &str) -> Result<Versions> {
    let family = ["_server_method", "_client_method", "_method"]
        .into_iter()
        .find_map(|ending| method.strip_suffix(ending));
    let only = |version| Versions {
        min: version,
        max: version,
    };
    let refused = match family {
        Some("TLS") => return Ok(Versions::ALL),
        // The name that meant "the best there is" before there was 1.3.
        Some("SSLv23") | Some("TLSv1_2") => return Ok(only(TlsVersion::V1_2)),
        Some("SSLv2") => "SSLv2 methods disabled",
        Some("SSLv3") => "SSLv3 methods disabled",
        Some("TLSv1") | Some("TLSv1_1") => "TLS 1.0 and 1.1 are insecure and not offered",
        _ => "Unknown method",
    };
    Err(Error::new(
        Code::TlsInvalidProtocolMethod,
        format!("{refused}: {method}; supported are TLS_method, TLSv1_2_method and SSLv23_method, or min_version and max_version"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(name: &str) -> Result<Versions> {
        Versions::choose(None, None, Some(name))
    }

    #[test]
    fn methods_of_openssl() {
        assert_eq!(method("TLS_method").unwrap(), Versions::ALL);
        assert_eq!(method("TLS_server_method").unwrap(), Versions::ALL);
        assert_eq!(method("SSLv23_method").unwrap().max, TlsVersion::V1_2);
        let only = method("TLSv1_2_client_method").unwrap();
        assert_eq!((only.min, only.max), (TlsVersion::V1_2, TlsVersion::V1_2));
        for refused in [
            "SSLv2_method",
            "SSLv3_method",
            "TLSv1_method",
            "TLSv1_1_client_method",
            "TLSv1_3_method",
            "",
            "x",
        ] {
            let error = method(refused).unwrap_err();
            assert_eq!(error.code(), Code::TlsInvalidProtocolMethod, "{refused}");
            assert!(error.to_string().contains("TLS_method"), "{error}");
        }
    }

    #[test]
    fn a_method_and_a_version_conflict() {
        let error = Versions::choose(Some(TlsVersion::V1_2), None, Some("TLS_method")).unwrap_err();
        assert_eq!(error.code(), Code::TlsProtocolVersionConflict);
        let error =
            Versions::choose(Some(TlsVersion::V1_3), Some(TlsVersion::V1_2), None).unwrap_err();
        assert_eq!(error.code(), Code::TlsProtocolVersionConflict);
    }

    #[test]
    fn versions_by_name() {
        assert_eq!("TLSv1.3".parse::<TlsVersion>().unwrap(), TlsVersion::V1_3);
        for name in ["TLSv1", "TLSv1.1", "SSLv3", "1.3", ""] {
            let error = name.parse::<TlsVersion>().unwrap_err();
            assert_eq!(error.code(), Code::TlsInvalidProtocolVersion);
        }
        assert_eq!(
            Versions::choose(None, Some(TlsVersion::V1_2), None)
                .unwrap()
                .list()
                .len(),
            1
        );
        assert_eq!(Versions::choose(None, None, None).unwrap().list().len(), 2);
    }
}
