//! The addresses of one socket, in two words as long as they are the usual ones.

use std::net::{SocketAddr, SocketAddrV4};

use crate::address::Address;

/// The peer's address, and the own one once it is kept.
pub(crate) struct Addresses(Kind);

enum Kind {
    None,
    /// The peer's, and no own one: the two kinds that servers have by the thousand need no allocation.
    V4(SocketAddrV4),
    Unnamed,
    Other(Box<Both>),
}

struct Both {
    remote: Option<Address>,
    local: Option<Address>,
}

impl Addresses {
    pub(crate) const NONE: Addresses = Addresses(Kind::None);

    pub(crate) fn of_peer(remote: Address) -> Addresses {
        Addresses(match remote {
            Address::Ip(SocketAddr::V4(v4)) => Kind::V4(v4),
            Address::Unnamed => Kind::Unnamed,
            remote => Kind::Other(Box::new(Both {
                remote: Some(remote),
                local: None,
            })),
        })
    }

    pub(crate) fn remote(&self) -> Option<Address> {
        match &self.0 {
            Kind::None => None,
            Kind::V4(v4) => Some(Address::Ip(SocketAddr::V4(*v4))),
            Kind::Unnamed => Some(Address::Unnamed),
            Kind::Other(both) => both.remote.clone(),
        }
    }

    pub(crate) fn local(&self) -> Option<Address> {
        match &self.0 {
            Kind::Other(both) => both.local.clone(),
            _ => None,
        }
    }

    /// Keeps the own address past the descriptor.
    pub(crate) fn keep_local(&mut self, local: Option<Address>) {
        let remote = self.remote();
        self.0 = Kind::Other(Box::new(Both { remote, local }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_back_and_is_kept_with_the_own_address() {
        let kinds = [
            Address::Ip("127.0.0.1:80".parse().unwrap()),
            Address::Ip("[::1]:80".parse().unwrap()),
            Address::Path("/tmp/x".into()),
            Address::Abstract(b"x".to_vec()),
            Address::Unnamed,
        ];
        for remote in &kinds {
            let mut addresses = Addresses::of_peer(remote.clone());
            assert_eq!(addresses.remote().as_ref(), Some(remote));
            assert_eq!(addresses.local(), None);
            for local in &kinds {
                addresses.keep_local(Some(local.clone()));
                assert_eq!(addresses.remote().as_ref(), Some(remote));
                assert_eq!(addresses.local().as_ref(), Some(local));
            }
        }
        assert_eq!(Addresses::NONE.remote(), None);
        assert_eq!(Addresses::NONE.local(), None);
    }
}
