//! OpenSSL's language of cipher lists, over the nine suites there are.

use rustls::crypto::ring::cipher_suite as suite;
use rustls::SupportedCipherSuite;

use crate::error::{Code, Error, Result};

/// One suite: its name with OpenSSL, the name of the standard, the words that mean it among others.
struct Row {
    name: &'static str,
    standard: &'static str,
    words: &'static [&'static str],
    suite: SupportedCipherSuite,
}

const fn row(
    name: &'static str,
    standard: &'static str,
    words: &'static [&'static str],
    suite: SupportedCipherSuite,
) -> Row {
    Row {
        name,
        standard,
        words,
        suite,
    }
}

/// All of them, the preferred ones first. Those of TLS 1.3 are meant by their names only.
static ROWS: &[Row] = &[
    row(
        "TLS_AES_256_GCM_SHA384",
        "TLS_AES_256_GCM_SHA384",
        &[],
        suite::TLS13_AES_256_GCM_SHA384,
    ),
    row(
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_128_GCM_SHA256",
        &[],
        suite::TLS13_AES_128_GCM_SHA256,
    ),
    row(
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
        &[],
        suite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    row(
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        &["aECDSA", "ECDSA", "AES", "AESGCM", "AES256", "SHA384"],
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    row(
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        &["aECDSA", "ECDSA", "AES", "AESGCM", "AES128", "SHA256"],
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    row(
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        &["aECDSA", "ECDSA", "CHACHA20", "SHA256"],
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    row(
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        &["aRSA", "AES", "AESGCM", "AES256", "SHA384"],
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    row(
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        &["aRSA", "AES", "AESGCM", "AES128", "SHA256"],
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    row(
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        &["aRSA", "CHACHA20", "SHA256"],
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// Words that mean every suite below TLS 1.3.
const ALL: &[&str] = &[
    "ALL",
    "DEFAULT",
    "HIGH",
    "ECDHE",
    "EECDH",
    "kECDHE",
    "kEECDH",
    "TLSv1.2",
    "FIPS",
    "COMPLEMENTOFDEFAULT",
];

/// A cipher by its names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Cipher {
    /// OpenSSL's name: `ECDHE-RSA-AES128-GCM-SHA256`.
    pub name: &'static str,
    /// The name of the standard: `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`.
    pub standard_name: &'static str,
    /// The version of the protocol it was defined for.
    pub version: super::TlsVersion,
}

impl Cipher {
    pub(crate) fn of(suite: SupportedCipherSuite) -> Option<Cipher> {
        let row = ROWS.iter().find(|row| row.suite == suite)?;
        Some(Cipher {
            name: row.name,
            standard_name: row.standard,
            version: super::TlsVersion::of(suite.version().version)?,
        })
    }
}

/// The suites that a list names, in its order. No list: all of them.
///
/// # Errors
///
/// None of the words means a suite that is supported. Words that mean nothing here are ignored beside others that do, as
/// OpenSSL ignores them.
pub(crate) fn choose(list: Option<&str>) -> Result<Vec<SupportedCipherSuite>> {
    let Some(list) = list else {
        return Ok(ROWS.iter().map(|row| row.suite).collect());
    };
    let mut chosen: Vec<usize> = Vec::new();
    let mut banned: Vec<usize> = Vec::new();
    for word in list
        .split([':', ',', ' ', ';'])
        .filter(|word| !word.is_empty())
    {
        apply(word, &mut chosen, &mut banned);
    }
    if chosen.is_empty() {
        let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        let message = format!(
            "no cipher match: {list:?}; supported are {}",
            names.join(":")
        );
        return Err(Error::new(Code::TlsNoCipherMatch, message));
    }
    // Those of TLS 1.3 are a list of their own, in front.
    chosen.sort_by_key(|at| ROWS[*at].suite.tls13().is_none());
    Ok(chosen.into_iter().map(|at| ROWS[at].suite).collect())
}

fn apply(word: &str, chosen: &mut Vec<usize>, banned: &mut Vec<usize>) {
    let (action, word) = match word.as_bytes()[0] {
        action @ (b'!' | b'-' | b'+') => (action, &word[1..]),
        _ => (b' ', word),
    };
    let meant: Vec<usize> = (0..ROWS.len())
        .filter(|at| means(word, &ROWS[*at]))
        .collect();
    match action {
        b'!' => {
            chosen.retain(|at| !meant.contains(at));
            banned.extend(meant);
        }
        b'-' => chosen.retain(|at| !meant.contains(at)),
        b'+' => {
            let moved: Vec<usize> = chosen
                .iter()
                .copied()
                .filter(|at| meant.contains(at))
                .collect();
            chosen.retain(|at| !meant.contains(at));
            chosen.extend(moved);
        }
        _ => {
            for at in meant {
                if !chosen.contains(&at) && !banned.contains(&at) {
                    chosen.push(at);
                }
            }
        }
    }
}

/// `ECDHE+AESGCM` means what both words mean.
fn means(word: &str, row: &Row) -> bool {
    if word == row.name || word == row.standard {
        return true;
    }
    !row.words.is_empty()
        && word
            .split('+')
            .all(|word| ALL.contains(&word) || row.words.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&'static str> {
        let chosen = choose(Some(list)).unwrap();
        chosen
            .into_iter()
            .map(|suite| Cipher::of(suite).unwrap().name)
            .collect()
    }

    #[test]
    fn names_groups_and_their_order() {
        assert_eq!(choose(None).unwrap().len(), 9);
        assert_eq!(
            names("ECDHE-RSA-AES128-GCM-SHA256"),
            ["ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert_eq!(names("TLS_AES_128_GCM_SHA256"), ["TLS_AES_128_GCM_SHA256"]);
        assert_eq!(names("HIGH").len(), 6, "a word means none of TLS 1.3");
        assert_eq!(names("ECDHE+AESGCM").len(), 4);
        assert_eq!(names("ALL:!aRSA").len(), 3);
        assert_eq!(names("ALL:!aRSA:aRSA").len(), 3, "what is banned stays so");
        assert_eq!(names("ALL:-aRSA:aRSA").len(), 6);
        assert_eq!(
            names("aRSA+AES256:aRSA+AES128"),
            ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert_eq!(
            names("aRSA+AES:+AES256").last(),
            Some(&"ECDHE-RSA-AES256-GCM-SHA384")
        );
        assert_eq!(
            names("ECDHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256"),
            ["TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"]
        );
    }

    #[test]
    fn words_that_mean_nothing_here_are_ignored_beside_others() {
        assert_eq!(
            names("RC4:AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256:!MD5:@STRENGTH").len(),
            1
        );
        for list in [
            "",
            "RC4",
            "AES128-SHA",
            "!ALL",
            "ALL:!ALL",
            "TLS_AES_128_CCM_SHA256",
            "+ALL",
        ] {
            let error = choose(Some(list)).unwrap_err();
            assert_eq!(error.code(), Code::TlsNoCipherMatch, "{list}");
            assert!(error.to_string().contains("ECDHE-RSA-AES128-GCM-SHA256"));
        }
    }
}
