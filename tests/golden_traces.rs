//! The order of events in the situations everybody meets: one test for each.
//!
//! Only the order within one endpoint is told; how two endpoints interleave is the kernel's.

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{each_case, each_form_tcp, Script};
use sending::{fill, nobody, serve, serve_with, Notes, Received};
use tidewheel::net::{
    ConnectOptions, EventKind, ReadyState, ServerOptions, Socket, SocketOptions, WriteStatus,
};
use tidewheel::{Code, Error};

#[test]
fn a_client_that_is_told_five_bytes_and_goodbye_answers_with_its_own_end() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S").on(EventKind::Data, |_, _| {}));
        server.on_connection(|socket| socket.end_with("hello"));
        world.client(
            &server,
            Script::new("C")
                .on(EventKind::End, |socket, _| {
                    assert!(socket.writable() && !socket.destroyed());
                    assert_eq!(socket.ready_state(), ReadyState::WriteOnly);
                })
                .on(EventKind::Finish, |socket, _| assert!(!socket.destroyed())),
        );
        world.run();
        world.assert_trace("C", "connect ready data(5) end finish close(false)");
        world.assert_trace("S", "finish end close(false)");
    });
}

/// Only TCP has names.
#[test]
fn a_connect_by_name_tells_the_lookup_first() {
    each_form_tcp(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let port = server.address().unwrap().port().unwrap();
        let options = ConnectOptions::from(("a.name", port))
            .lookup(|_, _, reply| reply.found(vec!["127.0.0.1".parse().unwrap()]));
        let client = world.client_with(options, Script::new("C"));
        let note = world.noter();
        client.on_lookup(move |_, _| note("C:lookup"));
        client.end();
        world.run();
        world.assert_trace("C", "lookup connect ready finish end close(false)");
    });
}

#[test]
fn a_refused_connect_is_an_error_then_immediates_then_close() {
    each_case(|world| {
        let notes = Notes::of(world);
        let socket = world.client_with(
            nobody(world),
            Script::new("C").on(EventKind::Error, move |socket, _| {
                assert!(socket.destroyed() && !socket.connecting());
                let notes = notes.clone();
                socket
                    .event_loop()
                    .set_immediate(move |_| notes.add("C:immediate"));
            }),
        );
        assert!(socket.connecting());
        world.run();
        world.assert_trace("C", "error(ECONNREFUSED) immediate close(true)");
    });
}

#[test]
fn destroy_while_connecting_fails_what_was_queued_without_an_error_event() {
    each_case(|world| {
        let server = world.server(|_| panic!("never connected"));
        let notes = Notes::of(world);
        let socket = world.client(&server, Script::new("C"));
        socket.write_then("a", notes.done("C:w1"));
        socket.write_then("b", notes.done("C:w2"));
        socket.end_then(notes.done("C:end-cb"));
        socket.destroy();
        assert!(socket.destroyed() && !socket.connecting());
        assert!(world.log().is_empty());
        server.close();
        world.run();
        let code = "ERR_SOCKET_CLOSED_BEFORE_CONNECTION";
        let expected = format!("w1 {code} w2 {code} end-cb {code} close(false)");
        world.assert_trace("C", &expected);
    });
}

#[test]
fn destroy_with_an_error_tells_it_before_the_callbacks_it_fails() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write_then(vec![0; sending::TOO_MUCH], notes.done("S:w1"));
            assert!(socket.buffer_size() > 0);
            socket.write_then("queued", notes.done("S:w2"));
            socket.destroy_with(Error::new(Code::TimedOut, "mine"));
        });
        let _peer = world.peer(&server);
        world.run();
        let expected = "error(ETIMEDOUT) w1 ETIMEDOUT w2 ETIMEDOUT close(true)";
        world.assert_trace("S", expected);
    });
}

#[test]
fn a_reset_by_the_peer_is_an_error_of_reading_told_before_the_callbacks_it_fails() {
    each_case(|world| {
        let notes = Notes::of(world);
        let hang_up = Rc::new(RefCell::new(None));
        let peer = Rc::clone(&hang_up);
        let script = Script::new("S").on_error(|_, error| {
            assert_eq!(error.syscall(), Some("read"));
        });
        let server = serve(world, script, move |socket| {
            socket.write_then(vec![0; sending::TOO_MUCH], notes.done("S:w1"));
            socket.write_then("queued", notes.done("S:w2"));
            socket.end_then(notes.done("S:end-cb"));
            // It leaves with bytes unread, which is a reset.
            socket
                .event_loop()
                .set_immediate(move |_| drop(peer.take()));
        });
        *hang_up.borrow_mut() = Some(world.peer(&server));
        world.run();
        let code = "ECONNRESET";
        let expected = format!("error({code}) w1 {code} w2 {code} end-cb {code} close(true)");
        world.assert_trace("S", &expected);
    });
}

