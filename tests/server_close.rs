//! Closing a server with and without live connections, and counting them.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::{counter, each_case, Script, World};
use tidewheel::net::{EventKind, Server, ServerOptions, Socket};
use tidewheel::Code;

/// A server that watches its sockets as `S` and notes its own `close` as `SRV:close`.
fn noted(world: &World, options: ServerOptions, script: impl Fn() -> Script + 'static) -> Server {
    let watcher = world.watcher();
    let server = world.server_with(options, move |socket| watcher.watch(socket, script()));
    let note = world.noter();
    server.on_close(move |_| note("SRV:close"));
    server
}

/// Closes the server once `count` clients are connected.
fn close_after(server: &Server, count: usize) {
    let left = counter();
    server.on_connection(move |socket| {
        left.set(left.get() + 1);
        if left.get() == count {
            socket.server().unwrap().close();
        }
    });
}

#[test]
fn close_frees_the_address_at_once_and_leaves_the_connections_alone() {
    each_case(|world| {
        let server = noted(world, ServerOptions::default(), || Script::new("S"));
        let options = world.connect_options(&server);
        let (second, note) = (world.server(|_| {}), world.noter());
        second.close();
        let address = server.address().unwrap();
        server.on_connection(move |socket| {
            let server = socket.server().unwrap();
            server.close();
            assert!(!server.listening());
            assert_eq!(server.address(), None);
            assert_eq!(server.raw_fd(), None);
            // In the same callback another server may have the address.
            let listens = second.listen(listen_there(&address), |_| {});
            assert!(listens.is_ok(), "{listens:?}");
            second.close();
            assert!(!socket.destroyed() && socket.writable());
            note("closed");
        });
        world.client_with(
            options,
            Script::new("C").on(EventKind::Ready, |socket, _| socket.end()),
        );
        world.run();
        world.assert_trace("S", "end finish close(false)");
        let log = world.log();
        let at = |wanted: &str| log.iter().position(|line| line == wanted);
        assert!(at("S:close(false)") < at("SRV:close"), "{log:?}");
        assert_eq!(world.events("SRV"), ["close"]);
    });
}

fn listen_there(address: &tidewheel::net::Address) -> tidewheel::net::ListenOptions {
    match address.path() {
        Some(path) => path.into(),
        None => address.clone().into(),
    }
}

#[test]
fn close_comes_in_the_turn_of_the_last_connections_close_and_after_it() {
    each_case(|world| {
        let server = noted(world, ServerOptions::default(), || {
            Script::new("S").on(EventKind::End, |socket, _| socket.destroy())
        });
        close_after(&server, 3);
        let turns = Rc::new(RefCell::new(Vec::new()));
        let (of_sockets, of_server) = (Rc::clone(&turns), Rc::clone(&turns));
        server.on_connection(move |socket| {
            let turns = Rc::clone(&of_sockets);
            socket.on_close(move |socket, _| {
                turns.borrow_mut().push(socket.event_loop().stats().turns);
            });
        });
        server.on_close(move |server| {
            of_server
                .borrow_mut()
                .push(server.event_loop().stats().turns);
        });
        for name in ["C1", "C2", "C3"] {
            world.client(
                &server,
                Script::new(name).on(EventKind::Ready, |socket, _| socket.end()),
            );
        }
        world.run();
        let turns = turns.borrow();
        assert_eq!(turns.len(), 4);
        assert_eq!(turns[2], turns[3], "the same turn");
        let log = world.log();
        let closes: Vec<_> = log.iter().filter(|line| line.contains(":close")).collect();
        let server_close = closes.iter().position(|line| *line == "SRV:close").unwrap();
        let of_sockets = closes[..server_close]
            .iter()
            .filter(|line| line.starts_with("S:"));
        assert_eq!(of_sockets.count(), 3, "{log:?}");
    });
}

#[test]
fn close_waits_for_a_socket_destroyed_in_the_close_of_another() {
    each_case(|world| {
        let sockets: Rc<RefCell<Vec<Socket>>> = Rc::default();
        let all = Rc::clone(&sockets);
        let server = noted(world, ServerOptions::default(), move || {
            let all = Rc::clone(&all);
            Script::new("S").on(EventKind::Close, move |_, _| {
                for socket in all.borrow_mut().drain(..) {
                    socket.destroy();
                }
            })
        });
        close_after(&server, 3);
        server.on_connection(move |socket| {
            sockets.borrow_mut().push(socket.clone());
            if sockets.borrow().len() == 3 {
                socket.destroy();
            }
        });
        let peers: Vec<_> = (0..3).map(|_| world.peer(&server)).collect();
        world.run();
        drop(peers);
        let expected = [
            "S:close(false)",
            "S:close(false)",
            "S:close(false)",
            "SRV:close",
        ];
        assert_eq!(world.log(), expected);
    });
}

