//! Connecting by name: what is looked up and what is not, what `lookup` tells, and how a look-up fails. Only TCP has
//! names.

mod common;
#[path = "common/names.rs"]
mod names;
#[path = "common/place.rs"]
mod place;

use std::io;
use std::sync::{Arc, Mutex};

use common::{each_form_tcp, each_form_unix, Script};
use names::{each_form_resolving, ip, ips, named, no_resolver, port_of};
use place::has_ipv6;
use tidewheel::net::{self, ConnectOptions, EventKind, Family, Socket, SocketOptions};
use tidewheel::Code;

const SERVED: &str = "connect ready finish end close(false)";

#[test]
fn each_address_of_a_name_is_told_before_connect() {
    let resolver = |_: &str, _: Option<Family>| Ok(ips(&["127.0.0.1", "::1", "127.0.0.2"]));
    each_form_resolving(resolver, |world| {
        let server = world.serve_one(|| Script::new("S"));
        let script = Script::new("C")
            .lookups()
            .on(EventKind::Lookup, |socket, seen| {
                let common::Seen::Lookup(lookup) = seen else {
                    return;
                };
                assert!(socket.connecting());
                assert_eq!(socket.remote(), None);
                assert_eq!(lookup.host(), "some.host");
                assert!(lookup.error().is_none());
                let family = match lookup.address().unwrap().is_ipv4() {
                    true => Family::Ipv4,
                    false => Family::Ipv6,
                };
                assert_eq!(lookup.family(), Some(family));
            })
            .on(EventKind::Ready, |socket, _| socket.end());
        world.client_with(("some.host", port_of(&server)).into(), script);
        world.run();
        let told = "lookup(127.0.0.1) lookup(::1) lookup(127.0.0.2)";
        world.assert_trace("C", &format!("{told} {SERVED}"));
    });
}

#[test]
fn localhost_is_told_as_both_of_its_addresses_and_never_asked_for() {
    each_form_resolving(no_resolver, |world| {
        let server = world.serve_one(|| Script::new("S"));
        let script = Script::new("C").lookups();
        let client = world.client_with(port_of(&server).into(), script);
        client.on_lookup(|_, lookup| assert_eq!(lookup.host(), "localhost"));
        client.end();
        world.run();
        world.assert_trace("C", &format!("lookup(127.0.0.1) lookup(::1) {SERVED}"));
    });
}

#[test]
fn a_family_chooses_among_the_addresses_of_localhost() {
    each_form_resolving(no_resolver, |world| {
        for (family, address) in [(Family::Ipv4, "127.0.0.1"), (Family::Ipv6, "::1")] {
            if family == Family::Ipv6 && !has_ipv6() {
                return;
            }
            let server = net::create_server(&world.event_loop, |socket| {
                socket.server().unwrap().close();
                socket.end();
            });
            server.listen((address, 0), |_| {}).unwrap();
            let options = ConnectOptions::from(port_of(&server)).family(family);
            let client = world.client_with(options, Script::new(address).lookups());
            client.on_connect(move |socket| assert_eq!(socket.remote_address(), Some(ip(address))));
            world.run();
            let trace = format!("lookup({address}) connect ready end finish close(false)");
            world.assert_trace(address, &trace);
        }
    });
}

#[test]
fn addresses_are_not_looked_up() {
    each_form_resolving(no_resolver, |world| {
        let server = world.serve_one(|| Script::new("S"));
        let options = ConnectOptions::from(("127.0.0.1", port_of(&server)))
            .lookup(|_, host, _| panic!("{host} is looked up"));
        let client = world.client_with(options, Script::new("C").lookups());
        client.end();
        world.run();
        world.assert_trace("C", SERVED);
    });
}

#[test]
fn paths_are_not_looked_up() {
    each_form_unix(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let options = world
            .connect_options(&server)
            .host("some.host")
            .lookup(|_, host, _| panic!("{host} is looked up"));
        let client = world.client_with(options, Script::new("C").lookups());
        client.end();
        world.run();
        world.assert_trace("C", SERVED);
    });
}

#[test]
fn a_name_nobody_knows_is_told_then_an_error_then_close() {
    let resolver = |_: &str, _: Option<Family>| Err(io::Error::other("no such thing"));
    each_form_resolving(resolver, |world| {
        let script = Script::new("C")
            .lookups()
            .on(EventKind::Lookup, |socket, seen| {
                if let common::Seen::Lookup(lookup) = seen {
                    assert!(!socket.destroyed());
                    assert_eq!((lookup.address(), lookup.family()), (None, None));
                    assert_eq!(lookup.host(), "no.host");
                }
            })
            .on_error(|_, error| {
                assert_eq!(error.to_string(), "getaddrinfo ENOTFOUND no.host");
                assert_eq!(error.code(), Code::HostNotFound);
                assert_eq!(error.syscall(), Some("getaddrinfo"));
                assert_eq!(error.hostname(), Some("no.host"));
                assert_eq!((error.address(), error.local()), (None, None));
                assert_eq!(error.errno(), Some(-3008));
                assert!(error.errors().is_empty());
            });
        let options = ConnectOptions::from(("no.host", 1));
        let socket = net::connect(&world.event_loop, options, |_| panic!("connected"));
        world.watch(&socket, script);
        world.run();
        world.assert_trace("C", "lookup(ENOTFOUND) error(ENOTFOUND) close(true)");
    });
}

