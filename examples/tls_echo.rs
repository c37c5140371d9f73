//! Sends back what it gets, under TLS. Talk to it with `openssl s_client -connect localhost:8000`, or with `tls_client`.
//!
//! Without `--cert` and `--key` it makes a throw-away certificate for `localhost` in memory, and says its fingerprint.
//! `--request-cert` lets in only clients whose certificate is in the file of `--ca`, or was issued by one that is.

use std::path::PathBuf;

use tidewheel::net::{Address, ListenOptions, Socket};
use tidewheel::tls::{self, Certificate, TlsOptions};
use tidewheel::EventLoop;

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/signals.rs"]
mod signals;

const USAGE: &str =
    "tls_echo [PORT | HOST:PORT | PATH] [--cert FILE --key FILE] [--ca FILE --request-cert]";

fn main() -> Result<(), tidewheel::Error> {
    let arguments = Arguments::read().unwrap_or_else(|| arguments::refuse(USAGE));
    let mut options = TlsOptions::default().request_cert(arguments.request_cert);
    if let Some(ca) = arguments.ca {
        options = options.ca(ca);
    }
    options = match arguments.identity {
        Some((cert, key)) => options.cert(cert).key(key),
        None => throw_away(options)?,
    };

    let event_loop = EventLoop::new()?;
    let server = tls::create_server(&event_loop, options, |socket| {
        tell(socket);
        socket.pipe(socket);
    })?;
    server.on_tls_client_error(|_, error, socket| {
        let peer = socket.remote().unwrap_or(Address::Unnamed);
        println!("{peer} was not let in: {error} ({})", error.code());
    });
    signals::shut_down_on_signal(&server)?;
    server.listen(arguments.place, |server| {
        println!("listening on {}", server.address().unwrap());
    })?;
    event_loop.run()
}

fn tell(socket: &Socket) {
    let info = socket.tls().expect("it is under TLS");
    let (protocol, cipher) = (info.protocol().unwrap(), info.cipher().unwrap());
    let who = match info.peer_certificate() {
        Some(certificate) => format!("as {:?}", certificate.common_names().collect::<Vec<_>>()),
        None => "without a certificate".into(),
    };
    let peer = socket.remote().unwrap();
    println!("{peer} connected {who}, {protocol} {}", cipher.name);
    // That it closes follows, and is all there is to do.
    socket.on_error(|_, error| println!("{error}"));
}

/// A certificate that nobody trusts, for as long as the program runs.
fn throw_away(options: TlsOptions) -> Result<TlsOptions, tidewheel::Error> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(tidewheel::Error::other)?;
    let der = made.cert.der().to_vec();
    let fingerprint = Certificate::from_der(&der)?.fingerprint256();
    println!("a throw-away certificate, SHA-256 {fingerprint}");
    Ok(options.cert(der).key(made.key_pair.serialize_der()))
}

struct Arguments {
    place: ListenOptions,
    identity: Option<(PathBuf, PathBuf)>,
    ca: Option<PathBuf>,
    request_cert: bool,
}

impl Arguments {
    fn read() -> Option<Arguments> {
        let (mut place, mut cert, mut key, mut ca) = (None, None, None, None);
        let mut request_cert = false;
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--cert" => cert = Some(PathBuf::from(words.next()?)),
                "--key" => key = Some(PathBuf::from(words.next()?)),
                "--ca" => ca = Some(PathBuf::from(words.next()?)),
                "--request-cert" => request_cert = true,
                _ if word.starts_with('-') || place.is_some() => return None,
                _ => place = Some(word),
            }
        }
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return None,
        };
        Some(Arguments {
            place: arguments::place(place.as_deref().unwrap_or("8000"))?,
            identity,
            ca,
            request_cert,
        })
    }
}
