//! The threads that look names up: one that hangs delays nothing, who asks for the same shares the look-up, and a loop
//! that is dropped waits for none. Only TCP has names.

mod common;
#[path = "common/names.rs"]
mod names;
#[path = "common/place.rs"]
mod place;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use common::{each_form_tcp, run_on, EventLoop, Form, Script, Transport, World};
use names::{each_form_resolving, port_of, Gate, Opened};
use tidewheel::net::{self, ConnectOptions, EventKind, Family, ServerOptions};
use tidewheel::Code;

const SERVED: &str = "connect ready finish end close(false)";
const SOON: Duration = Duration::from_secs(20);

/// Runs a scenario on a loop with so many resolver threads, in which each name hangs until the gate is opened.
#[track_caller]
fn each_form_hanging(threads: usize, scenario: impl Fn(&World, &Gate, &Receiver<String>)) {
    for form in [Form::Closures, Form::Handler] {
        let (gate, begun) = Gate::new();
        let _opened = Opened(gate.clone());
        let of_loop = gate.clone();
        let builder = EventLoop::builder()
            .resolver_threads(threads)
            .resolver(move |name, _| of_loop.pass(name));
        run_on(builder, form, Transport::Tcp, &|world: &World| {
            scenario(world, &gate, &begun)
        });
    }
}

#[test]
fn a_hung_resolver_delays_neither_timers_nor_sockets() {
    each_form_hanging(1, |world, _, begun| {
        let hung = world.client_with(("hung.host", 1).into(), Script::new("H").lookups());
        assert!(world.event_loop.turn(Some(Duration::ZERO)).unwrap());
        assert_eq!(begun.recv_timeout(SOON).unwrap(), "hung.host");
        let server = world.server_for(2, ServerOptions::default(), || Script::new("S"));
        let port = port_of(&server);
        let by_address = world.client_with(("127.0.0.1", port).into(), Script::new("C"));
        by_address.end();
        let localhost = world.client_with(("localhost", port).into(), Script::new("D"));
        localhost.end();
        let ticks = Rc::new(Cell::new(0));
        let count = Rc::clone(&ticks);
        let both = [by_address, localhost];
        world
            .event_loop
            .set_interval(Duration::from_millis(1), move |timer| {
                count.set(count.get() + 1);
                if count.get() >= 3 && both.iter().all(net::Socket::destroyed) {
                    assert!(hung.connecting());
                    hung.destroy();
                    timer.clear();
                }
            });
        world.run();
        world.assert_trace("C", SERVED);
        world.assert_trace("D", SERVED);
        world.assert_trace("H", "close(false)");
        assert!(ticks.get() >= 3);
    });
}

#[test]
fn a_hung_name_delays_no_other_name_while_a_thread_is_left() {
    each_form_resolving(
        |name, _| match name {
            "hung.host" => {
                std::thread::park_timeout(Duration::from_millis(300));
                Err(io::ErrorKind::TimedOut.into())
            }
            _ => Ok(names::ips(&["127.0.0.1"])),
        },
        |world| {
            let server = world.serve_one(|| Script::new("S"));
            let hung = world.client_with(("hung.host", 1).into(), Script::new("H"));
            let options = ConnectOptions::from(("some.host", port_of(&server)));
            let script = Script::new("C").on(EventKind::Close, move |_, _| {
                assert!(hung.connecting());
                hung.destroy();
            });
            world.client_with(options, script).end();
            world.run();
            world.assert_trace("C", SERVED);
            world.assert_trace("H", "close(false)");
        },
    );
}

#[test]
fn who_asks_for_the_same_name_shares_the_look_up() {
    each_form_hanging(4, |world, gate, begun| {
        let server = world.server_for(3, ServerOptions::default(), || Script::new("S"));
        let port = port_of(&server);
        for name in ["C", "D", "E"] {
            let client = world.client_with(("some.host", port).into(), Script::new(name).lookups());
            client.end();
        }
        let asked = world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert!(asked);
        assert_eq!(begun.recv_timeout(SOON).unwrap(), "some.host");
        gate.open();
        world.run();
        assert!(begun.try_recv().is_err(), "looked up twice");
        for name in ["C", "D", "E"] {
            world.assert_trace(name, &format!("lookup(127.0.0.1) {SERVED}"));
        }
    });
}

#[test]
fn an_answer_that_comes_after_destroy_is_ignored() {
    each_form_hanging(1, |world, gate, begun| {
        let client = world.client_with(("some.host", 1).into(), Script::new("C").lookups());
        assert!(world.event_loop.turn(Some(Duration::ZERO)).unwrap());
        begun.recv_timeout(SOON).unwrap();
        client.destroy();
        gate.open();
        // The next answer of the only thread comes after the one that nobody waits for.
        world.client_with(
            ("next.host", 0).into(),
            Script::new("N")
                .lookups()
                .on(EventKind::Lookup, |socket, _| socket.destroy()),
        );
        world.run();
        world.assert_trace("C", "close(false)");
        world.assert_trace("N", "lookup(127.0.0.1) close(false)");
    });
}