#[test]
fn close_without_connections_comes_after_the_call_and_once() {
    each_case(|world| {
        let server = noted(world, ServerOptions::default(), || Script::new("S"));
        server.close();
        server.close();
        assert_eq!(world.log(), [""; 0]);
        world.run();
        assert_eq!(world.log(), ["SRV:close"]);
        assert_eq!(
            server
                .listen(world.listen_options(), |_| {})
                .unwrap_err()
                .code(),
            Code::ServerClosed
        );
    });
}

#[test]
fn close_with_runs_in_the_order_of_the_close_listeners() {
    each_case(|world| {
        let server = world.server(|_| {});
        let note = world.noter();
        let (first, second, third) = (note.clone(), note.clone(), note);
        server.on_close(move |_| first("first"));
        server.close_with(move |server, result| {
            assert!(result.is_ok() && !server.listening());
            second("second");
        });
        server.on_close(move |_| third("third"));
        world.run();
        assert_eq!(world.log(), ["first", "second", "third"]);
    });
}

#[test]
fn close_with_on_a_server_that_does_not_listen_gets_the_error_later_and_emits_nothing() {
    each_case(|world| {
        let server = noted(world, ServerOptions::default(), || Script::new("S"));
        let results = Rc::new(RefCell::new(Vec::new()));
        let close_with = |server: &Server| {
            let results = Rc::clone(&results);
            server.close_with(move |_, result| {
                let code = result.err().map(|error| error.code().as_str().to_string());
                results.borrow_mut().push(code);
            });
        };
        // While it still closes, and once it is closed.
        close_with(&server);
        close_with(&server);
        assert_eq!(results.borrow().len(), 0);
        world.run();
        close_with(&server);
        world.run();
        let not_running = Some("ERR_SERVER_NOT_RUNNING".to_string());
        let mut results = results.borrow().clone();
        results.sort();
        assert_eq!(results, [None, not_running.clone(), not_running]);
        assert_eq!(world.log(), ["SRV:close"]);
    });
}

#[test]
fn close_on_a_server_that_never_listened_emits_nothing() {
    each_case(|world| {
        let server = tidewheel::net::create_server(&world.event_loop, |_| {});
        let note = world.noter();
        server.on_close(move |_| note("SRV:close"));
        server.close();
        world.run();
        assert_eq!(world.log(), [""; 0]);
        // It may still listen.
        server
            .listen(world.listen_options(), |server| server.close())
            .unwrap();
        world.run();
        assert_eq!(world.log(), ["SRV:close"]);
    });
}

#[test]
fn close_inside_listening_connection_and_a_socket_event_is_fine() {
    each_case(|world| {
        let inside = |place: usize| {
            let server = noted(world, ServerOptions::default(), move || {
                Script::new("S").on_data(move |socket, _| {
                    if place == 2 {
                        socket.server().unwrap().close();
                    }
                })
            });
            if place == 0 {
                server.on_listening(|server| server.close());
                return;
            }
            if place == 1 {
                close_after(&server, 1);
            }
            world.client(
                &server,
                Script::new("C").on(EventKind::Ready, |socket, _| socket.end_with("x")),
            );
        };
        for place in 0..3 {
            inside(place);
            world.run();
            assert_eq!(world.events("SRV").len(), place + 1);
        }
    });
}

#[test]
fn a_half_closed_connection_still_counts() {
    each_case(|world| {
        let options = ServerOptions::default().allow_half_open(true);
        let server = noted(world, options, || {
            Script::new("S").on(EventKind::End, |socket, _| {
                let server = socket.server().unwrap();
                assert_eq!(server.connections(), 1);
                let socket = socket.clone();
                let handle = server.event_loop().clone();
                handle.set_immediate(move |handle| {
                    assert_eq!(server.connections(), 1);
                    handle.set_immediate(move |_| socket.end());
                });
            })
        });
        close_after(&server, 1);
        world.client(
            &server,
            Script::new("C").on(EventKind::Ready, |socket, _| socket.end()),
        );
        world.run();
        world.assert_trace("S", "end finish close(false)");
        assert_eq!(world.events("SRV"), ["close"]);
    });
}

#[test]
fn a_server_never_cuts_connections_by_itself() {
    each_case(|world| {
        let server = noted(world, ServerOptions::default(), || {
            Script::new("S").on_data(|socket, data| {
                socket.write(data);
            })
        });
        close_after(&server, 1);
        let mut left = 50;
        world.client(
            &server,
            Script::new("C")
                .on(EventKind::Ready, |socket, _| {
                    socket.write("x");
                })
                .on_data(move |socket, data| {
                    left -= 1;
                    if left == 0 {
                        socket.end();
                    } else {
                        socket.write(data);
                    }
                }),
        );
        world.run();
        world.assert_trace("C", "connect ready data(50) finish end close(false)");
    });
}