#[test]
fn callbacks_of_writes_and_of_end_come_before_finish() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let notes = Notes::of(world);
        world.client(
            &server,
            Script::new("C").on(EventKind::Ready, move |socket, _| {
                socket.write_then("a", notes.done("C:w1"));
                socket.write_then("b", notes.done("C:w2"));
                socket.write_then("c", notes.done("C:w3"));
                socket.end_then(notes.done("C:end-cb"));
            }),
        );
        world.run();
        let expected = "connect ready w1 ok w2 ok w3 ok end-cb ok finish end close(false)";
        world.assert_trace("C", expected);
        world.assert_trace("S", "data(3) end finish close(false)");
    });
}

#[test]
fn a_queue_filled_before_connect_drains_after_ready_and_before_the_callbacks() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let notes = Notes::of(world);
        let socket = world.client(
            &server,
            Script::new("C").on(EventKind::Drain, |socket, _| socket.end()),
        );
        let status = socket.write_then("a", notes.done("C:w1"));
        assert_eq!(status, WriteStatus::Queued);
        socket.write_then("b", notes.done("C:w2"));
        world.run();
        let expected = "connect ready drain w1 ok w2 ok finish end close(false)";
        world.assert_trace("C", expected);
    });
}

#[test]
fn a_write_after_end_fails_its_callback_then_the_socket() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.end_with("bye");
            let status = socket.write_then("late", notes.done("S:late"));
            assert_eq!(status, WriteStatus::Refused);
        });
        let mut peer = world.peer(&server);
        world.run();
        let code = "ERR_STREAM_WRITE_AFTER_END";
        let expected = format!("late {code} error({code}) close(true)");
        world.assert_trace("S", &expected);
        assert_eq!(peer.read_all(), b"bye");
    });
}

#[test]
fn an_answer_written_in_the_end_listener_is_sent_and_one_written_later_is_epipe() {
    each_case(|world| {
        let notes = Notes::of(world);
        let (at_end, at_finish) = (notes.clone(), notes.clone());
        let script = Script::new("S")
            .on(EventKind::End, move |socket, _| {
                let status = socket.write_then("first", at_end.done("S:w1"));
                assert_eq!(status, WriteStatus::Flushed);
            })
            .on(EventKind::Finish, move |socket, _| {
                let status = socket.write_then("second", at_finish.done("S:w2"));
                assert_eq!(status, WriteStatus::Refused);
            })
            .on_error(|_, error| {
                let message = "This socket has been ended by the other party";
                assert_eq!(error.to_string(), message);
            });
        let server = serve(world, script, |_| {});
        let mut peer = world.peer(&server);
        peer.end();
        world.run();
        let expected = "end w1 ok finish w2 EPIPE error(EPIPE) close(true)";
        world.assert_trace("S", expected);
        assert_eq!(peer.read_all(), b"first");
    });
}

/// Only TCP: a UNIX socket knows at once that its peer is gone.
#[test]
fn the_first_write_to_a_peer_that_is_gone_succeeds_and_a_later_one_is_epipe() {
    each_form_tcp(|world| {
        let notes = Notes::of(world);
        let script = Script::new("S").on(EventKind::End, move |socket, _| {
            socket.write_then("a", notes.done("S:a"));
            let (notes, socket) = (notes.clone(), socket.clone());
            let event_loop = socket.event_loop().clone();
            event_loop.set_interval(Duration::from_millis(1), move |timer| {
                // Until the peer's answer to the first has come.
                let notes = notes.clone();
                let status = socket.write_then("b", move |_, result| {
                    if let Err(error) = result {
                        notes.add(&format!("S:b {}", error.code()));
                    }
                });
                if !status.is_ok() {
                    timer.clear();
                }
            });
        });
        let options = ServerOptions::default().allow_half_open(true);
        let server = serve_with(world, options, script, |_| {});
        drop(world.peer(&server));
        world.run();
        world.assert_trace("S", "end a ok b EPIPE error(EPIPE) close(true)");
    });
}

#[test]
fn a_write_on_a_socket_never_connected_closes_it_with_an_error() {
    each_case(|world| {
        let notes = Notes::of(world);
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        world.watch(&socket, Script::new("C"));
        let status = socket.write_then("a", notes.done("C:w1"));
        assert_eq!(status, WriteStatus::Refused);
        world.run();
        let code = "ERR_SOCKET_CLOSED";
        world.assert_trace("C", &format!("w1 {code} error({code}) close(true)"));
    });
}

#[test]
fn end_on_a_socket_never_connected_closes_it() {
    each_case(|world| {
        let notes = Notes::of(world);
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        world.watch(&socket, Script::new("C"));
        socket.end_then(notes.done("C:end-cb"));
        world.run();
        world.assert_trace("C", "end-cb ERR_STREAM_DESTROYED close(false)");
    });
}

