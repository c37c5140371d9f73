//! Bytes as text in every encoding and in every split, beside what the standard library makes of the whole; and text
//! as bytes.

use super::input::Input;
use crate::encoding::{Decoder, Encoding};

const ALL: [Encoding; 6] = [
    Encoding::Utf8,
    Encoding::Ascii,
    Encoding::Latin1,
    Encoding::Utf16le,
    Encoding::Hex,
    Encoding::Base64,
];

/// Up to here every split in two and in three is tried.
const SHORT: usize = 12;
/// Up to here the text is compared after every piece with that of all that is complete.
const CLOSELY: usize = 64;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let count = input.below(8);
    let lengths: Vec<usize> = input.take(count).iter().map(|&b| b.into()).collect();
    let bytes = input.rest();
    for encoding in ALL {
        pieces_make_the_whole(encoding, bytes, &lengths);
        if bytes.len() <= SHORT {
            every_split(encoding, bytes);
        }
        whole_is_what_the_standard_library_says(encoding, bytes);
    }
    text_as_bytes(bytes);
}

/// The bytes in pieces of such lengths, in turn. After each piece there is the text of all that is complete, and no
/// more.
fn pieces_make_the_whole(encoding: Encoding, bytes: &[u8], lengths: &[usize]) {
    let whole = encoding.decode(bytes);
    let (mut decoder, mut text) = (Decoder::new(encoding), String::new());
    let mut at = 0;
    for length in lengths.iter().copied().chain([1]).cycle() {
        let end = bytes.len().min(at + length);
        decoder.write(&bytes[at..end], &mut text);
        at = end;
        if at <= CLOSELY {
            let complete = &bytes[..complete(encoding, &bytes[..at])];
            assert_eq!(text, encoding.decode(complete), "{encoding} to {at}");
        }
        assert!(whole.starts_with(&text), "{encoding} to {at}");
        if at == bytes.len() {
            break;
        }
    }
    decoder.end(&mut text);
    assert_eq!(text, whole, "{encoding}");

    // It begins anew.
    let mut again = String::new();
    decoder.write(bytes, &mut again);
    decoder.end(&mut again);
    assert_eq!(again, text, "{encoding} again");
}

fn every_split(encoding: Encoding, bytes: &[u8]) {
    let whole = encoding.decode(bytes);
    for second in 0..=bytes.len() {
        for first in 0..=second {
            let (mut decoder, mut text) = (Decoder::new(encoding), String::new());
            decoder.write(&bytes[..first], &mut text);
            decoder.write(&bytes[first..second], &mut text);
            decoder.write(&bytes[second..], &mut text);
            decoder.end(&mut text);
            assert_eq!(text, whole, "{encoding} split at {first} and {second}");
        }
    }
}

fn whole_is_what_the_standard_library_says(encoding: Encoding, bytes: &[u8]) {
    let text = encoding.decode(bytes);
    match encoding {
        Encoding::Utf8 => assert_eq!(text, String::from_utf8_lossy(bytes)),
        Encoding::Utf16le => assert_eq!(text, String::from_utf16_lossy(&units(bytes))),
        Encoding::Ascii => {
            let masked: Vec<u8> = bytes.iter().map(|byte| byte & 0x7f).collect();
            assert_eq!(text.as_bytes(), masked);
        }
        Encoding::Latin1 | Encoding::Hex | Encoding::Base64 => {
            assert_eq!(encoding.encode(&text), bytes, "{encoding} there and back");
        }
    }
}

fn text_as_bytes(bytes: &[u8]) {
    let text = &*String::from_utf8_lossy(bytes);
    for encoding in [Encoding::Utf8, Encoding::Utf16le] {
        assert_eq!(encoding.decode(&encoding.encode(text)), text);
    }
    let low: Vec<u8> = text.encode_utf16().map(|unit| unit as u8).collect();
    assert_eq!(Encoding::Latin1.encode(text), low);
    assert_eq!(Encoding::Ascii.encode(text), low);
    // What is wrong is left out, so what remains survives.
    for encoding in [Encoding::Hex, Encoding::Base64] {
        let read = encoding.encode(text);
        assert_eq!(encoding.encode(&encoding.decode(&read)), read);
    }
    if let Ok(encoding) = text.parse::<Encoding>() {
        assert_eq!(encoding.as_str().parse::<Encoding>().ok(), Some(encoding));
    }
}

/// How many of the bytes make whole characters, or can make none whatever comes.
fn complete(encoding: Encoding, bytes: &[u8]) -> usize {
    match encoding {
        Encoding::Utf8 => {
            let mut rest = bytes;
            while let Err(error) = std::str::from_utf8(rest) {
                match error.error_len() {
                    Some(wrong) => rest = &rest[error.valid_up_to() + wrong..],
                    None => return bytes.len() - (rest.len() - error.valid_up_to()),
                }
            }
            bytes.len()
        }
        Encoding::Utf16le => {
            let is_half = |unit: &u16| (0xd800..0xdc00).contains(unit);
            let held = units(bytes).last().is_some_and(is_half);
            bytes.len() / 2 * 2 - 2 * usize::from(held)
        }
        Encoding::Base64 => bytes.len() / 3 * 3,
        _ => bytes.len(),
    }
}

fn units(bytes: &[u8]) -> Vec<u16> {
    let pairs = bytes.chunks_exact(2);
    pairs
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}