#[test]
fn get_connections_tells_the_number_at_the_time_of_the_call_after_the_callback() {
    each_case(|world| {
        let counts = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&counts);
        let watcher = world.watcher();
        let server = world.server(move |socket| {
            watcher.watch(socket, Script::new("S"));
            let server = socket.server().unwrap();
            let ask = |server: &Server| {
                let (seen, before) = (Rc::clone(&seen), seen.borrow().len());
                server.get_connections(move |count| seen.borrow_mut().push(count.unwrap()));
                before
            };
            let before = ask(&server);
            assert_eq!(seen.borrow().len(), before, "never inside the call");
            if server.connections() == 3 {
                server.close();
                ask(&server);
                socket.destroy();
                assert_eq!(server.connections(), 2, "destroyed ones do not count");
                ask(&server);
                socket.destroy();
                ask(&server);
                for socket in server.sockets() {
                    socket.end();
                }
            }
        });
        for name in ["C1", "C2", "C3"] {
            world.client(&server, Script::new(name));
        }
        world.run();
        assert_eq!(*counts.borrow(), [1, 2, 3, 3, 2, 2]);
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn each_server_counts_its_own_sockets() {
    each_case(|world| {
        let hello = |socket: &Socket| socket.server().unwrap().close();
        let (one, two) = (world.server(hello), world.server(hello));
        let check = (one.clone(), two.clone());
        one.on_connection(move |socket| {
            assert_eq!((check.0.connections(), check.1.connections()), (1, 0));
            assert_eq!(check.0.sockets(), std::slice::from_ref(socket));
            assert_eq!(socket.server().as_ref(), Some(&check.0));
            check.1.close();
            socket.end();
        });
        world.client(&one, Script::new("C"));
        world.run();
        world.assert_trace("C", "connect ready end finish close(false)");
    });
}

#[test]
fn a_server_may_listen_again_before_and_in_its_close() {
    each_case(|world| {
        let server = noted(world, ServerOptions::default(), || Script::new("S"));
        let note = world.noter();
        server.on_listening(move |_| note("SRV:listening"));
        // Before `close` was delivered: it comes all the same, and the server lives on.
        server.close();
        server.listen(world.listen_options(), |_| {}).unwrap();
        server.unref();
        world.run();
        assert_eq!(world.events("SRV"), ["listening", "close"]);
        assert!(server.listening());
        // In `close` itself.
        let again = world.listen_options();
        server.close_with(move |server, result| {
            result.unwrap();
            server.listen(again, |server| server.close()).unwrap();
        });
        server.ref_();
        world.run();
        assert_eq!(
            world.events("SRV"),
            ["listening", "close", "close", "listening", "close"]
        );
        assert!(!server.listening());
        let error = server.listen(world.listen_options(), |_| {}).unwrap_err();
        assert_eq!(error.code().as_str(), "ERR_SERVER_CLOSED");
    });
}

#[test]
fn a_listening_that_was_closed_before_it_was_told_never_is() {
    each_case(|world| {
        let server = tidewheel::net::create_server(&world.event_loop, |_| {});
        let (note, other) = (world.noter(), world.noter());
        server.on_listening(move |_| other("listening"));
        server
            .listen(world.listen_options(), |_| panic!("it was closed"))
            .unwrap();
        server.close();
        server
            .listen(world.listen_options(), move |_| note("the second"))
            .unwrap();
        server.unref();
        world.run();
        assert_eq!(world.log(), ["listening", "the second"]);
        server.close();
        world.run();
    });
}

#[test]
fn a_server_closed_twice_in_one_turn_waits_for_the_connections_of_its_second_listen() {
    each_case(|world| {
        let server = noted(world, ServerOptions::default(), || Script::new("S"));
        let destroy = world.noter();
        server.on_connection(move |socket| {
            socket.server().unwrap().close();
            let (socket, destroy) = (socket.clone(), destroy.clone());
            let event_loop = socket.event_loop().clone();
            // After the end of this turn.
            event_loop.set_immediate(move |event_loop| {
                event_loop.set_immediate(move |_| {
                    destroy("destroy");
                    socket.destroy();
                });
            });
        });
        let again = world.listen_options();
        let peer = Rc::new(RefCell::new(None));
        let kept = Rc::clone(&peer);
        let restart = move |_: &tidewheel::LoopHandle| {
            server.close();
            server.listen(again, |_| {}).unwrap();
            *kept.borrow_mut() = Some(common::Peer::connect(&server.address().unwrap()));
        };
        world
            .event_loop
            .set_timeout(std::time::Duration::ZERO, restart);
        world.run();
        assert_eq!(world.log(), ["destroy", "S:close(false)", "SRV:close"]);
    });
}
