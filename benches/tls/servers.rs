//! The servers: each a process of its own, on the processor of servers.
//!
//! The first byte of a connection, and each until another comes, says what it is for.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{self, Child, Command, Stdio};
use std::sync::Arc;
use std::{env, thread};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::ServerConfig;
use tidewheel::net::Socket;
use tidewheel::tls::{self, TlsOptions};
use tidewheel::EventLoop;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_rustls::TlsAcceptor;

use crate::common::machine;
use crate::common::sys::{self, ProcessClock};
use crate::node;

/// Is answered by the same.
pub const PING: u8 = b'p';
/// From now on the server sends.
pub const DOWN: u8 = b'd';
/// From now on it receives.
pub const UP: u8 = b'u';

/// What a server sends.
const DATA: &[u8] = &[7; 64 * 1024];

/// How this program is told that it is to be a server.
const SERVE: &str = "TLS_BENCH_SERVER";

pub const TOKIO: &str = "tokio-rustls";
/// The same, but its sessions are tickets, as ours are, and not in its memory.
const TICKETS: &str = "tokio-rustls, tickets";
pub const OURS: &str = "tidewheel";

/// A key and its certificate, as PEM.
pub struct Identity {
    pub key: String,
    pub cert: String,
}

impl Identity {
    pub fn new() -> Identity {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate");
        Identity {
            key: made.key_pair.serialize_pem(),
            cert: made.cert.pem(),
        }
    }

    fn given() -> Identity {
        let of = |name| env::var(name).expect("it is given");
        Identity {
            key: of("TLS_KEY"),
            cert: of("TLS_CERT"),
        }
    }
}

pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    pub clock: ProcessClock,
    child: Child,
}

/// All of them; the first is the one that the others are compared with.
pub fn start_all(identity: &Identity) -> Vec<Server> {
    // What is started inherits the processor.
    machine::pin_server();
    let program = env::current_exe().expect("a path of this program");
    let mut servers: Vec<Server> = [TOKIO, TICKETS, OURS]
        .map(|name| {
            let mut command = Command::new(&program);
            command.env(SERVE, name);
            Server::start(name, command, identity)
        })
        .into();
    if let Some(command) = node::command() {
        servers.push(Server::start("Node", command, identity));
    }
    machine::pin_client();
    servers
}

impl Server {
    fn start(name: &'static str, mut command: Command, identity: &Identity) -> Server {
        let child = command
            .env("TLS_KEY", &identity.key)
            .env("TLS_CERT", &identity.cert)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.expect("no child process");
        let output = child.stdout.take().expect("it has an output");
        let mut line = String::new();
        let told = BufReader::new(output).read_line(&mut line);
        told.expect("the server says nothing");
        Server {
            name,
            address: line.trim().parse().expect("an address"),
            clock: ProcessClock::of(child.id()),
            child,
        }
    }

    /// Bytes of memory, counted by pages and not estimated.
    pub fn resident(&self) -> u64 {
        sys::resident(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a process that is to be a server this does not return.
pub fn serve_if_told() {
    let Ok(name) = env::var(SERVE) else { return };
    sys::descriptors();
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        process::exit(0);
    });
    match name.as_str() {
        OURS => serve(Identity::given()),
        name => serve_by_tokio(Identity::given(), name == TICKETS),
    }
    process::exit(0)
}

fn serve(identity: Identity) {
    let event_loop = EventLoop::new().expect("a loop");
    let options = TlsOptions::default()
        .key(identity.key)
        .cert(identity.cert)
        .no_delay(true);
    let server = tls::create_server(&event_loop, options, answer).expect("a server");
    let listening = server.listen(("127.0.0.1", 0), |server| {
        println!("{}", server.address().expect("an address"));
    });
    listening.expect("listening");
    event_loop.run().expect("a loop that ends well");
}

fn answer(socket: &Socket) {
    let job = Cell::new(PING);
    socket.on_data(move |socket, data| {
        if job.get() == UP {
            return;
        }
        job.set(data[0]);
        match data[0] {
            PING => {
                socket.write(data);
            }
            DOWN => {
                pour(socket);
                socket.on_drain(pour);
            }
            _ => {}
        }
    });
}

/// Sends until some of it has to wait.
fn pour(socket: &Socket) {
    while socket.write(DATA).is_ok() {}
}

fn serve_by_tokio(identity: Identity, tickets: bool) {
    let cert = CertificateDer::from_pem_slice(identity.cert.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .expect("a key that fits");
    if tickets {
        config.ticketer = ring::Ticketer::new().expect("keys");
    }
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build();
    runtime.expect("a runtime").block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                if let Ok(stream) = acceptor.accept(stream).await {
                    // How a connection ends is no concern of a bench.
                    let _ = answer_by_tokio(stream).await;
                }
            });
        }
    });
}

async fn answer_by_tokio(mut stream: TlsStream<TcpStream>) -> io::Result<()> {
    // As large as a record.
    let mut buffer = vec![0; 16 * 1024];
    let mut job = PING;
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        if job == UP {
            continue;
        }
        job = buffer[0];
        match job {
            PING => stream.write_all(&buffer[..read]).await?,
            DOWN => loop {
                stream.write_all(DATA).await?;
            },
            _ => {}
        }
    }
}
