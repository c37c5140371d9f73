//! What the sockets under TLS of one loop share.

use std::path::{Path, PathBuf};

use crate::net::{self, Socket};
use crate::tls::{TlsConnectOptions, TlsOptions};
use crate::EventLoop;

fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("src/tls/fixtures").join(name)
}

/// Two sockets that go over to TLS, of which the first ends as soon as it may.
fn secure_pair(event_loop: &EventLoop) -> (Socket, Socket) {
    let (client, server) = net::pair(event_loop).unwrap();
    let options = TlsConnectOptions::default()
        .ca(fixture("v1-server.crt"))
        .servername("localhost");
    client.start_tls(options, &[], Socket::end).unwrap();
    let options = TlsOptions::default()
        .key(fixture("v1-server.pem"))
        .cert(fixture("v1-server.crt"));
    server.start_tls(options, &[], |_| {}).unwrap();
    (client, server)
}

#[test]
fn the_buffer_for_ciphertext_is_gone_with_the_last_layer() {
    let event_loop = EventLoop::new().unwrap();
    let shared = || event_loop.inner().reactor.borrow().wire.upgrade();
    assert!(shared().is_none());
    for _ in 0..2 {
        let (client, _server) = secure_pair(&event_loop);
        client.on_close(|socket, _| {
            let shared = socket.inner().reactor.borrow().wire.upgrade();
            let wire = shared.expect("the other side is there").take();
            assert!(!wire.is_empty(), "it was read into");
        });
        assert!(shared().is_some());
        event_loop.run().unwrap();
        assert!(shared().is_none());
    }
}
