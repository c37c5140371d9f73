//! `configure`: descriptors shown to the program before they are used, by connect and by listen.

mod common;
#[path = "common/place.rs"]
mod place;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;

use common::{counter, each_case, each_form_tcp, Script, World};
use place::option;
use tidewheel::net::{self, ConnectOptions, ListenOptions, Server, Socket};
use tidewheel::Code;

const SERVED: &str = "connect ready finish end close(false)";

fn mark(fd: BorrowedFd<'_>) -> io::Result<()> {
    let size: libc::c_int = 34_000;
    // SAFETY: the pointer and the length are of one live integer.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw const size).cast(),
            size_of_val(&size) as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the descriptor went through [`mark`].
fn is_marked(fd: RawFd) -> bool {
    // Linux doubles what it is told.
    [34_000, 68_000].contains(&option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF))
}

fn dial(
    world: &World,
    server: &Server,
    configure: impl Fn(BorrowedFd<'_>) -> io::Result<()> + 'static,
    script: Script,
) -> Socket {
    let options = world.connect_options(server).configure(configure);
    world.client_with(options, script)
}

#[test]
fn what_it_sets_is_set_on_the_socket_that_connects() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let numbers: Rc<RefCell<Vec<RawFd>>> = Rc::default();
        let note = Rc::clone(&numbers);
        let configure = move |fd: BorrowedFd<'_>| {
            note.borrow_mut().push(fd.as_raw_fd());
            mark(fd)
        };
        let client = dial(world, &server, configure, Script::new("C"));
        assert_eq!(numbers.borrow().len(), 0, "it runs in the loop");
        client.on_connect(move |socket| {
            let fd = socket.raw_fd().unwrap();
            assert_eq!(*numbers.borrow(), [fd]);
            assert!(is_marked(fd));
        });
        client.end();
        world.run();
        world.assert_trace("C", SERVED);
    });
}

#[test]
fn an_error_it_returns_is_that_of_the_connect() {
    each_case(|world| {
        let server = world.server(|_| panic!("connected"));
        let to = server.address().unwrap();
        let said = format!("connect EPERM {to}");
        let script = Script::new("C").on_error(move |_, error| {
            assert_eq!(error.to_string(), said);
            assert_eq!(error.syscall(), Some("connect"));
            assert_eq!(error.address(), Some(&to));
        });
        let refuse = |_: BorrowedFd<'_>| Err(io::Error::from_raw_os_error(libc::EPERM));
        dial(world, &server, refuse, script);
        let own_words = Script::new("D").on_error(|_, error| {
            assert_eq!(error.code(), Code::Custom);
            assert!(error.to_string().contains("not today"), "{error}");
        });
        let refuse = |_: BorrowedFd<'_>| Err(io::Error::other("not today"));
        dial(world, &server, refuse, own_words);
        server.close();
        world.run();
        world.assert_trace("C", "error(EPERM) close(true)");
        assert_eq!(world.events("D").len(), 2);
    });
}

#[test]
fn a_panic_in_it_fails_the_connect_and_leaves_the_loop_whole() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let panics = |_: BorrowedFd<'_>| panic!("not like this");
        dial(world, &server, panics, Script::new("C"));
        let well = dial(world, &server, mark, Script::new("D"));
        well.end();
        assert!(catch_unwind(AssertUnwindSafe(|| world.event_loop.run())).is_err());
        world.run();
        let events = world.events("C");
        assert!(events[0].starts_with("error("), "{events:?}");
        assert_eq!(events[1..], ["close(true)"]);
        world.assert_trace("D", SERVED);
    });
}

#[test]
fn it_may_destroy_its_own_socket() {
    each_case(|world| {
        let server = world.server(|_| panic!("connected"));
        let own: Rc<RefCell<Option<Socket>>> = Rc::default();
        let socket = Rc::clone(&own);
        let destroy = move |_: BorrowedFd<'_>| {
            socket.take().unwrap().destroy();
            Ok(())
        };
        let client = dial(world, &server, destroy, Script::new("C"));
        own.replace(Some(client));
        server.close();
        world.run();
        world.assert_trace("C", "close(false)");
    });
}

#[test]
fn it_may_call_into_the_loop() {
    each_case(|world| {
        let server = world.server_for(2, Default::default(), || Script::new("S"));
        let again = world.connect_options(&server);
        let other: Rc<RefCell<Option<Socket>>> = Rc::default();
        let dialled = Rc::clone(&other);
        let event_loop = world.event_loop.handle();
        let configure = move |_: BorrowedFd<'_>| {
            let socket = net::connect(&event_loop, again.clone(), |socket| socket.end());
            dialled.replace(Some(socket));
            Ok(())
        };
        dial(world, &server, configure, Script::new("C")).end();
        world.run();
        world.assert_trace("C", SERVED);
        assert!(other.take().unwrap().destroyed());
    });
}

