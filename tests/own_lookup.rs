//! `ConnectOptions::lookup`: a resolver of the program's own, and all the ways in which it may answer. Only TCP has
//! names.

mod common;
#[path = "common/names.rs"]
mod names;
#[path = "common/place.rs"]
mod place;

use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use common::{counter, each_form_tcp, Script, World};
use names::{at_once, ips, named, port_of};
use tidewheel::net::{self, ConnectOptions, EventKind, Family, LookupReply};
use tidewheel::{Code, Error, LoopHandle};

const SERVED: &str = "lookup(127.0.0.1) connect ready finish end close(false)";
const NOT_FOUND: &str = "lookup(ENOTFOUND) error(ENOTFOUND) close(true)";

fn looked_up(
    port: u16,
    lookup: impl Fn(&LoopHandle, &str, LookupReply) + 'static,
) -> ConnectOptions {
    ConnectOptions::from(("a.name", port)).lookup(lookup)
}

/// Connects to a server by a resolver, and expects to be served.
#[track_caller]
fn served(world: &World, lookup: impl Fn(&LoopHandle, &str, LookupReply) + 'static) {
    let server = world.serve_one(|| Script::new("S"));
    let options = looked_up(port_of(&server), lookup);
    let client = world.client_with(options, Script::new("C").lookups());
    client.end();
    world.run();
    world.assert_trace("C", SERVED);
}

/// Keeps a reply for the test to answer.
type Kept = Rc<RefCell<Option<LookupReply>>>;

fn keep(kept: &Kept) -> impl Fn(&LoopHandle, &str, LookupReply) + 'static {
    let kept = Rc::clone(kept);
    move |_, _, reply| {
        kept.replace(Some(reply));
    }
}

#[test]
fn it_is_called_once_in_the_loop_and_not_inside_connect() {
    each_form_tcp(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let calls = counter();
        let count = Rc::clone(&calls);
        let options = looked_up(port_of(&server), move |event_loop, host, reply| {
            assert!(event_loop.is_alive());
            assert_eq!(host, "a.name");
            assert_eq!(reply.family(), None);
            count.set(count.get() + 1);
            reply.found(ips(&["127.0.0.1"]));
        });
        let client = world.client_with(options, Script::new("C").lookups());
        client.end();
        assert_eq!(calls.get(), 0);
        world.run();
        assert_eq!(calls.get(), 1);
        world.assert_trace("C", SERVED);
    });
}

#[test]
fn an_answer_at_once_serves() {
    each_form_tcp(|world| served(world, at_once(&["127.0.0.1"])));
}

#[test]
fn an_answer_of_a_timer_serves() {
    each_form_tcp(|world| {
        served(world, |event_loop, _, reply| {
            event_loop.set_timeout(Duration::from_millis(2), move |_| {
                reply.found(ips(&["127.0.0.1"]));
            });
        });
    });
}

#[test]
fn an_answer_of_another_lookup_serves() {
    each_form_tcp(|world| {
        let kept = Kept::default();
        let server = world.server_for(2, Default::default(), || Script::new("S"));
        let first = looked_up(port_of(&server), keep(&kept));
        let first = world.client_with(first, Script::new("C").lookups());
        first.end();
        let second = looked_up(port_of(&server), move |_, _, reply| {
            let first = kept.take().expect("looked up in the order of asking");
            first.found(ips(&["127.0.0.1"]));
            reply.found(ips(&["127.0.0.1"]));
        });
        let second = world.client_with(second, Script::new("D").lookups());
        second.end();
        world.run();
        world.assert_trace("C", SERVED);
        world.assert_trace("D", SERVED);
    });
}

#[test]
fn localhost_may_be_looked_up_otherwise() {
    each_form_tcp(|world| {
        let options = ConnectOptions::from(1).lookup(|_, host, reply| {
            assert_eq!(host, "localhost");
            drop(reply);
        });
        world.client_with(options, Script::new("C").lookups());
        world.run();
        world.assert_trace("C", NOT_FOUND);
    });
}

#[test]
fn it_is_told_the_family_that_is_wanted() {
    each_form_tcp(|world| {
        let options = looked_up(1, |_, _, reply| {
            assert_eq!(reply.family(), Some(Family::Ipv6));
            reply.found(vec![]);
        });
        let options = options.family(Family::Ipv6);
        world.client_with(options, Script::new("C").lookups());
        world.run();
        world.assert_trace("C", NOT_FOUND);
    });
}

#[test]
fn a_reply_dropped_unanswered_is_not_found() {
    each_form_tcp(|world| {
        let script = Script::new("C").on_error(|_, error| {
            assert_eq!(error.to_string(), "getaddrinfo ENOTFOUND a.name");
        });
        world.client_with(looked_up(1, |_, _, _| {}), script.lookups());
        world.run();
        world.assert_trace("C", NOT_FOUND);
    });
}

