//! The peer resets: what it sent before is delivered first if anybody reads, and the error is never taken for an end.

mod common;
#[path = "common/flow.rs"]
mod flow;
#[path = "common/kernel.rs"]
mod kernel;

use std::cell::RefCell;
use std::rc::Rc;

use common::{each_case, each_case_on, each_form_tcp, EventLoop, Peer, Script, Transport, World};
use flow::{after_turns, pattern, serve_then, Sink};
use kernel::{wait_hang_up, wait_unread};
use tidewheel::net::{self, ServerOptions, Socket, WriteStatus};

/// What the peer sends before it resets: it fits into any receive buffer.
const BEFORE: usize = 30_000;

/// More than a kernel takes at once.
const TOO_MUCH: usize = 16 * 1024 * 1024;

/// One connection, which is handed to `then` once its peer has said `bytes` and reset it.
fn reset_after(
    world: &World,
    bytes: usize,
    script: impl Fn() -> Script + 'static,
    then: impl Fn(&Socket) + 'static,
) {
    let peer: Rc<RefCell<Option<Peer>>> = Rc::default();
    let sender = Rc::clone(&peer);
    let transport = world.transport;
    let server = serve_then(world, ServerOptions::default(), script, move |socket| {
        let mut peer = sender.take().unwrap();
        if transport == Transport::Unix {
            // A UNIX socket resets when it is closed with bytes unread.
            socket.write("not read");
        }
        peer.send(&pattern(bytes));
        wait_unread(socket, bytes);
        peer.reset();
        wait_hang_up(socket);
        then(socket);
    });
    *peer.borrow_mut() = Some(world.peer(&server));
    world.run();
}

#[test]
fn what_came_before_a_reset_is_delivered_before_the_error() {
    each_case(|world| {
        let sink = Sink::default();
        let got = sink.clone();
        let script = move || {
            let sink = sink.clone();
            Script::new("S").on_data(move |_, data| sink.push(data))
        };
        reset_after(world, BEFORE, script, |_| {});
        assert!(got.take() == pattern(BEFORE));
        world.assert_trace("S", "data(30000) error(ECONNRESET) close(true)");
    });
}

#[test]
fn a_write_that_meets_the_reset_first_does_not_cost_the_data_nor_make_it_an_end() {
    each_case(|world| {
        let sink = Sink::default();
        let got = sink.clone();
        let script = move || {
            let sink = sink.clone();
            Script::new("S").on_data(move |_, data| sink.push(data))
        };
        reset_after(world, BEFORE, script, |socket| {
            assert_eq!(socket.write("into the void"), WriteStatus::Refused);
            assert!(!socket.destroyed() && !socket.writable());
        });
        assert!(got.take() == pattern(BEFORE));
        // Which of the two errnos a write meets is the kernel's affair.
        let code = match world.transport {
            Transport::Tcp => "ECONNRESET",
            Transport::Unix => "EPIPE",
        };
        let trace = format!("data(30000) error({code}) close(true)");
        world.assert_trace("S", &trace);
    });
}

#[test]
fn the_read_says_that_the_peer_has_reset_also_when_bytes_wait_to_be_sent() {
    each_form_tcp(|world| {
        let note = world.noter();
        let peer: Rc<RefCell<Option<Peer>>> = Rc::default();
        let taken = Rc::clone(&peer);
        let script = || Script::new("S");
        let server = serve_then(world, ServerOptions::default(), script, move |socket| {
            let note = note.clone();
            // The kernel takes some of it: the socket stands on the ready list, to be tried again.
            let status = socket.write_then(vec![0; TOO_MUCH], move |_, result| {
                note(&format!("S:{}", result.unwrap_err()));
            });
            assert_eq!(status, WriteStatus::Queued);
            taken.take().unwrap().reset();
            wait_hang_up(socket);
        });
        *peer.borrow_mut() = Some(world.peer(&server));
        world.run();
        world.assert_trace("S", "error(ECONNRESET) read ECONNRESET close(true)");
    });
}

#[test]
fn a_socket_that_rests_for_its_pipe_keeps_what_it_has_not_read_when_its_write_fails() {
    let small = EventLoop::builder().read_buffer(4 * 1024);
    each_case_on(&small, |world| {
        let (destination, far) = net::pair(&world.event_loop).unwrap();
        let sink = Sink::default();
        let got = sink.clone();
        far.pause();
        far.on_data(move |_, data| sink.push(data));
        // The destination is full before the source has read a byte.
        let filling = pattern(64 * 1024);
        let mut filled = filling.len();
        while destination.write(&filling) != WriteStatus::Queued {
            filled += filling.len();
        }
        let script = || Script::new("S").no_reader();
        reset_after(world, BEFORE, script, move |socket| {
            socket.pipe(&destination);
            let destination = destination.clone();
            socket.on_close(move |_, _| destination.end());
            let (socket, far) = (socket.clone(), far.clone());
            after_turns(&socket.event_loop().handle(), 10, move |handle| {
                assert_eq!(socket.bytes_read(), 4 * 1024);
                socket.write("into the void");
                after_turns(handle, 10, move |_| {
                    far.resume();
                });
            });
        });
        let got = got.take();
        assert_eq!(got.len(), filled + BEFORE);
        assert!(got[filled..] == pattern(BEFORE));
        assert!(world.trace("S").starts_with("error(E"));
    });
}

#[test]
fn a_reset_of_a_socket_that_does_not_flow_is_told_at_once() {
    each_case(|world| {
        let script = || Script::new("S").no_reader();
        reset_after(world, 0, script, |_| {});
        world.assert_trace("S", "error(ECONNRESET) close(true)");
    });
}

#[test]
fn a_reset_of_a_paused_socket_is_told_at_once() {
    each_case(|world| {
        reset_after(
            world,
            0,
            || Script::new("S"),
            |socket| {
                socket.pause();
            },
        );
        world.assert_trace("S", "error(ECONNRESET) close(true)");
    });
}

#[test]
fn a_paused_socket_keeps_its_unread_bytes_through_a_reset_and_is_told_after_them() {
    each_case(|world| {
        let note = world.noter();
        reset_after(
            world,
            BEFORE,
            || Script::new("S"),
            move |socket| {
                socket.pause();
                let (socket, note) = (socket.clone(), note.clone());
                after_turns(&socket.event_loop().handle(), 20, move |_| {
                    note("S:resume");
                    socket.resume();
                });
            },
        );
        world.assert_trace("S", "resume data(30000) error(ECONNRESET) close(true)");
    });
}

#[test]
fn a_paused_socket_learns_of_a_reset_at_the_latest_when_it_writes() {
    each_case(|world| {
        reset_after(
            world,
            BEFORE,
            || Script::new("S"),
            |socket| {
                socket.pause();
                let socket = socket.clone();
                after_turns(&socket.event_loop().handle(), 10, move |_| {
                    assert_eq!(socket.write("into the void"), WriteStatus::Refused);
                });
            },
        );
        let events = world.events("S");
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(events[0].starts_with("error(E"), "{events:?}");
        assert_eq!(events[1], "close(true)");
    });
}

#[test]
fn a_peer_that_closes_over_unread_bytes_does_not_make_the_loop_hang() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on_data(|socket, data| {
                socket.write(data);
            })
        });
        let mut peer = world.peer(&server);
        peer.send(b"an echo that is never read");
        drop(peer);
        world.run();
        let events = world.events("S");
        assert_eq!(
            events
                .iter()
                .filter(|event| event.starts_with("close"))
                .count(),
            1
        );
    });
}
