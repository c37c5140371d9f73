//! TLS within TLS when the outer one is damaged: both are over, and the loop goes on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{mpsc, Arc};
use std::thread;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tidewheel::net::Server;
use tidewheel::tls::{TlsConnectOptions, TlsOptions, TlsVersion};

use crate::certs::Authority;
use crate::common::Script;
use crate::scene::over_tcp;

/// A client that writes its records by hand.
struct Outer {
    tls: ClientConnection,
    stream: TcpStream,
}

fn client(ca: &str) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
}

impl Outer {
    fn connect(port: u16, ca: &str) -> Outer {
        let mut tls = client(ca);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).unwrap();
        }
        Outer { tls, stream }
    }

    /// The records of `data`, and one more that is damaged, in one packet.
    fn send_and_damage(&mut self, data: &[u8]) {
        self.tls.writer().write_all(data).unwrap();
        let mut wire = self.records();
        self.tls.writer().write_all(b"damaged").unwrap();
        wire.extend(self.records());
        *wire.last_mut().unwrap() ^= 1;
        self.stream.write_all(&wire).unwrap();
        let mut rest = Vec::new();
        // It is an end or a reset, with an alert before it or not.
        let _ = self.stream.read_to_end(&mut rest);
    }

    fn records(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut wire).unwrap();
        }
        wire
    }

    fn send_of(&mut self, inner: &mut ClientConnection) {
        let mut wire = Vec::new();
        while inner.wants_write() {
            inner.write_tls(&mut wire).unwrap();
        }
        self.tls.writer().write_all(&wire).unwrap();
        let records = self.records();
        self.stream.write_all(&records).unwrap();
    }

    /// Shakes hands once more, within; the last word is still to be sent.
    fn shake_hands(&mut self, inner: &mut ClientConnection) {
        while inner.is_handshaking() {
            self.send_of(inner);
            assert_ne!(self.tls.read_tls(&mut self.stream).unwrap(), 0);
            let state = self.tls.process_new_packets().unwrap();
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            self.tls.reader().read_exact(&mut plain).unwrap();
            let mut plain = &plain[..];
            while !plain.is_empty() {
                inner.read_tls(&mut plain).unwrap();
                inner.process_new_packets().unwrap();
            }
        }
    }
}

fn port(server: &Server) -> u16 {
    server.address().unwrap().port().unwrap()
}

fn damaged(trace: &str, before: &str) {
    let end = "error(ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC) close(true)";
    assert_eq!(trace, format!("{before} {end}"));
}

/// It comes with the word to go over, and so there was never anything within.
#[test]
fn a_damaged_record_behind_the_word_to_go_over() {
    over_tcp(TlsVersion::V1_3, |scene| {
        let options = TlsConnectOptions::default()
            .host("localhost")
            .ca(scene.ca.pem());
        let server = scene.serve_one(scene.server_options(), move || {
            let options = options.clone();
            Script::new("S").on_data(move |socket, data| {
                assert_eq!(data, b"go");
                socket
                    .start_tls(options.clone(), &[], |_| unreachable!())
                    .unwrap();
            })
        });
        let (port, ca) = (port(&server), scene.ca.pem().to_owned());
        let peer = thread::spawn(move || Outer::connect(port, &ca).send_and_damage(b"go"));
        scene.run();
        peer.join().unwrap();
        damaged(&scene.trace("S"), "secure data(2)");
    });
}

/// The inner one holds its tickets back for a client that has spoken, and they can go no more.
#[test]
fn a_damaged_record_while_the_inner_one_has_something_to_send() {
    over_tcp(TlsVersion::V1_3, |scene| {
        let inner_ca = Authority::new("inner");
        let own = inner_ca.issue(&["localhost"]);
        let within = TlsOptions::default().key(&own.key).cert(&own.cert);
        let (hears, heard) = mpsc::channel();
        let server = scene.serve_one(scene.server_options(), move || {
            let (within, hears) = (within.clone(), hears.clone());
            Script::new("S").on_data(move |socket, data| match data.strip_prefix(b"go") {
                Some(hello) => socket.start_tls(within.clone(), hello, |_| {}).unwrap(),
                None => hears.send(()).unwrap(),
            })
        });
        let (port, ca) = (port(&server), scene.ca.pem().to_owned());
        let inner_ca = inner_ca.pem().to_owned();
        let peer = thread::spawn(move || {
            let mut outer = Outer::connect(port, &ca);
            // The first message within comes with the word to go over.
            outer.tls.writer().write_all(b"go").unwrap();
            let mut inner = client(&inner_ca);
            outer.shake_hands(&mut inner);
            inner.writer().write_all(b"spoken").unwrap();
            outer.send_of(&mut inner);
            heard.recv().unwrap();
            outer.send_and_damage(b"");
        });
        scene.run();
        peer.join().unwrap();
        let trace = scene.trace("S");
        let (first, rest) = trace.split_once(") ").expect(&trace);
        assert!(first.starts_with("secure data("), "{trace}");
        damaged(rest, "secure data(6)");
    });
}
