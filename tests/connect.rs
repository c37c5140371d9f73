//! How a connection begins: what is so while it is tried, what comes when it stands, and what may be called before.

mod common;
#[path = "common/place.rs"]
mod place;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{counter, each_case, each_form_tcp, Script, Transport};
use place::{option, turn_until, FullQueue, Nobody};
use tidewheel::net::{
    self, ConnectOptions, EventKind, ListenOptions, ReadyState, ServerOptions, Socket,
    SocketOptions,
};
use tidewheel::Code;

#[test]
fn connect_comes_later_and_then_ready_with_the_socket_open() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let open = |socket: &Socket, _: common::Seen<'_>| {
            assert!(!socket.connecting() && !socket.pending());
            assert_eq!(socket.ready_state(), ReadyState::Open);
        };
        let client = Script::new("C").on(EventKind::Connect, open).on(
            EventKind::Ready,
            move |socket, seen| {
                open(socket, seen);
                socket.end();
            },
        );
        let client = world.client(&server, client);
        assert!(client.connecting() && client.pending());
        assert!(!client.destroyed());
        assert_eq!(client.ready_state(), ReadyState::Opening);
        assert_eq!(client.ready_state().as_str(), "opening");
        assert_eq!(world.log(), Vec::<String>::new());
        world.run();
        world.assert_trace("C", "connect ready finish end close(false)");
    });
}

#[test]
fn create_connection_is_connect_by_another_name() {
    each_case(|world| {
        let server = world.server_for(2, ServerOptions::default(), || Script::new("S"));
        let calls = counter();
        let options = world.connect_options(&server);
        for dial in [true, false] {
            let called = Rc::clone(&calls);
            let call = move |socket: &Socket| {
                called.set(called.get() + 1);
                socket.end();
            };
            let socket = if dial {
                net::connect(&world.event_loop, options.clone(), call)
            } else {
                net::create_connection(&world.event_loop, options.clone(), call)
            };
            world.watch(&socket, Script::new("C"));
        }
        world.run();
        assert_eq!(calls.get(), 2);
    });
}

#[test]
fn the_callback_of_connect_is_one_listener_among_others_in_their_order() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        let note = world.noter();
        let (a, b, callback) = (note.clone(), note.clone(), note.clone());
        socket.on_connect(move |_| a("A"));
        socket
            .connect(world.connect_options(&server), move |_| {
                callback("callback")
            })
            .unwrap();
        socket.on_connect(move |socket| {
            b("B");
            socket.end();
        });
        socket.on_ready(move |_| note("ready"));
        assert_eq!(socket.listener_count(EventKind::Connect), 3);
        world.run();
        assert_eq!(world.log()[..4], ["A", "callback", "B", "ready"]);
    });
}

#[test]
fn what_is_called_while_connecting_holds_once_connected() {
    each_case(|world| {
        let server = world.serve_one(|| {
            let got = RefCell::new(Vec::new());
            Script::new("S")
                .on_data(move |_, data| got.borrow_mut().extend_from_slice(data))
                .on(EventKind::End, |socket, _| socket.end_with("bye"))
        });
        let wrote = counter();
        let client = world.client(&server, Script::new("C"));
        let count = Rc::clone(&wrote);
        client.write("one");
        client.write_then("two", move |socket, result| {
            assert!(result.is_ok() && !socket.connecting());
            count.set(count.get() + 1);
        });
        assert_eq!(client.buffer_size(), 6);
        assert_eq!(client.bytes_written(), 6);
        client.set_timeout(Duration::from_secs(20));
        client.set_no_delay(true).set_keep_alive(true, None);
        client.unref().ref_();
        client.pause();
        assert!(client.is_paused());
        client.resume();
        assert_eq!((client.address(), client.remote()), (None, None));
        client.end();
        assert!(!client.writable());
        world.run();
        assert_eq!(wrote.get(), 1);
        assert_eq!(world.events("S")[0], "data(6)");
        world.assert_trace("C", "connect ready finish data(3) end close(false)");
    });
}

#[test]
fn a_pause_while_connecting_holds_back_data() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        server.on_connection(|socket| socket.end_with("early"));
        let client = world.client(&server, Script::new("C"));
        client.pause();
        turn_until(world, || world.events("S").iter().any(|e| e == "finish"));
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        world.assert_trace("C", "connect ready");
        client.resume();
        world.run();
        world.assert_trace("C", "connect ready data(5) end finish close(false)");
    });
}

#[test]
fn a_refused_connect_is_one_error_and_one_close() {
    each_case(|world| {
        let nobody = Nobody::new(world);
        let said = format!("connect ECONNREFUSED {}", nobody.address);
        let called = counter();
        let count = Rc::clone(&called);
        let client = net::connect(&world.event_loop, nobody.to_connect(), move |_| {
            count.set(1);
        });
        world.watch(
            &client,
            Script::new("C").on_error(move |socket, error| {
                assert!(!socket.connecting() && socket.destroyed());
                assert_eq!(error.code(), Code::ConnRefused);
                assert_eq!(error.syscall(), Some("connect"));
                assert_eq!(error.to_string(), said);
            }),
        );
        assert_eq!(world.log(), Vec::<String>::new());
        world.run();
        world.assert_trace("C", "error(ECONNREFUSED) close(true)");
        assert_eq!(called.get(), 0);
    });
}

