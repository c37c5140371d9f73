//! Two TLS sessions without sockets, whose bytes come in any pieces, changed, doubled, lost and made up, in any state of
//! the handshake and behind it; or one session, and bytes that nobody sent.
//!
//! Whatever comes: nothing panics, a failure is told once, cleartext is what the other side said, in order and from the
//! beginning, nothing is kept that could be used, and no more is answered than was asked for. Where nothing was changed
//! all arrives. The keys of a handshake are random, so the same input changes other bytes each time.

use std::rc::Rc;
use std::time::Duration;

use super::input::Input;
use crate::error::{Code, Error};
use crate::tls::context::{ClientWishes, Ingredients, ServerWishes};
use crate::tls::names::Contexts;
use crate::tls::session::{ClientPlan, Common, ServerPlan, Session, SessionPlan, Wants};
use crate::tls::{Material, SecureContext, TlsVersion};

const DAY: Duration = Duration::from_secs(24 * 3600);
const KEY: &str = include_str!("../../../src/tls/fixtures/v1-ec.pem");
const CERT: &str = include_str!("../../../src/tls/fixtures/v1-ec.crt");

thread_local! {
    /// Both sides show the same certificate, and trust it. By version.
    static CONTEXTS: [SecureContext; 2] = [TlsVersion::V1_2, TlsVersion::V1_3].map(context);
}

fn context(version: TlsVersion) -> SecureContext {
    let ingredients = Ingredients {
        keys: vec![(Material::from(KEY), None)],
        certs: vec![Material::from(CERT)],
        ca: Some(vec![Material::from(CERT)]),
        min_version: Some(version),
        max_version: Some(version),
        ..Ingredients::default()
    };
    SecureContext::make(&ingredients).unwrap()
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut pair = Pair::new(Choices::read(&mut input));
    if input.byte() & 3 == 0 {
        return pair.only_input(&mut input);
    }
    while !input.is_empty() {
        pair.step(&mut input);
        pair.check();
    }
    pair.finish();
}

/// What is decided before the first byte.
#[derive(Clone, Copy)]
struct Choices {
    version: usize,
    request_cert: bool,
    reject: bool,
    own_identity: bool,
    own_choice: bool,
    refuse: bool,
    common: Common,
}

impl Choices {
    fn read(input: &mut Input<'_>) -> Choices {
        let bits = input.byte();
        let bit = |number: u8| bits >> number & 1 == 1;
        Choices {
            version: usize::from(bit(0)),
            request_cert: bit(1),
            reject: !bit(2),
            own_identity: bit(3),
            own_choice: bit(4),
            refuse: bits >> 5 == 7,
            common: Common {
                key_log: bit(6),
                ocsp: bit(6),
                strict_end: bit(7),
            },
        }
    }

    fn client(&self) -> Session {
        let wishes = ClientWishes {
            reject: self.reject,
            own_identity: self.own_identity,
            send_name: true,
            alpn: vec![b"h2".to_vec()],
        };
        let side = CONTEXTS.with(|contexts| contexts[self.version].client(&wishes).unwrap());
        Session::client(ClientPlan {
            side,
            host: "localhost".into(),
            name: "localhost".try_into().unwrap(),
            session: None,
            common: self.common,
        })
    }

    fn server(&self) -> Session {
        let wishes = ServerWishes {
            request_cert: self.request_cert,
            reject: self.reject,
            honor_cipher_order: true,
            alpn: vec![b"h2".to_vec()],
            session_timeout: DAY,
            tickets: None,
        };
        let side = CONTEXTS.with(|contexts| contexts[self.version].server(&wishes).unwrap());
        Session::server(&Rc::new(ServerPlan {
            contexts: Contexts::new(side),
            own_choice: self.own_choice,
            sessions: SessionPlan {
                asks: self.own_choice,
                tells: self.own_choice,
                timeout: DAY,
            },
            common: self.common,
        }))
    }
}

struct Side {
    session: Session,
    /// What it sent and the other has not got.
    wire: Vec<u8>,
    /// Cleartext that it said, in how many calls, and that it got.
    said: usize,
    calls: usize,
    got: usize,
    /// Ciphertext that it was given and that it made.
    fed: usize,
    sent: usize,
    secure: usize,
    failed: usize,
    ended: bool,
    /// It answers no questions for now.
    silent: bool,
}

/// The byte at `at` of what is said by the client (0) or the server (1).
fn said(by: usize, at: usize) -> u8 {
    (at * 31 + at / 251 + by * 101) as u8
}

