//! Tables of what Node gives, and text that comes in pieces of any size.

use super::*;
use proptest::prelude::*;

const ALL: [Encoding; 6] = [
    Encoding::Utf8,
    Encoding::Ascii,
    Encoding::Latin1,
    Encoding::Utf16le,
    Encoding::Hex,
    Encoding::Base64,
];

type Pieces<'a> = &'a [&'a [u8]];

/// What each piece brings, and last what the end brings.
fn decode_pieces<'a>(
    encoding: Encoding,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<String> {
    let mut decoder = Decoder::new(encoding);
    let mut texts = Vec::new();
    for piece in pieces {
        let mut text = String::new();
        decoder.write(piece, &mut text);
        texts.push(text);
    }
    let mut text = String::new();
    decoder.end(&mut text);
    texts.push(text);
    texts
}

#[test]
fn bytes_of_text() {
    #[rustfmt::skip]
    let table: &[(Encoding, &str, &[u8])] = &[
        (Encoding::Utf8, "aé€😀", b"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
        (Encoding::Latin1, "aé\u{ff}", b"a\xe9\xff"),
        (Encoding::Latin1, "€😀", b"\xac\x3d\x00"),
        (Encoding::Ascii, "aé€", b"a\xe9\xac"),
        (Encoding::Utf16le, "a€😀", b"a\x00\xac\x20\x3d\xd8\x00\xde"),
        (Encoding::Hex, "00fFaB", b"\x00\xff\xab"),
        (Encoding::Hex, "abc", b"\xab"),
        (Encoding::Hex, "abxxcd", b"\xab"),
        (Encoding::Hex, "abcxcd", b"\xab"),
        (Encoding::Hex, "ab cd", b"\xab"),
        (Encoding::Hex, "a\u{131}", b"\xa1"),
        (Encoding::Base64, "YWJj", b"abc"),
        (Encoding::Base64, "YWI=", b"ab"),
        (Encoding::Base64, "YWI", b"ab"),
        (Encoding::Base64, "YQ", b"a"),
        (Encoding::Base64, "Y", b""),
        (Encoding::Base64, "Y W\nJ*j", b"abc"),
        (Encoding::Base64, "-_+/", b"\xfb\xff\xbf"),
        (Encoding::Base64, "YQ==YQ==", b"a"),
        (Encoding::Base64, "=YWJj", b""),
    ];
    for (encoding, text, bytes) in table {
        assert_eq!(encoding.encode(text), *bytes, "{encoding} {text:?}");
    }
}

#[test]
fn text_of_bytes() {
    #[rustfmt::skip]
    let table: &[(Encoding, &[u8], &str)] = &[
        (Encoding::Utf8, b"a\xc3\xa9", "aé"),
        (Encoding::Utf8, b"a\xff\xfeb", "a\u{fffd}\u{fffd}b"),
        (Encoding::Utf8, b"\xf0\x9f\x98!", "\u{fffd}!"),
        (Encoding::Utf8, b"\xe0\x80", "\u{fffd}\u{fffd}"),
        (Encoding::Utf8, b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
        (Encoding::Ascii, b"\xf4ide\x80", "tide\0"),
        (Encoding::Latin1, b"a\xe9\xff\x80", "aéÿ\u{80}"),
        (Encoding::Utf16le, b"a\x00\xac\x20\x3d\xd8\x00\xde", "a€😀"),
        (Encoding::Utf16le, b"\x3d\xd8a\x00", "\u{fffd}a"),
        (Encoding::Utf16le, b"\x00\xdea\x00", "\u{fffd}a"),
        (Encoding::Utf16le, b"a\x00b", "a"),
        (Encoding::Hex, b"\x00\xff\xab", "00ffab"),
        (Encoding::Base64, b"abc\xfb\xff\xbf", "YWJj+/+/"),
        (Encoding::Base64, b"ab", "YWI="),
        (Encoding::Base64, b"a", "YQ=="),
    ];
    for (encoding, bytes, text) in table {
        assert_eq!(encoding.decode(bytes), *text, "{encoding} {bytes:x?}");
    }
    for encoding in ALL {
        assert_eq!(encoding.decode(b""), "");
        assert_eq!(encoding.encode(""), b"");
    }
}

#[test]
fn every_byte_survives_latin1() {
    let bytes: Vec<u8> = (0..=255).collect();
    let text = Encoding::Latin1.decode(&bytes);
    assert!(text.chars().map(u32::from).eq(0..=255));
    assert_eq!(Encoding::Latin1.encode(&text), bytes);
}

#[test]
fn names() {
    for encoding in ALL {
        assert_eq!(encoding.as_str().parse::<Encoding>().unwrap(), encoding);
        assert_eq!(encoding.to_string(), encoding.as_str());
    }
    #[rustfmt::skip]
    let names = [
        ("UTF-8", Encoding::Utf8), ("Utf8", Encoding::Utf8), ("binary", Encoding::Latin1),
        ("ucs2", Encoding::Utf16le), ("UCS-2", Encoding::Utf16le), ("utf-16le", Encoding::Utf16le),
        ("HEX", Encoding::Hex), ("ASCII", Encoding::Ascii), ("Base64", Encoding::Base64),
    ];
    for (name, encoding) in names {
        assert_eq!(name.parse::<Encoding>().unwrap(), encoding, "{name}");
    }
    for unknown in ["", "utf", "utf 8", "latin-1", "utf16", "base64url"] {
        let error = unknown.parse::<Encoding>().unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgValue);
        assert_eq!(error.to_string(), format!("Unknown encoding: {unknown}"));
    }
}

#[test]
fn characters_come_with_their_last_byte() {
    let texts = decode_pieces(Encoding::Utf8, "€あ😀".as_bytes().chunks(1));
    #[rustfmt::skip]
    assert_eq!(texts, ["", "", "€", "", "", "あ", "", "", "", "😀", ""]);

    let bytes = Encoding::Utf16le.encode("€😀");
    let texts = decode_pieces(Encoding::Utf16le, bytes.chunks(1));
    assert_eq!(texts, ["", "€", "", "", "", "😀", ""]);

    let texts = decode_pieces(Encoding::Base64, b"abcde".chunks(1));
    assert_eq!(texts, ["", "", "YWJj", "", "", "ZGU="]);
}

#[test]
fn what_cannot_become_a_character_is_not_held_back() {
    #[rustfmt::skip]
    let table: &[(Encoding, Pieces, &[&str])] = &[
        (Encoding::Utf8, &[b"\xe2\x82", b"a"], &["", "\u{fffd}a", ""]),
        (Encoding::Utf8, &[b"\xe2\x82", b"\xc3", b"\xa9"], &["", "\u{fffd}", "é", ""]),
        (Encoding::Utf8, &[b"a\xc0", b"a\x80"], &["a\u{fffd}", "a\u{fffd}", ""]),
        (Encoding::Utf8, &[b"\xe0\x80"], &["\u{fffd}\u{fffd}", ""]),
        (Encoding::Utf16le, &[b"\x3d\xd8", b"a\x00"], &["", "\u{fffd}a", ""]),
        (Encoding::Utf16le, &[b"\x3d\xd8", b"\x3d", b"\xd8\x00\xde"], &["", "", "\u{fffd}😀", ""]),
    ];
    for (encoding, pieces, texts) in table {
        let pieces = pieces.iter().copied();
        assert_eq!(decode_pieces(*encoding, pieces), *texts);
    }
}

#[test]
fn what_is_held_back_at_the_end() {
    #[rustfmt::skip]
    let table: &[(Encoding, &[u8], &str)] = &[
        (Encoding::Utf8, b"\xf0\x9f\x98", "\u{fffd}"),
        (Encoding::Utf8, b"\xe2", "\u{fffd}"),
        (Encoding::Utf16le, b"\x3d\xd8", "\u{fffd}"),
        (Encoding::Utf16le, b"\x3d\xd8\x00", "\u{fffd}"),
        (Encoding::Utf16le, b"a", ""),
        (Encoding::Base64, b"a", "YQ=="),
    ];
    for (encoding, bytes, text) in table {
        assert_eq!(decode_pieces(*encoding, [*bytes]), ["", *text]);
    }
}

#[test]
fn a_decoder_that_has_ended_begins_anew() {
    let (mut decoder, mut text) = (Decoder::new(Encoding::Utf8), String::new());
    decoder.write(b"\xe2\x82", &mut text);
    decoder.end(&mut text);
    decoder.write(b"\xac", &mut text);
    decoder.end(&mut text);
    assert_eq!(text, "\u{fffd}\u{fffd}");
}

/// Bytes among which those that begin, continue and break characters are frequent.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let telling =
        b"\x00\x20\x41\x80\x9f\xa0\xbf\xc0\xc2\xd8\xdb\xdc\xdf\xe0\xe2\xed\xf0\xf4\xf5\xff";
    let byte = prop_oneof![
        prop::sample::select(telling.to_vec()).prop_map(|byte| vec![byte]),
        any::<u8>().prop_map(|byte| vec![byte]),
        any::<char>().prop_map(|c| c.to_string().into_bytes()),
        any::<char>().prop_map(|c| Encoding::Utf16le.encode(&c.to_string())),
    ];
    prop::collection::vec(byte, 0..24).prop_map(|pieces| pieces.concat())
}

fn split(bytes: &[u8], mut lengths: impl Iterator<Item = usize>) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, remaining) = rest.split_at(lengths.next().unwrap().min(rest.len()));
        pieces.push(piece);
        rest = remaining;
    }
    pieces
}

proptest! {
    #[test]
    fn any_split_gives_the_text_of_the_whole(
        bytes in bytes(),
        lengths in prop::collection::vec(0_usize..6, 0..8),
    ) {
        let lengths = || lengths.iter().copied().chain([1]).cycle();
        for encoding in ALL {
            let texts = decode_pieces(encoding, split(&bytes, lengths()));
            prop_assert_eq!(texts.concat(), encoding.decode(&bytes), "{}", encoding);
        }
        let text = decode_pieces(Encoding::Utf8, split(&bytes, lengths())).concat();
        prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn text_survives(text in any::<String>()) {
        for encoding in [Encoding::Utf8, Encoding::Utf16le] {
            prop_assert_eq!(encoding.decode(&encoding.encode(&text)), &*text);
        }
    }

    #[test]
    fn bytes_survive(bytes in any::<Vec<u8>>()) {
        for encoding in [Encoding::Latin1, Encoding::Hex, Encoding::Base64] {
            prop_assert_eq!(encoding.encode(&encoding.decode(&bytes)), &*bytes);
        }
    }
}
