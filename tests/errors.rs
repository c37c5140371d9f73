//! Errors as they meet a program: Node's code, number, call, address and words.

mod common;
#[path = "common/place.rs"]
mod place;

use std::cell::RefCell;
use std::rc::Rc;

use common::{each_case, each_form_tcp, EventLoop, Script};
use place::{turn_until, Nobody};
use tidewheel::net::{self, EventKind, Server, Socket, SocketOptions, WriteStatus};
use tidewheel::{Code, Error};

/// Where a callback leaves the error it got.
type Heard = Rc<RefCell<Option<Error>>>;

fn hear() -> (Heard, impl FnOnce(&Socket, tidewheel::Result<()>)) {
    let heard: Heard = Rc::default();
    let keep = Rc::clone(&heard);
    (heard, move |_, result| *keep.borrow_mut() = result.err())
}

#[track_caller]
fn assert_words(error: &Error, code: &str, message: &str) {
    assert_eq!(error.code().as_str(), code);
    assert_eq!(error.to_string(), message);
    // What a `main` that returns it shows.
    assert_eq!(format!("{error:?}"), message);
}

#[test]
fn a_system_error_has_nodes_number_and_the_nearest_kind() {
    each_case(|world| {
        let nobody = Nobody::new(world);
        let address = nobody.address.clone();
        let client = Script::new("C").on_error(move |_, error| {
            let said = format!("connect ECONNREFUSED {address}");
            assert_words(error, "ECONNREFUSED", &said);
            assert_eq!(error.errno(), Some(-libc::ECONNREFUSED));
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
            assert_eq!(error.syscall(), Some("connect"));
            assert_eq!(error.address(), Some(&address));
            assert_eq!((error.local(), error.hostname()), (None, None));
            assert!(error.errors().is_empty());
        });
        world.client_with(nobody.to_connect(), client);
        world.run();
        world.assert_trace("C", "error(ECONNREFUSED) close(true)");
    });
}

// A link-local address without a zone is a fault only of IPv6.
#[test]
fn an_attempt_that_fails_at_once_is_an_error_all_the_same() {
    each_form_tcp(|world| {
        let client = Script::new("C").on_error(|socket, error| {
            assert!(socket.destroyed());
            assert_eq!(error.syscall(), Some("connect"));
            assert!(error.to_string().ends_with(" fe80::1:9"), "{error}");
        });
        world.client_with(("fe80::1", 9).into(), client);
        assert_eq!(world.log(), Vec::<String>::new());
        world.run();
        assert_eq!(world.events("C").len(), 2);
    });
}

// Over UNIX sockets only unread data makes a reset: see below.
#[test]
fn a_reset_by_the_peer_is_a_failure_to_read() {
    each_form_tcp(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on_error(|_, error| {
                assert_words(error, "ECONNRESET", "read ECONNRESET");
                assert_eq!(error.syscall(), Some("read"));
                assert_eq!(error.address(), None);
                assert_eq!(error.errno(), Some(-libc::ECONNRESET));
            })
        });
        assert!(world.peer(&server).reset());
        world.run();
        world.assert_trace("S", "error(ECONNRESET) close(true)");
    });
}

#[test]
fn a_failure_to_write_names_the_call() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").no_reader().on_error(|_, error| {
                assert_words(error, "EPIPE", "write EPIPE");
                assert_eq!(error.syscall(), Some("write"));
                assert_eq!(error.address(), None);
            })
        });
        let kept: Rc<RefCell<Option<Socket>>> = Rc::default();
        let keep = Rc::clone(&kept);
        server.on_connection(move |socket| {
            socket.set_allow_half_open(true);
            *keep.borrow_mut() = Some(socket.clone());
        });
        let peer = world.peer(&server);
        turn_until(world, || kept.borrow().is_some());
        let socket = kept.take().unwrap();
        drop(peer);
        turn_until(world, || world.trace("S") == "end");
        // Over TCP the first write only brings the reset about.
        let mut tries = 0;
        while socket.write("x") != WriteStatus::Refused {
            tries += 1;
            assert!(tries < 100);
            world
                .event_loop
                .turn(Some(std::time::Duration::from_millis(1)))
                .unwrap();
        }
        world.run();
        world.assert_trace("S", "end error(EPIPE) close(true)");
    });
}

#[test]
fn a_write_to_a_socket_never_connected_meets_a_closed_socket() {
    each_case(|world| {
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        world.watch(
            &socket,
            Script::new("N").on_error(|_, error| {
                assert_words(error, "ERR_SOCKET_CLOSED", "Socket is closed");
            }),
        );
        let (heard, call) = hear();
        assert_eq!(socket.write_then("x", call), WriteStatus::Refused);
        world.event_loop.turn(None).unwrap();
        world.run();
        assert_eq!(heard.take().unwrap().code(), Code::SocketClosed);
        world.assert_trace("N", "error(ERR_SOCKET_CLOSED) close(true)");
    });
}

