//! What happens when the kernel fails a write: the right code, told once, and nothing lost before it.

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::cell::RefCell;
use std::rc::Rc;

use common::{each_case, each_form_tcp, Peer, Script};
use sending::{break_sending, fill, pattern, serve, serve_with, Notes, Received, TOO_MUCH};
use tidewheel::net::{self, EventKind, ServerOptions, WriteStatus};

#[test]
fn a_write_the_kernel_fails_is_refused_and_told_once() {
    each_case(|world| {
        let notes = Notes::of(world);
        let script = Script::new("S").on_error(|_, error| {
            assert_eq!(error.syscall(), Some("write"));
            assert_eq!(error.errno(), Some(-libc::EPIPE));
            assert_eq!(error.to_string(), "write EPIPE");
        });
        let server = serve(world, script, move |socket| {
            break_sending(socket);
            let status = socket.write_then("x", notes.done("S:w1"));
            assert_eq!(status, WriteStatus::Refused);
            assert_eq!((socket.buffer_size(), socket.bytes_written()), (0, 0));
            assert!(!socket.writable());
            // It has failed already; that is told once.
            let status = socket.write_then("y", notes.done("S:w2"));
            assert_eq!(status, WriteStatus::Refused);
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "w1 EPIPE w2 EPIPE error(EPIPE) close(true)");
    });
}

#[test]
fn a_failed_flush_fails_every_waiting_callback_before_the_error() {
    each_case(|world| {
        let notes = Notes::of(world);
        let peer = Rc::new(RefCell::new(None));
        let reader = Rc::clone(&peer);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write_then(vec![0; TOO_MUCH], notes.done("S:w1"));
            socket.write_then("y", notes.done("S:w2"));
            socket.end_then(notes.done("S:end-cb"));
            break_sending(socket);
            let event_loop = socket.event_loop();
            event_loop.set_immediate(move |_| drain_peer(&reader));
        });
        *peer.borrow_mut() = Some(world.peer(&server));
        world.run();
        let expected = "w1 EPIPE w2 EPIPE end-cb EPIPE error(EPIPE) close(true)";
        world.assert_trace("S", expected);
    });
}

/// Makes room, so that the loop tries to send what waits; the peer stays.
fn drain_peer(peer: &RefCell<Option<Peer>>) {
    peer.borrow_mut().as_mut().unwrap().read_all();
}

#[test]
fn a_failed_write_of_a_paused_socket_is_told_at_once() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.pause();
            break_sending(socket);
            assert_eq!(
                socket.write_then("x", notes.done("S:w1")),
                WriteStatus::Refused
            );
            assert!(socket.destroyed());
        });
        let mut peer = world.peer(&server);
        std::io::Write::write_all(&mut peer, b"unread").unwrap();
        world.run();
        world.assert_trace("S", "w1 EPIPE error(EPIPE) close(true)");
    });
}

#[test]
fn what_can_still_be_read_is_delivered_before_the_failure_and_no_end() {
    each_case(|world| {
        let received = Received::default();
        let server = serve(world, received.by(Script::new("S")), |socket| {
            break_sending(socket);
            assert_eq!(socket.write("x"), WriteStatus::Refused);
            assert!(!socket.destroyed() && socket.readable());
        });
        let mut peer = world.peer(&server);
        peer.send(&pattern(0, 50_000));
        peer.end();
        world.run();
        world.assert_trace("S", "data(50000) error(EPIPE) close(true)");
        assert!(received.bytes() == pattern(0, 50_000));
    });
}

#[test]
fn a_write_after_the_peers_reset_delivers_what_came_before_it() {
    each_case(|world| {
        const SENT: usize = 100_000;
        let received = Received::default();
        // Unread bytes make its close a reset over both transports.
        let hang_up = Rc::new(RefCell::new(None));
        let peer = Rc::clone(&hang_up);
        let server = serve(world, received.by(Script::new("S")), move |socket| {
            socket.write("never read");
            drop(peer.take());
            socket.write("into the void");
        });
        let mut peer = world.peer(&server);
        peer.send(&pattern(0, SENT));
        *hang_up.borrow_mut() = Some(peer);
        world.run();
        let trace = world.trace("S");
        let told = trace
            .strip_prefix(&format!("data({SENT}) "))
            .unwrap_or(&trace);
        let known = ["error(ECONNRESET) close(true)", "error(EPIPE) close(true)"];
        assert!(known.contains(&told), "{trace}");
        assert!(received.bytes() == pattern(0, SENT));
    });
}

