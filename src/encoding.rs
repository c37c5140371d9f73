//! Text as bytes and bytes as text, in the encodings that Node's sockets know and with Node's
//! results, down to what becomes of input that is wrong.

use std::fmt;
use std::str::FromStr;

use crate::error::{Code, Error};

mod base64;
mod decoder;

pub(crate) use decoder::Decoder;

/// How text is written as bytes, and how bytes are read as text.
///
/// Neither direction can fail: what is wrong is replaced or left out, as Node does it. Where Node's
/// text would hold half of a surrogate pair, which a Rust string cannot, there is U+FFFD.
///
/// ```
/// use tidewheel::net::Encoding;
///
/// assert_eq!(Encoding::Hex.decode(b"tide"), "74696465");
/// assert_eq!(Encoding::Base64.encode("d2hlZWw="), b"wheel");
/// assert_eq!("UCS-2".parse::<Encoding>().unwrap(), Encoding::Utf16le);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// UTF-8. Each sequence of bytes that is not part of a character becomes one U+FFFD, by the
    /// rules of browsers, which are also those of [`String::from_utf8_lossy`].
    Utf8,
    /// Seven bits: the highest bit of each byte is dropped in reading. Writing is that of
    /// [`Latin1`](Encoding::Latin1).
    Ascii,
    /// One byte for each of the first 256 characters, so that all bytes survive the way there and
    /// back. Of the others the low byte of each UTF-16 unit is written.
    Latin1,
    /// UTF-16, low byte first. An odd byte at the end is dropped.
    Utf16le,
    /// Two digits for each byte, small letters. Reading text stops at the first pair that is not
    /// of two digits.
    Hex,
    /// Base64 with `+`, `/` and padding. In reading text `-` and `_` serve as well, padding may be
    /// missing, what belongs to no alphabet is skipped, and `=` is the end.
    Base64,
}

impl Encoding {
    /// The bytes of `text`: Node's `Buffer.from(text, encoding)`.
    ///
    /// ```
    /// use tidewheel::net::Encoding;
    ///
    /// assert_eq!(Encoding::Latin1.encode("é"), [0xe9]);
    /// assert_eq!(Encoding::Utf16le.encode("é"), [0xe9, 0]);
    /// assert_eq!(Encoding::Hex.encode("0afg"), [0x0a]);
    /// ```
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Encoding::Utf8 => text.as_bytes().to_vec(),
            Encoding::Ascii | Encoding::Latin1 => low_bytes(text).collect(),
            Encoding::Utf16le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Encoding::Hex => read_hex(low_bytes(text)),
            Encoding::Base64 => base64::read(low_bytes(text)),
        }
    }

    /// The text of `bytes`: Node's `buffer.toString(encoding)`.
    ///
    /// ```
    /// use tidewheel::net::Encoding;
    ///
    /// assert_eq!(Encoding::Utf8.decode(b"tide\xff"), "tide\u{fffd}");
    /// assert_eq!(Encoding::Ascii.decode(b"\xf4ide"), "tide");
    /// ```
    pub fn decode(self, bytes: &[u8]) -> String {
        let mut text = String::new();
        self.append(bytes, &mut text);
        text
    }

    /// Node's name of it: `"utf8"`, `"ascii"`, `"latin1"`, `"utf16le"`, `"hex"` or `"base64"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Encoding::Utf8 => "utf8",
            Encoding::Ascii => "ascii",
            Encoding::Latin1 => "latin1",
            Encoding::Utf16le => "utf16le",
            Encoding::Hex => "hex",
            Encoding::Base64 => "base64",
        }
    }

    /// Appends the text of `bytes`, which are all there is.
    fn append(self, bytes: &[u8], text: &mut String) {
        match self {
            Encoding::Utf8 => append_utf8(bytes, text),
            // The same text by the faster way.
            Encoding::Ascii | Encoding::Latin1 if bytes.is_ascii() => append_utf8(bytes, text),
            Encoding::Ascii => text.extend(bytes.iter().map(|byte| char::from(byte & 0x7f))),
            Encoding::Latin1 => text.extend(bytes.iter().copied().map(char::from)),
            Encoding::Utf16le => {
                let characters = char::decode_utf16(units(bytes));
                text.extend(characters.map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)));
            }
            Encoding::Hex => append_hex(bytes, text),
            Encoding::Base64 => base64::append(bytes, text),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Node's names, in small or capital letters: `utf8`, `utf-8`, `ucs2`, `ucs-2`, `utf16le`,
/// `utf-16le`, `latin1`, `binary`, `ascii`, `hex` and `base64`.
///
/// `base64url` is refused: [`decode`](Encoding::decode) would answer in the other alphabet. To read
/// such text, [`Base64`](Encoding::Base64) serves.
impl FromStr for Encoding {
    type Err = Error;

    fn from_str(name: &str) -> Result<Encoding, Error> {
        const NAMES: &[(&str, Encoding)] = &[
            ("utf8", Encoding::Utf8),
            ("utf-8", Encoding::Utf8),
            ("ucs2", Encoding::Utf16le),
            ("ucs-2", Encoding::Utf16le),
            ("utf16le", Encoding::Utf16le),
            ("utf-16le", Encoding::Utf16le),
            ("latin1", Encoding::Latin1),
            ("binary", Encoding::Latin1),
            ("ascii", Encoding::Ascii),
            ("hex", Encoding::Hex),
            ("base64", Encoding::Base64),
        ];
        let found = NAMES.iter().find(|row| row.0.eq_ignore_ascii_case(name));
        let unknown = || Error::new(Code::InvalidArgValue, format!("Unknown encoding: {name}"));
        found.map(|row| row.1).ok_or_else(unknown)
    }
}

/// What Node sees of a text that it takes for one of single bytes.
fn low_bytes(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.encode_utf16().map(|unit| unit as u8)
}

fn units(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    let pairs = bytes.chunks_exact(2);
    pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
}

/// Well-formed text, which is nearly all there is, is checked as fast as the machine can; only the
/// rest takes the slow way.
fn append_utf8(bytes: &[u8], text: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(whole) => text.push_str(whole),
        Err(_) => text.push_str(&String::from_utf8_lossy(bytes)),
    }
}

fn append_hex(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.reserve(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

fn read_hex(digits: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut values = digits.map_while(|digit| char::from(digit).to_digit(16));
    let mut bytes = Vec::new();
    while let (Some(high), Some(low)) = (values.next(), values.next()) {
        bytes.push((high << 4 | low) as u8);
    }
    bytes
}

#[cfg(test)]
mod tests;