#[test]
fn without_port_and_path_the_error_comes_later_from_net_and_at_once_from_the_socket() {
    each_case(|world| {
        world.client_with(ConnectOptions::default(), Script::new("C"));
        assert_eq!(world.log(), Vec::<String>::new());
        let server = world.serve_one(|| Script::new("S"));
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        let error = socket
            .connect(ConnectOptions::default(), |_| {})
            .unwrap_err();
        assert_eq!(error.code(), Code::MissingArgs);
        assert_eq!(error.code().as_str(), "ERR_MISSING_ARGS");
        // Nothing has happened to it: it can still be connected.
        world.watch(&socket, Script::new("D"));
        socket
            .connect(world.connect_options(&server), |socket| socket.end())
            .unwrap();
        world.run();
        world.assert_trace("C", "error(ERR_MISSING_ARGS) close(true)");
        world.assert_trace("D", "connect ready finish end close(false)");
    });
}

// Only TCP has ports.
#[test]
fn port_0_is_taken_and_fails_later() {
    each_form_tcp(|world| {
        let client = Script::new("C").on_error(|_, error| {
            assert_eq!(error.to_string(), "connect ECONNREFUSED 127.0.0.1");
            assert_eq!(error.errno(), Some(-111));
        });
        world.client_with(("127.0.0.1", 0).into(), client);
        world.run();
        world.assert_trace("C", "error(ECONNREFUSED) close(true)");
    });
}

// Of both transports at once.
#[test]
fn a_path_wins_over_host_and_port() {
    each_case(|world| {
        let options = ListenOptions::from(world.path("wins"));
        let server = net::create_server(&world.event_loop, |socket| {
            socket.server().unwrap().close();
            socket.end();
        });
        server.listen(options, |_| {}).unwrap();
        let options = ConnectOptions::default()
            .host("127.0.0.1")
            .port(1)
            .path(world.path("wins"));
        world.client_with(options, Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
    });
}

#[test]
fn a_socket_destroyed_at_once_never_reaches_the_server() {
    each_case(|world| {
        let server = world.server(|_| panic!("a connection came"));
        let done = world.noter();
        let client = world.client(&server, Script::new("C"));
        let write = done.clone();
        client.write_then("lost", move |_, result| {
            write(result.unwrap_err().code().as_str());
        });
        client.end_then(move |_, result| {
            done(result.unwrap_err().code().as_str());
        });
        client.destroy();
        assert!(client.destroyed() && !client.connecting());
        turn_until(world, || {
            client.ready_state() == ReadyState::Closed && { world.events("C").len() == 1 }
        });
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        let lost = "ERR_SOCKET_CLOSED_BEFORE_CONNECTION";
        assert_eq!(world.log(), [lost, lost, "C:close(false)"]);
        server.close();
        world.run();
    });
}

#[test]
fn a_destroy_during_the_attempt_gives_only_close() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S").on_error(|_, _| {}));
        let client = world.client(&server, Script::new("C"));
        // After the system call, which happens when this callback has returned.
        let doomed = client.clone();
        world.event_loop.set_immediate(move |_| doomed.destroy());
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert!(client.destroyed());
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        server.close();
        world.run();
        let trace = world.trace("C");
        // A connect on this machine may already have been done in that turn.
        assert!(
            ["close(false)", "connect ready close(false)"].contains(&trace.as_str()),
            "{trace}"
        );
    });
}

#[test]
fn a_socket_is_one_connection() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let options = world.connect_options(&server);
        let again = options.clone();
        let refuse = move |socket: &Socket, dropped: &Rc<()>| {
            let probe = Rc::clone(dropped);
            let error = socket
                .connect(again.clone(), move |_| drop(probe))
                .unwrap_err();
            assert_eq!(error.code(), Code::SocketAlreadyConnected);
        };
        let probe = world.probe();
        let in_connect = refuse.clone();
        let client = world.client_with(
            options,
            Script::new("C").on(EventKind::Connect, move |socket, _| {
                in_connect(socket, &probe);
                socket.end();
            }),
        );
        let probe = world.probe();
        refuse(&client, &probe);
        world.run();
        world.assert_trace("C", "connect ready finish end close(false)");
        assert!(client.destroyed());
        refuse(&client, &probe);
    });
}

