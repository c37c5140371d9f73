//! Listening on a host name: the name is looked up in the loop's absence, and what goes wrong is an event. Only TCP has
//! names.

mod common;
#[path = "common/names.rs"]
mod names;
#[path = "common/place.rs"]
mod place;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;

use common::{counter, Peer, World};
use names::{each_form_resolving, ip, ips, no_resolver, port_of};
use place::Nobody;
use tidewheel::net::{self, Family, ListenOptions, Server};
use tidewheel::{Code, HandleKind};

fn home(_: &str, _: Option<Family>) -> io::Result<Vec<IpAddr>> {
    Ok(ips(&["127.0.0.1"]))
}

fn nowhere(_: &str, _: Option<Family>) -> io::Result<Vec<IpAddr>> {
    Err(io::ErrorKind::NotFound.into())
}

/// A server that notes its events.
fn noted(world: &World) -> Server {
    let server = net::create_server(&world.event_loop, |socket| {
        socket.server().unwrap().close();
        socket.end_with("hi");
    });
    let note = world.noter();
    server.on_listening(move |_| note("SRV:listening"));
    let note = world.noter();
    server.on_close(move |_| note("SRV:close"));
    let note = world.noter();
    server.on_error(move |_, error| note(&format!("SRV:error({})", error.code())));
    server
}

#[test]
fn a_name_is_listened_on_once_it_is_looked_up() {
    each_form_resolving(home, |world| {
        let server = noted(world);
        let note = world.noter();
        server
            .listen(("some.host", 0), move |_| note("SRV:callback"))
            .unwrap();
        assert!(!server.listening());
        assert_eq!((server.address(), server.raw_fd()), (None, None));
        let peer: Rc<RefCell<Option<Peer>>> = Rc::default();
        let dialled = Rc::clone(&peer);
        server.once_listening(move |server| {
            assert!(server.listening());
            let address = server.address().unwrap();
            assert_eq!(address.ip(), Some(ip("127.0.0.1")));
            let peer = Peer::connect(&address);
            peer.end();
            dialled.replace(Some(peer));
        });
        let handles = world.event_loop.active_handles();
        assert_eq!(handles.len(), 1);
        assert_eq!(
            (handles[0].kind, handles[0].state),
            (HandleKind::Server, "opening")
        );
        // While a name is looked up the loop is alive.
        assert!(world.event_loop.is_alive());
        world.run();
        assert_eq!(peer.take().unwrap().read_all(), b"hi");
        world.assert_trace("SRV", "listening callback close");
    });
}

#[test]
fn a_name_nobody_knows_is_an_error_event_without_close() {
    each_form_resolving(nowhere, |world| {
        let server = noted(world);
        server.once_error(|server, error| {
            assert_eq!(error.to_string(), "getaddrinfo ENOTFOUND no.host");
            assert_eq!(error.syscall(), Some("getaddrinfo"));
            assert_eq!(error.hostname(), Some("no.host"));
            assert!(!server.listening());
        });
        let called = counter();
        let call = Rc::clone(&called);
        let listening = move |_: &Server| call.set(1);
        server.listen(("no.host", 0), listening).unwrap();
        world.run();
        world.assert_trace("SRV", "error(ENOTFOUND)");
        // It may listen elsewhere, and the listener of the call that failed is gone.
        server
            .listen(("127.0.0.1", 0), |server| server.close())
            .unwrap();
        world.run();
        world.assert_trace("SRV", "error(ENOTFOUND) listening close");
        assert_eq!(called.get(), 0);
    });
}

#[test]
fn it_may_listen_again_in_the_error_listener() {
    each_form_resolving(nowhere, |world| {
        let server = noted(world);
        server.once_error(|server, _| {
            let again = server.listen(("127.0.0.1", 0), |server| server.close());
            again.unwrap();
        });
        server.listen(("no.host", 0), |_| {}).unwrap();
        world.run();
        world.assert_trace("SRV", "error(ENOTFOUND) listening close");
    });
}

