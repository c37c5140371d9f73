//! An end without the goodbye of TLS, and with it: what came before is delivered, and the two are told apart.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tidewheel::net::{self, EventKind, Server, Socket};

use crate::common::{counter, Script};
use crate::scene::{each_scene, Scene};

/// Cleartext of a full record.
const RECORD: usize = 16 * 1024;
const MUCH: usize = 4 * RECORD;

/// What the peer does when it has said what it had to say.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    Politely,
    /// Its stream ends behind a record.
    Between,
    /// And in the middle of one.
    Within,
}

fn letters(count: usize) -> Vec<u8> {
    (0..count).map(|at| b'a' + (at % 23) as u8).collect()
}

/// Passes on what comes for `server`. Once `left` is a number, only so many bytes, then it ends.
fn relay(scene: &Scene<'_>, server: &Server, left: &Rc<Cell<Option<usize>>>) -> Server {
    let (to, left) = (server.address().unwrap(), Rc::clone(left));
    let relay = scene.world.server(move |socket| {
        socket.server().unwrap().close();
        let onward = net::connect(socket.event_loop(), to.clone(), |_| {});
        onward.pipe(socket);
        let (from, left) = (onward.clone(), Rc::clone(&left));
        socket.on_data(move |_, data| match left.get() {
            None => {
                from.write(data);
            }
            Some(0) => {}
            Some(room) => {
                let passed = room.min(data.len());
                left.set(Some(room - passed));
                from.write(&data[..passed]);
                if passed == room {
                    from.end();
                }
            }
        });
        for (one, other) in [(socket, &onward), (&onward, socket)] {
            one.on_error(|_, _| {});
            let other = other.clone();
            one.on_close(move |_, _| other.destroy());
        }
        let end = onward.clone();
        socket.on_end(move |_| end.end());
    });
    relay
}

/// What the server saw of a client that sends much and leaves, what came of it, and whether it was cut.
fn leave(scene: &Scene<'_>, leaving: Leaving, strict: bool) -> (String, Vec<u8>, bool) {
    let (got, cut) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(false)));
    let (kept, told) = (Rc::clone(&got), Rc::clone(&cut));
    let options = scene.server_options().strict_end(strict);
    let server = scene.serve_one(options, move || {
        let (kept, told) = (Rc::clone(&kept), Rc::clone(&told));
        Script::new("S")
            .on(EventKind::SecureConnect, |socket, _| {
                socket.write("go");
            })
            .on_data(move |_, data| kept.borrow_mut().extend_from_slice(data))
            .on(EventKind::Close, move |socket, _| {
                told.set(socket.tls().unwrap().truncated());
            })
    });
    // From where the client is told to go on, nothing but its records comes.
    let left = Rc::new(Cell::new(None));
    let relay = relay(scene, &server, &left);
    let client = scene.client(
        &relay,
        Script::new("C").on_data(move |socket, data| {
            assert_eq!(data, b"go");
            if matches!(leaving, Leaving::Within) {
                // Whatever the overhead of a record is, this is in the second one.
                left.set(Some(RECORD + 1000));
            }
            socket.write_then(letters(MUCH), move |socket, _| match leaving {
                Leaving::Politely => socket.end(),
                Leaving::Between => socket.destroy(),
                Leaving::Within => {}
            });
        }),
    );
    scene.run();
    assert!(client.destroyed());
    let (trace, got) = (scene.trace("S"), got.borrow().clone());
    (trace, got, cut.get())
}

#[test]
fn the_end_of_a_stream_is_an_end_of_tls_only_with_a_goodbye() {
    for strict in [false, true] {
        for leaving in [Leaving::Politely, Leaving::Between, Leaving::Within] {
            each_scene(|scene| {
                let (trace, got, cut) = leave(scene, leaving, strict);
                let what = format!("{leaving:?}, strict: {strict}: {trace}");
                let (whole, polite) = match leaving {
                    Leaving::Politely => (MUCH, true),
                    Leaving::Between => (MUCH, false),
                    Leaving::Within => (RECORD, false),
                };
                assert!(got == letters(whole), "{what}");
                assert_eq!(cut, !polite, "{what}");
                let end = match polite || !strict {
                    true => "end finish close(false)",
                    false => "error(ERR_SSL_UNEXPECTED_EOF_WHILE_READING) close(true)",
                };
                assert_eq!(trace, format!("secure data({whole}) {end}"), "{what}");
            });
        }
    }
}

#[test]
fn what_came_before_a_cut_waits_for_a_reader_who_rests() {
    const SOME: usize = 3 * RECORD;
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || {
            Script::new("S").on(EventKind::SecureConnect, |socket, _| {
                socket.pause().write("go");
            })
        });
        let reader = {
            let server = server.clone();
            move || -> Socket { server.sockets().remove(0) }
        };
        scene.client(
            &server,
            Script::new("C")
                .on_data(|socket, _| {
                    socket.write_then(letters(SOME), |socket, result| {
                        result.unwrap();
                        socket.destroy();
                    });
                })
                .on(EventKind::Close, move |socket, _| {
                    // Long enough for the end to be there, too.
                    let (reader, handle) = (reader(), socket.event_loop().clone());
                    handle.set_timeout(std::time::Duration::from_millis(20), move |_| {
                        assert!(!reader.destroyed() && reader.bytes_read() == 0);
                        reader.resume();
                    });
                }),
        );
        scene.run();
        scene.assert_trace("S", &format!("secure data({SOME}) end finish close(false)"));
    });
}

#[test]
fn what_waits_to_be_sent_outlasts_the_clean_end_of_the_peer() {
    // More than any kernel takes for one who does not read.
    const MUCH: usize = 8_000_000;
    each_scene(|scene| {
        let options = scene.server_options().allow_half_open(true);
        let sent = counter();
        let count = Rc::clone(&sent);
        let server = scene.serve_one(options, move || {
            let count = Rc::clone(&count);
            Script::new("S")
                .on(EventKind::SecureConnect, move |socket, _| {
                    let count = Rc::clone(&count);
                    socket.write_then(vec![1; MUCH], move |socket, result| {
                        result.unwrap();
                        count.set(count.get() + 1);
                        socket.end();
                    });
                })
                .on(EventKind::End, |socket, _| {
                    assert!(socket.buffer_size() > 0, "the end overtakes what waits");
                    assert!(!socket.tls().unwrap().truncated());
                })
        });
        scene.client(
            &server,
            Script::new("C").on(EventKind::SecureConnect, |socket, _| {
                socket.pause();
                socket.end();
                let (socket, handle) = (socket.clone(), socket.event_loop().clone());
                handle.set_timeout(std::time::Duration::from_millis(20), move |_| {
                    socket.resume();
                });
            }),
        );
        scene.run();
        assert_eq!(sent.get(), 1);
        scene.assert_trace(
            "C",
            &format!("connect ready secure finish data({MUCH}) end close(false)"),
        );
        let trace = scene.trace("S");
        assert!(trace.starts_with("secure end"), "{trace}");
        assert!(trace.ends_with("finish close(false)"), "{trace}");
    });
}
