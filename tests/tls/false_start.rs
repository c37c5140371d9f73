//! A client of TLS 1.2 may speak before it has heard that the handshake is done (False Start, RFC 7918). It hears so all
//! the same, though nobody answers what it said.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rustls::crypto::cipher::{
    AeadKey, KeyBlockShape, MessageDecrypter, MessageEncrypter, OutboundOpaqueMessage,
    OutboundPlainMessage, Tls12AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, Error,
    ProtocolVersion, RootCertStore, SupportedCipherSuite, Tls12CipherSuite,
};
use tidewheel::tls::TlsVersion;

use crate::scene::over_tcp;

/// Records that nobody asked for yet, of the one client there is.
static EARLY: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Encrypts a word along with the end of the handshake.
struct Hasty(Box<dyn MessageEncrypter>);

impl MessageEncrypter for Hasty {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        number: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        if number == 0 {
            let word = OutboundPlainMessage {
                typ: ContentType::ApplicationData,
                version: ProtocolVersion::TLSv1_2,
                payload: (&b"early"[..]).into(),
            };
            let word = self.0.encrypt(word, 1)?;
            EARLY.lock().unwrap().extend(word.encode());
        }
        self.0.encrypt(message, number)
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        self.0.encrypted_payload_len(length)
    }
}

struct HastyAead;

impl Tls12AeadAlgorithm for HastyAead {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Hasty(known().aead_alg.encrypter(key, iv, extra)))
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        known().aead_alg.decrypter(key, iv)
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        known().aead_alg.key_block_shape()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        extra: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        known().aead_alg.extract_keys(key, iv, extra)
    }
}

/// What the suite is made of.
fn known() -> &'static Tls12CipherSuite {
    let known = ring::ALL_CIPHER_SUITES
        .iter()
        .find_map(|suite| match suite {
            SupportedCipherSuite::Tls12(suite)
                if suite.common.suite == CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 =>
            {
                Some(*suite)
            }
            _ => None,
        });
    known.unwrap()
}

fn hasty_client(ca: &str) -> ClientConnection {
    static SUITE: OnceLock<Tls12CipherSuite> = OnceLock::new();
    let known = known();
    let suite = SUITE.get_or_init(|| Tls12CipherSuite {
        common: rustls::crypto::CipherSuiteCommon { ..known.common },
        aead_alg: &HastyAead,
        ..*known
    });
    let provider = CryptoProvider {
        cipher_suites: vec![SupportedCipherSuite::Tls12(suite)],
        ..ring::default_provider()
    };
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
}

/// Says its word with the last message of the handshake, and waits for what ends that.
fn visit(port: u16, ca: &str) -> std::io::Result<()> {
    let mut client = hasty_client(ca);
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    while client.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire)?;
        }
        wire.append(&mut EARLY.lock().unwrap());
        stream.write_all(&wire)?;
        let mut heard = [0; 4096];
        let mut heard = match stream.read(&mut heard)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => &heard[..count],
        };
        while !heard.is_empty() {
            client.read_tls(&mut heard)?;
            client.process_new_packets().unwrap();
        }
    }
    Ok(())
}

#[test]
fn a_client_that_speaks_too_early_hears_that_the_handshake_is_done() {
    over_tcp(TlsVersion::V1_2, |scene| {
        let server = scene.listen(scene.server_options());
        let got: Rc<RefCell<Vec<u8>>> = Rc::default();
        let to = Rc::clone(&got);
        server.on_secure_connection(move |socket| {
            socket.server().unwrap().close();
            let to = Rc::clone(&to);
            socket.on_data(move |_, data| to.borrow_mut().extend_from_slice(data));
            socket.on_error(|_, _| {});
        });
        let port = server.address().unwrap().port().unwrap();
        let ca = scene.ca.pem();
        let visitor = std::thread::spawn(move || visit(port, &ca));
        scene.run();
        visitor.join().unwrap().unwrap();
        assert_eq!(*got.borrow(), b"early");
    });
}