#[test]
fn what_bind_says_of_a_resolved_name_is_an_error_event() {
    each_form_resolving(home, |world| {
        let taken = world.server(|_| {});
        let port = port_of(&taken);
        let server = noted(world);
        server.once_error(move |_, error| {
            let said = format!("listen EADDRINUSE: address already in use 127.0.0.1:{port}");
            assert_eq!(error.to_string(), said);
        });
        server.listen(("some.host", port), |_| {}).unwrap();
        taken.close();
        // The port was taken when the name was asked for; whether it still is depends on who is faster, so wait.
        let held = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        world.run();
        drop(held);
        world.assert_trace("SRV", "error(EADDRINUSE)");
    });
}

#[test]
fn an_unheard_failure_is_what_run_returns() {
    each_form_resolving(nowhere, |world| {
        let server = net::create_server(&world.event_loop, |_| {});
        server.listen(("no.host", 0), |_| {}).unwrap();
        let error = world.try_run().unwrap_err();
        assert_eq!(error.to_string(), "getaddrinfo ENOTFOUND no.host");
    });
}

#[test]
fn close_calls_a_look_up_off_without_any_event() {
    each_form_resolving(home, |world| {
        let server = noted(world);
        server
            .listen(("some.host", 0), |_| panic!("listening"))
            .unwrap();
        server.close();
        assert!(!world.event_loop.is_alive());
        world.run();
        assert_eq!(world.log(), Vec::<String>::new());
        // As if it had never been told.
        server
            .listen(("127.0.0.1", 0), |server| server.close())
            .unwrap();
        world.run();
        world.assert_trace("SRV", "listening close");
    });
}

#[test]
fn close_calls_it_off_also_when_the_answer_is_there() {
    let (gate, _begun) = names::Gate::new();
    let of_loop = gate.clone();
    let resolver = move |name: &str, _: Option<Family>| of_loop.pass(name);
    each_form_resolving(resolver, |world| {
        let server = noted(world);
        server
            .listen(("some.host", 0), |_| panic!("listening"))
            .unwrap();
        gate.open();
        wait_readable(world.event_loop.as_raw_fd());
        // What comes from other threads runs before what the answer asks for.
        let id = server.id();
        let remote = world.event_loop.remote();
        remote
            .post(move |event_loop| {
                let server = event_loop.server(id).unwrap();
                server.close();
                assert!(!server.listening());
                // As if it had never been told.
                let again = server.listen(("127.0.0.1", 0), |server| server.close());
                again.unwrap();
            })
            .unwrap();
        drop(remote);
        world.run();
        world.assert_trace("SRV", "listening close");
    });
}

/// Waits until a turn of the loop has something to do.
fn wait_readable(fd: RawFd) {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one live `pollfd`.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 20_000) }, 1);
}

#[test]
fn close_with_during_a_look_up_gets_not_running() {
    each_form_resolving(home, |world| {
        let server = noted(world);
        server
            .listen(("some.host", 0), |_| panic!("listening"))
            .unwrap();
        let note = world.noter();
        server.close_with(move |_, result| {
            note(&format!("SRV:done({})", result.unwrap_err().code()));
        });
        world.run();
        world.assert_trace("SRV", "done(ERR_SERVER_NOT_RUNNING)");
    });
}

#[test]
fn a_listen_during_a_look_up_is_one_too_many() {
    each_form_resolving(home, |world| {
        let server = noted(world);
        server
            .listen(("some.host", 0), |server| server.close())
            .unwrap();
        for options in [("some.host", 0), ("127.0.0.1", 0)] {
            let error = server.listen(options, |_| panic!("listening")).unwrap_err();
            assert_eq!(error.code(), Code::ServerAlreadyListen);
        }
        world.run();
        world.assert_trace("SRV", "listening close");
    });
}

#[test]
fn of_two_looked_up_in_turn_the_second_counts() {
    each_form_resolving(home, |world| {
        let server = noted(world);
        server
            .listen(("one.host", 0), |_| panic!("listening"))
            .unwrap();
        server.close();
        server
            .listen(("other.host", 0), |server| server.close())
            .unwrap();
        world.run();
        world.assert_trace("SRV", "listening close");
    });
}

