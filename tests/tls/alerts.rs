//! A client whose handshake the program ends hears that it is ended, and is not only left.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tidewheel::net::Server;
use tidewheel::tls::{TlsOptions, TlsVersion};
use tidewheel::{Code, Error};

use crate::scene::over_tcp;

/// Sends a first message, and no more; what comes back until the end.
fn answer_to_hello(port: u16) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(&hello).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// How a program ends a handshake, and the description of the alert that tells of it.
const WAYS: [(fn(TlsOptions) -> TlsOptions, fn(&Server), u8); 3] = [
    (
        |options| options.sni_callback(|_, _, reply| reply.fail(no())),
        |_| {},
        112,
    ),
    (
        // A client that knows TLS 1.3 names a session always.
        |options| options.max_version(TlsVersion::V1_2),
        |server| {
            server.on_resume_session(|_, _, reply| reply.error(no()));
        },
        80,
    ),
    (
        |options| options,
        |server| {
            server.on_ocsp_request(|_, _, _, reply| reply.error(no()));
        },
        80,
    ),
];

fn no() -> Error {
    Error::new(Code::Custom, "no")
}

#[test]
fn whoever_is_refused_by_the_program_gets_a_fatal_alert() {
    for (with, listen, description) in WAYS {
        over_tcp(TlsVersion::V1_3, |scene| {
            let server = scene.listen(with(scene.server_options()));
            listen(&server);
            let note = scene.noter();
            server.on_tls_client_error(move |server, error, _| {
                note(&format!("E:{}", error.code()));
                server.close();
            });
            let port = server.address().unwrap().port().unwrap();
            let client = std::thread::spawn(move || answer_to_hello(port));
            scene.run();
            let answer = client.join().unwrap();
            assert_eq!(answer, [21, 3, 3, 0, 2, 2, description]);
            scene.assert_trace("E", "ERR_CUSTOM");
        });
    }
}
