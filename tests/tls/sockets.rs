//! A socket under TLS is a socket: settings, addresses, resets, callbacks, servers that close.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::EventKind;
use tidewheel::tls::{self, ContextOptions, SecureContext};

use crate::certs::Authority;
use crate::common::{each_form_tcp, Peer, Script};
use crate::scene::{each_scene, over_tcp, Scene};

#[test]
fn options_of_net_pass_through_and_addresses_are_those_of_the_socket() {
    each_scene(|scene| {
        let options = scene
            .server_options()
            .pause_on_connect(true)
            .allow_half_open(true);
        let server = scene.serve_one(options, || Script::new("S").no_reader());
        server.on_secure_connection(|socket| {
            assert!(socket.is_paused());
            assert_eq!(
                socket.tls().unwrap().servername().as_deref(),
                Some("localhost")
            );
            socket.resume();
            let socket = socket.clone();
            socket.clone().on_end(move |_| socket.end());
        });
        let options = scene.client_options(&server).servername("localhost");
        let options = options
            .timeout(Duration::from_secs(60))
            .no_delay(true)
            .high_water_mark(100);
        let remote = server.address();
        let client = scene.client_with(
            options,
            Script::new("C").on(EventKind::SecureConnect, move |socket, _| {
                assert_eq!(socket.remote(), remote);
                assert_eq!(socket.timeout(), Some(Duration::from_secs(60)));
                assert!(!socket.connecting() && socket.raw_fd().is_some());
                socket.set_keep_alive(true, None).unref().ref_();
                socket.end();
            }),
        );
        assert!(client.write("under the mark").is_ok());
        scene.run();
        assert_eq!(client.tls().is_none(), client.destroyed());
        scene.assert_trace("S", "secure end finish close(false)");
    });
}

#[test]
fn a_reset_in_mid_stream() {
    each_form_tcp(|world| {
        for version in [tls::TlsVersion::V1_2, tls::TlsVersion::V1_3] {
            let scene = Scene::new(world, version);
            let server = scene.serve_one(scene.server_options(), || {
                Script::new("S").on_data(|socket, _| socket.reset_and_destroy())
            });
            let client = scene.client(&server, Script::new("C"));
            client.write("hello");
            scene.run();
        }
        let once = "connect ready secure drain error(ECONNRESET) close(true)";
        world.assert_trace("C", &format!("{once} {once}"));
    });
}

#[test]
fn writes_from_write_callbacks_go_out_in_order_before_a_destroy() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || Script::new("S").no_reader());
        let got = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&got);
        server.on_secure_connection(move |socket| {
            let kept = Rc::clone(&kept);
            socket.on_data(move |_, data| kept.borrow_mut().extend_from_slice(data));
        });
        let client = scene.client(&server, Script::new("C"));
        client.write_then("hello ", |socket, result| {
            result.unwrap();
            socket.write_then("world!", |socket, result| {
                result.unwrap();
                socket.write_then(" gosh", |socket, result| {
                    result.unwrap();
                    socket.destroy();
                });
            });
        });
        scene.run();
        assert_eq!(String::from_utf8_lossy(&got.borrow()), "hello world! gosh");
    });
}

#[test]
fn paused_resumed_and_ended_in_secure_connection() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || {
            Script::new("S").on(EventKind::SecureConnect, |socket, _| {
                socket.pause();
                let (socket, handle) = (socket.clone(), socket.event_loop().clone());
                handle.set_immediate(move |_| {
                    socket.resume().end();
                });
            })
        });
        let client = scene.client(&server, Script::new("C"));
        client.end_with("hello");
        scene.run();
        scene.assert_trace("C", "connect ready secure finish end close(false)");
        let trace = scene.trace("S");
        assert!(
            trace.starts_with("secure ")
                && trace.contains("data(5)")
                && trace.ends_with("close(false)"),
            "{trace}"
        );
    });
}

#[test]
fn a_server_that_closes_while_a_handshake_runs_waits_for_it() {
    each_scene(|scene| {
        let server = scene.listen(
            scene
                .server_options()
                .handshake_timeout(Duration::from_millis(50)),
        );
        let note = scene.noter();
        server.on_close(move |_| note("V:close"));
        let note = scene.noter();
        server.on_tls_client_error(move |server, error, _| {
            assert_eq!(server.connections(), 0);
            note(&format!("V:{}", error.code()));
        });
        let silent = scene.peer(&server);
        server.on_connection(|socket| {
            assert!(!socket.tls().unwrap().is_secure());
            socket.server().unwrap().close();
        });
        scene.run();
        assert_eq!(scene.trace("V"), "ERR_TLS_HANDSHAKE_TIMEOUT close");
        drop(silent);
    });
}

