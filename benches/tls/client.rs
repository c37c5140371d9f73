//! The client: rustls on a socket that blocks, the same for every server.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use crate::common::sys::{self, Place};
use crate::servers::{DOWN, PING, UP};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Tls12,
    Tls13,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Tls12 => "TLS 1.2",
            Version::Tls13 => "TLS 1.3",
        })
    }
}

/// Which way a stream goes, as the server sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The server encrypts.
    Down,
    /// It decrypts.
    Up,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Down => "sent",
            Direction::Up => "received",
        })
    }
}

pub type Connection = StreamOwned<ClientConnection, TcpStream>;

pub struct Client {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    /// How many handshakes there were, and how many of them took up a session.
    pub shaken: u32,
    pub resumed: u32,
}

impl Client {
    pub fn new(address: SocketAddr, ca: &str, version: Version, resumed: bool) -> Client {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(ca.as_bytes()).expect("a certificate");
        roots.add(ca).expect("a root");
        let versions = match version {
            Version::Tls12 => [&rustls::version::TLS12],
            Version::Tls13 => [&rustls::version::TLS13],
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let mut config = builder
            .with_protocol_versions(&versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        if !resumed {
            config.resumption = Resumption::disabled();
        }
        Client {
            address,
            config: Arc::new(config),
            name: ServerName::try_from("localhost").expect("a name"),
            shaken: 0,
            resumed: 0,
        }
    }

    /// Connects, shakes hands and exchanges one byte, so that tickets have come, too.
    pub fn connect(&mut self) -> Connection {
        let stream = TcpStream::from(sys::connect(&Place::Tcp(self.address)));
        stream.set_nonblocking(false).expect("a mode");
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        let mut stream = StreamOwned::new(connection.expect("a client"), stream);
        stream.write_all(&[PING]).expect("a ping");
        stream.read_exact(&mut [0]).expect("its reply");
        self.shaken += 1;
        self.resumed += u32::from(stream.conn.handshake_kind() == Some(HandshakeKind::Resumed));
        stream
    }

    pub fn shake_hands(&mut self, count: u32) {
        for _ in 0..count {
            self.connect();
        }
    }

    /// How many there were, and in what time.
    pub fn shake_hands_for(&mut self, time: Duration) -> (u32, Duration) {
        let start = Instant::now();
        let mut count = 0;
        while count == 0 || start.elapsed() < time {
            self.connect();
            count += 1;
        }
        (count, start.elapsed())
    }

    pub fn stream(mut self, direction: Direction) -> Bulk {
        let mut stream = self.connect();
        let first = if direction == Direction::Down {
            DOWN
        } else {
            UP
        };
        stream.write_all(&[first]).expect("a first byte");
        Bulk {
            stream,
            direction,
            buffer: vec![0; 64 * 1024],
        }
    }
}

/// A stream without an end.
pub struct Bulk {
    stream: Connection,
    direction: Direction,
    buffer: Vec<u8>,
}

impl Bulk {
    /// How many bytes went, and in what time.
    pub fn run(&mut self, time: Duration) -> (u64, Duration) {
        let (start, mut bytes) = (Instant::now(), 0);
        while bytes == 0 || start.elapsed() < time {
            bytes += match self.direction {
                Direction::Down => self.stream.read(&mut self.buffer),
                Direction::Up => self.stream.write(&self.buffer),
            }
            .expect("a stream that goes on") as u64;
        }
        (bytes, start.elapsed())
    }
}
