//! Which address to try next, and for how long: the addresses of one `connect`, each tried until it
//! fails or, while another one waits, until its time is up.
//!
//! One attempt is under way at a time. Call, in turn: [`next`](Connector::next) for an address,
//! [`started`](Connector::started) when the system has begun to connect to it, and
//! [`failed`](Connector::failed) when it was in vain, be it by an error or because it
//! [`is_overdue`](Connector::is_overdue).

use crate::address::Address;
use crate::error::Error;

/// A point in time or a span of it, in nanoseconds.
type Nanos = u64;

/// No attempt is given less: an answer from afar takes its time, and a short limit would leave every
/// attempt but the last without a chance.
const SHORTEST_ATTEMPT: Nanos = 10_000_000;

/// The attempts of one connection.
#[derive(Debug)]
pub(crate) struct Connector {
    addresses: Vec<Address>,
    /// How many of the addresses were tried; the last one of these is the one under trial.
    attempts: usize,
    exhausted: bool,
    attempt_timeout: Nanos,
    deadline: Option<Nanos>,
    errors: Vec<Error>,
}

impl Connector {
    /// Tries the addresses as they stand, each until it fails.
    pub(crate) fn new(addresses: impl IntoIterator<Item = Address>) -> Connector {
        Connector {
            addresses: addresses.into_iter().collect(),
            attempts: 0,
            exhausted: false,
            attempt_timeout: Nanos::MAX,
            deadline: None,
            errors: Vec::new(),
        }
    }

    /// Tries the addresses of both families in turn, beginning with that of the first one, and
    /// leaves an address for the next one after `attempt_timeout`, or 10 ms if that is longer.
    pub(crate) fn selecting(
        addresses: impl IntoIterator<Item = Address>,
        attempt_timeout: Nanos,
    ) -> Connector {
        Connector {
            attempt_timeout: attempt_timeout.max(SHORTEST_ATTEMPT),
            ..Connector::new(interleave(addresses))
        }
    }

    /// One that has failed before it began: there is no address to try.
    pub(crate) fn failing(error: Error) -> Connector {
        Connector {
            errors: vec![error],
            ..Connector::new([])
        }
    }

    /// The next address to try; `None` when all have failed.
    pub(crate) fn next(&mut self) -> Option<Address> {
        self.deadline = None;
        self.exhausted = self.attempts == self.addresses.len();
        if !self.exhausted {
            self.attempts += 1;
        }
        self.trying().cloned()
    }

    pub(crate) fn trying(&self) -> Option<&Address> {
        self.attempted().last().filter(|_| !self.exhausted)
    }

    /// The attempt has begun. From now on it has a deadline, if it is to have one.
    pub(crate) fn started(&mut self, now: Nanos) {
        // The last one has all the time there is: nothing is gained by giving it up.
        let others_wait = self.attempts < self.addresses.len();
        if others_wait && self.attempt_timeout < Nanos::MAX {
            self.deadline = Some(now.saturating_add(self.attempt_timeout));
        }
    }

    /// When to give up the attempt under way.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        self.deadline
    }

    /// Whether to give up the attempt under way. A timer of an earlier attempt does no harm.
    pub(crate) fn is_overdue(&self, now: Nanos) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// The address under trial failed.
    pub(crate) fn failed(&mut self, error: Error) {
        self.deadline = None;
        self.errors.push(error);
    }

    /// The addresses tried so far, in order, with the one under trial.
    pub(crate) fn attempted(&self) -> &[Address] {
        &self.addresses[..self.attempts]
    }

    /// What to report once [`next`](Connector::next) has nothing left.
    ///
    /// # Panics
    ///
    /// If nothing failed, as when there never was an address.
    pub(crate) fn into_error(self) -> Error {
        Error::aggregate(self.errors)
    }
}

