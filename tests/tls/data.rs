//! Data, its order, and the ends of connections.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{Encoding, EventKind, WriteStatus};

use crate::common::{counter, Script};
use crate::scene::each_scene;

fn echo(name: &str) -> Script {
    Script::new(name).on_data(|socket, data| {
        socket.write(data);
    })
}

#[test]
fn a_word_each_way_and_a_clean_end() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || echo("S"));
        let client = scene.client(
            &server,
            Script::new("C").on_data(|socket, _| {
                let info = socket.tls().unwrap();
                assert!(info.authorized() && info.is_secure() && !info.truncated());
                socket.end();
            }),
        );
        assert_eq!(client.write("hello"), WriteStatus::Queued);
        assert_eq!(client.buffer_size(), 5);
        scene.run();
        scene.assert_trace(
            "C",
            "connect ready secure drain data(5) finish end close(false)",
        );
        scene.assert_trace("S", "secure data(5) end finish close(false)");
    });
}

#[test]
fn what_is_written_when_secure_is_with_the_kernel_at_once_and_counted_in_clear() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || Script::new("S"));
        let told = Rc::new(RefCell::new(Vec::new()));
        let answers = Rc::clone(&told);
        scene.client(
            &server,
            Script::new("C").on(EventKind::SecureConnect, move |socket, _| {
                let wrote = Rc::clone(&answers);
                let status = socket.write_then("hello", move |socket, result| {
                    wrote.borrow_mut().push(format!("wrote {}", result.is_ok()));
                    socket.end_with("!");
                });
                let sizes = (socket.buffer_size(), socket.bytes_written());
                answers.borrow_mut().push(format!("{status:?} {sizes:?}"));
            }),
        );
        server.on_secure_connection(|socket| {
            socket.on_close(|socket, _| {
                assert_eq!((socket.bytes_read(), socket.bytes_written()), (6, 0))
            });
        });
        scene.run();
        assert_eq!(told.take(), ["Flushed (0, 5)", "wrote true"]);
        scene.assert_trace("C", "connect ready secure finish end close(false)");
        scene.assert_trace("S", "secure data(6) end finish close(false)");
    });
}

#[test]
fn the_peer_may_go_on_when_our_side_has_ended() {
    each_scene(|scene| {
        let options = scene.server_options().allow_half_open(true);
        let server = scene.serve_one(options, || {
            Script::new("S").on(EventKind::End, |socket, _| socket.end_with("the answer"))
        });
        let client = scene.client(&server, Script::new("C"));
        client.end_with("the question");
        scene.run();
        scene.assert_trace("C", "connect ready secure finish data(10) end close(false)");
        scene.assert_trace("S", "secure data(12) end finish close(false)");
    });
}

#[test]
fn an_end_before_the_handshake_is_done_waits_for_it() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || Script::new("S"));
        let client = scene.client(&server, Script::new("C"));
        client.end();
        scene.run();
        scene.assert_trace("C", "connect ready secure finish end close(false)");
        scene.assert_trace("S", "secure end finish close(false)");
    });
}

#[test]
fn much_of_it_arrives_whole_with_drains_and_pauses() {
    const MUCH: usize = 3_000_000;
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || {
            Script::new("S").on_data(|socket, data| {
                // It rests now and then, so that the sender has to wait.
                if data.len() % 7 == 0 {
                    socket.pause();
                    let socket = socket.clone();
                    let handle = socket.event_loop().clone();
                    handle.set_immediate(move |_| {
                        socket.resume();
                    });
                }
            })
        });
        let drains = counter();
        let (drained, sent) = (Rc::clone(&drains), Cell::new(0));
        let chunk: Vec<u8> = (0..100_000_u32).map(|n| (n * 7) as u8).collect();
        let client = scene.client(
            &server,
            Script::new("C").on(EventKind::Drain, move |socket, _| {
                drained.set(drained.get() + 1);
                assert_eq!(socket.buffer_size(), 0);
                sent.set(sent.get() + chunk.len());
                if sent.get() == MUCH {
                    return socket.end_with(&chunk);
                }
                while socket.write(&chunk).is_ok() {
                    sent.set(sent.get() + chunk.len());
                    if sent.get() >= MUCH {
                        return socket.end();
                    }
                }
            }),
        );
        client.write("x");
        scene.run();
        let got: u64 = scene
            .trace("S")
            .split("data(")
            .nth(1)
            .unwrap()
            .split(')')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!(got > MUCH as u64, "{got}");
        assert!(
            scene.trace("C").ends_with("finish end close(false)"),
            "{}",
            scene.trace("C")
        );
        assert!(scene.trace("S").ends_with("end finish close(false)"));
    });
}

