//! A panic in a callback of TLS unwinds out of `run`, and the loop goes on as if the callback had returned; one that was
//! asked something has then not answered.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tidewheel::net::Server;
use tidewheel::tls::{self, Session, TlsConnectOptions, TlsVersion};

use crate::common::Script;
use crate::panicking::{boom, run_through};
use crate::scene::{each_scene, Scene};

/// Where a callback panics.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
enum At {
    #[default]
    Nowhere,
    ClientSecure,
    SocketSecure,
    ServerSecure,
    ClientKeys,
    SocketKeys,
    ServerKeys,
    OptionKeys,
    Name,
}

const ALL: [At; 9] = [
    At::Nowhere,
    At::ClientSecure,
    At::SocketSecure,
    At::ServerSecure,
    At::ClientKeys,
    At::SocketKeys,
    At::ServerKeys,
    At::OptionKeys,
    At::Name,
];

/// Notes what happened, and panics if this is where.
fn step(at: At, here: At, note: &dyn Fn(&str), event: &str) {
    note(event);
    if at == here {
        boom();
    }
}

fn watch_server(scene: &Scene<'_>, server: &Server, at: At) {
    let note = scene.noter();
    let watcher = scene.watcher();
    server.on_connection(move |socket| {
        watcher.watch(
            socket,
            Script::new("S").on_data(|socket, _| socket.end_with("bye")),
        );
        let seen = note.clone();
        socket.on_keylog(move |_, _| step(at, At::SocketKeys, &seen, "K:S"));
        let seen = note.clone();
        socket.on_secure_connect(move |_| step(at, At::SocketSecure, &seen, "E:socket"));
        socket.server().unwrap().close();
    });
    let seen = scene.noter();
    server.on_secure_connection(move |_| step(at, At::ServerSecure, &seen, "E:server"));
    let seen = scene.noter();
    server.on_keylog(move |_, _| step(at, At::ServerKeys, &seen, "K:V"));
}

/// A conversation with a panic in it: both traces, the events of the handshake, and how many lines of keys whom told.
fn talk(scene: &Scene<'_>, at: At) -> (Vec<String>, Vec<usize>, usize) {
    let note = scene.noter();
    let options = scene.server_options().sni_callback(move |_, _, reply| {
        let _dropped_unanswered = reply;
        step(at, At::Name, &note, "E:name");
    });
    let note = scene.noter();
    let server = scene.listen(options.key_log(move |_, _| step(at, At::OptionKeys, &note, "K:O")));
    watch_server(scene, &server, at);
    let client = scene.client_with(
        scene.client_options(&server).servername("localhost"),
        Script::new("C"),
    );
    let seen = scene.noter();
    client.on_keylog(move |_, _| step(at, At::ClientKeys, &seen, "K:C"));
    let seen = scene.noter();
    client.on_secure_connect(move |socket| {
        socket.write("hello");
        step(at, At::ClientSecure, &seen, "E:client");
    });
    let panics = run_through(&scene.event_loop);
    let mut events = scene.events("E");
    events.sort();
    events.extend([scene.trace("C"), scene.trace("S")]);
    let keys = scene.events("K");
    let count = |who: &str| keys.iter().filter(|key| *key == who).count();
    let keys = ["C", "S", "V", "O"].map(count).to_vec();
    (events, keys, panics)
}

#[test]
fn a_panic_in_any_callback_of_tls_changes_nothing_that_follows() {
    for at in ALL {
        each_scene(|scene| {
            let lines = match scene.version {
                TlsVersion::V1_2 => 1,
                _ => 5,
            };
            let (events, keys, panics) = talk(scene, at);
            let expected = [
                "client",
                "name",
                "server",
                "socket",
                "connect ready secure data(3) end finish close(false)",
                "secure data(5) finish end close(false)",
            ];
            assert_eq!(events, expected, "{at:?}");
            // Both are listeners of the same event, and the later one is not reached.
            let of_server = if at == At::OptionKeys { 0 } else { lines };
            assert_eq!(keys, [lines, lines, of_server, lines], "{at:?}");
            let of_keys = format!("{at:?}").ends_with("Keys");
            let expected = match at {
                At::Nowhere => 0,
                _ if of_keys => lines,
                _ => 1,
            };
            assert_eq!(panics, expected, "{at:?}");
        });
    }
}

#[test]
fn one_who_panics_when_asked_for_an_opinion_has_not_let_anybody_in() {
    for reject in [true, false] {
        each_scene(|scene| {
            let server = scene.serve_one(scene.server_options(), || Script::new("S"));
            server.on_tls_client_error(|_, _, _| {});
            let options = scene
                .client_options(&server)
                .servername("localhost")
                .reject_unauthorized(reject)
                .check_server_identity(|_, _| boom());
            let note = scene.noter();
            let client = scene.client_with(options, Script::new("C"));
            client.on_secure_connect(move |socket| {
                let info = socket.tls().unwrap();
                assert!(!info.authorized());
                note(&format!("A:{}", info.authorization_error().unwrap().code()));
                socket.end();
            });
            assert_eq!(run_through(&scene.event_loop), 1);
            if reject {
                scene.assert_trace("C", "connect ready error(CERT_REJECTED) close(true)");
            } else {
                scene.assert_trace("C", "connect ready secure finish end close(false)");
                assert_eq!(scene.trace("A"), "CERT_REJECTED");
            }
        });
    }
}

