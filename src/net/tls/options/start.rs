//! On which side of TLS a socket is.

use super::{TlsConnectOptions, TlsOptions};

/// On which side of TLS a socket is that goes over to it: see [`Socket::start_tls`](crate::net::Socket::start_tls).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartTls {
    /// The one that speaks first. Of the options where to connect to, only the host counts, as the name of the server.
    Client(Box<TlsConnectOptions>),
    /// The one that has a certificate. Of the options those of accepted sockets do not count.
    Server(Box<TlsOptions>),
}

impl From<TlsConnectOptions> for StartTls {
    fn from(options: TlsConnectOptions) -> Self {
        StartTls::Client(Box::new(options))
    }
}

impl From<TlsOptions> for StartTls {
    fn from(options: TlsOptions) -> Self {
        StartTls::Server(Box::new(options))
    }
}

impl From<&TlsConnectOptions> for StartTls {
    fn from(options: &TlsConnectOptions) -> Self {
        options.clone().into()
    }
}

impl From<&TlsOptions> for StartTls {
    fn from(options: &TlsOptions) -> Self {
        options.clone().into()
    }
}
