//! `listen`: the address is there at once, `listening` comes later, and what goes wrong is returned.

mod common;
#[path = "common/place.rs"]
mod place;

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use common::{counter, each_case, each_form_tcp, Script, Transport, World};
use place::{listen_backlog, Nobody};
use tidewheel::net::{self, Address, ConnectOptions, EventKind, ListenOptions, Server};
use tidewheel::Code;

fn new_server(world: &World) -> Server {
    let probe = world.probe();
    net::create_server(&world.event_loop, move |socket| {
        let _ = &probe;
        socket.end();
    })
}

/// Notes `listening`, `close` and `error` of a server.
fn noted(world: &World, server: &Server) {
    let note = world.noter();
    let (listening, close, error) = (note.clone(), note.clone(), note);
    server.on_listening(move |_| listening("listening"));
    server.on_close(move |_| close("close"));
    server.on_error(move |_, _| error("error"));
}

/// One connection, to see that somebody is there.
fn visit(world: &World, server: &Server) {
    let client = world.client(server, Script::new("visitor"));
    client.on_connect(|socket| socket.end());
}

#[test]
fn listening_comes_later_and_first_to_those_who_listened_before() {
    each_case(|world| {
        let server = new_server(world);
        let note = world.noter();
        let every = note.clone();
        server.on_listening(move |_| every("every"));
        let callback = move |server: &Server| {
            assert!(server.listening());
            note("callback");
            server.close();
        };
        server.listen(world.listen_options(), callback).unwrap();
        assert_eq!(server.listener_count(EventKind::Listening), 2);
        assert_eq!(world.log(), Vec::<String>::new());
        world.run();
        assert_eq!(world.log(), ["every", "callback"]);
        // It was freed with its `close`, as nobody told it to listen again.
        let error = server.listen(world.listen_options(), |_| {}).unwrap_err();
        assert_eq!(error.code(), Code::ServerClosed);
        assert_eq!(error.code().as_str(), "ERR_SERVER_CLOSED");
    });
}

#[test]
fn a_listen_in_close_begins_anew_with_its_own_callback() {
    each_case(|world| {
        let server = new_server(world);
        let note = world.noter();
        let rounds = counter();
        let first = note.clone();
        let again = world.listen_options();
        server.on_close(move |server| {
            note("close");
            rounds.set(rounds.get() + 1);
            if rounds.get() < 3 {
                let note = note.clone();
                let listen = server.listen(again.clone(), move |server| {
                    note("again");
                    server.close();
                });
                listen.unwrap();
            }
        });
        server
            .listen(world.listen_options(), move |server| {
                first("first");
                server.close();
            })
            .unwrap();
        world.run();
        let expected = ["first", "close", "again", "close", "again", "close"];
        assert_eq!(world.log(), expected);
        let gone = server.listen(world.listen_options(), |_| {});
        assert_eq!(gone.unwrap_err().code(), Code::ServerClosed);
    });
}

#[test]
fn a_listen_directly_after_close_takes_the_place_again() {
    each_case(|world| {
        let server = new_server(world);
        noted(world, &server);
        let (called_off, callback) = (world.noter(), world.noter());
        server
            .listen(world.listen_options(), move |_| called_off("called off"))
            .unwrap();
        let place = server.address().unwrap();
        server.close();
        assert_eq!(server.address(), None);
        server
            .listen(place.clone(), move |_| callback("callback"))
            .unwrap();
        assert_eq!(server.address(), Some(place));
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(world.log(), ["listening", "callback", "close"]);
        visit(world, &server);
        let closing = server.clone();
        server.on_connection(move |_| closing.close());
        world.run();
        world.assert_trace("visitor", "connect ready finish end close(false)");
        let own: Vec<_> = world.log();
        let own: Vec<_> = own.iter().filter(|l| !l.starts_with("visitor")).collect();
        assert_eq!(own, ["listening", "callback", "close", "close"]);
    });
}

#[test]
fn close_before_listening_was_told_suppresses_it() {
    each_case(|world| {
        let server = new_server(world);
        noted(world, &server);
        let (never, probe) = (world.noter(), world.probe());
        let listen = server.listen(world.listen_options(), move |_| {
            drop(probe);
            never("callback");
        });
        listen.unwrap();
        server.close();
        assert!(!server.listening());
        world.run();
        assert_eq!(world.log(), ["close"]);
    });
}

