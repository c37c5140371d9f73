//! `end`, `end_with`, `end_then`, `destroy`, `destroy_with`: what each does, once and twice, early and late.

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use common::{counter, each_case, Script};
use sending::{fill, nobody, pattern, serve, serve_with, Notes, Received, TOO_MUCH};
use tidewheel::net::{EventKind, ReadyState, ServerOptions, Socket, SocketOptions, WriteStatus};
use tidewheel::{Code, Error};

#[test]
fn the_fin_goes_out_after_everything_queued() {
    each_case(|world| {
        let received = Received::default();
        let server = serve(world, Script::new("S"), |socket| {
            socket.write(pattern(0, TOO_MUCH));
            socket.end_with(pattern(TOO_MUCH, 1000));
            assert!(socket.buffer_size() > 0);
        });
        world.client(&server, received.by(Script::new("C")));
        world.run();
        assert!(received.bytes() == pattern(0, TOO_MUCH + 1000));
        world.assert_trace("S", "finish end close(false)");
    });
}

#[test]
fn after_end_it_is_read_only_at_once_and_goes_on_reading() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            socket.end();
            assert!(!socket.writable() && socket.readable() && !socket.destroyed());
            assert_eq!(socket.ready_state(), ReadyState::ReadOnly);
        });
        let mut peer = world.peer(&server);
        peer.send(b"still talking");
        peer.end();
        world.run();
        world.assert_trace("S", "finish data(13) end close(false)");
    });
}

#[test]
fn finish_means_the_kernel_has_all_and_the_fin() {
    each_case(|world| {
        let script = Script::new("S").on(EventKind::Finish, |socket, _| {
            assert_eq!(socket.buffer_size(), 0);
            assert!(!socket.destroyed());
        });
        let server = serve(world, script, |socket| socket.end_with("all"));
        let mut peer = world.peer(&server);
        // Blocks until the FIN is there: after one turn for `connection`, one for what follows.
        while world.events("S").is_empty() {
            world.event_loop.turn(None).unwrap();
        }
        assert_eq!(peer.read_all(), b"all");
        peer.end();
        world.run();
        world.assert_trace("S", "finish end close(false)");
    });
}

#[test]
fn end_while_connecting_waits_for_the_connection_and_what_was_written() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = world.serve_one(|| Script::new("S"));
        let client = world.client(&server, Script::new("C"));
        client.write("early");
        client.end_then(notes.done("C:end-cb"));
        assert!(!client.writable() && client.connecting());
        assert_eq!(client.ready_state(), ReadyState::Opening);
        world.run();
        world.assert_trace("C", "connect ready end-cb ok finish end close(false)");
        world.assert_trace("S", "data(5) end finish close(false)");
    });
}

#[test]
fn end_while_connecting_to_nobody_shows_only_the_error() {
    each_case(|world| {
        let client = world.client_with(nobody(world), Script::new("C"));
        client.end_with("never");
        world.run();
        world.assert_trace("C", "error(ECONNREFUSED) close(true)");
    });
}

#[test]
fn end_on_a_new_socket_closes_it_without_an_error() {
    each_case(|world| {
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        world.watch(&socket, Script::new("C"));
        socket.end();
        assert!(socket.destroyed());
        socket.end();
        world.run();
        world.assert_trace("C", "close(false)");
    });
}

#[test]
fn end_with_on_a_new_socket_is_a_refused_write() {
    each_case(|world| {
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        world.watch(&socket, Script::new("C"));
        socket.end_with("x");
        world.run();
        world.assert_trace("C", "error(ERR_SOCKET_CLOSED) close(true)");
    });
}

#[test]
fn a_second_end_is_harmless_and_its_callback_joins_the_first() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            fill(socket);
            socket.end_then(notes.done("S:first"));
            socket.end();
            socket.end_then(notes.done("S:second"));
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "first ok second ok finish end close(false)");
    });
}