#[test]
fn a_look_up_that_nobody_waits_for_any_more_is_not_begun() {
    each_form_hanging(1, |world, gate, begun| {
        let connect = |name: &'static str| {
            let script = Script::new(name).on(EventKind::Lookup, |socket, _| socket.destroy());
            world.client_with((name, 1).into(), script.lookups())
        };
        connect("first.host");
        let given_up = connect("second.host");
        connect("third.host");
        assert!(world.event_loop.turn(Some(Duration::ZERO)).unwrap());
        given_up.destroy();
        gate.open();
        world.run();
        let looked_up: Vec<String> = begun.try_iter().collect();
        assert_eq!(looked_up, ["first.host", "third.host"]);
        world.assert_trace("second.host", "close(false)");
        for name in ["first.host", "third.host"] {
            world.assert_trace(name, "lookup(127.0.0.1) close(false)");
        }
    });
}

#[test]
fn a_socket_whose_name_hangs_may_be_timed_out() {
    each_form_hanging(1, |world, _, _| {
        let limit = Duration::from_millis(20);
        let started = Instant::now();
        let options = ConnectOptions::from(("hung.host", 1)).connect_timeout(limit);
        let script = Script::new("C").lookups().on_error(move |_, error| {
            assert!(started.elapsed() >= limit, "early");
            assert_eq!(error.code(), Code::TimedOut);
            assert_eq!(error.syscall(), Some("connect"));
        });
        world.client_with(options, script);
        world.run();
        world.assert_trace("C", "error(ETIMEDOUT) close(true)");
    });
}

#[test]
fn a_dropped_loop_waits_for_no_look_up_and_keeps_no_descriptor() {
    each_form_tcp(|_| {
        let fds = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = fds();
        let (gate, begun) = Gate::new();
        let _opened = Opened(gate.clone());
        let builder = EventLoop::builder()
            .resolver_threads(2)
            .resolver(move |name, _| gate.pass(name));
        let event_loop = EventLoop::of(builder).unwrap();
        let kept = event_loop.handle();
        for name in ["one.host", "two.host", "three.host"] {
            net::connect(&event_loop, (name, 1), |_| panic!("connected"));
        }
        assert!(event_loop.turn(Some(Duration::ZERO)).unwrap());
        for _ in 0..2 {
            begun.recv_timeout(SOON).unwrap();
        }
        // The gate is closed: to wait would be to wait for ever.
        drop(event_loop);
        assert_eq!(fds(), before);
        assert!(!kept.is_alive());
    });
}

#[test]
fn what_the_resolver_says_is_the_code_of_the_error() {
    let said = |name: &str, _: Option<Family>| match name {
        "busy.host" => Err(io::Error::from_raw_os_error(libc::EMFILE)),
        "odd.host" => Err(io::Error::other("out of order")),
        "empty.host" => Ok(Vec::new()),
        "tidewheel.host" => Err(tidewheel::Error::new(Code::LookupTryAgain, "later").into()),
        _ => panic!("the resolver is at its wits' end"),
    };
    each_form_resolving(said, |world| {
        for (host, code) in [
            ("busy.host", "EMFILE"),
            ("odd.host", "ENOTFOUND"),
            ("empty.host", "ENOTFOUND"),
            ("tidewheel.host", "EAI_AGAIN"),
            ("worst.host", "EAI_FAIL"),
        ] {
            let script = Script::new(host).lookups().on_error(move |_, error| {
                assert_eq!(error.to_string(), format!("getaddrinfo {code} {host}"));
                assert_eq!(error.hostname(), Some(host));
            });
            world.client_with((host, 1).into(), script);
            world.run();
            let trace = format!("lookup({code}) error({code}) close(true)");
            world.assert_trace(host, &trace);
        }
    });
}

#[test]
fn names_are_looked_up_off_the_thread_of_the_loop() {
    let here = std::thread::current().id();
    let resolver = move |_: &str, _: Option<Family>| {
        assert_ne!(std::thread::current().id(), here);
        Ok(names::ips(&["127.0.0.1"]))
    };
    each_form_resolving(resolver, |world| {
        let server = world.serve_one(|| Script::new("S"));
        let options = ConnectOptions::from(("some.host", port_of(&server)));
        world.client_with(options, Script::new("C")).end();
        world.run();
        world.assert_trace("C", SERVED);
    });
}

#[test]
fn a_thousand_requests_for_a_hung_name_take_one_thread() {
    each_form_hanging(4, |world, _, begun| {
        let clients: Vec<_> = (0..1_000)
            .map(|_| net::connect(&world.event_loop, ("hung.host", 1), |_| {}))
            .collect();
        assert!(world.event_loop.turn(Some(Duration::ZERO)).unwrap());
        begun.recv_timeout(SOON).unwrap();
        for client in clients {
            client.destroy();
        }
        world.run();
        assert!(begun.try_recv().is_err(), "looked up twice");
    });
}