impl Side {
    fn new(session: Session) -> Side {
        Side {
            session,
            wire: Vec::new(),
            said: 0,
            calls: 0,
            got: 0,
            fed: 0,
            sent: 0,
            secure: 0,
            failed: 0,
            ended: false,
            silent: false,
        }
    }

    /// Takes `bytes` in, of the other side, which is `by`, and all that this leads to.
    fn take(&mut self, bytes: &[u8], room: usize, by: usize, refuse: bool) {
        self.fed += bytes.len();
        let mut bytes = bytes;
        let mut plain = vec![0; room];
        loop {
            let produced = self.session.feed(bytes, &mut plain);
            bytes = &[];
            assert!(
                produced == 0 || self.secure == 1,
                "cleartext before it is secure"
            );
            for byte in &plain[..produced] {
                assert_eq!(*byte, said(by, self.got), "cleartext that nobody said");
                self.got += 1;
            }
            let heard = self.listen(refuse);
            if produced == 0 && !heard && (!self.session.has_more() || room == 0) {
                break;
            }
        }
        let stopped = self.session.wants().is_some() || self.failed > 0;
        assert!(
            room == 0 || stopped || !self.session.has_more(),
            "something is kept"
        );
        self.send();
    }

    /// Hears what the session wants. False: nothing, or nobody answers.
    fn listen(&mut self, refuse: bool) -> bool {
        let no = || Error::new(Code::CertRejected, "no");
        match self.session.wants() {
            None => return false,
            Some(Wants::KeyLog) => assert!(!self.session.take_key_lines().is_empty()),
            Some(Wants::Context | Wants::Session | Wants::Staple | Wants::Identity)
                if self.silent =>
            {
                assert!(!self.session.may_read(), "it reads before the answer");
                return false;
            }
            Some(Wants::Context) => self.session.answer_context(match refuse {
                true => Err(no()),
                false => Ok(None),
            }),
            Some(Wants::Session) => self.session.answer_session(Ok(Some(vec![7; 100]))),
            Some(Wants::Staple) => self.session.answer_staple(Ok(Some(vec![8; 100]))),
            Some(Wants::Stapled) => {
                let _ = self.session.take_stapled();
            }
            Some(Wants::Keeper) => {
                for _ in self.session.take_new() {
                    self.session.session_is_kept();
                }
            }
            Some(Wants::Sessions) => assert!(!self.session.take_sessions().is_empty()),
            Some(Wants::Identity) => {
                assert!(!self.session.wants_write(), "sent before the answer");
                let answer = if refuse { Err(no()) } else { Ok(()) };
                self.session.answer_identity(answer);
            }
            Some(Wants::Secure) => {
                self.session.told_secure();
                self.secure += 1;
            }
            Some(Wants::Failed) => {
                let error = self.session.take_failure().unwrap();
                assert!(!error.to_string().is_empty());
                self.failed += 1;
                assert!(self.failed == 1, "a failure told twice");
            }
        }
        true
    }

    fn send(&mut self) {
        let written = self.session.write_to(&mut self.wire).unwrap();
        assert!(!written.blocked);
        self.sent += written.bytes;
    }

    fn say(&mut self, by: usize, length: usize) {
        let data: Vec<u8> = (0..length).map(|at| said(by, self.said + at)).collect();
        let taken = self.session.seal(&data);
        assert!(taken == 0 || (self.secure == 1 && self.failed == 0));
        self.said += taken;
        self.calls += 1 + taken / 16_384;
        self.send();
        assert_eq!(self.session.in_flight(), 0);
    }

    fn check(&mut self) {
        assert!(self.secure <= 1 && self.failed <= 1, "told twice");
        let most = 16_384 + self.said + 64 * self.calls + self.fed;
        assert!(
            self.sent <= most,
            "{} bytes of answers to {}",
            self.sent,
            self.fed
        );
        let session = &mut self.session;
        assert_eq!(session.is_secure(), self.secure == 1);
        let _ = (
            session.is_authorized(),
            session.certificates(),
            session.server_name(),
        );
        let _ = (
            session.is_truncated(),
            session.unauthorized(),
            session.host(),
        );
        let _ = session.export(16, "EXPORTER-fuzz", None);
        if self.failed == 1 {
            assert!(!session.may_write() && !session.may_read() && !session.is_at_end());
        }
    }

    /// The transport has ended.
    fn end(&mut self, refuse: bool) {
        self.session.feed_end();
        self.ended = true;
        let at_end = self.session.is_at_end();
        while self.listen(refuse) {}
        assert!(!at_end || (self.secure == 1 && self.failed == 0));
    }
}

