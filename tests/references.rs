//! What `ref_` and `unref` of sockets and servers do to a run, and that they do nothing else.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{each_case, Script};
use tidewheel::net::{EventKind, ServerOptions};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn unreferenced_sockets_are_served_while_something_else_lives() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on_data(|socket, data| {
                socket.write(data);
            })
        });
        server.unref();
        let client = world.client(
            &server,
            Script::new("C")
                .on(EventKind::Connect, |socket, _| {
                    socket.unref().write("x");
                })
                .on_data(|socket, _| socket.end()),
        );
        assert!(client.has_ref());
        let timer = world.event_loop.set_timeout(HOUR, |_| {});
        let (pending, done) = (Rc::new(Cell::new(true)), timer.clone());
        let flag = Rc::clone(&pending);
        client.on_close(move |_, _| {
            flag.set(false);
            done.clear();
        });
        world.run();
        assert!(!pending.get());
        world.assert_trace("C", "connect ready data(1) finish end close(false)");
        world.assert_trace("S", "data(1) end finish close(false)");
    });
}

#[test]
fn unref_in_the_connect_listener_lets_the_loop_end_without_close() {
    each_case(|world| {
        let server = world.server(|socket| {
            socket.unref();
        });
        world.client(
            &server,
            Script::new("C")
                .on(EventKind::Connect, |socket, _| {
                    socket.unref();
                })
                .stays_open(),
        );
        server.unref();
        world.run();
        world.assert_trace("C", "connect ready");
    });
}

#[test]
fn an_idle_timer_of_an_unreferenced_socket_does_not_hold_the_loop() {
    each_case(|world| {
        let server = world.server(|socket| {
            socket.unref().set_timeout(HOUR);
        });
        server.unref();
        world.client(
            &server,
            Script::new("C")
                .on(EventKind::Connect, |socket, _| {
                    socket.set_timeout(HOUR).unref();
                })
                .stays_open(),
        );
        world.run();
        world.assert_trace("C", "connect ready");
    });
}

#[test]
fn ref_and_unref_while_connecting_hold_in_the_order_of_the_calls() {
    each_case(|world| {
        let server = world.server(|socket| {
            socket.unref();
        });
        server.unref();
        let options = world.connect_options(&server);
        let socket = world.client_with(
            options,
            Script::new("C").on(EventKind::Ready, |socket, _| {
                assert!(socket.has_ref());
                socket.destroy();
            }),
        );
        socket.unref().unref().ref_();
        world.run();
        world.assert_trace("C", "connect ready close(false)");
        server.close();
        world.run();
    });
}

#[test]
fn a_server_unreferenced_in_close_still_gets_its_events() {
    each_case(|world| {
        let server = world.server_with(ServerOptions::default(), |socket| {
            let server = socket.server().unwrap();
            socket.on_close(move |_, _| {
                server.unref();
            });
            socket.resume();
        });
        world.client(
            &server,
            Script::new("C").on(EventKind::Connect, |socket, _| socket.end()),
        );
        world.run();
        world.assert_trace("C", "connect ready finish end close(false)");
        assert!(server.listening());
        server.close();
        world.run();
    });
}
