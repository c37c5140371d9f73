//! `connect_timeout`: how long the whole of a connect may take. A look-up that never answers makes it last.
#![cfg(feature = "sim")]

mod common;
#[path = "common/names.rs"]
mod names;
#[path = "common/place.rs"]
mod place;
#[path = "common/simulated.rs"]
mod simulated;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{each_case, Script, Transport};
use names::ips;
use place::FullQueue;
use simulated::{each_form_sim, ms};
use tidewheel::net::{self, ConnectOptions, EventKind, LookupReply, ServerOptions};
use tidewheel::Code;

type Kept = Rc<RefCell<Option<LookupReply>>>;

/// To a name that is looked up for ever.
fn for_ever() -> (ConnectOptions, Kept) {
    let kept = Kept::default();
    let reply = Rc::clone(&kept);
    let options = ConnectOptions::from(("a.name", 1)).lookup(move |_, _, unanswered| {
        reply.replace(Some(unanswered));
    });
    (options, kept)
}

#[test]
fn it_counts_from_connect_on_and_includes_the_look_up() {
    each_form_sim(|world, sim| {
        let (options, _kept) = for_ever();
        let clock = sim.clone();
        let script = Script::new("C").on_error(move |socket, error| {
            assert_eq!(clock.now(), ms(1500));
            assert!(socket.destroyed());
            assert_eq!(error.to_string(), "connect ETIMEDOUT");
            assert_eq!(error.code(), Code::TimedOut);
            assert_eq!((error.address(), error.hostname()), (None, None));
        });
        world.client_with(options.connect_timeout(ms(1500)), script.lookups());
        world.run();
        world.assert_trace("C", "error(ETIMEDOUT) close(true)");
    });
}

#[test]
fn activity_does_not_put_it_off_and_the_idle_timeout_is_another() {
    each_form_sim(|world, sim| {
        let (options, _kept) = for_ever();
        let clock = sim.clone();
        let script = Script::new("C")
            .on(EventKind::Timeout, |socket, _| {
                socket.set_timeout(ms(300));
                socket.write("x");
            })
            .on_error(move |_, _| assert_eq!(clock.now(), ms(1000)));
        let options = options.connect_timeout(ms(1000)).timeout(ms(300));
        world.client_with(options, script);
        world.run();
        let timeouts = "timeout timeout timeout";
        world.assert_trace("C", &format!("{timeouts} error(ETIMEDOUT) close(true)"));
    });
}

#[test]
fn an_answer_in_time_leaves_it_running_for_the_rest() {
    each_form_sim(|world, _| {
        let (options, kept) = for_ever();
        // Nobody is connected to on a simulated loop, and so the attempt fails; the timer goes with it.
        world.client_with(
            options.connect_timeout(ms(1000)),
            Script::new("C").lookups(),
        );
        world.event_loop.set_timeout(ms(999), move |_| {
            kept.take().unwrap().found(ips(&["127.0.0.1"]));
        });
        world.run();
        let events = world.events("C");
        assert_eq!(events[0], "lookup(127.0.0.1)");
        assert_ne!(events[1], "error(ETIMEDOUT)");
        assert_eq!(events[2], "close(true)");
    });
}

#[test]
fn destroy_ends_it() {
    each_form_sim(|world, sim| {
        let (options, _kept) = for_ever();
        let client = world.client_with(options.connect_timeout(ms(1000)), Script::new("C"));
        world
            .event_loop
            .set_timeout(ms(10), move |_| client.destroy());
        world.run();
        world.assert_trace("C", "close(false)");
        assert_eq!(sim.now(), ms(10));
        assert_eq!(world.event_loop.stats().timers, 0);
    });
}

#[test]
fn zero_is_none() {
    each_form_sim(|world, sim| {
        let (options, kept) = for_ever();
        let options = options.connect_timeout(Duration::ZERO);
        world.client_with(options, Script::new("C"));
        world
            .event_loop
            .set_timeout(ms(25_000), move |_| drop(kept.take()));
        world.run();
        world.assert_trace("C", "error(ENOTFOUND) close(true)");
        assert_eq!(sim.now(), ms(25_000));
    });
}

