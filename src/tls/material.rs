//! Keys and certificates as they are given: text or bytes in memory, or a file; PEM or DER.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::encoding::Encoding;
use crate::error::{Code, Error, Result};

/// A key or certificates: PEM or DER, in memory or in a file.
///
/// Text and bytes are the thing itself, so `"server.crt"` is no certificate; a `Path` names the file that holds it, which
/// is read when the context is made.
///
/// ```
/// use std::path::Path;
/// use tidewheel::tls::Material;
///
/// let file = Material::from(Path::new("server.crt"));
/// let text = Material::from("-----BEGIN CERTIFICATE-----\n..");
/// ```
#[derive(Clone)]
pub struct Material(Kind);

#[derive(Clone)]
enum Kind {
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl Material {
    pub(crate) fn read(&self) -> Result<Cow<'_, [u8]>> {
        match &self.0 {
            Kind::Bytes(bytes) => Ok(bytes.into()),
            Kind::File(path) => match fs::read(path) {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) => {
                    let code = Error::from(error).code();
                    let message = format!("open {code}: {}", path.display());
                    Err(Error::new(code, message))
                }
            },
        }
    }
}

impl Material {
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.0, Kind::File(_))
    }

    /// What it is called in an error: a file and what looks like the name of one, nothing that may be a secret.
    pub(crate) fn named(&self, bytes: &[u8]) -> String {
        match (&self.0, std::str::from_utf8(bytes)) {
            (Kind::File(path), _) => format!("the file {}", path.display()),
            (_, Ok(text)) if is_file_name(text) => format!("the text {text:?}"),
            (_, Ok(text)) if !text.is_empty() => format!("the text of {} bytes", text.len()),
            _ => format!("what was given ({} bytes)", bytes.len()),
        }
    }
}

/// One short line with an ending, such as `conf/server.pem`. No base64 has a dot.
fn is_file_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_./~ ".contains(c);
    let ending = text.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_ending =
        (1..=4).contains(&ending.len()) && ending.bytes().all(|c| c.is_ascii_alphanumeric());
    text.len() <= 100 && is_ending && text.chars().all(is_part)
}

/// Never shows what may be a secret.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Bytes(bytes) => write!(f, "Material({} bytes)", bytes.len()),
            Kind::File(path) => write!(f, "Material({})", path.display()),
        }
    }
}

macro_rules! from_bytes {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Material {
            fn from(bytes: $kind) -> Material {
                let bytes: &[u8] = bytes.as_ref();
                Material(Kind::Bytes(bytes.to_vec()))
            }
        }
    )*};
}

from_bytes!(&[u8], &Vec<u8>, &str, &String);

impl<const N: usize> From<&[u8; N]> for Material {
    fn from(bytes: &[u8; N]) -> Material {
        Material(Kind::Bytes(bytes.to_vec()))
    }
}

impl From<Vec<u8>> for Material {
    fn from(bytes: Vec<u8>) -> Material {
        Material(Kind::Bytes(bytes))
    }
}

impl From<String> for Material {
    fn from(text: String) -> Material {
        Material(Kind::Bytes(text.into()))
    }
}

impl From<PathBuf> for Material {
    fn from(path: PathBuf) -> Material {
        Material(Kind::File(path))
    }
}

impl From<&Path> for Material {
    fn from(path: &Path) -> Material {
        Material(Kind::File(path.into()))
    }
}

impl From<&PathBuf> for Material {
    fn from(path: &PathBuf) -> Material {
        Material(Kind::File(path.into()))
    }
}

/// One `-----BEGIN ..-----` block.
pub(crate) struct Section {
    pub(crate) label: String,
    /// It has headers, as encrypted keys of the old format do.
    pub(crate) encrypted_headers: bool,
    pub(crate) der: Vec<u8>,
}

/// The blocks of a PEM text; `None`: it is none, and so may be DER.
pub(crate) fn pem(bytes: &[u8]) -> Result<Option<Vec<Section>>> {
    if !bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().map(str::trim);
    let mut sections = Vec::new();
    while let Some(line) = lines.next() {
        if !line.starts_with("-----BEGIN ") {
            continue;
        }
        // The rest of the line may be a key: it is not shown.
        let label = marker(line, "-----BEGIN ").ok_or_else(no_line_breaks)?;
        let mut section = Section {
            label: label.into(),
            encrypted_headers: false,
            der: Vec::new(),
        };
        let mut base64 = String::new();
        loop {
            let unfinished = || bad_pem(label, "has no end");
            let line = lines.next().ok_or_else(unfinished)?;
            if let Some(end) = marker(line, "-----END ") {
                if end != label {
                    return Err(bad_pem(label, "has the end of another"));
                }
                break;
            }
            if line.contains(':') {
                section.encrypted_headers |=
                    line.starts_with("Proc-Type") && line.contains("ENCRYPTED");
            } else if !line.starts_with("DEK-Info") {
                base64.push_str(line);
            }
        }
        let is_base64 = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'=');
        if !base64.bytes().all(is_base64) || base64.len() % 4 != 0 {
            return Err(bad_pem(label, "is not base64"));
        }
        section.der = Encoding::Base64.encode(&base64);
        sections.push(section);
    }
    Ok(Some(sections))
}

fn marker<'a>(line: &'a str, begin: &str) -> Option<&'a str> {
    let label = line.strip_prefix(begin)?.strip_suffix("-----")?;
    let is_label = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || b" .".contains(&c);
    (label.len() <= 40 && label.bytes().all(is_label)).then_some(label)
}

fn no_line_breaks() -> Error {
    let message =
        "the line that begins a PEM block has more in it: the text has lost its line breaks";
    Error::new(Code::TlsBadEncoding, message)
}

fn bad_pem(label: &str, what: &str) -> Error {
    Error::new(
        Code::TlsBadEncoding,
        format!("the PEM block {label:?} {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_among_other_text() {
        let text = "hello\n-----BEGIN A-----\nAAEC\n-----END A-----\nx\r\n  -----BEGIN B-----\r\nAw==\r\n-----END B-----\r\n";
        let found = pem(text.as_bytes()).unwrap().unwrap();
        assert_eq!(found[0].label, "A");
        assert_eq!(found[0].der, [0, 1, 2]);
        assert_eq!(
            (found[1].label.as_str(), found[1].der.as_slice()),
            ("B", &[3][..])
        );
        assert!(pem(b"0\x82\x01").unwrap().is_none());
    }

    #[test]
    fn broken_blocks_are_refused() {
        for text in [
            "-----BEGIN A-----\nAAEC\n",
            "-----BEGIN A-----\nAAEC\n-----END B-----\n",
            "-----BEGIN A-----\nA?EC\n-----END A-----\n",
            "-----BEGIN A-----\nAAE\n-----END A-----\n",
        ] {
            let error = pem(text.as_bytes()).err().expect("refused");
            assert_eq!(error.code(), Code::TlsBadEncoding, "{text}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named_and_bytes_are_not_shown() {
        let error = Material::from(Path::new("/nonexistent/key.pem"))
            .read()
            .unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
        assert!(error.to_string().contains("/nonexistent/key.pem"));
        assert_eq!(
            format!("{:?}", Material::from("secret")),
            "Material(6 bytes)"
        );
    }
}