#[test]
fn dialling_again_in_close_works_fifty_times() {
    fn dial(event_loop: &tidewheel::LoopHandle, options: ConnectOptions, left: usize, done: Done) {
        let socket = net::connect(event_loop, options.clone(), |_| {});
        let again = Rc::clone(&done);
        socket.on_data(move |socket, data| {
            assert_eq!(data, b"hello");
            assert_eq!(socket.bytes_read(), 5);
            again.set(again.get() + 1);
        });
        socket.on_close(move |socket, had_error| {
            assert!(!had_error);
            if left > 1 {
                dial(socket.event_loop(), options, left - 1, done);
            }
        });
    }
    type Done = Rc<std::cell::Cell<usize>>;
    each_case(|world| {
        let server = world.server_for(50, ServerOptions::default(), || Script::new("S"));
        server.on_connection(|socket| socket.end_with("hello"));
        let done = counter();
        let options = world.connect_options(&server);
        dial(&world.event_loop, options, 50, Rc::clone(&done));
        world.run();
        assert_eq!(done.get(), 50);
    });
}

#[test]
fn dialling_again_after_a_refusal_works() {
    fn dial(event_loop: &tidewheel::LoopHandle, options: ConnectOptions, left: usize) {
        let socket = net::connect(event_loop, options.clone(), |_| {});
        socket.on_error(|_, error| assert_eq!(error.code(), Code::ConnRefused));
        socket.on_close(move |socket, had_error| {
            assert!(had_error);
            if left > 1 {
                dial(socket.event_loop(), options, left - 1);
            }
        });
    }
    each_case(|world| {
        let nobody = Nobody::new(world);
        dial(&world.event_loop, nobody.to_connect(), 21);
        let before = world.event_loop.stats().unhandled_errors;
        world.run();
        assert_eq!(world.event_loop.stats().unhandled_errors, before);
    });
}

#[test]
fn a_thousand_refused_attempts_leave_nothing() {
    each_case(|world| {
        let nobody = Nobody::new(world);
        for _ in 0..1000 {
            world.client_with(nobody.to_connect(), Script::new("C"));
        }
        assert_eq!(world.event_loop.stats().sockets_open, 1000);
        world.run();
        let log = world.events("C");
        assert_eq!(log.len(), 2000);
        let errors = log.iter().filter(|e| *e == "error(ECONNREFUSED)");
        assert_eq!(errors.count(), 1000);
        // What is left of them the harness counts.
        assert!(!world.event_loop.is_alive());
    });
}

// The options are of TCP.
#[test]
fn options_are_on_the_socket_before_connect_is_told() {
    each_form_tcp(|world| {
        let server = world.server_for(2, ServerOptions::default(), || Script::new("S"));
        let plain = Script::new("A").on(EventKind::Connect, |socket, _| {
            let fd = socket.raw_fd().unwrap();
            assert_eq!(option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY), 0);
            assert_eq!(option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 0);
            socket.end();
        });
        world.client(&server, plain);
        let tuned = Script::new("B").on(EventKind::Connect, |socket, _| {
            let fd = socket.raw_fd().unwrap();
            assert_eq!(option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY), 1);
            assert_eq!(option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 1);
            assert_eq!(option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE), 61);
            socket.end();
        });
        let options = world
            .connect_options(&server)
            .no_delay(true)
            .keep_alive(true)
            .keep_alive_initial_delay(Duration::from_millis(61_999));
        world.client_with(options, tuned);
        world.run();
    });
}

#[test]
fn a_handle_that_outlives_its_loop_is_dead() {
    each_case(|_| {
        // Not the harness's, for a socket that was never connected is still there when it is dropped.
        let event_loop = tidewheel::EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let fresh = Socket::new(&event_loop, SocketOptions::default());
        drop(event_loop);
        let error = fresh.connect(1, |_| {}).unwrap_err();
        assert_eq!(error.code(), Code::LoopClosed);
        let socket = net::connect(&handle, 1, |_| panic!("connected"));
        assert!(socket.destroyed());
        let late = net::create_server(&handle, |_| {});
        assert_eq!(late.listen(0, |_| {}).unwrap_err().code(), Code::LoopClosed);
    });
}

#[test]
fn a_connection_that_nobody_accepts_yet_is_not_taken_for_one() {
    // Only a TCP attempt stays under way when the queue is full; a UNIX one fails at once.
    each_case(|world| {
        let server = world.server(|_| {});
        let full = FullQueue::new(world);
        let client = Script::new("C").on_error(|_, error| {
            assert_eq!(error.code(), Code::WouldBlock);
        });
        let client = world.client_with(full.address.clone().into(), client);
        for _ in 0..5 {
            world
                .event_loop
                .turn(Some(Duration::from_millis(1)))
                .unwrap();
        }
        if world.transport == Transport::Tcp {
            assert!(client.connecting());
            client.destroy();
        }
        server.close();
        world.run();
        let expected = match world.transport {
            Transport::Tcp => "close(false)",
            Transport::Unix => "error(EAGAIN) close(true)",
        };
        world.assert_trace("C", expected);
    });
}