#[test]
fn the_address_is_there_when_listen_returns_and_serves() {
    each_case(|world| {
        let server = new_server(world);
        assert!(!server.listening());
        assert_eq!(server.address(), None);
        server.listen(world.listen_options(), |_| {}).unwrap();
        assert!(server.listening());
        match (world.transport, server.address().unwrap()) {
            (Transport::Tcp, Address::Ip(at)) => assert_ne!(at.port(), 0),
            (Transport::Unix, Address::Path(path)) => assert!(path.exists()),
            (_, address) => panic!("{address}"),
        }
        // The kernel completes a connect before the loop has run.
        let mut peer = world.peer(&server);
        let closing = server.clone();
        server.on_connection(move |_| closing.close());
        drop(server);
        peer.end();
        world.run();
        assert_eq!(peer.read_all(), b"");
    });
}

// Only TCP has ports.
#[test]
fn without_a_port_the_system_chooses_one() {
    each_form_tcp(|world| {
        let any = [
            ListenOptions::default(),
            ListenOptions::from(0),
            ListenOptions::default().host("127.0.0.1"),
        ];
        for options in any {
            let server = new_server(world);
            server.listen(options, |_| {}).unwrap();
            assert_ne!(server.address().unwrap().port(), Some(0));
            server.close();
        }
        world.run();
    });
}

// Only TCP has interfaces.
#[test]
fn without_a_host_all_interfaces_are_served_over_ipv4_and_ipv6() {
    each_form_tcp(|world| {
        let dual = place::has_ipv6();
        let server = new_server(world);
        server.listen(0, |_| {}).unwrap();
        let address = server.address().unwrap();
        let port = address.port().unwrap();
        let all = if dual { "[::]" } else { "0.0.0.0" };
        assert_eq!(address.to_string(), format!("{all}:{port}"));
        let mut hosts = vec!["127.0.0.1"];
        hosts.extend(dual.then_some("::1"));
        let left = counter();
        left.set(hosts.len());
        let closing = server.clone();
        server.on_connection(move |_| {
            left.set(left.get() - 1);
            if left.get() == 0 {
                closing.close();
            }
        });
        for host in hosts {
            world.client_with((host, port).into(), Script::new(host));
        }
        world.run();
        world.assert_trace("127.0.0.1", "connect ready end finish close(false)");
    });
}

// Only TCP has ports.
#[test]
fn ipv6_only_leaves_ipv4_out() {
    each_form_tcp(|world| {
        if !place::has_ipv6() {
            return;
        }
        let server = new_server(world);
        // The port is ours over IPv4, where nobody listens: so nobody else can.
        let nobody = Nobody::new(world);
        let port = nobody.address.port().unwrap();
        let options = ListenOptions::from(("::", port));
        let taken = server.listen(options.clone(), |_| {}).unwrap_err();
        assert_eq!(taken.code(), Code::AddrInUse);
        server.listen(options.ipv6_only(true), |_| {}).unwrap();
        let closing = server.clone();
        world.client_with(
            ("127.0.0.1", port).into(),
            Script::new("C").on(EventKind::Close, move |_, _| closing.close()),
        );
        world.run();
        world.assert_trace("C", "error(ECONNREFUSED) close(true)");
    });
}

// Only of a TCP listener does the system tell its backlog.
#[test]
fn the_backlog_reaches_the_kernel() {
    each_form_tcp(|world| {
        let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
        let limit = limit.map_or(511, |text| text.trim().parse().unwrap());
        for (options, expected) in [
            (ListenOptions::from(("127.0.0.1", 0)), 511),
            (ListenOptions::from(("127.0.0.1", 0)).backlog(7), 7),
            (
                ListenOptions::from(("127.0.0.1", 0)).backlog(u32::MAX),
                limit,
            ),
        ] {
            let server = new_server(world);
            server.listen(options, |_| {}).unwrap();
            let backlog = listen_backlog(server.raw_fd().unwrap());
            assert_eq!(backlog, expected.min(limit));
            server.close();
        }
        world.run();
    });
}

#[test]
fn a_backlog_of_511_holds_512_connections_that_wait() {
    each_case(|world| {
        let server = world.server(|socket| socket.end());
        let peers: Vec<_> = (0..512).map(|_| world.peer(&server)).collect();
        let met = counter();
        let count = Rc::clone(&met);
        server.on_connection(move |socket| {
            count.set(count.get() + 1);
            if count.get() == 512 {
                socket.server().unwrap().close();
            }
        });
        drop(peers);
        world.run();
        assert_eq!(met.get(), 512);
    });
}

// A path in use is told of in unix_paths.rs.
#[test]
fn a_port_in_use_is_returned_and_the_server_may_listen_elsewhere() {
    each_form_tcp(|world| {
        let first = new_server(world);
        first.listen(world.listen_options(), |_| {}).unwrap();
        let place = first.address().unwrap();
        let second = new_server(world);
        noted(world, &second);
        let (never, probe) = (world.noter(), world.probe());
        let error = second
            .listen(place.clone(), move |_| {
                drop(probe);
                never("callback");
            })
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("listen EADDRINUSE: address already in use {place}")
        );
        assert_eq!(error.code(), Code::AddrInUse);
        assert_eq!(error.syscall(), Some("listen"));
        assert_eq!(error.address(), Some(&place));
        assert_eq!(error.errno(), Some(-98));
        assert!(!second.listening());
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(world.log(), Vec::<String>::new());
        first.close();
        second.listen(place, |server| server.close()).unwrap();
        world.run();
        assert_eq!(world.log(), ["listening", "close"]);
    });
}

