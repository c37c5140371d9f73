//! What a client's first message says of sessions and of OCSP, which rustls does not tell: read from the bytes that rustls has
//! found to be a good one already.

/// A record of a handshake.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const STATUS_REQUEST: u16 = 5;
const OCSP: u8 = 1;
const SESSION_TICKET: u16 = 35;
const PRE_SHARED_KEY: u16 = 41;
const SUPPORTED_VERSIONS: u16 = 43;
const TLS_1_3: &[u8] = &[3, 4];

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hello<'a> {
    /// TLS 1.2: the session to take up, or a word without meaning.
    pub(super) session_id: &'a [u8],
    /// It offers a ticket of TLS 1.2, so its session id names nothing.
    pub(super) has_ticket: bool,
    pub(super) speaks_13: bool,
    /// TLS 1.3: the sessions to take up, the preferred one first.
    pub(super) identities: Vec<&'a [u8]>,
    /// It would have an OCSP response along with the certificate.
    pub(super) wants_status: bool,
}

/// The message in the records of `wire`, or what there is of it.
pub(super) fn message(wire: &[u8]) -> Vec<u8> {
    let mut rest = Reader(wire);
    let mut message = Vec::new();
    while let (Some(kind), Some(_), Some(body)) = (rest.u8(), rest.take(2), rest.of_u16()) {
        if kind == HANDSHAKE {
            message.extend_from_slice(body);
        }
    }
    message
}

/// What such a message says.
pub(super) fn parse(message: &[u8]) -> Option<Hello<'_>> {
    let mut rest = Reader(message);
    if rest.u8()? != CLIENT_HELLO {
        return None;
    }
    let mut body = Reader(rest.of_u24()?);
    // The version and the random bytes.
    body.take(2 + 32)?;
    let mut hello = Hello {
        session_id: body.of_u8()?,
        ..Hello::default()
    };
    let _ciphers = body.of_u16()?;
    let _compressions = body.of_u8()?;
    let Some(extensions) = body.of_u16() else {
        return Some(hello);
    };
    let mut extensions = Reader(extensions);
    while let (Some(kind), Some(content)) = (extensions.u16(), extensions.of_u16()) {
        let mut content = Reader(content);
        match kind {
            STATUS_REQUEST => hello.wants_status = content.u8() == Some(OCSP),
            SESSION_TICKET => hello.has_ticket = !content.0.is_empty(),
            SUPPORTED_VERSIONS => {
                let versions = content.of_u8()?;
                hello.speaks_13 = versions.chunks(2).any(|version| version == TLS_1_3);
            }
            PRE_SHARED_KEY => {
                let mut identities = Reader(content.of_u16()?);
                while let (Some(identity), Some(_age)) = (identities.of_u16(), identities.take(4)) {
                    hello.identities.push(identity);
                }
            }
            _ => {}
        }
    }
    Some(hello)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        let bytes = self.take(bytes)?.iter();
        Some(bytes.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn u8(&mut self) -> Option<u8> {
        self.number(1).map(|number| number as u8)
    }

    fn u16(&mut self) -> Option<u16> {
        self.number(2).map(|number| number as u16)
    }

    /// As many bytes as a number before them says.
    fn of_u8(&mut self) -> Option<&'a [u8]> {
        let length = self.number(1)?;
        self.take(length)
    }

    fn of_u16(&mut self) -> Option<&'a [u8]> {
        let length = self.number(2)?;
        self.take(length)
    }

    fn of_u24(&mut self) -> Option<&'a [u8]> {
        let length = self.number(3)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(bytes: usize, content: &[u8]) -> Vec<u8> {
        let length = content.len().to_be_bytes();
        [&length[8 - bytes..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &sized(2, content)].concat()
    }

    fn a_hello() -> Vec<u8> {
        let identity = |name: &[u8]| [sized(2, name), vec![0; 4]].concat();
        let identities = [identity(b"first"), identity(b"second")].concat();
        let offer = [sized(2, &identities), sized(2, &sized(1, &[9; 32]))].concat();
        let extensions = [
            extension(0, b"name"),
            extension(STATUS_REQUEST, &[OCSP, 0, 0, 0, 0]),
            extension(SUPPORTED_VERSIONS, &sized(1, &[3, 4, 3, 3])),
            extension(SESSION_TICKET, b""),
            extension(PRE_SHARED_KEY, &offer),
        ];
        let body = [
            vec![3; 34],
            sized(1, &[5; 32]),
            sized(2, &[0x13, 1]),
            sized(1, &[0]),
            sized(2, &extensions.concat()),
        ];
        [vec![CLIENT_HELLO], sized(3, &body.concat())].concat()
    }

    #[test]
    fn what_a_hello_says() {
        let whole = a_hello();
        let hello = parse(&whole).unwrap();
        assert_eq!(hello.session_id, [5; 32]);
        assert_eq!(hello.identities, [&b"first"[..], b"second"]);
        assert!(hello.speaks_13 && !hello.has_ticket && hello.wants_status);
        let mut wire = Vec::new();
        for piece in whole.chunks(50) {
            wire.extend([HANDSHAKE, 3, 1]);
            wire.extend(sized(2, piece));
            // A record of another kind between.
            wire.extend([20, 3, 3, 0, 1, 1]);
        }
        assert_eq!(message(&wire), whole);
        assert_eq!(message(&wire[..60]), whole[..50]);
    }

    #[test]
    fn junk_says_nothing_and_does_no_harm() {
        let whole = a_hello();
        for at in 0..whole.len() {
            assert_eq!(parse(&whole[..at]), None);
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                let _ = parse(&changed);
                let _ = message(&changed);
            }
        }
        assert_eq!(parse(b""), None);
        assert_eq!(message(b"\x16\x03\x01\xff\xff junk"), b"");
    }
}
