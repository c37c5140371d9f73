//! `pause` and `resume`: what they hold back, what they let through, and who wins.

mod common;
#[path = "common/flow.rs"]
mod flow;
#[path = "common/kernel.rs"]
mod kernel;

use std::cell::RefCell;
use std::rc::Rc;

use common::{counter, each_case, each_case_on, each_form_unix, EventLoop, Script, World};
use flow::{after_turns, pattern, serve_then, talk};
use kernel::{wait_hang_up, wait_unread};
use tidewheel::net::{self, EventKind, ServerOptions, Socket, WriteStatus};

/// A client that is told `commands` before it is connected, to a server that greets it and stays.
fn told_before_connect(world: &World, commands: impl Fn(&Socket)) -> Socket {
    let server = world.serve_one(|| Script::new("S"));
    server.on_connection(|socket| {
        socket.write("hello");
    });
    let client = net::connect(&world.event_loop, world.connect_options(&server), |_| {});
    commands(&client);
    world.watch(&client, Script::new("C").on_data(|socket, _| socket.end()));
    client
}

#[test]
fn the_last_word_before_connect_wins_and_lets_data_flow() {
    for commands in [
        |socket: &Socket| {
            socket.resume();
        },
        |socket: &Socket| {
            socket.pause().resume();
        },
        |socket: &Socket| {
            socket.resume().pause().resume();
        },
    ] {
        each_case(|world| {
            let client = told_before_connect(world, commands);
            assert!(!client.is_paused());
            world.run();
            world.assert_trace("C", "connect ready data(5) finish end close(false)");
        });
    }
}

#[test]
fn the_last_word_before_connect_wins_and_holds_data_back() {
    for commands in [
        |socket: &Socket| {
            socket.pause();
        },
        |socket: &Socket| {
            socket.resume().resume().pause();
        },
    ] {
        each_case(|world| {
            // The listener or handler is added after `pause`, and does not make it flow.
            let client = told_before_connect(world, commands);
            let note = world.noter();
            client.on_ready(move |client| {
                // Its server is on the same loop and greets it within these turns.
                let client = client.clone();
                after_turns(&client.event_loop().handle(), 50, move |_| {
                    assert!(client.is_paused());
                    assert_eq!(client.bytes_read(), 0);
                    note("C:resume");
                    client.resume();
                });
            });
            world.run();
            world.assert_trace("C", "connect ready resume data(5) finish end close(false)");
        });
    }
}

#[test]
fn pause_and_resume_return_the_socket() {
    each_form_unix(|world| {
        let (a, b) = net::pair(&world.event_loop).unwrap();
        world.watch(&a, Script::new("A"));
        assert_eq!(a.pause().resume(), &a);
        b.end();
        world.run();
    });
}

#[test]
fn pause_in_a_data_listener_takes_effect_at_once() {
    let small = EventLoop::builder().read_buffer(16 * 1024);
    each_case_on(&small, |world| {
        let note = world.noter();
        let server = serve_then(
            world,
            ServerOptions::default(),
            move || {
                let note = note.clone();
                Script::new("S").on_data(move |socket, _| {
                    let (socket, note) = (socket.clone(), note.clone());
                    socket.pause();
                    after_turns(&socket.event_loop().handle(), 3, move |_| {
                        // With nothing unread the end comes although it is paused, and the close may be first.
                        if !socket.destroyed() {
                            note("S:resume");
                            socket.resume();
                        }
                    });
                })
            },
            |socket| wait_unread(socket, 60_000),
        );
        let peer = talk(world.peer(&server), |peer| {
            peer.send(&pattern(60_000));
            peer.end();
        });
        world.run();
        peer.join().unwrap();
        let events = world.events("S");
        let (mut total, mut last) = (0, String::new());
        for event in &events {
            if let Some(len) = event.strip_prefix("data(") {
                assert!(!last.starts_with("data("), "two data in a row: {events:?}");
                total += len.trim_end_matches(')').parse::<usize>().unwrap();
            }
            last = event.clone();
        }
        assert_eq!(total, 60_000);
        // The end, too, may come before the last resume, because nothing is unread.
        assert_eq!(events.last().unwrap(), "close(false)");
    });
}

#[test]
fn resume_delivers_nothing_inside_the_call_and_the_end_after_the_data() {
    each_case(|world| {
        let note = world.noter();
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S"),
            move |socket| {
                socket.pause();
                wait_unread(socket, 5);
                wait_hang_up(socket);
                let (socket, note) = (socket.clone(), note.clone());
                after_turns(&socket.event_loop().handle(), 5, move |_| {
                    note("S:before");
                    socket.resume();
                    note("S:after");
                });
            },
        );
        let mut peer = world.peer(&server);
        peer.send(b"12345");
        peer.end();
        world.run();
        world.assert_trace("S", "before after data(5) end finish close(false)");
    });
}

#[test]
fn a_paused_reader_makes_the_writer_wait_and_resume_ends_that() {
    each_case(|world| {
        let reader: Rc<RefCell<Option<Socket>>> = Rc::default();
        let kept = Rc::clone(&reader);
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S"),
            move |socket| *kept.borrow_mut() = Some(socket.pause().clone()),
        );
        let total = counter();
        let (sent, read) = (Rc::clone(&total), Rc::clone(&total));
        let client = world.client(
            &server,
            Script::new("C")
                .on(EventKind::Ready, move |client, _| {
                    let chunk = pattern(256 * 1024);
                    while client.write(&chunk) != WriteStatus::Queued {
                        assert!(sent.get() < 1 << 30, "nothing pushes back");
                        sent.set(sent.get() + chunk.len());
                    }
                    sent.set(sent.get() + chunk.len());
                    let reader = reader.clone();
                    after_turns(&client.event_loop().handle(), 20, move |_| {
                        let reader = reader.take().unwrap();
                        assert_eq!(reader.bytes_read(), 0);
                        reader.resume();
                    });
                })
                .on(EventKind::Drain, |client, _| client.end()),
        );
        client.on_close(move |client, _| assert_eq!(client.bytes_written(), read.get() as u64));
        world.run();
        let trace = format!("data({}) end finish close(false)", total.get());
        world.assert_trace("S", &trace);
        world.assert_trace("C", "connect ready drain finish end close(false)");
    });
}

#[test]
fn a_paused_socket_keeps_the_loop_alive_until_it_is_unreferenced() {
    each_form_unix(|world| {
        let (a, b) = net::pair(&world.event_loop).unwrap();
        world.watch(&a, Script::new("A").stays_open());
        a.pause();
        b.unref();
        assert!(world.event_loop.is_alive());
        a.unref();
        assert!(!world.event_loop.is_alive());
        world.run();
    });
}

#[test]
fn a_server_may_pause_what_it_accepts_until_resume() {
    each_case(|world| {
        let note = world.noter();
        let server = serve_then(
            world,
            ServerOptions::default().pause_on_connect(true),
            || Script::new("S"),
            move |socket| {
                assert!(socket.is_paused());
                wait_unread(socket, 5);
                let (socket, note) = (socket.clone(), note.clone());
                after_turns(&socket.event_loop().handle(), 10, move |_| {
                    assert_eq!(socket.bytes_read(), 0);
                    note("S:resume");
                    socket.resume();
                });
            },
        );
        let mut peer = world.peer(&server);
        peer.send(b"early");
        peer.end();
        world.run();
        world.assert_trace("S", "resume data(5) end finish close(false)");
    });
}
