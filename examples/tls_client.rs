//! Sends its standard input to a TLS server, and prints what comes back.
//!
//! The server must have a certificate that one of Mozilla's roots, or of the file of `--ca`, stands for. `--insecure`
//! talks to anybody, and says what is wrong with who is there. `--cert` and `--key` show a certificate of our own.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::thread;

use tidewheel::net::{ConnectOptions, Socket};
use tidewheel::tls::{self, TlsConnectOptions};
use tidewheel::EventLoop;

#[path = "common/arguments.rs"]
mod arguments;

const USAGE: &str = "tls_client HOST:PORT [--ca FILE | --insecure] [--cert FILE --key FILE]";

fn main() -> Result<(), tidewheel::Error> {
    let options = read().unwrap_or_else(|| arguments::refuse(USAGE));
    let event_loop = EventLoop::new()?;
    let client = tls::connect(&event_loop, options, tell);
    client.on_data(|_, data| {
        let mut out = io::stdout().lock();
        // Without a reader there is nobody to tell.
        let _ = out.write_all(data).and_then(|()| out.flush());
    });
    // As the server's opinion of our certificate, which may come late.
    client.on_error(|_, error| {
        eprintln!("{error} ({})", error.code());
        std::process::exit(1);
    });
    feed(&client);
    event_loop.run()
}

fn tell(socket: &Socket) {
    let info = socket.tls().expect("it is under TLS");
    let (protocol, cipher) = (info.protocol().unwrap(), info.cipher().unwrap());
    eprintln!("{protocol} {}", cipher.name);
    if let Some(error) = info.authorization_error() {
        let server = info
            .peer_certificate()
            .map(|certificate| certificate.fingerprint256());
        eprintln!(
            "NOT TRUSTED: {error} ({}), SHA-256 {}",
            error.code(),
            server.unwrap_or_default()
        );
    }
}

/// Standard input blocks, so it is read by a thread.
fn feed(client: &Socket) {
    let remote = client.event_loop().remote();
    let id = client.id();
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = io::stdin().read(&mut buffer).unwrap_or(0);
            let bytes = buffer[..read].to_vec();
            let told = remote.post(move |event_loop| {
                let Some(client) = event_loop.socket(id) else {
                    return;
                };
                if bytes.is_empty() {
                    client.end();
                } else if client.writable() {
                    client.write(bytes);
                }
            });
            if read == 0 || told.is_err() {
                return;
            }
        }
    });
}

fn read() -> Option<TlsConnectOptions> {
    let (mut place, mut ca, mut cert, mut key) = (None, None, None, None);
    let mut insecure = false;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--ca" => ca = Some(PathBuf::from(words.next()?)),
            "--cert" => cert = Some(PathBuf::from(words.next()?)),
            "--key" => key = Some(PathBuf::from(words.next()?)),
            "--insecure" => insecure = true,
            _ if word.starts_with('-') || place.is_some() => return None,
            _ => place = Some(word),
        }
    }
    let mut options = TlsConnectOptions::from(arguments::place::<ConnectOptions>(&place?)?);
    if insecure {
        options = options.reject_unauthorized(false);
    }
    if let Some(ca) = ca {
        options = options.ca(ca);
    }
    match (cert, key) {
        (Some(cert), Some(key)) => Some(options.cert(cert).key(key)),
        (None, None) => Some(options),
        _ => None,
    }
}
