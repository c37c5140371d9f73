//! What an IP address is, written down a second time and from the grammar, beside the parsers of the crate.

/// 4, 6 or 0.
pub fn version(text: &str) -> u8 {
    if is_ipv4(text) {
        return 4;
    }
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let is_zone = |zone: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
        !zone.is_empty() && zone.chars().all(allowed)
    };
    match is_ipv6(address) && zone.is_none_or(is_zone) {
        true => 6,
        false => 0,
    }
}

fn is_ipv4(text: &str) -> bool {
    let is_part = |part: &str| {
        let digits = (1..=3).contains(&part.len()) && part.chars().all(|c| c.is_ascii_digit());
        let leading_zero = part.len() > 1 && part.starts_with('0');
        digits && !leading_zero && part.parse::<u32>().is_ok_and(|value| value < 256)
    };
    text.split('.').count() == 4 && text.split('.').all(is_part)
}

fn is_ipv6(text: &str) -> bool {
    match text.split_once("::") {
        None => groups(text, true) == Some(8),
        Some((left, right)) => {
            let left = if left.is_empty() {
                Some(0)
            } else {
                groups(left, false)
            };
            let right = if right.is_empty() {
                Some(0)
            } else {
                groups(right, true)
            };
            matches!((left, right), (Some(left), Some(right)) if left + right <= 7)
        }
    }
}

/// How many groups of 16 bits the text is; the last two may be an IPv4 address.
fn groups(text: &str, may_end_in_ipv4: bool) -> Option<usize> {
    let is_group =
        |part: &&str| (1..=4).contains(&part.len()) && part.chars().all(|c| c.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split(':').collect();
    let (last, first) = parts.split_last()?;
    let count = first.iter().filter(|part| is_group(part)).count();
    if count < first.len() {
        None
    } else if is_group(last) {
        Some(count + 1)
    } else if may_end_in_ipv4 && is_ipv4(last) {
        Some(count + 2)
    } else {
        None
    }
}