#[test]
fn the_longest_duration_there_is_never_comes() {
    each_form_sim(|world, _| {
        let (options, kept) = for_ever();
        let options = options.connect_timeout(Duration::MAX);
        world.client_with(options, Script::new("C"));
        world
            .event_loop
            .set_timeout(ms(5000), move |_| drop(kept.take()));
        world.run();
        world.assert_trace("C", "error(ENOTFOUND) close(true)");
    });
}

#[test]
fn once_connected_it_is_gone() {
    each_case(|world| {
        let server = world.server_for(1, ServerOptions::default(), || Script::new("S"));
        let limit = ms(10_000);
        let options = world.connect_options(&server).connect_timeout(limit);
        let client = world.client_with(options, Script::new("C"));
        client.on_connect(|socket| {
            let timers = socket.event_loop().stats().timers;
            // The harness has one.
            assert_eq!(timers, 1);
        });
        client.end();
        world.run();
        world.assert_trace("C", "connect ready finish end close(false)");
    });
}

/// A UNIX socket whose queue is full says so at once, so only TCP attempts last.
#[test]
fn an_attempt_without_an_answer_names_its_address() {
    common::each_form_tcp(|world| {
        assert_eq!(world.transport, Transport::Tcp);
        let full = FullQueue::new(world);
        let said = format!("connect ETIMEDOUT {}", full.address);
        let address = full.address.clone();
        let limit = ms(30);
        let started = std::time::Instant::now();
        let script = Script::new("C").on_error(move |_, error| {
            assert!(started.elapsed() >= limit, "early");
            assert_eq!(error.to_string(), said);
            assert_eq!(error.address(), Some(&address));
            assert_eq!(error.errno(), Some(-libc::ETIMEDOUT));
        });
        let options = ConnectOptions::from(full.address.clone()).connect_timeout(limit);
        let socket = net::connect(&world.event_loop, options, |_| panic!("connected"));
        world.watch(&socket, script);
        world.run();
        world.assert_trace("C", "error(ETIMEDOUT) close(true)");
    });
}

/// Timers come before the poll, and a loop that was busy has not looked yet.
#[test]
fn what_has_connected_in_time_is_not_given_up() {
    common::each_form_tcp(|world| {
        let server = world.server_for(1, ServerOptions::default(), || Script::new("S"));
        // Two addresses, so that each attempt has its time, too.
        let options = ConnectOptions::from(("localhost", names::port_of(&server)))
            .auto_select_family_attempt_timeout(ms(10))
            .connect_timeout(ms(10));
        let watcher = world.watcher();
        world.event_loop.set_immediate(move |event_loop| {
            let client = net::connect(event_loop, options, |_| {});
            watcher.watch(&client, Script::new("C"));
            client.end();
        });
        // The look-up, the attempt, and then the loop is busy.
        world.event_loop.set_immediate(|_| {});
        world.event_loop.set_immediate(|_| {});
        world
            .event_loop
            .set_immediate(|_| std::thread::sleep(ms(30)));
        world.run();
        world.assert_trace("C", "connect ready finish end close(false)");
    });
}

#[test]
fn a_turn_that_took_long_makes_neither_the_whole_nor_an_attempt_early() {
    common::each_form_tcp(|world| {
        let full = FullQueue::new(world);
        let port = full.address.port().unwrap();
        let whole = ConnectOptions::from(full.address.clone()).connect_timeout(ms(40));
        let attempt = names::named(port, &["127.0.0.1", "127.0.0.1"])
            .auto_select_family_attempt_timeout(ms(40))
            .connect_timeout(ms(60));
        for options in [whole, attempt] {
            let watcher = world.watcher();
            world.event_loop.set_immediate(move |event_loop| {
                std::thread::sleep(ms(50));
                let started = std::time::Instant::now();
                let script = Script::new("C")
                    .on_error(move |_, _| assert!(started.elapsed() >= ms(40), "early"));
                watcher.watch(&net::connect(event_loop, options, |_| {}), script);
            });
            world.run();
        }
    });
}