#[test]
fn a_reply_dropped_later_is_not_found() {
    each_form_tcp(|world| {
        let kept = Kept::default();
        world.client_with(looked_up(1, keep(&kept)), Script::new("C").lookups());
        let timer = Duration::from_millis(2);
        world
            .event_loop
            .set_timeout(timer, move |_| drop(kept.take()));
        world.run();
        world.assert_trace("C", NOT_FOUND);
    });
}

#[test]
fn no_address_at_all_is_not_found() {
    each_form_tcp(|world| {
        world.client_with(named(1, &[]), Script::new("C").lookups());
        world.run();
        world.assert_trace("C", NOT_FOUND);
    });
}

#[test]
fn its_own_failure_is_the_error_as_it_stands() {
    each_form_tcp(|world| {
        let options = looked_up(1, |_, _, reply| {
            reply.failed(Error::new(Code::LookupTryAgain, "the oracle sleeps"));
        });
        let script = Script::new("C").on_error(|_, error| {
            assert_eq!(error.to_string(), "the oracle sleeps");
            assert_eq!(error.code(), Code::LookupTryAgain);
        });
        world.client_with(options, script.lookups());
        world.run();
        let told = "lookup(EAI_AGAIN) error(EAI_AGAIN) close(true)";
        world.assert_trace("C", told);
    });
}

#[test]
fn a_lookup_that_never_answers_keeps_the_loop_alive_until_the_socket_is_destroyed() {
    each_form_tcp(|world| {
        let kept = Kept::default();
        let options = looked_up(1, keep(&kept));
        let client = world.client_with(options, Script::new("C").lookups());
        world
            .event_loop
            .set_timeout(Duration::from_millis(2), move |event_loop| {
                assert!(event_loop.is_alive() && client.connecting());
                client.destroy();
            });
        world.run();
        world.assert_trace("C", "close(false)");
        // It comes too late, and to nobody.
        kept.take().unwrap().found(ips(&["127.0.0.1"]));
        assert!(!world.event_loop.is_alive());
    });
}

#[test]
fn an_answer_after_destroy_is_ignored() {
    each_form_tcp(|world| {
        let kept = Kept::default();
        let options = looked_up(1, keep(&kept));
        let client = world.client_with(options, Script::new("C").lookups());
        world.event_loop.set_immediate(move |_| {
            let reply = kept.take().unwrap();
            client.destroy();
            reply.found(ips(&["127.0.0.1"]));
        });
        world.run();
        world.assert_trace("C", "close(false)");
    });
}

#[test]
fn destroy_after_the_answer_calls_the_rest_off() {
    each_form_tcp(|world| {
        let kept = Kept::default();
        let options = looked_up(1, keep(&kept));
        let client = world.client_with(options, Script::new("C").lookups());
        world.event_loop.set_immediate(move |_| {
            kept.take().unwrap().found(ips(&["127.0.0.1"]));
            client.destroy();
        });
        world.run();
        world.assert_trace("C", "close(false)");
    });
}

#[test]
fn it_may_destroy_the_socket_it_looks_up_for() {
    each_form_tcp(|world| {
        let socket: Rc<RefCell<Option<net::Socket>>> = Rc::default();
        let own = Rc::clone(&socket);
        let options = looked_up(1, move |_, _, reply| {
            own.take().unwrap().destroy();
            reply.found(ips(&["127.0.0.1"]));
        });
        let client = world.client_with(options, Script::new("C").lookups());
        socket.replace(Some(client));
        world.run();
        world.assert_trace("C", "close(false)");
    });
}

#[test]
fn a_panic_in_it_leaves_the_name_not_found_and_the_loop_whole() {
    each_form_tcp(|world| {
        let options = looked_up(1, |_, _, _| panic!("the oracle is out of its mind"));
        world.client_with(options, Script::new("C").lookups());
        let served = looked_up(1, at_once(&["127.0.0.1"]));
        world.client_with(served, Script::new("D").lookups());
        let panicked = catch_unwind(AssertUnwindSafe(|| world.event_loop.run()));
        assert!(panicked.is_err());
        world.run();
        world.assert_trace("C", NOT_FOUND);
        world.assert_trace("D", "lookup(127.0.0.1) error(ECONNREFUSED) close(true)");
    });
}

#[test]
fn a_panic_in_a_lookup_listener_does_not_stop_the_connect() {
    each_form_tcp(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let client = world.client_with(named(port_of(&server), &["127.0.0.1"]), Script::new("C"));
        client.on_lookup(|_, _| panic!("never mind"));
        client.end();
        assert!(catch_unwind(AssertUnwindSafe(|| world.event_loop.run())).is_err());
        world.run();
        world.assert_trace("C", "connect ready finish end close(false)");
    });
}