#[test]
fn end_after_a_failed_write_changes_nothing() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            break_sending(socket);
            socket.write("x");
            socket.end_then(notes.done("S:end-cb"));
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "end-cb EPIPE error(EPIPE) close(true)");
    });
}

#[test]
fn destroy_after_a_failed_write_that_is_not_told_yet_is_a_plain_destroy() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            break_sending(socket);
            socket.write_then("x", notes.done("S:w1"));
            socket.destroy();
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "w1 ERR_STREAM_DESTROYED close(false)");
    });
}

#[test]
fn no_drain_follows_a_failed_write() {
    each_case(|world| {
        let peer = Rc::new(RefCell::new(None));
        let reader = Rc::clone(&peer);
        let server = serve(world, Script::new("S"), move |socket| {
            fill(socket);
            break_sending(socket);
            let event_loop = socket.event_loop();
            event_loop.set_immediate(move |_| drain_peer(&reader));
        });
        *peer.borrow_mut() = Some(world.peer(&server));
        world.run();
        world.assert_trace("S", "error(EPIPE) close(true)");
    });
}

/// Only TCP has a write that succeeds although the peer is gone.
#[test]
fn a_half_open_write_to_a_peer_that_is_gone_is_epipe_with_the_callback_first() {
    each_form_tcp(|world| {
        let notes = Notes::of(world);
        let script = Script::new("S").on(EventKind::End, move |socket, _| {
            socket.write_then("a", notes.done("S:a"));
            // Its answer, a reset, comes while this waits in vain.
            fill_until_refused(socket.clone(), notes.clone());
        });
        let options = ServerOptions::default().allow_half_open(true);
        let server = serve_with(world, options, script, |_| {});
        drop(world.peer(&server));
        world.run();
        world.assert_trace("S", "end a ok refused error(EPIPE) close(true)");
    });
}

fn fill_until_refused(socket: net::Socket, notes: Notes) {
    let event_loop = socket.event_loop().clone();
    event_loop.set_immediate(move |_| {
        if socket.write("b") == WriteStatus::Refused {
            notes.add("S:refused");
        } else {
            fill_until_refused(socket, notes);
        }
    });
}

/// Only TCP can reset without unread bytes.
#[test]
fn the_code_of_a_failed_write_is_the_kernels() {
    each_form_tcp(|world| {
        let notes = Notes::of(world);
        let hang_up = Rc::new(RefCell::new(None));
        let peer = Rc::clone(&hang_up);
        let script = Script::new("S").on_error(|_, error| {
            assert_eq!(error.to_string(), "write ECONNRESET");
        });
        let server = serve(world, script, move |socket| {
            socket.pause();
            let peer: Peer = peer.take().unwrap();
            assert!(peer.reset());
            let status = socket.write_then("x", notes.done("S:w1"));
            assert_eq!(status, WriteStatus::Refused);
        });
        *hang_up.borrow_mut() = Some(world.peer(&server));
        world.run();
        world.assert_trace("S", "w1 ECONNRESET error(ECONNRESET) close(true)");
    });
}

/// The kernel says no more of it: neither is there a hang-up, nor does it fail the read.
#[test]
fn a_failed_write_is_told_although_the_peer_lives_and_bytes_were_unread() {
    each_case(|world| {
        let notes = Notes::of(world);
        let script = Script::new("S").on_data(|_, _| {});
        let server = serve(world, script, move |socket| {
            break_sending(socket);
            socket.write_then("x", notes.done("S:w1"));
        });
        let mut peer = world.peer(&server);
        peer.send(b"hello");
        world.run();
        world.assert_trace("S", "data(5) w1 EPIPE error(EPIPE) close(true)");
    });
}
