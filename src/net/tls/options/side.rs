//! What both sides of a connection may wish.

use std::rc::Rc;

use crate::error::Result;
use crate::net::Socket;
use crate::tls::context::Ingredients;
use crate::tls::session::Common;
use crate::tls::SecureContext;

pub(in crate::net) type KeyLogger = Rc<dyn Fn(&Socket, &str)>;

/// The setters of what both sides of a connection may wish.
macro_rules! side_setters {
    () => {
        /// The keys, certificates, roots, ciphers and versions of a context that was made before, in place of those
        /// given here (`secureContext`).
        pub fn secure_context(mut self, context: &SecureContext) -> Self {
            self.side.context = Some(context.clone());
            self
        }

        /// The protocols to choose from, the preferred one first (`ALPNProtocols`). Client and server having none in
        /// common ends the handshake; a side without any does not mind.
        pub fn alpn_protocols<P: AsRef<[u8]>>(
            mut self,
            names: impl IntoIterator<Item = P>,
        ) -> Self {
            self.side.alpn = names
                .into_iter()
                .map(|name| name.as_ref().to_vec())
                .collect();
            self
        }

        /// Called with each line of the secrets of a connection, in the format that Wireshark reads: the first
        /// `keylog` listener. Who has them reads everything, so write them nowhere but for debugging.
        pub fn key_log(mut self, log: impl Fn(&Socket, &str) + 'static) -> Self {
            self.side.key_log = Some(Rc::new(log));
            self
        }

        /// Whether a peer that ends without saying so, which may be somebody in between cutting the connection, is an
        /// error. Default: false, as in Node: `end`, and [`truncated`](crate::tls::TlsInfo::truncated) tells.
        pub fn strict_end(mut self, strict: bool) -> Self {
            self.side.strict_end = strict;
            self
        }
    };
}
pub(super) use side_setters;

/// What both sides keep of it.
#[derive(Clone)]
pub(in crate::net) struct Side {
    pub(super) ingredients: Ingredients,
    pub(super) context: Option<SecureContext>,
    pub(in crate::net) reject_unauthorized: bool,
    pub(in crate::net) alpn: Vec<Vec<u8>>,
    pub(in crate::net) key_log: Option<KeyLogger>,
    pub(super) strict_end: bool,
    /// Of a client.
    pub(super) ocsp: bool,
}

impl Default for Side {
    fn default() -> Self {
        Side {
            ingredients: Ingredients::default(),
            context: None,
            reject_unauthorized: true,
            alpn: Vec::new(),
            key_log: None,
            strict_end: false,
            ocsp: false,
        }
    }
}

impl Side {
    /// The context that was given, or one of what was given.
    pub(in crate::net) fn context(&self) -> Result<SecureContext> {
        match &self.context {
            Some(context) => Ok(context.clone()),
            None => SecureContext::make(&self.ingredients),
        }
    }

    pub(in crate::net) fn common(&self) -> Common {
        Common {
            key_log: self.key_log.is_some(),
            ocsp: self.ocsp,
            strict_end: self.strict_end,
        }
    }
}
