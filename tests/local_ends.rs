//! Where a connection comes from: `local_address` and `local_port`. Only TCP has them.

mod common;
#[path = "common/names.rs"]
mod names;
#[path = "common/place.rs"]
mod place;

use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use common::{each_form_tcp, each_form_unix, Script, World};
use names::{ip, named, port_of, Refusing};
use place::{bound, has_ipv6};
use tidewheel::net::{self, Address, ConnectOptions, EventKind, Socket, SocketOptions};
use tidewheel::{Code, Error};

const SERVED: &str = "connect ready finish end close(false)";

/// A port of 127.0.0.1 that nobody has, and none that the system gives to those who ask for any: another program might
/// get it before it is used.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() as u16).wrapping_mul(16);
    loop {
        let port = 10_000 + first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if bound(SocketAddr::from(([127, 0, 0, 1], port))).is_ok() {
            return port;
        }
    }
}

/// Connects in vain, and gives the error.
#[track_caller]
fn fails(world: &World, options: ConnectOptions) -> Error {
    let error: Rc<RefCell<Option<Error>>> = Rc::default();
    let told = Rc::clone(&error);
    let script = Script::new("C").on_error(move |_, error| {
        told.replace(Some(error.clone()));
    });
    world.client_with(options, script);
    world.run();
    let last = world.events("C").last().cloned();
    assert_eq!(last.as_deref(), Some("close(true)"));
    let error = error.take();
    error.expect("it was not told why")
}

#[test]
fn a_local_address_that_is_none_is_told_at_once_or_by_error() {
    each_form_tcp(|world| {
        for local in ["localhost", "nobody", "256.0.0.1", ""] {
            let options = ConnectOptions::from(("127.0.0.1", 1)).local_address(local);
            let said = format!("Invalid IP address: {local}");
            let socket = Socket::new(&world.event_loop, SocketOptions::default());
            let error = socket.connect(options.clone(), |_| {}).unwrap_err();
            assert_eq!(error.code(), Code::InvalidIpAddress);
            assert_eq!(error.to_string(), said);
            socket.destroy();
            let error = fails(world, options);
            assert_eq!(error.code().as_str(), "ERR_INVALID_IP_ADDRESS");
            assert_eq!(error.to_string(), said);
        }
    });
}

#[test]
fn the_server_sees_the_address_and_the_port_that_were_chosen() {
    each_form_tcp(|world| {
        let port = free_port();
        let server = world.serve_one(|| Script::new("S"));
        let seen: Rc<RefCell<Vec<Option<Address>>>> = Rc::default();
        let note = Rc::clone(&seen);
        server.on_connection(move |socket| note.borrow_mut().push(socket.remote()));
        let options = ConnectOptions::from(("127.0.0.1", port_of(&server)))
            .local_address("127.0.0.5")
            .local_port(port);
        let client = world.client_with(options, Script::new("C"));
        client.on_connect(move |socket| {
            assert_eq!(socket.local_address(), Some(ip("127.0.0.5")));
            assert_eq!(socket.local_port(), Some(port));
        });
        client.end();
        world.run();
        let at = format!("127.0.0.5:{port}").parse().unwrap();
        assert_eq!(*seen.borrow(), [Some(Address::Ip(at))]);
        world.assert_trace("C", SERVED);
    });
}

#[test]
fn a_local_port_alone_is_of_the_family_of_the_target() {
    each_form_tcp(|world| {
        for host in ["127.0.0.1", "::1"] {
            if host == "::1" && !has_ipv6() {
                return;
            }
            let port = free_port();
            let server = net::create_server(&world.event_loop, |socket| {
                socket.server().unwrap().close();
                socket.resume();
            });
            server.listen((host, 0), |_| {}).unwrap();
            let options = ConnectOptions::from((host, port_of(&server))).local_port(port);
            let client = world.client_with(options, Script::new(host));
            client.on_connect(move |socket| {
                assert_eq!(socket.local_address(), Some(ip(host)));
                assert_eq!(socket.local_port(), Some(port));
            });
            client.end();
            world.run();
            world.assert_trace(host, SERVED);
        }
    });
}

#[test]
fn a_local_address_serves_for_localhost_too_and_chooses_its_family() {
    each_form_tcp(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let options = ConnectOptions::from(port_of(&server)).local_address("127.0.0.6");
        let client = world.client_with(options, Script::new("C"));
        client.on_connect(|socket| {
            assert_eq!(socket.local_address(), Some(ip("127.0.0.6")));
            assert_eq!(socket.remote_address(), Some(ip("127.0.0.1")));
        });
        client.end();
        world.run();
        world.assert_trace("C", SERVED);
        // Of a name's addresses only one of its own family can be reached from it.
        let refusing = Refusing::new(world, 1);
        let options = named(refusing.port, &["::1", "127.0.0.1"]).local_address("127.0.0.6");
        let error = fails(world, options);
        assert_eq!(error.address().unwrap().ip(), Some(ip("127.0.0.1")));
    });
}

