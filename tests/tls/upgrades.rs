//! Going over to TLS on a live socket, and TLS within TLS.

use std::cell::Cell;
use std::rc::Rc;

use tidewheel::net::{self, EventKind};
use tidewheel::tls::{TlsConnectOptions, TlsOptions};

use crate::common::Script;
use crate::scene::{each_scene, Scene};

fn client_options(scene: &Scene<'_>) -> TlsConnectOptions {
    TlsConnectOptions::default()
        .host("localhost")
        .ca(scene.ca.pem())
        .min_version(scene.version)
        .max_version(scene.version)
}

#[test]
fn both_sides_of_a_conversation_go_over() {
    each_scene(|scene| {
        let options = scene.server_options();
        let server = scene.world.serve_one(move || {
            let (options, secure) = (options.clone(), Cell::new(false));
            Script::new("S").on_data(move |socket, data| {
                if secure.replace(true) {
                    socket.write(data);
                    return;
                }
                // What the client sends in TLS may come together with its word.
                let (word, leftover) = data.split_at(9);
                assert_eq!(word, b"STARTTLS\n");
                socket.write("go\n");
                socket.start_tls(options.clone(), leftover, |_| {}).unwrap();
            })
        });
        let options = client_options(scene);
        let secure = Rc::new(Cell::new(false));
        let script = Script::new("C").on_data(move |socket, data| {
            if secure.replace(true) {
                assert_eq!(data, b"secret");
                assert!(socket.tls().unwrap().authorized());
                return socket.end();
            }
            assert_eq!(data, b"go\n");
            socket
                .start_tls(&options, &[], |socket| {
                    socket.write("secret");
                })
                .unwrap();
        });
        let client = scene.world.client(&server, script);
        client.write("STARTTLS\n");
        scene.run();
        scene.assert_trace(
            "C",
            "connect ready drain data(3) secure data(6) finish end close(false)",
        );
        scene.assert_trace("S", "data(9) secure data(6) end finish close(false)");
    });
}

#[test]
fn a_client_that_does_not_wait_for_the_answer() {
    each_scene(|scene| {
        let options = scene.server_options();
        let server = scene.world.serve_one(move || {
            let (options, held) = (options.clone(), Cell::new(Vec::new()));
            Script::new("S").on_data(move |socket, data| {
                if socket.tls().is_some() {
                    return socket.end_with(data);
                }
                let mut all = held.take();
                all.extend_from_slice(data);
                if all.len() > 9 {
                    socket
                        .start_tls(options.clone(), &all[9..], |_| {})
                        .unwrap();
                }
                held.set(all);
            })
        });
        let client = net::connect(&scene.event_loop, scene.connect_options(&server), |_| {});
        let options = client_options(scene);
        client.on_connect(move |socket| {
            socket.write("STARTTLS\n");
            socket.start_tls(&options, &[], |_| {}).unwrap();
            socket.write("at once");
        });
        scene.watch(&client, Script::new("C"));
        scene.run();
        assert!(
            scene
                .trace("C")
                .ends_with("data(7) end finish close(false)"),
            "{}",
            scene.trace("C")
        );
    });
}

#[test]
fn tls_in_tls() {
    each_scene(|scene| {
        let inner_ca = crate::certs::Authority::new("inner");
        let inner = inner_ca.issue(&["inner.example"]);
        let within = TlsOptions::default().key(&inner.key).cert(&inner.cert);
        let server = scene.serve_one(scene.server_options(), || Script::new("S"));
        server.on_secure_connection(move |socket| {
            // The second handshake is told to the same listeners.
            if socket.tls().unwrap().servername().as_deref() == Some("inner.example") {
                socket.pipe(socket);
                return;
            }
            socket.start_tls(within.clone(), &[], |_| {}).unwrap();
        });
        let options = TlsConnectOptions::default()
            .servername("inner.example")
            .ca(inner_ca.pem());
        let got = Cell::new(0);
        let script = Script::new("C").on_data(move |socket, data| {
            got.set(got.get() + data.len());
            if got.get() == 400_000 {
                socket.end();
            }
        });
        let client = scene.client(&server, script);
        let begun = Cell::new(false);
        client.on_secure_connect(move |socket| {
            if begun.replace(true) {
                socket.write(vec![7; 400_000]);
                return;
            }
            socket.start_tls(&options, &[], |_| {}).unwrap();
        });
        scene.run();
        let trace = scene.trace("C");
        assert!(trace.starts_with("connect ready secure secure"), "{trace}");
        assert!(trace.contains("data("), "{trace}");
        assert!(
            trace.ends_with("end close(false)") || trace.ends_with("finish close(false)"),
            "{trace}"
        );
    });
}

#[test]
fn what_cannot_go_over() {
    each_scene(|scene| {
        let fresh = net::Socket::new(&scene.event_loop, net::SocketOptions::default());
        let code = |error: tidewheel::Error| error.code().as_str();
        let refused = fresh.start_tls(client_options(scene), &[], |_| unreachable!());
        assert_eq!(code(refused.unwrap_err()), "ERR_SOCKET_CLOSED");
        fresh.destroy();
        let server = scene.world.serve_one(|| Script::new("S"));
        let options = client_options(scene);
        let client = scene.world.client(
            &server,
            Script::new("C").on(EventKind::Connect, move |socket, _| {
                let refused =
                    socket.start_tls(options.clone().ciphers("RC4"), &[], |_| unreachable!());
                assert_eq!(code(refused.unwrap_err()), "ERR_SSL_NO_CIPHER_MATCH");
                socket.end();
                let refused = socket.start_tls(options.clone(), &[], |_| unreachable!());
                assert_eq!(code(refused.unwrap_err()), "ERR_TLS_INVALID_STATE");
            }),
        );
        client.write("in clear");
        let refused = client.start_tls(client_options(scene), &[], |_| unreachable!());
        assert_eq!(code(refused.unwrap_err()), "EAGAIN");
        scene.run();
        scene.assert_trace("S", "data(8) end finish close(false)");
    });
}
