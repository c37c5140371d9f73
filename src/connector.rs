//! Which address to try next: the addresses of one `connect`, each tried until it fails.

use std::collections::VecDeque;

use crate::address::Address;
use crate::error::Error;

/// The attempts of one connection.
#[derive(Debug)]
pub(crate) struct Connector {
    waiting: VecDeque<Address>,
    trying: Option<Address>,
    errors: Vec<Error>,
}

impl Connector {
    pub(crate) fn new(addresses: impl IntoIterator<Item = Address>) -> Connector {
        Connector {
            waiting: addresses.into_iter().collect(),
            trying: None,
            errors: Vec::new(),
        }
    }

    /// One that has failed before it began: there is no address to try.
    pub(crate) fn failing(error: Error) -> Connector {
        Connector {
            waiting: VecDeque::new(),
            trying: None,
            errors: vec![error],
        }
    }

    /// The next address to try; `None` when all have failed.
    pub(crate) fn next(&mut self) -> Option<Address> {
        self.trying = self.waiting.pop_front();
        self.trying.clone()
    }

    pub(crate) fn trying(&self) -> Option<&Address> {
        self.trying.as_ref()
    }

    /// The address under trial failed.
    pub(crate) fn failed(&mut self, error: Error) {
        self.errors.push(error);
    }

    /// What to report once [`next`](Connector::next) has nothing left.
    pub(crate) fn into_error(self) -> Error {
        Error::aggregate(self.errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    fn addresses() -> [Address; 2] {
        [
            Address::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))),
            Address::Ip(SocketAddr::from((Ipv6Addr::LOCALHOST, 1))),
        ]
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
}
