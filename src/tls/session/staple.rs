//! OCSP: what the issuer of a server's certificate says of it, stapled to it by the server. Nobody here looks into it.

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::*;

/// A client's first message with its context, and the certificate that goes with both.
pub(super) struct Stapling {
    accepted: Accepted,
    side: ServerSide,
    pair: Arc<CertifiedKey>,
}

/// A certificate for one connection.
#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// On the side of a server.
impl Session {
    /// Asks the program for an OCSP response, if it and the client wish that; else goes on.
    pub(super) fn accept(&mut self, accepted: Accepted, side: ServerSide) {
        let schemes = accepted.client_hello();
        let wished = self.wants_status.then(|| schemes.signature_schemes());
        match wished.and_then(|schemes| side.keys.for_client(schemes)) {
            Some(pair) => {
                let stapling = Stapling {
                    accepted,
                    side,
                    pair,
                };
                self.state = State::Staple(Box::new(stapling));
            }
            None => self.accept_with(accepted, side, None),
        }
    }

    /// The certificate that a response is wanted for, and that of its issuer, if it is known.
    pub(crate) fn asked_certificate(&self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let State::Staple(stapling) = &self.state else {
            return None;
        };
        let chain: Vec<_> = stapling
            .pair
            .cert
            .iter()
            .filter_map(|der| Certificate::from_der(der).ok())
            .collect();
        let own = chain.first()?;
        let issuer = own.issuer_among(&chain).cloned();
        let issuer = issuer.or_else(|| stapling.side.trust.issuer_of(own));
        Some((own.raw().to_vec(), issuer.map(|one| one.raw().to_vec())))
    }

    /// The response to send along, if any.
    pub(crate) fn answer_staple(&mut self, answer: Result<Option<Vec<u8>>>) {
        let state = std::mem::replace(&mut self.state, State::Refused(None));
        let State::Staple(stapling) = state else {
            self.state = state;
            return;
        };
        let mut pair = CertifiedKey::clone(&stapling.pair);
        pair.ocsp = match answer {
            Ok(response) => response.filter(|response| !response.is_empty()),
            Err(error) => return self.refuse(error, Alert::INTERNAL_ERROR),
        };
        let own = Arc::new(Only(Arc::new(pair)));
        self.accept_with(stapling.accepted, stapling.side, Some(own));
    }
}

/// On the side of a client.
impl Session {
    /// What came with the server's certificate is for this session alone, and the verifier serves others.
    pub(super) fn keep_stapled(&mut self) {
        let stapled = Verifier::take_stapled();
        if self.common.ocsp && stapled.is_some() {
            self.stapled = stapled;
        }
    }

    /// The response, if the server has sent one. It goes on.
    pub(crate) fn take_stapled(&mut self) -> Option<Vec<u8>> {
        self.stapled.take().filter(|response| !response.is_empty())
    }
}