#[test]
fn of_two_errors_the_first_is_told_once() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            socket.destroy_with(Error::new(Code::TimedOut, "one"));
            socket.destroy_with(Error::new(Code::HostUnreachable, "two"));
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "error(ETIMEDOUT) close(true)");
    });
}

#[test]
fn an_error_after_destroy_is_not_told() {
    each_case(|world| {
        let server = serve(world, Script::new("S"), |socket| {
            socket.destroy();
            socket.destroy_with(Error::new(Code::TimedOut, "late"));
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "close(false)");
    });
}

#[test]
fn a_closed_server_waits_for_its_last_socket() {
    each_case(|world| {
        let watcher = world.watcher();
        let notes = Notes::of(world);
        let server = world.server(move |socket| {
            watcher.watch(socket, Script::new("S"));
            let server = socket.server().unwrap();
            let done = notes.clone();
            server.close_with(move |_, result| done.add(&format!("SRV:closed {result:?}")));
            assert!(!server.listening());
            assert!(server.address().is_none());
            let (notes, socket) = (notes.clone(), socket.clone());
            let event_loop = socket.event_loop().clone();
            event_loop.set_immediate(move |_| {
                notes.add("SRV:destroys");
                socket.destroy();
            });
        });
        let note = world.noter();
        server.on_close(move |_| note("SRV:close"));
        let _peer = world.peer(&server);
        world.run();
        let expected = [
            "SRV:destroys",
            "S:close(false)",
            "SRV:close",
            "SRV:closed Ok(())",
        ];
        assert_eq!(world.log(), expected);
    });
}

#[test]
fn closing_a_server_that_does_not_listen_emits_nothing_and_answers_an_error() {
    each_case(|world| {
        let server = world.server(|_| {});
        server.close();
        world.run();
        let note = world.noter();
        let emitted = note.clone();
        server.on_close(move |_| emitted("SRV:close"));
        server.close_with(move |_, result| {
            note(&format!("SRV:closed {}", result.unwrap_err().code()));
        });
        assert!(world.log().is_empty());
        world.run();
        assert_eq!(world.log(), ["SRV:closed ERR_SERVER_NOT_RUNNING"]);
    });
}

#[test]
fn a_client_over_the_limit_is_connected_and_left() {
    each_case(|world| {
        let server = world.server(|_| panic!("over the limit"));
        server.set_max_connections(Some(0));
        let note = world.noter();
        server.on_drop(move |server, _| {
            note("SRV:drop");
            server.close();
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
        world.assert_trace("SRV", "drop");
    });
}

/// Only TCP has a reset to send.
#[test]
fn a_reset_is_a_close_here_and_an_error_there() {
    each_form_tcp(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on_data(|socket, _| {
                socket.reset_and_destroy();
                assert!(socket.destroyed());
            })
        });
        let script = Script::new("C").on(EventKind::Ready, |socket, _| {
            socket.write("x");
        });
        world.client(&server, script);
        world.run();
        world.assert_trace("S", "data(1) close(false)");
        world.assert_trace("C", "connect ready error(ECONNRESET) close(true)");
    });
}

/// Only TCP has a reset to send.
#[test]
fn a_reset_while_connecting_waits_for_the_connection() {
    each_form_tcp(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let client = world.client(&server, Script::new("C"));
        client.reset_and_destroy();
        assert!(client.connecting() && !client.destroyed());
        world.run();
        world.assert_trace("C", "connect ready close(false)");
        world.assert_trace("S", "error(ECONNRESET) close(true)");
    });
}

#[test]
fn a_half_open_server_answers_after_the_request_has_ended() {
    each_case(|world| {
        let options = ServerOptions::default().allow_half_open(true);
        let script = Script::new("S").on(EventKind::End, |socket, _| socket.end_with("late"));
        let server = serve_with(world, options, script, |_| {});
        let received = Received::default();
        let client = world.client(&server, received.by(Script::new("C")));
        client.end_with("req");
        world.run();
        world.assert_trace("C", "connect ready finish data(4) end close(false)");
        world.assert_trace("S", "data(3) end finish close(false)");
        assert_eq!(received.bytes(), b"late");
    });
}

#[test]
fn a_stalled_write_times_out_one_period_after_its_last_progress() {
    each_case(|world| {
        let period = Duration::from_millis(60);
        let since = Rc::new(Cell::new(None));
        let at_timeout = Rc::clone(&since);
        let script = Script::new("S").on(EventKind::Timeout, move |socket, _| {
            let set: Instant = at_timeout.get().unwrap();
            assert!(socket.event_loop().now() >= set + period);
            assert!(socket.buffer_size() > 0 && !socket.destroyed());
            socket.destroy();
        });
        let server = serve(world, script, move |socket| {
            fill(socket);
            socket.set_timeout(period);
            // Activity bears the time of its turn.
            since.set(Some(socket.event_loop().now()));
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "timeout close(false)");
    });
}