#[test]
fn nothing_comes_while_paused_from_the_start() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || {
            Script::new("S").on(EventKind::SecureConnect, |socket, _| {
                socket.end_with("early");
            })
        });
        let note = scene.noter();
        scene.client(
            &server,
            Script::new("C").on(EventKind::SecureConnect, move |socket, _| {
                socket.pause();
                let (socket, note) = (socket.clone(), note.clone());
                let handle = socket.event_loop().clone();
                handle.set_timeout(Duration::from_millis(30), move |_| {
                    note("C:resume");
                    socket.resume();
                });
            }),
        );
        scene.run();
        scene.assert_trace(
            "C",
            "connect ready secure resume data(5) end finish close(false)",
        );
    });
}

#[test]
fn a_peer_that_ends_is_noticed_by_one_who_does_not_read() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || {
            Script::new("S").on(EventKind::SecureConnect, |socket, _| socket.end())
        });
        scene.client(&server, Script::new("C").no_reader());
        scene.run();
        scene.assert_trace("C", "connect ready secure end finish close(false)");
    });
}

#[test]
fn corked_writes_leave_together() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || Script::new("S"));
        let client = scene.client(
            &server,
            Script::new("C").on(EventKind::SecureConnect, |socket, _| {
                socket.corked(|socket| {
                    assert_eq!(socket.write("a"), WriteStatus::Buffered);
                    socket.write("b");
                    assert_eq!(socket.buffer_size(), 2);
                });
                assert_eq!(socket.buffer_size(), 0);
                socket.end();
            }),
        );
        assert!(client.tls().is_some());
        scene.run();
        assert_eq!(scene.events("S")[1], "data(2)");
    });
}

#[test]
fn texts_pipes_timeouts_and_destroys() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || Script::new("S"));
        server.on_secure_connection(|socket| {
            socket.pipe(socket);
        });
        let client = scene.client(
            &server,
            Script::new("C")
                .text(Encoding::Utf8)
                .on_data(|socket, _| {
                    socket.set_timeout(Duration::from_millis(20));
                })
                .on(EventKind::Timeout, |socket, _| socket.destroy()),
        );
        client.write("grüße");
        scene.run();
        let trace = scene.trace("C");
        assert!(trace.contains("text(grüße)"), "{trace}");
        assert!(trace.ends_with("timeout close(false)"), "{trace}");
        let trace = scene.trace("S");
        assert!(
            trace.starts_with("secure data(7) end finish close(false)"),
            "{trace}"
        );
    });
}

#[test]
fn destroyed_without_a_word_is_an_end_that_may_be_a_cut() {
    each_scene(|scene| {
        for strict in [false, true] {
            let options = scene.server_options().strict_end(strict);
            let server = scene.serve_one(options, move || {
                Script::new("S").on(EventKind::Close, move |socket, _| {
                    assert!(socket.tls().unwrap().truncated());
                })
            });
            scene.client(
                &server,
                Script::new("C").on(EventKind::SecureConnect, |socket, _| {
                    socket.write("half");
                    socket.destroy();
                }),
            );
            scene.run();
        }
        let strict = "secure data(4) error(ERR_SSL_UNEXPECTED_EOF_WHILE_READING) close(true)";
        scene.assert_trace(
            "S",
            &format!("secure data(4) end finish close(false) {strict}"),
        );
    });
}

#[test]
fn destroy_soon_sends_what_waits() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || Script::new("S"));
        scene.client(
            &server,
            Script::new("C").on(EventKind::SecureConnect, |socket, _| {
                socket.write(vec![1; 2_000_000]);
                socket.destroy_soon();
            }),
        );
        scene.run();
        assert!(
            scene.trace("S").starts_with("secure data(2000000) end"),
            "{}",
            scene.trace("S")
        );
    });
}

#[test]
fn a_descriptor_does_not_leave_from_under_tls() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || Script::new("S"));
        scene.client(
            &server,
            Script::new("C").on(EventKind::SecureConnect, |socket, _| {
                let error = socket.detach().unwrap_err();
                assert_eq!(error.code().as_str(), "ERR_TLS_INVALID_STATE");
                socket.end();
            }),
        );
        scene.run();
    });
}