/// The client and the server.
struct Pair {
    choices: Choices,
    sides: [Side; 2],
    /// Something on the way to the client, or the server, is not what was sent; or somebody was refused.
    changed: bool,
}

impl Pair {
    fn new(choices: Choices) -> Pair {
        let mut client = choices.client();
        client.start();
        let mut sides = [client, choices.server()].map(Side::new);
        sides[0].send();
        Pair {
            choices,
            sides,
            changed: choices.refuse,
        }
    }

    /// Bytes that nobody sent, in pieces.
    fn only_input(&mut self, input: &mut Input<'_>) {
        let to = input.below(2);
        let pieces: Vec<usize> = (0..4).map(|_| 1 + input.length()).collect();
        for piece in pieces.iter().cycle() {
            let bytes = input.take(*piece);
            if bytes.is_empty() || !self.sides[to].session.may_read() {
                break;
            }
            self.sides[to].take(bytes, 100, 1 - to, false);
            self.check();
            assert_eq!(self.sides[to].secure, 0);
        }
        self.sides[to].end(false);
        assert_eq!(self.sides[to].failed, 1, "it ended, and nothing was told");
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let op = input.byte();
        // Of whom the bytes are.
        let by = usize::from(op & 1);
        let from = &mut self.sides[by];
        let wire = from.wire.len();
        match op >> 1 & 15 {
            0..=3 => {
                let count = input.length();
                self.carry(by, count, 4096);
            }
            4 => self.carry(by, wire, 4096),
            5 => self.carry(by, wire, input.length()),
            6 => from.say(by, input.length()),
            7 => {
                from.session.close();
                from.send();
            }
            8 => from.silent = !from.silent,
            9 => self.sides[by].end(self.choices.refuse),
            change => self.change(by, change, input),
        }
    }

    /// Gives so many bytes of one side's to the other, unless that one does not read.
    fn carry(&mut self, by: usize, count: usize, room: usize) {
        let (first, second) = self.sides.split_at_mut(1);
        let (from, to) = match by {
            0 => (&mut first[0], &mut second[0]),
            _ => (&mut second[0], &mut first[0]),
        };
        while to.listen(self.choices.refuse) {}
        if to.ended || !to.session.may_read() {
            to.send();
            return;
        }
        let bytes: Vec<u8> = from.wire.drain(..count.min(from.wire.len())).collect();
        to.take(&bytes, room, by, self.choices.refuse);
    }

    /// Changes what is on the way.
    fn change(&mut self, by: usize, how: u8, input: &mut Input<'_>) {
        self.changed = true;
        let wire = &mut self.sides[by].wire;
        let at = input.number(2) as usize % (wire.len() + 1);
        match how {
            10 if at < wire.len() => wire[at] ^= input.byte(),
            11 => {
                let end = wire.len().min(at + input.length());
                wire.drain(at..end);
            }
            12 => {
                let count = input.below(32);
                let bytes = input.take(count);
                wire.splice(at..at, bytes.iter().copied());
            }
            13 => {
                // A record, of a kind that there is or nearly.
                let kind = 19 + input.byte() % 6;
                let count = input.below(32);
                let bytes = input.take(count);
                let record = [kind, 3, 3, 0, bytes.len() as u8];
                let record: Vec<u8> = record.iter().chain(bytes).copied().collect();
                wire.splice(0..0, record);
            }
            14 => {
                let end = wire.len().min(at + input.length());
                let doubled = wire[at..end].to_vec();
                wire.splice(end..end, doubled);
            }
            _ => wire.truncate(at),
        }
    }

    fn check(&mut self) {
        for by in [0, 1] {
            self.sides[by].check();
            assert!(self.sides[by].got <= self.sides[1 - by].said, "invented");
        }
    }

    /// All that is on the way arrives; then both transports end.
    fn finish(mut self) {
        for side in &mut self.sides {
            side.silent = false;
        }
        for _ in 0..100 {
            for by in [0, 1] {
                let all = self.sides[by].wire.len();
                self.carry(by, all, 4096);
            }
        }
        self.check();
        let ended = self.sides.iter().any(|side| side.ended);
        if !self.changed && !ended {
            for by in [0, 1] {
                let side = &self.sides[by];
                assert_eq!((side.secure, side.failed), (1, 0), "nothing was changed");
                assert_eq!(side.got, self.sides[1 - by].said);
            }
        }
        for side in &mut self.sides {
            side.end(self.choices.refuse);
        }
        self.check();
    }
}