#[test]
fn one_set_of_options_serves_several_sockets() {
    each_form_tcp(|world| {
        let server = world.server_for(2, Default::default(), || Script::new("S"));
        let options = named(port_of(&server), &["127.0.0.1"]);
        for name in ["C", "D"] {
            let client = world.client_with(options.clone(), Script::new(name).lookups());
            client.end();
        }
        world.run();
        world.assert_trace("C", SERVED);
        world.assert_trace("D", SERVED);
    });
}

#[test]
fn its_closure_goes_with_the_socket_and_never_inside_a_call() {
    /// Notices when it is dropped while the test holds the cell.
    struct Busy(Rc<RefCell<()>>, Rc<Cell<usize>>);
    impl Drop for Busy {
        fn drop(&mut self) {
            drop(self.0.borrow_mut());
            self.1.set(self.1.get() + 1);
        }
    }
    each_form_tcp(|world| {
        let cell = Rc::new(RefCell::new(()));
        let dropped = counter();
        let options = |port: Option<u16>| {
            let busy = Busy(Rc::clone(&cell), Rc::clone(&dropped));
            let options = ConnectOptions::default()
                .host("a.name")
                .lookup(move |_, _, _| {
                    let _ = &busy;
                });
            match port {
                Some(port) => options.port(port),
                None => options,
            }
        };
        let held = cell.borrow();
        let socket = net::Socket::new(&world.event_loop, Default::default());
        let error = socket.connect(options(None), |_| {}).unwrap_err();
        assert_eq!(error.code(), Code::MissingArgs);
        socket.connect(options(Some(1)), |_| {}).unwrap();
        let error = socket.connect(options(Some(1)), |_| {}).unwrap_err();
        assert_eq!(error.code(), Code::SocketAlreadyConnected);
        world.watch(&socket, Script::new("C").lookups());
        world.client_with(options(None), Script::new("D").lookups());
        assert_eq!(dropped.get(), 0);
        drop(held);
        world.run();
        assert_eq!(dropped.get(), 4);
        world.assert_trace("C", NOT_FOUND);
        world.assert_trace("D", "error(ERR_MISSING_ARGS) close(true)");
    });
}

#[test]
fn a_reply_may_outlive_the_loop() {
    each_form_tcp(|_| {
        let kept = Kept::default();
        let event_loop = tidewheel::EventLoop::new().unwrap();
        net::connect(&event_loop, looked_up(1, keep(&kept)), |_| {});
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert!(kept.borrow().is_some());
        let within = Rc::clone(&kept);
        // One kept by a closure of the loop is dropped with it.
        event_loop.set_immediate(move |_| drop(within));
        drop(event_loop);
        kept.take().unwrap().found(ips(&["127.0.0.1"]));
        kept.take();
    });
}

#[test]
fn the_answer_is_activity() {
    each_form_tcp(|world| {
        let idle = Duration::from_millis(40);
        let kept = Kept::default();
        let full = place::FullQueue::new(world);
        let port = full.address.port().unwrap();
        let options = looked_up(port, keep(&kept)).timeout(idle);
        let answered = Rc::new(Cell::new(None));
        let since = Rc::clone(&answered);
        let script = Script::new("C").on(EventKind::Timeout, move |socket, _| {
            let since = since.get().expect("looked up first");
            assert!(socket.event_loop().now() - since >= idle, "early");
            socket.destroy();
        });
        world.client_with(options, script);
        let timer = Duration::from_millis(25);
        world.event_loop.set_timeout(timer, move |event_loop| {
            kept.take().unwrap().found(ips(&["127.0.0.1"]));
            answered.set(Some(event_loop.now()));
        });
        world.run();
        world.assert_trace("C", "timeout close(false)");
    });
}

/// An error may wrap one of the user's, whose destructor must not run while the loop is at work.
#[test]
fn an_error_that_comes_too_late_is_dropped_in_the_next_turn() {
    #[derive(Debug)]
    struct Own(Arc<AtomicBool>);
    impl std::fmt::Display for Own {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("own")
        }
    }
    impl std::error::Error for Own {}
    impl Drop for Own {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    each_form_tcp(|world| {
        let kept = Kept::default();
        let dropped = Arc::new(AtomicBool::new(false));
        let late = Own(Arc::clone(&dropped));
        let client = world.client_with(looked_up(1, keep(&kept)), Script::new("C"));
        world.event_loop.set_immediate(move |_| {
            client.destroy();
            kept.take().unwrap().failed(Error::other(late));
            assert!(!dropped.load(Ordering::Relaxed), "inside the call");
        });
        world.run();
        world.assert_trace("C", "close(false)");
    });
}
