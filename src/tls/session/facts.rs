//! What a session knows of itself and its peer.

use super::*;

/// What the protocol has a number for, of output and of context; rustls asserts it.
const MOST_EXPORTED: usize = 0xffff;
const LONGEST_LABEL: usize = 249;

/// What it knows.
impl Session {
    pub(crate) fn is_client(&self) -> bool {
        self.plan.is_none()
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.told
    }

    /// The transport ended, or was about to, without the peer saying so before.
    pub(crate) fn is_truncated(&self) -> bool {
        self.transport_ended && !self.peer_closed && self.secure
    }

    /// It is one of TLS 1.3.
    pub(crate) fn speaks_13(&self) -> bool {
        let version = self.common_ref().and_then(CommonState::protocol_version);
        version == Some(rustls::ProtocolVersion::TLSv1_3)
    }

    /// The peer has said something.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard
    }

    /// The peer, or the transport, has ended.
    pub(crate) fn has_heard_end(&self) -> bool {
        self.peer_closed || self.transport_ended
    }

    /// The peer's certificates, its own first.
    pub(crate) fn certificates(&self) -> Vec<Certificate> {
        let chain = self
            .common_ref()
            .and_then(|common| common.peer_certificates());
        let chain = chain.unwrap_or_default().iter();
        chain
            .filter_map(|der| Certificate::from_der(der).ok())
            .collect()
    }

    pub(crate) fn host(&self) -> Option<&str> {
        Some(&self.host.as_ref()?.0)
    }

    pub(crate) fn unauthorized(&self) -> Option<&Error> {
        self.unauthorized.as_ref()
    }

    /// It has certificates, and nothing is wrong with them.
    pub(crate) fn is_authorized(&self) -> bool {
        self.secure
            && self.verifier.is_some()
            && self.unauthorized.is_none()
            && self
                .common_ref()
                .is_some_and(|common| common.peer_certificates().is_some())
    }

    pub(crate) fn common_ref(&self) -> Option<&CommonState> {
        match &self.state {
            State::Client(connection) => Some(connection),
            State::Server(connection) => Some(connection),
            _ => None,
        }
    }

    pub(crate) fn export(
        &self,
        length: usize,
        label: &str,
        context: Option<&[u8]>,
    ) -> Result<Vec<u8>> {
        let invalid = |message: &str| Err(Error::new(Code::InvalidArgValue, message));
        if length > MOST_EXPORTED || context.is_some_and(|context| context.len() > MOST_EXPORTED) {
            return invalid("not more than 65535 bytes can be exported, nor be in the context");
        }
        if label.len() > LONGEST_LABEL {
            return invalid("a label has 249 bytes at most");
        }
        let output = vec![0; length];
        let label = label.as_bytes();
        let exported = match &self.state {
            State::Client(connection) if self.secure => {
                connection.export_keying_material(output, label, context)
            }
            State::Server(connection) if self.secure => {
                connection.export_keying_material(output, label, context)
            }
            _ => {
                return Err(Error::new(
                    Code::TlsInvalidState,
                    "the handshake is not done",
                ))
            }
        };
        exported.map_err(|error| Error::new(Code::InvalidArgValue, error.to_string()))
    }

    pub(super) fn common_state(&mut self) -> Option<&mut CommonState> {
        match &mut self.state {
            State::Client(connection) => Some(connection),
            State::Server(connection) => Some(connection),
            _ => None,
        }
    }
}