#[test]
fn one_who_panics_over_a_session_has_kept_and_found_nothing() {
    each_scene(|scene| {
        for at in ["nowhere", "new", "resume", "session"] {
            let step = move |here: &str| {
                if here == at {
                    boom();
                }
            };
            let server = scene.listen(scene.server_options());
            server.on_secure_connection(|socket| {
                socket.pipe(socket);
            });
            server.unref();
            let store: Rc<RefCell<HashMap<Vec<u8>, Vec<u8>>>> = Rc::default();
            let sessions = Rc::clone(&store);
            server.on_new_session(move |_, id, data, _dropped| {
                sessions.borrow_mut().insert(id.to_vec(), data.to_vec());
                step("new");
            });
            server.on_resume_session(move |_, id, reply| {
                step("resume");
                reply.found(&store.borrow()[id]);
            });
            let kept: Rc<RefCell<Option<Session>>> = Rc::default();
            let meet = || {
                let mut options = scene.client_options(&server);
                if let Some(session) = kept.borrow().as_ref() {
                    options = options.session(session);
                }
                let client = scene.client_with(options, Script::new("C"));
                client.write("hello");
                let keep = Rc::clone(&kept);
                client.on_session(move |_, session| {
                    keep.borrow_mut().replace(session.clone());
                    step("session");
                });
                let reused = Rc::new(Cell::new(false));
                let seen = Rc::clone(&reused);
                client.on_data(move |socket, _| {
                    seen.set(socket.tls().unwrap().is_session_reused());
                    socket.end();
                });
                let panics = run_through(&scene.event_loop);
                (reused.get(), panics)
            };
            let each = 1 + usize::from(scene.version == TlsVersion::V1_3);
            let (reused, panics) = meet();
            let expected = if ["new", "session"].contains(&at) {
                each
            } else {
                0
            };
            assert_eq!((reused, panics), (false, expected), "{at}");
            let (reused, panics) = meet();
            let expected = match at {
                "resume" => 1,
                "new" | "session" if scene.version == TlsVersion::V1_3 => 2,
                _ => 0,
            };
            assert_eq!((reused, panics), (at != "resume", expected), "{at}");
            server.close();
            scene.run();
        }
        let each = "connect ready secure drain data(5) finish end close(false)";
        scene.assert_trace("C", &[each; 8].join(" "));
    });
}

#[test]
fn a_panic_over_a_failed_handshake_leaves_the_server_as_it_was() {
    each_scene(|scene| {
        let server = scene.listen(scene.server_options().max_handshakes(1));
        let failed = Rc::new(Cell::new(0));
        let count = Rc::clone(&failed);
        server.on_tls_client_error(move |_, _, _| {
            count.set(count.get() + 1);
            boom();
        });
        server.on_secure_connection(|socket| {
            socket.resume();
            socket.server().unwrap().close();
        });
        let connect = move |address| {
            TlsConnectOptions::from(address)
                .servername("localhost")
                .min_version(TlsVersion::V1_2)
        };
        let first = scene.client_with(connect(server.address().unwrap()), Script::new("X"));
        let (ca, address) = (scene.ca.pem(), server.address().unwrap());
        let watcher = scene.watcher();
        first.on_close(move |socket, _| {
            let options = connect(address.clone()).ca(&ca);
            let client = tls::connect(socket.event_loop(), options, |socket| {
                socket.end();
            });
            watcher.watch(&client, Script::new("C"));
        });
        assert_eq!(run_through(&scene.event_loop), 1);
        assert_eq!(failed.get(), 1);
        scene.assert_trace("C", "connect ready secure finish end close(false)");
    });
}

#[test]
fn a_listener_that_panicked_hears_the_next_connection() {
    each_scene(|scene| {
        let server = scene.listen(scene.server_options());
        let heard = Rc::new(Cell::new(0));
        let count = Rc::clone(&heard);
        server.on_secure_connection(move |socket| {
            socket.resume();
            count.set(count.get() + 1);
            if count.get() == 3 {
                socket.server().unwrap().close();
            }
            boom();
        });
        for name in ["C", "D", "E"] {
            let client = scene.client(&server, Script::new(name));
            client.on_secure_connect(|socket| socket.end());
        }
        assert_eq!(run_through(&scene.event_loop), 3);
        assert_eq!(heard.get(), 3);
        for name in ["C", "D", "E"] {
            scene.assert_trace(name, "connect ready secure finish end close(false)");
        }
    });
}