#[test]
fn an_end_after_finish_tells_its_callback_so() {
    each_case(|world| {
        let notes = Notes::of(world);
        let (at_finish, at_end) = (notes.clone(), notes.clone());
        let script = Script::new("S")
            .on(EventKind::Finish, move |socket, _| {
                socket.end_then(at_finish.done("S:one"))
            })
            .on(EventKind::End, move |socket, _| {
                socket.end_then(at_end.done("S:two"));
                socket.end_then(at_end.done("S:three"));
            });
        let server = serve(world, script, |socket| socket.end());
        let peer = RefCell::new(Some(world.peer(&server)));
        let note = world.noter();
        // The peer ends only after that.
        let hang_up = Rc::new(peer);
        let at_finish = Rc::clone(&hang_up);
        server.on_connection(move |socket| {
            let (note, peer) = (note.clone(), Rc::clone(&at_finish));
            socket.on_finish(move |_| {
                note("S:now the peer");
                peer.borrow().as_ref().unwrap().end();
            });
        });
        world.run();
        let code = "ERR_STREAM_ALREADY_FINISHED";
        let expected =
            format!("finish now the peer one {code} end two {code} three {code} close(false)");
        world.assert_trace("S", &expected);
    });
}

#[test]
fn an_end_in_the_last_finish_listener_still_has_its_callback() {
    each_case(|world| {
        let notes = Notes::of(world);
        // The peer has ended before, so the socket is done after `finish`.
        let script = Script::new("S").on(EventKind::Finish, move |socket, _| {
            socket.end_then(notes.done("S:late"));
        });
        let server = serve(world, script, |_| {});
        let peer = world.peer(&server);
        peer.end();
        world.run();
        let code = "ERR_STREAM_ALREADY_FINISHED";
        world.assert_trace("S", &format!("end finish late {code} close(false)"));
    });
}

#[test]
fn an_end_inside_a_callback_of_end_is_too_late() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.end_then(move |socket, result| {
                result.unwrap();
                socket.end_then(notes.done("S:inner"));
            });
        });
        let peer = world.peer(&server);
        peer.end();
        world.run();
        let code = Code::AlreadyFinished.as_str();
        world.assert_trace("S", &format!("finish inner {code} end close(false)"));
    });
}

#[test]
fn an_end_after_a_failure_tells_its_callback_that_failure() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.end();
            assert_eq!(socket.write("late"), WriteStatus::Refused);
            socket.end_then(notes.done("S:end-cb"));
        });
        let _peer = world.peer(&server);
        world.run();
        let code = "ERR_STREAM_WRITE_AFTER_END";
        world.assert_trace("S", &format!("end-cb {code} error({code}) close(true)"));
    });
}

#[test]
fn both_sides_done_in_either_order_is_a_close() {
    each_case(|world| {
        for (ours_first, expected) in [
            (true, "finish end close(false)"),
            (false, "end finish close(false)"),
        ] {
            let name = if ours_first { "A" } else { "B" };
            let options = ServerOptions::default().allow_half_open(true);
            let script = Script::new(name).on(EventKind::End, |socket, _| socket.end());
            let server = serve_with(world, options, script, move |socket| {
                if ours_first {
                    socket.end();
                }
            });
            let reply = Script::new("C").on(EventKind::Ready, move |socket, _| {
                if !ours_first {
                    socket.end();
                }
            });
            world.client(&server, reply);
            world.run();
            world.assert_trace(name, expected);
        }
    });
}

#[test]
fn destroy_takes_effect_at_once_and_close_follows() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            let server = socket.server().unwrap();
            assert_eq!(server.connections(), 1);
            socket.destroy();
            assert!(socket.destroyed() && !socket.connecting() && socket.pending());
            assert!(!socket.readable() && !socket.writable());
            assert_eq!(socket.ready_state(), ReadyState::Closed);
            assert_eq!(server.connections(), 0);
            assert!(socket.raw_fd().is_none());
        });
        let mut peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "close(false)");
        assert_eq!(peer.read_all(), b"");
    });
}

