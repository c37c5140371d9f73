//! Base64, strict in writing and lenient in reading, as Node is.

pub(super) fn append(bytes: &[u8], text: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text.reserve(4 * bytes.len().div_ceil(3));
    for group in bytes.chunks(3) {
        let missing = 3 - group.len();
        let bits = group
            .iter()
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * missing);
        for shift in [18, 12, 6, 0].into_iter().take(4 - missing) {
            text.push(char::from(ALPHABET[bits >> shift & 63]));
        }
        text.extend(std::iter::repeat_n('=', missing));
    }
}

/// Six bits that are left over at the end make no byte and are dropped.
pub(super) fn read(text: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.size_hint().0 / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for value in text.take_while(|c| *c != b'=').filter_map(value) {
        bits = bits << 6 | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

fn value(character: u8) -> Option<u32> {
    Some(u32::from(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}
