//! The addresses of a name, tried in turn until one answers. Only TCP has names.

mod common;
#[path = "common/names.rs"]
mod names;
#[path = "common/place.rs"]
mod place;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{each_form_tcp, Script, World};
use names::{ip, named, Refusing};
use place::{has_ipv6, FullQueue};
use tidewheel::net::{self, ConnectOptions, EventKind, Server};
use tidewheel::{Code, Error};

const SERVED: &str = "connect ready finish end close(false)";

/// A server at 127.0.0.LAST, whose port refuses at the addresses before.
fn behind_refusing(world: &World, last: u8) -> (Server, Refusing) {
    loop {
        let refusing = Refusing::new(world, last - 1);
        let watcher = world.watcher();
        let server = net::create_server(&world.event_loop, move |socket| {
            watcher.watch(socket, Script::new("S"));
            socket.server().unwrap().close();
        });
        let host = format!("127.0.0.{last}");
        if server.listen((host, refusing.port), |_| {}).is_ok() {
            return (server, refusing);
        }
    }
}

fn messages(error: &Error) -> Vec<String> {
    error.errors().iter().map(Error::to_string).collect()
}

#[test]
fn failures_on_the_way_are_not_told_when_one_address_answers() {
    each_form_tcp(|world| {
        let (_server, refusing) = behind_refusing(world, 3);
        let options = named(refusing.port, &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        let client = world.client_with(options, Script::new("C"));
        client.on_connect(|socket| assert_eq!(socket.remote_address(), Some(ip("127.0.0.3"))));
        client.end();
        world.run();
        world.assert_trace("C", SERVED);
        assert_eq!(world.event_loop.stats().unhandled_errors, 0);
    });
}

#[test]
fn what_was_written_before_is_sent_once_and_to_the_one_that_answers() {
    each_form_tcp(|world| {
        let (_server, refusing) = behind_refusing(world, 2);
        let options = named(refusing.port, &["127.0.0.1", "127.0.0.2"]);
        let client = world.client_with(options, Script::new("C"));
        client.write("request");
        client.end();
        client.on_connect(|socket| assert_eq!(socket.bytes_written(), 7));
        world.run();
        world.assert_trace("C", SERVED);
        world.assert_trace("S", "data(7) end finish close(false)");
    });
}

#[test]
fn when_all_fail_there_is_one_error_with_one_for_each_address() {
    each_form_tcp(|world| {
        let refusing = Refusing::new(world, 3);
        let port = refusing.port;
        let said = move |last: u8| format!("connect ECONNREFUSED 127.0.0.{last}:{port}");
        let script = Script::new("C").on_error(move |socket, error| {
            assert!(socket.destroyed());
            let message = format!("{} (and 2 more addresses failed)", said(1));
            assert_eq!(error.to_string(), message);
            assert_eq!(error.code(), Code::ConnRefused);
            assert_eq!(error.syscall(), Some("connect"));
            assert_eq!(error.address().unwrap().ip(), Some(ip("127.0.0.1")));
            assert_eq!(messages(error), [said(1), said(2), said(3)]);
            for (last, each) in (1..).zip(error.errors()) {
                let at = each.address().unwrap();
                assert_eq!(at.to_string(), format!("127.0.0.{last}:{port}"));
                assert_eq!(each.errno(), Some(-libc::ECONNREFUSED));
                assert!(each.errors().is_empty());
            }
        });
        let options = named(port, &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        world.client_with(options, script);
        world.run();
        world.assert_trace("C", "error(ECONNREFUSED) close(true)");
    });
}

#[test]
fn a_single_address_that_fails_is_the_plain_error() {
    each_form_tcp(|world| {
        let refusing = Refusing::new(world, 1);
        let said = format!("connect ECONNREFUSED 127.0.0.1:{}", refusing.port);
        let script = Script::new("C").on_error(move |_, error| {
            assert_eq!(error.to_string(), said);
            assert!(error.errors().is_empty());
        });
        world.client_with(named(refusing.port, &["127.0.0.1"]), script);
        world.run();
        world.assert_trace("C", "error(ECONNREFUSED) close(true)");
    });
}

#[test]
fn families_take_turns_beginning_with_that_of_the_first_address() {
    each_form_tcp(|world| {
        if !has_ipv6() {
            return;
        }
        let refusing = Refusing::new(world, 2);
        // Mapped addresses go by IPv6 to where the others refuse by IPv4.
        let (one, two) = ("::ffff:127.0.0.1", "::ffff:127.0.0.2");
        for (answer, order) in [
            (
                [one, two, "127.0.0.1", "127.0.0.2"],
                [one, "127.0.0.1", two, "127.0.0.2"],
            ),
            (
                ["127.0.0.2", "127.0.0.1", two, one],
                ["127.0.0.2", two, "127.0.0.1", one],
            ),
        ] {
            let script = Script::new("C").on_error(move |_, error| {
                let tried = error.errors().iter().map(|error| error.address().unwrap());
                let tried: Vec<_> = tried.map(|at| at.ip().unwrap()).collect();
                assert_eq!(tried, order.map(ip));
            });
            world.client_with(named(refusing.port, &answer), script);
        }
        world.run();
        assert_eq!(world.events("C").len(), 4);
    });
}

#[test]
fn without_auto_select_family_only_the_first_address_is_tried() {
    each_form_tcp(|world| {
        let (server, refusing) = behind_refusing(world, 2);
        let both = named(refusing.port, &["127.0.0.1", "127.0.0.2"]);
        let only_first: [(&str, ConnectOptions); 3] = [
            ("off", both.clone().auto_select_family(false)),
            ("family", both.clone().family(net::Family::Ipv4)),
            ("local", both.clone().local_address("127.0.0.9")),
        ];
        for (name, options) in only_first {
            let script = Script::new(name).on_error(|_, error| {
                assert_eq!(error.address().unwrap().ip(), Some(ip("127.0.0.1")));
                assert!(error.errors().is_empty());
            });
            world.client_with(options, script.lookups());
        }
        server.close();
        world.run();
        let told = "lookup(127.0.0.1) lookup(127.0.0.2) error(ECONNREFUSED) close(true)";
        for name in ["off", "family", "local"] {
            world.assert_trace(name, told);
        }
    });
}

#[test]
fn an_address_that_does_not_answer_is_left_for_the_next_when_its_time_is_up() {
    each_form_tcp(|world| {
        let full = FullQueue::new(world);
        let port = full.address.port().unwrap();
        let server = net::create_server(&world.event_loop, |socket| {
            socket.server().unwrap().close();
            socket.resume();
        });
        if server.listen(("127.0.0.2", port), |_| {}).is_err() {
            println!("skipped: the port is taken");
            return;
        }
        let limit = Duration::from_millis(30);
        let started = Instant::now();
        let options = named(port, &["127.0.0.1", "127.0.0.2"])
            .auto_select_family_attempt_timeout(limit)
            .connect_timeout(Duration::from_secs(20));
        let script = Script::new("C").on(EventKind::Connect, move |socket, _| {
            assert!(started.elapsed() >= limit, "early");
            assert_eq!(socket.remote_address(), Some(ip("127.0.0.2")));
        });
        let client = world.client_with(options, script);
        client.write("once");
        client.end();
        world.run();
        drop(full);
        world.assert_trace("C", SERVED);
    });
}

#[test]
fn the_last_address_has_all_the_time_there_is_and_the_whole_of_it_a_limit() {
    each_form_tcp(|world| {
        let full = FullQueue::new(world);
        let port = full.address.port().unwrap();
        let limit = Duration::from_millis(120);
        let started = Instant::now();
        let script = Script::new("C").on_error(move |_, error| {
            assert!(started.elapsed() >= limit, "early");
            assert_eq!(error.code(), Code::TimedOut);
            let said = format!("connect ETIMEDOUT 127.0.0.1:{port}");
            assert_eq!(error.to_string(), said);
        });
        // The same address several times: each attempt but the last has ten milliseconds at least.
        let options = named(port, &["127.0.0.1", "127.0.0.1", "127.0.0.1"])
            .auto_select_family_attempt_timeout(Duration::ZERO)
            .connect_timeout(limit);
        world.client_with(options, script);
        world.run();
        world.assert_trace("C", "error(ETIMEDOUT) close(true)");
    });
}

#[test]
fn configure_sees_the_descriptor_of_each_attempt() {
    each_form_tcp(|world| {
        let (_server, refusing) = behind_refusing(world, 3);
        let seen: Rc<RefCell<Vec<bool>>> = Rc::default();
        let note = Rc::clone(&seen);
        let options =
            named(refusing.port, &["127.0.0.1", "127.0.0.2", "127.0.0.3"]).configure(move |fd| {
                note.borrow_mut().push(fd.as_raw_fd() >= 0);
                Ok(())
            });
        world.client_with(options, Script::new("C")).end();
        world.run();
        assert_eq!(*seen.borrow(), [true; 3]);
        world.assert_trace("C", SERVED);
    });
}

#[test]
fn an_attempt_that_configure_refuses_is_one_failure_among_others() {
    each_form_tcp(|world| {
        let (_server, refusing) = behind_refusing(world, 2);
        let first = Cell::new(true);
        let options = named(refusing.port, &["127.0.0.2", "127.0.0.2"]).configure(move |_| {
            match first.replace(false) {
                true => Err(io::Error::from_raw_os_error(libc::EACCES)),
                false => Ok(()),
            }
        });
        world.client_with(options, Script::new("C")).end();
        world.run();
        world.assert_trace("C", SERVED);
    });
}

#[test]
fn destroy_between_two_attempts_is_the_end_of_both() {
    each_form_tcp(|world| {
        let (server, refusing) = behind_refusing(world, 2);
        let socket: Rc<RefCell<Option<net::Socket>>> = Rc::default();
        let own = Rc::clone(&socket);
        let attempts = Cell::new(0);
        let options = named(refusing.port, &["127.0.0.1", "127.0.0.2"]).configure(move |_| {
            attempts.set(attempts.get() + 1);
            if attempts.get() == 2 {
                own.borrow().as_ref().unwrap().destroy();
            }
            Ok(())
        });
        socket.replace(Some(world.client_with(options, Script::new("C"))));
        server.close();
        world.run();
        world.assert_trace("C", "close(false)");
        socket.take();
    });
}