#[test]
fn a_socket_destroyed_before_its_turn_is_not_configured() {
    each_case(|world| {
        let server = world.server(|_| panic!("connected"));
        let never = |_: BorrowedFd<'_>| panic!("configured");
        dial(world, &server, never, Script::new("C")).destroy();
        server.close();
        world.run();
        world.assert_trace("C", "close(false)");
    });
}

/// Only TCP is bound before it connects.
#[test]
fn it_comes_before_the_socket_is_bound() {
    each_form_tcp(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let bound_to = |fd: BorrowedFd<'_>| {
            let listener = std::net::TcpListener::from(fd.try_clone_to_owned().unwrap());
            listener.local_addr().unwrap().to_string()
        };
        let seen: Rc<RefCell<String>> = Rc::default();
        let note = Rc::clone(&seen);
        let options = world
            .connect_options(&server)
            .local_address("127.0.0.8")
            .configure(move |fd| {
                *note.borrow_mut() = bound_to(fd);
                Ok(())
            });
        world.client_with(options, Script::new("C")).end();
        world.run();
        assert_eq!(*seen.borrow(), "0.0.0.0:0");
        world.assert_trace("C", SERVED);
    });
}

fn listen_options(world: &World) -> ListenOptions {
    world.listen_options()
}

#[test]
fn listen_runs_it_at_once_before_the_address_is_bound() {
    each_case(|world| {
        let server = net::create_server(&world.event_loop, |_| {});
        let number = Rc::new(Cell::new(None));
        let note = Rc::clone(&number);
        let options = listen_options(world).configure(move |fd| {
            note.set(Some(fd.as_raw_fd()));
            mark(fd)
        });
        server.listen(options, |server| server.close()).unwrap();
        assert_eq!(number.get(), server.raw_fd());
        assert!(is_marked(server.raw_fd().unwrap()));
        world.run();
    });
}

#[test]
fn an_error_it_returns_is_that_of_listen() {
    each_case(|world| {
        let server = net::create_server(&world.event_loop, |_| {});
        let refuse = |_: BorrowedFd<'_>| Err(io::Error::from_raw_os_error(libc::EPERM));
        let options = listen_options(world).configure(refuse);
        let error = server.listen(options, |_| panic!("listening")).unwrap_err();
        assert_eq!(error.code(), Code::NotPermitted);
        assert_eq!(error.syscall(), Some("listen"));
        assert!(!server.listening());
        server
            .listen(listen_options(world), |server| server.close())
            .unwrap();
        world.run();
    });
}

#[test]
fn a_panic_in_it_comes_out_of_listen() {
    each_case(|world| {
        let server = net::create_server(&world.event_loop, |_| {});
        let options = listen_options(world).configure(|_| panic!("not like this"));
        let listen = || server.listen(options, |_| panic!("listening"));
        assert!(catch_unwind(AssertUnwindSafe(listen)).is_err());
        assert!(!server.listening());
        server
            .listen(listen_options(world), |server| server.close())
            .unwrap();
        world.run();
    });
}

#[test]
fn in_listen_it_may_call_into_the_loop_and_even_the_server() {
    each_case(|world| {
        let server = net::create_server(&world.event_loop, |_| {});
        let own = server.clone();
        let ran = counter();
        let run = Rc::clone(&ran);
        let options = listen_options(world).configure(move |_| {
            run.set(run.get() + 1);
            own.close();
            own.pause().resume();
            assert!(!own.listening());
            own.event_loop().set_immediate(|_| {});
            Ok(())
        });
        server.listen(options, |server| server.close()).unwrap();
        assert_eq!(ran.get(), 1);
        world.run();
    });
}

#[test]
fn a_listen_inside_the_configure_of_another_is_the_one_that_stands() {
    each_case(|world| {
        let server = net::create_server(&world.event_loop, |_| {});
        let note = world.noter();
        server.on_listening(move |_| note("SRV:listening"));
        let own = server.clone();
        let inner = listen_options(world);
        let options = listen_options(world).configure(move |_| {
            own.listen(inner.clone(), |server| server.close()).unwrap();
            Ok(())
        });
        let error = server.listen(options, |_| panic!("listening")).unwrap_err();
        assert_eq!(error.code(), Code::ServerAlreadyListen);
        world.run();
        world.assert_trace("SRV", "listening");
    });
}

#[test]
fn it_is_not_asked_for_wrong_options() {
    each_case(|world| {
        let never = |_: BorrowedFd<'_>| panic!("configured");
        let options = ConnectOptions::default().configure(never);
        world.client_with(options, Script::new("C"));
        world.run();
        world.assert_trace("C", "error(ERR_MISSING_ARGS) close(true)");
        let server = net::create_server(&world.event_loop, |_| {});
        let options = ListenOptions::default().path("").configure(never);
        let error = server.listen(options, |_| {}).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgValue);
    });
}