#[test]
fn names_that_cannot_be_are_not_found_by_the_system() {
    each_form_tcp(|world| {
        let label = "a".repeat(64);
        for name in [
            format!("{label}.example"),
            "a.".repeat(128),
            "nul\0l".to_string(),
        ] {
            let script = Script::new("C").on_error(move |_, error| {
                assert_eq!(error.code(), Code::HostNotFound);
                assert_eq!(error.syscall(), Some("getaddrinfo"));
            });
            world.client_with((name, 80).into(), script.lookups());
        }
        world.run();
        let mut events = world.events("C");
        events.sort();
        let each = |event| [event; 3];
        let all = ["close(true)", "error(ENOTFOUND)", "lookup(ENOTFOUND)"].map(each);
        assert_eq!(events, all.concat());
    });
}

#[test]
fn a_name_of_the_hosts_file_is_found_by_the_system() {
    each_form_tcp(|world| {
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let lines = hosts
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default());
        let names = lines
            .filter_map(|line| line.strip_prefix("127.0.0.1"))
            .flat_map(str::split_whitespace);
        let Some(name) = names
            .into_iter()
            .find(|name| !name.starts_with("localhost"))
        else {
            println!("skipped: /etc/hosts has no other name for 127.0.0.1");
            return;
        };
        let server = world.serve_one(|| Script::new("S"));
        let client = world.client_with((name, port_of(&server)).into(), Script::new("C"));
        client.end();
        world.run();
        world.assert_trace("C", SERVED);
    });
}

#[test]
fn the_family_is_passed_to_the_resolver_and_binds_its_answer() {
    let asked: Arc<Mutex<Vec<Option<Family>>>> = Arc::default();
    let note = Arc::clone(&asked);
    let resolver = move |_: &str, family: Option<Family>| {
        note.lock().unwrap().push(family);
        Ok(ips(&["::1", "127.0.0.1"]))
    };
    each_form_resolving(resolver, |world| {
        let server = world.serve_one(|| Script::new("S"));
        let options = ConnectOptions::from(("some.host", port_of(&server))).family(Family::Ipv4);
        let client = world.client_with(options, Script::new("C"));
        client.on_connect(|socket| assert_eq!(socket.remote_address(), Some(ip("127.0.0.1"))));
        client.end();
        world.run();
        world.assert_trace("C", SERVED);
    });
    assert_eq!(*asked.lock().unwrap(), [Some(Family::Ipv4); 2]);
}

#[test]
fn an_answer_of_the_wrong_family_alone_is_not_found() {
    each_form_tcp(|world| {
        let options = named(1, &["::1"]).family(Family::Ipv4);
        let script = Script::new("C").on_error(|_, error| {
            assert_eq!(error.to_string(), "getaddrinfo ENOTFOUND a.name");
        });
        world.client_with(options, script.lookups());
        world.run();
        world.assert_trace("C", "lookup(::1) error(ENOTFOUND) close(true)");
    });
}

#[test]
fn destroy_in_a_lookup_listener_is_the_end() {
    each_form_tcp(|world| {
        let script = Script::new("C")
            .lookups()
            .on(EventKind::Lookup, |socket, _| socket.destroy());
        world.client_with(named(1, &["127.0.0.1", "127.0.0.2"]), script);
        world.run();
        world.assert_trace("C", "lookup(127.0.0.1) close(false)");
    });
}

#[test]
fn what_is_asked_for_while_the_name_is_looked_up_is_kept() {
    each_form_tcp(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        world.watch(&socket, Script::new("C").lookups());
        let options = named(port_of(&server), &["127.0.0.1"]);
        socket.connect(options, |_| {}).unwrap();
        assert!(socket.connecting());
        socket.write("early");
        socket.end();
        assert_eq!(socket.buffer_size(), 5);
        world.run();
        world.assert_trace("C", &format!("lookup(127.0.0.1) {SERVED}"));
        world.assert_trace("S", "data(5) end finish close(false)");
    });
}

#[test]
fn an_unheard_failure_of_a_name_is_what_run_returns() {
    each_form_tcp(|world| {
        let options = ConnectOptions::from(("a.name", 1)).lookup(|_, _, _| {});
        net::connect(&world.event_loop, options, |_| panic!("connected"));
        let error = world.try_run().unwrap_err();
        assert_eq!(error.to_string(), "getaddrinfo ENOTFOUND a.name");
        world.run();
    });
}