#[test]
fn destroy_with_unread_bytes_resets_the_peer() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| socket.destroy());
        let mut peer = world.peer(&server);
        peer.send(b"unread");
        world.run();
        let error = std::io::Read::read(&mut peer, &mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn destroy_on_a_new_socket_is_a_close_without_an_error() {
    each_case(|world| {
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        world.watch(&socket, Script::new("C"));
        socket.destroy();
        world.run();
        world.assert_trace("C", "close(false)");
    });
}

#[test]
fn destroy_drops_what_is_queued() {
    each_case(|world| {
        let received = Received::default();
        let server = serve(world, Script::new("S"), |socket| {
            fill(socket);
            socket.destroy();
            assert_eq!(socket.buffer_size(), 0);
            assert_eq!(socket.bytes_written(), TOO_MUCH as u64);
        });
        world.client(&server, received.by(Script::new("C")));
        world.run();
        assert!(received.len() < TOO_MUCH);
        world.assert_trace("S", "close(false)");
    });
}

#[test]
fn a_second_destroy_in_any_mix_changes_nothing() {
    each_case(|world| {
        let error = || Error::new(Code::TimedOut, "mine");
        let server = serve(world, Script::new("S"), move |socket| {
            socket.destroy_with(error());
            socket.destroy();
            socket.destroy_with(Error::other("second"));
            socket.end();
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "error(ETIMEDOUT) close(true)");
        let destroys = counter();
        let count = Rc::clone(&destroys);
        let script = Script::new("T").on(EventKind::Close, move |socket, _| {
            count.set(count.get() + 1);
            socket.destroy();
            socket.destroy_with(error());
        });
        let server = serve(world, script, move |socket| {
            socket.destroy();
            socket.destroy();
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("T", "close(false)");
        assert_eq!(destroys.get(), 1);
    });
}

#[test]
fn after_close_every_call_is_answered_and_does_nothing() {
    each_case(|world| {
        let kept = Rc::new(RefCell::new(None));
        let keep = Rc::clone(&kept);
        let server = serve(world, Script::new("S"), move |socket| {
            *keep.borrow_mut() = Some(socket.clone());
            socket.write("hello");
            socket.destroy();
        });
        let _peer = world.peer(&server);
        world.run();
        let socket = kept.take().unwrap();
        socket.set_no_delay(true).set_keep_alive(true, None);
        socket.pause().resume().cork().uncork().ref_().unref();
        socket.set_timeout(std::time::Duration::from_secs(1));
        socket.end();
        socket.destroy();
        assert_eq!(socket.write("x"), WriteStatus::Refused);
        assert_eq!(
            (
                socket.buffer_size(),
                socket.bytes_written(),
                socket.bytes_read()
            ),
            (0, 0, 0)
        );
        assert!(socket.address().is_none() && socket.remote().is_none());
        assert!(socket.destroyed() && socket.pending() && !socket.need_drain());
        assert_eq!(socket.ready_state(), ReadyState::Closed);
        assert!(socket.timeout().is_none() && socket.server().is_none());
        world.run();
        world.assert_trace("S", "close(false)");
    });
}

#[test]
fn after_our_end_unread_bytes_of_a_paused_socket_wait_for_the_reader() {
    each_case(|world| {
        let script = Script::new("S").on(EventKind::Finish, |socket, _| {
            let event_loop = socket.event_loop().clone();
            let socket = socket.clone();
            event_loop.set_timeout(std::time::Duration::from_millis(5), move |_| {
                assert!(!socket.destroyed());
                socket.resume();
            });
        });
        let server = serve(world, script, |socket| {
            socket.pause();
            socket.end();
        });
        let mut peer = world.peer(&server);
        peer.send(b"unread");
        peer.end();
        world.run();
        world.assert_trace("S", "finish data(6) end close(false)");
    });
}

/// Not even one callback that always asks for the next keeps the loop from its other work.
#[test]
fn callbacks_that_ask_for_the_next_one_do_not_spin() {
    fn again(socket: &Socket, calls: Rc<Cell<usize>>) {
        calls.set(calls.get() + 1);
        if calls.get() < 1000 {
            socket.end_then(move |socket, _| again(socket, calls));
        }
    }
    each_case(|world| {
        let calls = counter();
        let begun = Rc::clone(&calls);
        let server = serve(world, Script::new("S"), move |socket| {
            again(socket, Rc::clone(&begun));
            let calls = Rc::clone(&begun);
            let event_loop = socket.event_loop();
            event_loop.set_immediate(move |_| assert!(calls.get() < 10));
        });
        let peer = world.peer(&server);
        peer.end();
        world.run();
        assert_eq!(calls.get(), 1000);
        world.assert_trace("S", "finish end close(false)");
    });
}