#[test]
fn the_handshake_timer_ends_with_the_handshake() {
    each_scene(|scene| {
        let limit = Duration::from_secs(60);
        let server = scene.serve_one(scene.server_options().handshake_timeout(limit), || {
            Script::new("S").on(EventKind::SecureConnect, |socket, _| {
                let timers = socket.event_loop().stats().timers;
                assert_eq!(timers, 1, "that of the harness is left");
            })
        });
        scene.client(
            &server,
            Script::new("C").on(EventKind::SecureConnect, |socket, _| socket.end()),
        );
        scene.run();
        scene.assert_trace("S", "secure end finish close(false)");
    });
}

#[test]
fn a_server_changes_its_certificate_for_those_who_come() {
    each_scene(|scene| {
        let server = scene.listen(scene.server_options());
        let newer = Authority::new("newer");
        let own = newer.issue(&["localhost", "127.0.0.1"]);
        let context =
            SecureContext::new(ContextOptions::default().key(&own.key).cert(&own.cert)).unwrap();
        let left = Cell::new(2);
        server.on_secure_connection(move |socket| {
            socket.pipe(socket);
            left.set(left.get() - 1);
            if left.get() == 0 {
                socket.server().unwrap().close();
            }
        });
        let again = scene.client_options(&server).ca(newer.pem());
        let (event_loop, changed) = (scene.event_loop.handle().clone(), server.clone());
        let watcher = scene.watcher();
        let once = Cell::new(Some((again, context)));
        let script = Script::new("C").on_data(move |socket, _| {
            let Some((again, context)) = once.take() else {
                return socket.end();
            };
            changed.set_secure_context(&context).unwrap();
            let first = socket.clone();
            let second = tls::connect(&event_loop, again, move |socket| {
                let certificate = socket.tls().unwrap().peer_certificate().unwrap();
                assert!(certificate
                    .issuer()
                    .iter()
                    .any(|(_, value)| value == "newer"));
                socket.end();
                // The first goes on as it was.
                first.write("still here");
            });
            watcher.watch(&second, Script::new("D"));
        });
        let client = scene.client(&server, script);
        client.write("hello");
        scene.run();
        assert!(
            scene.trace("C").ends_with("finish end close(false)"),
            "{}",
            scene.trace("C")
        );
        scene.assert_trace("D", "connect ready secure finish end close(false)");
    });
}

#[test]
fn the_context_of_a_name_is_changed_for_those_who_come() {
    each_scene(|scene| {
        let authorities = ["older", "newer"].map(Authority::new);
        let [older, newer] = authorities.each_ref().map(|authority| {
            let own = authority.issue(&["a.example"]);
            let options = ContextOptions::default().key(&own.key).cert(&own.cert);
            SecureContext::new(options).unwrap()
        });
        let server = scene.listen(scene.server_options());
        server.add_context("*.example", &older).unwrap();
        let left = Cell::new(3);
        server.on_secure_connection(move |socket| {
            socket.resume();
            left.set(left.get() - 1);
            if left.get() == 0 {
                socket.server().unwrap().close();
            }
        });
        let script = || {
            Script::new("C").on(EventKind::SecureConnect, |socket, _| {
                assert!(socket.tls().unwrap().authorized());
                socket.end();
            })
        };
        let options = scene.client_options(&server);
        let visit = |name: &str, ca: String, context: Option<&SecureContext>| {
            if let Some(context) = context {
                server.add_context("*.example", context).unwrap();
            }
            let client = scene.client_with(options.clone().servername(name).ca(ca), script());
            client.unref();
            let closed = Rc::new(Cell::new(false));
            let now = Rc::clone(&closed);
            client.on_close(move |_, _| now.set(true));
            while !closed.get() {
                scene.event_loop.turn(None).unwrap();
            }
        };
        visit("a.example", authorities[0].pem(), None);
        visit("a.example", authorities[1].pem(), Some(&newer));
        // Who asks for another name has what everybody has.
        visit("localhost", scene.ca.pem(), None);
        scene.run();
        let fine = "connect ready secure finish end close(false)";
        scene.assert_trace("C", &[fine; 3].join(" "));
    });
}

#[test]
fn there_is_nothing_to_do_before_the_client_has_spoken() {
    over_tcp(tls::TlsVersion::V1_3, |scene| {
        let event_loop = &scene.world.event_loop;
        let server = scene.listen(scene.server_options());
        let peer = Peer::connect(&server.address().unwrap());
        while server.connections() == 0 {
            event_loop.turn(None).unwrap();
        }
        let waits = event_loop.next_timeout().expect("a limit of the handshake");
        assert!(!waits.is_zero());
        drop(peer);
        server.close();
        scene.run();
    });
}
