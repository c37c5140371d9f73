//! `destroy_soon` and `reset_and_destroy`.

mod common;
#[path = "common/sending.rs"]
mod sending;

use common::{each_case, each_form_tcp, each_form_unix, Script};
use sending::{nobody, pattern, serve, Notes, Received, TOO_MUCH};
use tidewheel::net::{EventKind, Socket, SocketOptions, WriteStatus};

#[test]
fn destroy_soon_sends_all_that_waits_and_does_not_wait_for_the_peer() {
    each_case(|world| {
        let received = Received::default();
        let server = serve(world, Script::new("S"), |socket| {
            socket.write(pattern(0, TOO_MUCH));
            assert!(socket.buffer_size() > 0);
            socket.destroy_soon();
            assert!(!socket.destroyed() && !socket.writable());
        });
        // The peer never ends by itself.
        let options = world.connect_options(&server).allow_half_open(true);
        let script = received
            .by(Script::new("C"))
            .on(EventKind::End, |socket, _| socket.end());
        world.client_with(options, script);
        world.run();
        world.assert_trace("S", "finish close(false)");
        assert!(received.bytes() == pattern(0, TOO_MUCH));
    });
}

#[test]
fn destroy_soon_after_finish_destroys_at_once() {
    each_case(|world| {
        let script = Script::new("S").on(EventKind::Finish, |socket, _| {
            let event_loop = socket.event_loop().clone();
            let socket = socket.clone();
            event_loop.set_immediate(move |_| {
                socket.destroy_soon();
                assert!(socket.destroyed());
            });
        });
        let server = serve(world, script, |socket| socket.end_with("bye"));
        let mut peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "finish close(false)");
        assert_eq!(peer.read_all(), b"bye");
    });
}

#[test]
fn destroy_soon_keeps_callbacks_and_refuses_what_comes_after() {
    each_case(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write_then("sent", notes.done("S:w1"));
            socket.end_then(notes.done("S:end-cb"));
            socket.destroy_soon();
            socket.destroy_soon();
        });
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "w1 ok end-cb ok finish close(false)");
    });
}

#[test]
fn destroy_soon_on_a_new_or_connecting_socket_ends_it() {
    each_case(|world| {
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        world.watch(&socket, Script::new("N"));
        socket.destroy_soon();
        let server = world.serve_one(|| Script::new("S"));
        let client = world.client(&server, Script::new("C"));
        client.write("early");
        client.destroy_soon();
        world.run();
        world.assert_trace("N", "close(false)");
        world.assert_trace("C", "connect ready finish close(false)");
        world.assert_trace("S", "data(5) end finish close(false)");
    });
}

/// Only TCP has a reset to send.
#[test]
fn a_reset_drops_what_waits_and_fails_its_callbacks() {
    each_form_tcp(|world| {
        let notes = Notes::of(world);
        let server = serve(world, Script::new("S"), move |socket| {
            socket.write_then(vec![0; TOO_MUCH], notes.done("S:w1"));
            socket.end_then(notes.done("S:end-cb"));
            socket.reset_and_destroy();
            assert_eq!(socket.write("late"), WriteStatus::Refused);
            socket.reset_and_destroy();
        });
        world.client(&server, Script::new("C"));
        world.run();
        let code = "ERR_STREAM_DESTROYED";
        world.assert_trace("S", &format!("w1 {code} end-cb {code} close(false)"));
        let trace = world.trace("C");
        assert!(trace.ends_with("error(ECONNRESET) close(true)"), "{trace}");
    });
}

#[test]
fn a_reset_of_a_socket_never_connected_is_socket_closed() {
    each_case(|world| {
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        world.watch(&socket, Script::new("C"));
        socket.reset_and_destroy();
        world.run();
        world.assert_trace("C", "error(ERR_SOCKET_CLOSED) close(true)");
    });
}

/// Only UNIX sockets have no reset.
#[test]
fn a_reset_of_a_unix_socket_is_an_invalid_handle_type() {
    each_form_unix(|world| {
        let server = serve(world, Script::new("S"), |socket| socket.reset_and_destroy());
        let _peer = world.peer(&server);
        world.run();
        world.assert_trace("S", "error(ERR_INVALID_HANDLE_TYPE) close(true)");
    });
}

#[test]
fn destroy_calls_off_a_reset_that_waits_for_connect() {
    each_case(|world| {
        let server = world.server(|_| panic!("never connected"));
        let client = world.client(&server, Script::new("C"));
        client.reset_and_destroy();
        client.destroy();
        server.close();
        world.run();
        world.assert_trace("C", "close(false)");
    });
}

#[test]
fn a_reset_in_the_error_listener_of_a_failed_connect_is_harmless() {
    each_case(|world| {
        let script = Script::new("C").on_error(|socket, _| socket.reset_and_destroy());
        world.client_with(nobody(world), script);
        world.run();
        world.assert_trace("C", "error(ECONNREFUSED) close(true)");
    });
}

/// Only TCP has a reset to send.
#[test]
fn a_closed_server_that_resets_all_its_sockets_is_done() {
    each_form_tcp(|world| {
        let watcher = world.watcher();
        let server = world.server(move |socket| {
            // Each has said something, so each is connected.
            let script = Script::new("S").on_data(|socket, _| {
                let server = socket.server().unwrap();
                let sockets = server.sockets();
                if sockets.iter().all(|socket| socket.bytes_read() == 1) && sockets.len() == 3 {
                    server.close();
                    for socket in sockets {
                        socket.reset_and_destroy();
                    }
                }
            });
            watcher.watch(socket, script);
        });
        let note = world.noter();
        server.on_close(move |_| note("SRV:close"));
        for name in ["C1", "C2", "C3"] {
            let script = Script::new(name).on(EventKind::Ready, |socket, _| {
                socket.write("x");
            });
            world.client(&server, script);
        }
        world.run();
        world.assert_trace("SRV", "close");
        let mut told = world.events("S");
        told.sort();
        let (close, data) = ("close(false)", "data(1)");
        assert_eq!(told, [close, close, close, data, data, data]);
        for name in ["C1", "C2", "C3"] {
            world.assert_trace(name, "connect ready error(ECONNRESET) close(true)");
        }
    });
}