/// One of the first address's family, one of another, and so on; what is left of one family at the
/// end. Within a family the order stays.
fn interleave(addresses: impl IntoIterator<Item = Address>) -> impl Iterator<Item = Address> {
    let mut addresses = addresses.into_iter().peekable();
    let first = addresses.peek().map(Address::family);
    let (same, other): (Vec<_>, Vec<_>) = addresses.partition(|it| Some(it.family()) == first);
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut turn_of_same = false;
    std::iter::from_fn(move || {
        turn_of_same = !turn_of_same;
        if turn_of_same {
            same.next().or_else(|| other.next())
        } else {
            other.next().or_else(|| same.next())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    const MS: Nanos = 1_000_000;

    fn addresses() -> [Address; 2] {
        [
            Address::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))),
            Address::Ip(SocketAddr::from((Ipv6Addr::LOCALHOST, 1))),
        ]
    }

    /// `"6a 4b"`: an IPv6 address ending in `a`, and an IPv4 one ending in 11.
    fn parse(list: &str) -> Vec<Address> {
        let address = |text: &str| {
            let (family, last) = text.split_at(1);
            let last = u8::from_str_radix(last, 16).unwrap();
            let at = match family {
                "4" => SocketAddr::from(([127, 0, 0, last], 80)),
                _ => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, last.into()], 80)),
            };
            Address::Ip(at)
        };
        list.split_whitespace().map(address).collect()
    }

    fn refused() -> Error {
        Error::new(Code::ConnRefused, "refused")
    }

    #[test]
    fn addresses_are_tried_in_turn_and_every_failure_is_kept() {
        let mut connector = Connector::new(addresses());
        for (address, code) in addresses()
            .into_iter()
            .zip([Code::ConnRefused, Code::AddrNotAvail])
        {
            assert_eq!(connector.next().as_ref(), Some(&address));
            assert_eq!(connector.trying(), Some(&address));
            connector.failed(Error::new(code, "failed"));
        }
        assert_eq!(connector.next(), None);
        assert_eq!(connector.trying(), None);
        assert_eq!(connector.next(), None);
        let error = connector.into_error();
        assert_eq!(error.code(), Code::ConnRefused);
        assert_eq!(error.errors().len(), 2);
        assert_eq!(error.errors()[1].code(), Code::AddrNotAvail);
    }

    #[test]
    fn a_single_failure_is_reported_as_it_stands() {
        let mut connector = Connector::new([Address::Path("/tmp/none".into())]);
        connector.next();
        connector.failed(Error::new(Code::NotFound, "connect ENOENT /tmp/none"));
        let error = connector.into_error();
        assert_eq!(error.to_string(), "connect ENOENT /tmp/none");
        assert!(error.errors().is_empty());
    }

    #[test]
    fn one_that_failed_before_has_nothing_to_try() {
        let mut connector = Connector::failing(refused());
        assert_eq!(connector.next(), None);
        assert_eq!(connector.trying(), None);
        assert!(connector.attempted().is_empty());
        assert_eq!(connector.into_error().to_string(), "refused");
    }

    #[test]
    fn families_take_turns_and_the_first_answer_begins() {
        let table = [
            ("", ""),
            ("41", "41"),
            ("41 42 43", "41 42 43"),
            ("61 41", "61 41"),
            ("61 62 41 42", "61 41 62 42"),
            ("41 42 61 62", "41 61 42 62"),
            ("61 62 63 41", "61 41 62 63"),
            ("61 41 42 43", "61 41 42 43"),
            ("41 61 62 63 42", "41 61 42 62 63"),
        ];
        for (answers, order) in table {
            let mut connector = Connector::selecting(parse(answers), 250 * MS);
            let tried: Vec<_> = std::iter::from_fn(|| connector.next()).collect();
            assert_eq!(tried, parse(order), "{answers}");
            let mut connector = Connector::new(parse(answers));
            let tried: Vec<_> = std::iter::from_fn(|| connector.next()).collect();
            assert_eq!(tried, parse(answers), "{answers}");
        }
    }

    #[test]
    fn an_attempt_has_a_deadline_while_another_address_waits() {
        let mut connector = Connector::selecting(parse("41 61"), 250 * MS);
        assert!(connector.next().is_some());
        assert_eq!(connector.deadline(), None, "it has not begun");
        connector.started(1_000 * MS);
        assert_eq!(connector.deadline(), Some(1_250 * MS));
        assert!(!connector.is_overdue(1_250 * MS - 1));
        assert!(connector.is_overdue(1_250 * MS));

        connector.failed(Error::new(Code::TimedOut, "given up"));
        assert!(!connector.is_overdue(Nanos::MAX), "it is over");
        assert!(connector.next().is_some());
        connector.started(1_250 * MS);
        assert_eq!(connector.deadline(), None, "it is the last");
        assert!(!connector.is_overdue(Nanos::MAX));

        connector.failed(refused());
        assert_eq!(connector.next(), None);
        let error = connector.into_error();
        let codes: Vec<_> = error.errors().iter().map(Error::code).collect();
        assert_eq!(codes, [Code::TimedOut, Code::ConnRefused]);
    }

    #[test]
    fn a_timer_of_an_earlier_attempt_ends_no_later_one() {
        let mut connector = Connector::selecting(parse("41 61 42"), 250 * MS);
        connector.next();
        connector.started(0);
        connector.failed(refused());
        connector.next();
        connector.started(100 * MS);
        assert!(!connector.is_overdue(250 * MS));
        assert!(connector.is_overdue(350 * MS));
    }

    #[test]
    fn how_long_an_attempt_may_take() {
        let table = [
            (0, 10 * MS),
            (1, 10 * MS),
            (10 * MS, 10 * MS),
            (11 * MS, 11 * MS),
            (Nanos::MAX - 1, Nanos::MAX),
        ];
        for (timeout, deadline) in table {
            let mut connector = Connector::selecting(parse("41 61"), timeout);
            connector.next();
            connector.started(5);
            let deadline = Nanos::saturating_add(deadline, 5);
            assert_eq!(connector.deadline(), Some(deadline), "{timeout}");
        }
        let mut unlimited = Connector::new(parse("41 61"));
        unlimited.next();
        unlimited.started(5);
        assert_eq!(unlimited.deadline(), None);
    }

    #[test]
    fn what_was_tried_is_told_in_order() {
        let mut connector = Connector::selecting(parse("41 42 61"), 250 * MS);
        assert!(connector.attempted().is_empty());
        for tried in ["41", "41 61", "41 61 42", "41 61 42"] {
            connector.next();
            assert_eq!(connector.attempted(), parse(tried));
        }
    }
}
