//! After the peer's `end`: what may still be written, for how long, and how the socket closes.

mod common;
#[path = "common/flow.rs"]
mod flow;

use std::cell::RefCell;
use std::rc::Rc;

use common::{each_case, Peer, Script};
use flow::{after_turns, pattern, serve_then, talk, Sink};
use tidewheel::net::{ConnectOptions, EventKind, ReadyState, ServerOptions, WriteStatus};
use tidewheel::Code;

#[test]
fn the_end_comes_once_and_our_own_follows_its_listeners() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on(EventKind::End, |socket, _| {
                assert!(!socket.readable() && socket.writable() && !socket.destroyed());
                assert_eq!(socket.ready_state(), ReadyState::WriteOnly);
            })
        });
        world.peer(&server).end();
        world.run();
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn in_finish_a_peer_that_has_only_ended_can_read_our_end() {
    each_case(|world| {
        let peer: Rc<RefCell<Option<Peer>>> = Rc::default();
        let reader = Rc::clone(&peer);
        let server = world.serve_one(move || {
            let reader = Rc::clone(&reader);
            Script::new("S").on(EventKind::Finish, move |socket, _| {
                assert!(!socket.destroyed());
                // Blocks until our FIN is there.
                assert_eq!(reader.take().unwrap().read_all(), b"");
            })
        });
        *peer.borrow_mut() = Some(world.peer(&server));
        peer.borrow().as_ref().unwrap().end();
        world.run();
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn what_the_end_listener_writes_still_arrives_whole() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on(EventKind::End, |socket, _| {
                socket.write("answer: ");
                socket.write(pattern(600_000));
            })
        });
        let peer = talk(world.peer(&server), |peer| {
            peer.send(b"question");
            peer.end();
            let answer = peer.read_all();
            assert!(answer.starts_with(b"answer: "));
            assert!(answer[8..] == pattern(600_000));
        });
        world.run();
        peer.join().unwrap();
        let trace = world.trace("S");
        // Only a kernel that took everything at once leaves no `drain` to tell.
        assert_eq!(
            trace.replace("drain ", ""),
            "data(8) end finish close(false)"
        );
    });
}

#[test]
fn a_write_after_the_peer_made_us_end_is_refused_and_says_so() {
    each_case(|world| {
        let note = world.noter();
        let server = world.serve_one(move || {
            let note = note.clone();
            Script::new("S")
                .on(EventKind::Finish, move |socket, _| {
                    let note = note.clone();
                    let status = socket.write_then("late", move |_, result| {
                        let error = result.unwrap_err();
                        note(&format!("S:wrote({})", error.code()));
                    });
                    assert_eq!(status, WriteStatus::Refused);
                })
                .on_error(|_, error| {
                    assert_eq!(error.code(), Code::BrokenPipe);
                    let message = error.to_string();
                    assert!(message.contains("ended by the other party"), "{message}");
                })
        });
        world.peer(&server).end();
        world.run();
        world.assert_trace("S", "end finish wrote(EPIPE) error(EPIPE) close(true)");
    });
}

#[test]
fn a_half_open_server_answers_long_after_the_end_and_ends_itself() {
    each_case(|world| {
        let server = world.server_for(1, ServerOptions::default().allow_half_open(true), || {
            Script::new("S").on(EventKind::End, |socket, _| {
                let socket = socket.clone();
                after_turns(&socket.event_loop().handle(), 20, move |_| {
                    assert_eq!(socket.ready_state(), ReadyState::WriteOnly);
                    assert!(socket.write("late").is_ok());
                    socket.end();
                });
            })
        });
        let mut peer = world.peer(&server);
        peer.send(b"req");
        peer.end();
        world.run();
        assert_eq!(peer.read_all(), b"late");
        world.assert_trace("S", "data(3) end finish close(false)");
    });
}

#[test]
fn a_half_open_client_stays_writable_too() {
    each_case(|world| {
        let sink = Sink::default();
        let got = sink.clone();
        let server = world.serve_one(move || {
            let sink = sink.clone();
            Script::new("S").on_data(move |_, data| sink.push(data))
        });
        let listening = server.address().unwrap();
        server.on_connection(|socket| socket.end_with("bye"));
        world.client_with(
            ConnectOptions::from(listening).allow_half_open(true),
            Script::new("C").on(EventKind::End, |socket, _| {
                let socket = socket.clone();
                after_turns(&socket.event_loop().handle(), 20, move |_| {
                    assert!(socket.writable());
                    socket.end_with("still here");
                });
            }),
        );
        world.run();
        assert_eq!(got.take(), b"still here");
        world.assert_trace("C", "connect ready data(3) end finish close(false)");
        world.assert_trace("S", "finish data(10) end close(false)");
    });
}

#[test]
fn half_open_may_be_allowed_while_the_socket_lives() {
    each_case(|world| {
        let server = serve_then(
            world,
            ServerOptions::default(),
            || {
                Script::new("S").on(EventKind::End, |socket, _| {
                    let socket = socket.clone();
                    after_turns(&socket.event_loop().handle(), 5, move |_| {
                        socket.end_with("late")
                    });
                })
            },
            |socket| {
                socket.set_allow_half_open(true);
            },
        );
        let mut peer = world.peer(&server);
        peer.end();
        world.run();
        assert_eq!(peer.read_all(), b"late");
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn a_half_open_server_returns_everything_it_received() {
    each_case(|world| {
        let sink = Sink::default();
        let server = world.server_for(
            1,
            ServerOptions::default().allow_half_open(true),
            move || {
                let (sink, all) = (sink.clone(), sink.clone());
                Script::new("S")
                    .on_data(move |_, data| sink.push(data))
                    .on(EventKind::End, move |socket, _| socket.end_with(all.take()))
            },
        );
        let peer = talk(world.peer(&server), |peer| {
            peer.send(&pattern(700_000));
            peer.end();
            assert!(peer.read_all() == pattern(700_000));
        });
        world.run();
        peer.join().unwrap();
        let trace = world.trace("S");
        assert!(trace.starts_with("data(700000) end"), "{trace}");
        assert!(trace.ends_with("finish close(false)"), "{trace}");
    });
}

#[test]
fn end_comes_once_though_we_ended_first() {
    each_case(|world| {
        let half_open = ServerOptions::default().allow_half_open(true);
        let server = serve_then(world, half_open, || Script::new("S"), |socket| socket.end());
        let peer = talk(world.peer(&server), |peer| {
            assert_eq!(peer.read_all(), b"");
            peer.send(b"last words");
            peer.end();
        });
        world.run();
        peer.join().unwrap();
        world.assert_trace("S", "finish data(10) end close(false)");
    });
}
