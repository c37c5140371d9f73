//! Bytes that come in pieces, read as text: a character split between two pieces is held back until
//! the rest of it is there. Whatever the pieces, the text is that of the whole.

use super::{units, Encoding};

/// Node's `StringDecoder`.
#[derive(Debug)]
pub(crate) struct Decoder {
    encoding: Encoding,
    /// The start of a character, and room for the byte that may complete it.
    held: [u8; 4],
    held_length: usize,
}

impl Decoder {
    pub(crate) fn new(encoding: Encoding) -> Decoder {
        Decoder {
            encoding,
            held: [0; 4],
            held_length: 0,
        }
    }

    /// Appends the characters that `chunk` completes. There may be none.
    pub(crate) fn write(&mut self, chunk: &[u8], text: &mut String) {
        let chunk = self.complete(chunk, text);
        let (whole, rest) = chunk.split_at(chunk.len() - incomplete(self.encoding, chunk));
        self.encoding.append(whole, text);
        self.held[self.held_length..][..rest.len()].copy_from_slice(rest);
        self.held_length += rest.len();
    }

    /// Appends what was held back, as there is no more to come. The decoder may be used anew.
    pub(crate) fn end(&mut self, text: &mut String) {
        self.encoding.append(&self.held[..self.held_length], text);
        self.held_length = 0;
    }

    /// Takes from `chunk` until nothing is held back any more, and gives what remains of it.
    fn complete<'a>(&mut self, mut chunk: &'a [u8], text: &mut String) -> &'a [u8] {
        while self.held_length > 0 {
            let Some((&byte, remaining)) = chunk.split_first() else {
                break;
            };
            chunk = remaining;
            self.held[self.held_length] = byte;
            let length = self.held_length + 1;
            let whole = length - incomplete(self.encoding, &self.held[..length]);
            self.encoding.append(&self.held[..whole], text);
            self.held.copy_within(whole..length, 0);
            self.held_length = length - whole;
        }
        chunk
    }
}

/// How many bytes at the end are the start of a character: at most 3, and one more completes it or
/// shows that it is none.
fn incomplete(encoding: Encoding, bytes: &[u8]) -> usize {
    match encoding {
        Encoding::Utf8 => incomplete_utf8(bytes),
        Encoding::Utf16le => {
            let odd = bytes.len() % 2;
            let last = units(&bytes[(bytes.len() - odd).saturating_sub(2)..]).next();
            match last {
                Some(0xd800..=0xdbff) => 2 + odd,
                _ => odd,
            }
        }
        Encoding::Base64 => bytes.len() % 3,
        Encoding::Ascii | Encoding::Latin1 | Encoding::Hex => 0,
    }
}

fn incomplete_utf8(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    let Some(start) = tail.iter().rposition(|byte| !is_continuation(*byte)) else {
        return 0;
    };
    let tail = &tail[start..];
    match std::str::from_utf8(tail) {
        Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => tail.len(),
        _ => 0,
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}