#[test]
fn an_address_of_another_machine_fails_to_bind() {
    each_form_tcp(|world| {
        let anything = std::fs::read_to_string("/proc/sys/net/ipv4/ip_nonlocal_bind");
        if anything.is_ok_and(|text| text.trim() == "1") {
            println!("skipped: this machine lets one bind to every address");
            return;
        }
        let refusing = Refusing::new(world, 1);
        let options = ConnectOptions::from(("127.0.0.1", refusing.port))
            .local_address("192.0.2.1")
            .local_port(8124);
        let error = fails(world, options);
        assert_eq!(error.to_string(), "bind EADDRNOTAVAIL 192.0.2.1:8124");
        assert_eq!(error.code(), Code::AddrNotAvail);
        assert_eq!(error.syscall(), Some("bind"));
        let local = Address::Ip("192.0.2.1:8124".parse().unwrap());
        assert_eq!(error.address(), Some(&local));
        assert_eq!(error.local(), None);
    });
}

#[test]
fn a_port_that_a_listener_has_is_in_use() {
    each_form_tcp(|world| {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let refusing = Refusing::new(world, 1);
        let options = ConnectOptions::from(("127.0.0.1", refusing.port))
            .local_address("127.0.0.1")
            .local_port(port);
        let error = fails(world, options);
        assert_eq!(
            error.to_string(),
            format!("bind EADDRINUSE 127.0.0.1:{port}")
        );
        assert_eq!(error.code(), Code::AddrInUse);
        assert_eq!(error.syscall(), Some("bind"));
        drop(taken);
    });
}

#[test]
fn the_error_of_a_connect_names_the_local_end_it_was_bound_to() {
    each_form_tcp(|world| {
        let port = free_port();
        let refusing = Refusing::new(world, 1);
        let to = refusing.port;
        let options = ConnectOptions::from(("127.0.0.1", to))
            .local_address("127.0.0.1")
            .local_port(port);
        let error = fails(world, options);
        let local = format!("127.0.0.1:{port}");
        let said = format!("connect ECONNREFUSED 127.0.0.1:{to} - Local ({local})");
        assert_eq!(error.to_string(), said);
        assert_eq!(error.syscall(), Some("connect"));
        let (to, local): (SocketAddr, SocketAddr) = (
            format!("127.0.0.1:{to}").parse().unwrap(),
            local.parse().unwrap(),
        );
        assert_eq!(error.address(), Some(&Address::Ip(to)));
        assert_eq!(error.local(), Some(&Address::Ip(local)));
    });
}

#[test]
fn without_a_local_end_of_ones_own_the_error_names_none() {
    each_form_tcp(|world| {
        let refusing = Refusing::new(world, 1);
        let error = fails(world, ("127.0.0.1", refusing.port).into());
        assert_eq!(error.local(), None);
        assert!(!error.to_string().contains("Local"));
    });
}

#[test]
fn a_descriptor_that_is_bound_keeps_its_end_when_it_is_connected() {
    each_form_tcp(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let fd: OwnedFd = bound("127.0.0.7:0".parse().unwrap()).unwrap();
        let at = TcpListener::from(fd.try_clone().unwrap());
        let at = at.local_addr().unwrap();
        let socket = Socket::from_fd(&world.event_loop, fd, SocketOptions::default()).unwrap();
        assert!(socket.pending() && !socket.connecting() && !socket.destroyed());
        world.watch(&socket, Script::new("C"));
        socket
            .connect(world.connect_options(&server), move |socket| {
                assert_eq!(socket.address(), Some(Address::Ip(at)));
            })
            .unwrap();
        socket.end();
        world.run();
        world.assert_trace("C", SERVED);
    });
}

#[test]
fn on_paths_both_mean_nothing() {
    each_form_unix(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let options = world
            .connect_options(&server)
            .local_address("192.0.2.1")
            .local_port(1);
        world.client_with(options, Script::new("C")).end();
        world.run();
        world.assert_trace("C", SERVED);
    });
}

// A port that is dialled from itself answers itself: the system connects the socket to its own other end.
#[test]
fn a_socket_that_dials_its_own_end_talks_to_itself() {
    each_form_tcp(|world| {
        let port = free_port();
        let options = ConnectOptions::from(("127.0.0.1", port))
            .local_address("127.0.0.1")
            .local_port(port);
        let script = Script::new("C")
            .on(EventKind::Connect, |socket, _| {
                assert_eq!(socket.address(), socket.remote());
                socket.write("echo");
            })
            .on_data(|socket, data| {
                assert_eq!(data, b"echo");
                socket.end();
            });
        world.client_with(options, script);
        world.run();
        let trace = world.trace("C");
        let (one, other) = (
            "connect ready data(4) finish end close(false)",
            "connect ready data(4) end finish close(false)",
        );
        assert!(trace == one || trace == other, "{trace}");
    });
}

#[test]
fn an_address_that_nobody_can_be_reached_at_is_told_in_a_later_turn() {
    each_form_tcp(|world| {
        // No stream goes to all: the system refuses it before a packet is sent.
        let error = fails(world, ("255.255.255.255", 9).into());
        assert_eq!(error.code(), Code::NetUnreachable);
        let said = "connect ENETUNREACH 255.255.255.255:9";
        assert!(error.to_string().starts_with(said), "{error}");
        world.assert_trace("C", "error(ENETUNREACH) close(true)");
    });
}