#[test]
fn a_listen_by_name_in_a_close_listener_begins_anew() {
    each_form_resolving(home, |world| {
        let server = noted(world);
        server.once_close(|server| {
            let again = server.listen(("some.host", 0), |server| server.close());
            again.unwrap();
        });
        server
            .listen(("127.0.0.1", 0), |server| server.close())
            .unwrap();
        world.run();
        world.assert_trace("SRV", "listening close listening close");
    });
}

#[test]
fn an_unreferenced_server_does_not_hold_the_loop_for_its_look_up() {
    each_form_resolving(home, |world| {
        let server = noted(world);
        server.unref().listen(("some.host", 0), |_| {}).unwrap();
        assert!(!world.event_loop.is_alive());
        server.close();
        world.run();
        assert_eq!(world.log(), Vec::<String>::new());
    });
}

#[test]
fn localhost_is_listened_on_at_once() {
    each_form_resolving(no_resolver, |world| {
        let server = noted(world);
        server
            .listen(("localhost", 0), |server| server.close())
            .unwrap();
        assert_eq!(server.address().unwrap().ip(), Some(ip("127.0.0.1")));
        world.run();
        world.assert_trace("SRV", "listening close");
    });
}

#[test]
fn configure_runs_once_the_name_is_known() {
    each_form_resolving(home, |world| {
        let server = noted(world);
        let ran = counter();
        let run = Rc::clone(&ran);
        let options = ListenOptions::from(("some.host", 0)).configure(move |_| {
            run.set(run.get() + 1);
            Ok(())
        });
        server.listen(options, |server| server.close()).unwrap();
        assert_eq!(ran.get(), 0);
        world.run();
        assert_eq!(ran.get(), 1);
        world.assert_trace("SRV", "listening close");
    });
}

#[test]
fn a_panic_of_configure_leaves_the_server_able_to_listen() {
    each_form_resolving(home, |world| {
        let server = noted(world);
        let options = ListenOptions::from(("some.host", 0)).configure(|_| panic!("not like this"));
        server.listen(options, |_| panic!("listening")).unwrap();
        let ran = catch_unwind(AssertUnwindSafe(|| {
            while world.event_loop.turn(None).unwrap() {}
        }));
        assert!(ran.is_err());
        assert!(!server.listening());
        server
            .listen(("127.0.0.1", 0), |server| server.close())
            .unwrap();
        world.run();
        world.assert_trace("SRV", "listening close");
    });
}

/// Holds options by what they own: dropped while the test holds the cell, it would panic.
struct Busy(Rc<RefCell<()>>, Rc<Cell<usize>>);

impl Drop for Busy {
    fn drop(&mut self) {
        drop(self.0.borrow_mut());
        self.1.set(self.1.get() + 1);
    }
}

#[test]
fn options_are_never_dropped_inside_a_call() {
    each_form_resolving(home, |world| {
        let nobody = Nobody::new(world);
        let cell = Rc::new(RefCell::new(()));
        let dropped = counter();
        let options = |host: &str, port: u16| {
            let busy = Busy(Rc::clone(&cell), Rc::clone(&dropped));
            ListenOptions::from((host, port)).configure(move |_| {
                let _ = &busy;
                Ok(())
            })
        };
        let server = noted(world);
        let held = cell.borrow();
        server.listen(options("some.host", 0), |_| {}).unwrap();
        server.close();
        server.listen(options("some.host", 0), |_| {}).unwrap();
        server.close();
        let taken = nobody.address.port().unwrap();
        let error = server
            .listen(options("192.0.2.1", taken), |_| {})
            .unwrap_err();
        assert_eq!(error.code(), Code::AddrNotAvail);
        server
            .listen(options("127.0.0.1", 0), |server| server.close())
            .unwrap();
        assert_eq!(dropped.get(), 0);
        drop(held);
        world.run();
        assert_eq!(dropped.get(), 4);
        world.assert_trace("SRV", "listening close");
    });
}