#[test]
fn a_failed_listen_may_be_tried_again_from_a_timer_after_close() {
    each_case(|world| {
        let first = new_server(world);
        first.listen(world.listen_options(), |_| {}).unwrap();
        let place = first.address().unwrap();
        let second = new_server(world);
        noted(world, &second);
        assert!(second.listen(place.clone(), |_| {}).is_err());
        let (retrying, done) = (second.clone(), first.clone());
        world
            .event_loop
            .set_timeout(Duration::from_millis(1), move |_| {
                retrying.close();
                assert!(retrying.listen(place.clone(), |_| {}).is_err());
                done.close();
                retrying.listen(place, |server| server.close()).unwrap();
            });
        world.run();
        assert_eq!(world.log(), ["listening", "close"]);
    });
}

#[test]
fn listening_twice_is_refused_and_changes_nothing() {
    each_case(|world| {
        let server = new_server(world);
        server.listen(world.listen_options(), |_| {}).unwrap();
        let place = server.address();
        let never = world.noter();
        let error = server
            .listen(world.listen_options(), move |_| never("callback"))
            .unwrap_err();
        assert_eq!(error.code().as_str(), "ERR_SERVER_ALREADY_LISTEN");
        assert_eq!(
            error.to_string(),
            "Listen method has been called more than once without closing."
        );
        assert_eq!(server.address(), place);
        visit(world, &server);
        let closing = server.clone();
        server.on_connection(move |_| closing.close());
        world.run();
        world.assert_trace("visitor", "connect ready finish end close(false)");
    });
}

// Only TCP leaves connections in TIME_WAIT.
#[test]
fn a_port_may_be_had_again_at_once_after_a_connection_on_it() {
    each_form_tcp(|world| {
        let server = world.serve_one(|| Script::new("S"));
        // We end first, so that the wait is on the server's side.
        server.on_connection(|socket| socket.end());
        let place = server.address().unwrap();
        world.client(&server, Script::new("C"));
        world.run();
        let next = new_server(world);
        next.listen(place, |server| server.close()).unwrap();
        world.run();
    });
}

// Only TCP has addresses of other machines.
#[test]
fn an_address_of_another_machine_is_not_available() {
    each_form_tcp(|world| {
        let anything = std::fs::read_to_string("/proc/sys/net/ipv4/ip_nonlocal_bind");
        if anything.is_ok_and(|text| text.trim() == "1") {
            println!("skipped: this machine lets one bind to every address");
            return;
        }
        let server = new_server(world);
        let documentation = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
        let error = server.listen((documentation, 8124), |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "listen EADDRNOTAVAIL: address not available 192.0.2.1:8124"
        );
        assert_eq!(error.code(), Code::AddrNotAvail);
        let error = server.listen((documentation, 0), |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "listen EADDRNOTAVAIL: address not available 192.0.2.1"
        );
        server
            .listen(world.listen_options(), |server| server.close())
            .unwrap();
        world.run();
    });
}

#[test]
fn a_port_wins_over_a_path_and_an_empty_path_is_nothing() {
    each_case(|world| {
        let server = new_server(world);
        let path = world.path("unused");
        let options = ListenOptions::default().port(0).path(&path);
        let options = options.host("127.0.0.1");
        server.listen(options, |server| server.close()).unwrap();
        assert!(server.address().unwrap().port().is_some());
        assert!(!path.exists());
        let other = new_server(world);
        let error = other
            .listen(ListenOptions::default().path(""), |_| {})
            .unwrap_err();
        assert_eq!(error.code().as_str(), "ERR_INVALID_ARG_VALUE");
        world.run();
    });
}

#[test]
fn a_server_told_to_close_twice_closes_once() {
    each_case(|world| {
        let server = new_server(world);
        noted(world, &server);
        server.listen(world.listen_options(), |_| {}).unwrap();
        let place: ConnectOptions = server.address().unwrap().into();
        server.close();
        server.close();
        // The place is free at once.
        world.client_with(place, Script::new("C"));
        world.run();
        let refused = match world.transport {
            Transport::Tcp => "error(ECONNREFUSED) close(true)",
            Transport::Unix => "error(ENOENT) close(true)",
        };
        world.assert_trace("C", refused);
        let closes = world.log().iter().filter(|line| *line == "close").count();
        assert_eq!(closes, 1);
    });
}