#[test]
fn a_write_after_end_says_so() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S").on_error(|_, _| {}));
        let (heard, call) = hear();
        let call = RefCell::new(Some(call));
        let client = Script::new("C")
            .on(EventKind::Connect, move |socket, _| {
                socket.end();
                let call = call.borrow_mut().take().unwrap();
                assert_eq!(socket.write_then("late", call), WriteStatus::Refused);
            })
            .on_error(|_, error| {
                assert_words(error, "ERR_STREAM_WRITE_AFTER_END", "write after end");
                assert_eq!(error.errno(), None);
                assert_eq!(error.syscall(), None);
            });
        world.client(&server, client);
        world.run();
        assert_eq!(heard.take().unwrap().code(), Code::WriteAfterEnd);
        assert!(world
            .trace("C")
            .ends_with("error(ERR_STREAM_WRITE_AFTER_END) close(true)"));
    });
}

#[test]
fn a_write_after_the_peers_end_names_the_other_party() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        server.on_connection(|socket| socket.end());
        let client = Script::new("C")
            .on(EventKind::Finish, |socket, _| {
                assert_eq!(socket.write("late"), WriteStatus::Refused);
            })
            .on_error(|_, error| {
                let said = "This socket has been ended by the other party";
                assert_words(error, "EPIPE", said);
            });
        world.client(&server, client);
        world.run();
        world.assert_trace("C", "connect ready end finish error(EPIPE) close(true)");
    });
}

#[test]
fn what_waits_on_a_destroyed_socket_gets_a_reason() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S").on_error(|_, _| {}));
        let before = world.client(&server, Script::new("C"));
        let (early, call) = hear();
        before.write_then("x", call);
        before.destroy();
        let (late, call) = hear();
        assert_eq!(before.write_then("x", call), WriteStatus::Refused);
        let (end, call) = hear();
        before.end_then(call);
        server.close();
        world.run();
        assert_words(
            &early.take().unwrap(),
            "ERR_SOCKET_CLOSED_BEFORE_CONNECTION",
            "Socket closed before the connection was established",
        );
        let late = late.take().unwrap();
        let said = "Cannot call write after a stream was destroyed";
        assert_words(&late, "ERR_STREAM_DESTROYED", said);
        let said = "Cannot call end after a stream was destroyed";
        assert_words(&end.take().unwrap(), "ERR_STREAM_DESTROYED", said);
    });
}

#[test]
fn an_end_after_finish_says_so() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let (heard, call) = hear();
        let call = RefCell::new(Some(call));
        let client = Script::new("C")
            .on(EventKind::Connect, |socket, _| socket.end())
            .on(EventKind::End, move |socket, _| {
                if let Some(call) = call.borrow_mut().take() {
                    socket.end_then(call);
                }
            });
        world.client(&server, client);
        world.run();
        world.assert_trace("C", "connect ready finish end close(false)");
        let said = "Cannot call end after a stream was finished";
        assert_words(&heard.take().unwrap(), "ERR_STREAM_ALREADY_FINISHED", said);
    });
}

#[test]
fn closing_a_server_that_does_not_listen_says_so() {
    each_case(|world| {
        let server = net::create_server(&world.event_loop, |_| {});
        let heard: Heard = Rc::default();
        let keep = Rc::clone(&heard);
        server.close_with(move |_: &Server, result| *keep.borrow_mut() = result.err());
        assert!(heard.borrow().is_none());
        world.event_loop.turn(None).unwrap();
        let said = "Server is not running.";
        assert_words(&heard.take().unwrap(), "ERR_SERVER_NOT_RUNNING", said);
    });
}

#[test]
fn too_much_queued_says_so() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S").on_error(|_, _| {}));
        let client = Script::new("C").on_error(|_, error| {
            assert_eq!(error.code().as_str(), "ERR_SOCKET_QUEUE_FULL");
        });
        let options = world.connect_options(&server).max_queued(4);
        let client = world.client_with(options, client);
        assert_ne!(client.write("1234"), WriteStatus::Refused);
        assert_eq!(client.write("5"), WriteStatus::Refused);
        server.close();
        world.run();
        world.assert_trace("C", "error(ERR_SOCKET_QUEUE_FULL) close(true)");
    });
}

#[test]
fn run_inside_a_callback_is_returned_at_once() {
    each_case(|_| {
        let event_loop = Rc::new(EventLoop::new().unwrap());
        let inner = Rc::downgrade(&event_loop);
        let done = common::counter();
        let count = Rc::clone(&done);
        event_loop.set_immediate(move |_| {
            let error = inner.upgrade().unwrap().run().unwrap_err();
            assert_eq!(error.code().as_str(), "ERR_LOOP_RUNNING");
            count.set(1);
        });
        event_loop.run().unwrap();
        assert_eq!(done.get(), 1);
    });
}

// What the system says, over both transports, is in listen.rs and unix_paths.rs.
#[test]
fn an_error_of_the_programs_own_passes_through() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on(EventKind::Data, |socket, _| {
                socket.destroy_with(Error::new(Code::TimedOut, "too slow"));
            })
        });
        let socket = world.client(&server, Script::new("C").on_error(|_, _| {}));
        socket.write("x");
        world.run();
        world.assert_trace("S", "data(1) error(ETIMEDOUT) close(true)");
    });
}
