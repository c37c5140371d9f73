//! Errors that nobody listens to: they stop nothing, and are not lost.

mod common;
#[path = "common/place.rs"]
mod place;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{counter, each_case, each_form_tcp, Form, Script, World};
use place::{turn_until, Nobody};
use tidewheel::net::{self, Handler, Socket};
use tidewheel::{Code, Error};

/// A handler that leaves `on_error` as it is.
struct Deaf(#[allow(dead_code)] Rc<()>);

impl Handler for Deaf {}

/// A connect that nobody answers and nobody listens to, in the form of the case.
fn unheard(world: &World) -> (Nobody, Socket) {
    let nobody = Nobody::new(world);
    let socket = net::connect(&world.event_loop, nobody.to_connect(), |_| {});
    if world.form == Form::Handler {
        socket.set_handler(Deaf(world.probe()));
    }
    (nobody, socket)
}

#[test]
fn run_returns_the_first_error_of_our_own_connects_once_nothing_is_left() {
    each_case(|world| {
        let (nobody, first) = unheard(world);
        // Another one later, and something still to do after both.
        let (later, timer) = (world.event_loop.handle(), counter());
        let ran = Rc::clone(&timer);
        first.on_close(move |_, had_error| {
            assert!(had_error);
            net::connect(&later, std::path::Path::new("/nowhere/at/all"), |_| {});
            later.set_timeout(Duration::from_millis(20), move |_| ran.set(1));
        });
        let error = world.try_run().unwrap_err();
        assert_eq!(timer.get(), 1);
        assert_eq!(error.code(), Code::ConnRefused);
        assert_eq!(error.address(), Some(&nobody.address));
        assert_eq!(world.event_loop.stats().unhandled_errors, 2);
        // Once.
        world.run();
    });
}

#[test]
fn turn_returns_it_in_the_turn_after_which_nothing_is_alive() {
    each_case(|world| {
        let (_nobody, _socket) = unheard(world);
        let outcome = loop {
            match world.event_loop.turn(Some(Duration::from_secs(1))) {
                Ok(true) => {}
                other => break other,
            }
        };
        assert_eq!(outcome.unwrap_err().code(), Code::ConnRefused);
        assert!(!world.event_loop.is_alive());
        assert!(!world.event_loop.turn(None).unwrap());
    });
}

#[test]
fn with_a_hook_it_goes_there_and_run_ends_well() {
    each_case(|world| {
        let heard: Rc<RefCell<Vec<String>>> = Rc::default();
        let (all, probe) = (Rc::clone(&heard), world.probe());
        world.event_loop.on_unhandled_error(move |_, error| {
            let _ = &probe;
            all.borrow_mut().push(error.to_string());
        });
        let (nobody, _socket) = unheard(world);
        world.run();
        let said = format!("connect ECONNREFUSED {}", nobody.address);
        assert_eq!(*heard.borrow(), [said]);
    });
}

#[test]
fn a_second_hook_replaces_the_first() {
    each_case(|world| {
        world
            .event_loop
            .on_unhandled_error(|_, _| panic!("the first hook"));
        let called = counter();
        let count = Rc::clone(&called);
        world
            .event_loop
            .on_unhandled_error(move |_, _| count.set(count.get() + 1));
        let (_nobody, _socket) = unheard(world);
        world.run();
        assert_eq!(called.get(), 1);
    });
}

#[test]
fn the_hook_may_do_everything() {
    each_case(|world| {
        let redialled = counter();
        let count = Rc::clone(&redialled);
        let nobody = Nobody::new(world);
        let again = nobody.to_connect();
        world.event_loop.on_unhandled_error(move |handle, _| {
            if count.get() < 3 {
                count.set(count.get() + 1);
                net::connect(handle, again.clone(), |_| {});
            }
        });
        let (_same, _socket) = unheard(world);
        world.run();
        assert_eq!(redialled.get(), 3);
        assert_eq!(world.event_loop.stats().unhandled_errors, 4);
    });
}

#[test]
fn an_error_that_was_heard_is_not_unhandled() {
    each_case(|world| {
        let (_nobody, socket) = unheard(world);
        // Beside a handler that leaves `on_error` as it is, a closure hears it.
        let heard = counter();
        let count = Rc::clone(&heard);
        socket.on_error(move |_, _| count.set(1));
        world.run();
        assert_eq!(heard.get(), 1);
        assert_eq!(world.event_loop.stats().unhandled_errors, 0);
    });
}

#[test]
fn an_error_that_only_a_write_callback_saw_is_unhandled() {
    each_case(|world| {
        let (_nobody, socket) = unheard(world);
        let seen = counter();
        let count = Rc::clone(&seen);
        socket.write_then("x", move |_, result| {
            assert_eq!(result.unwrap_err().code(), Code::ConnRefused);
            count.set(1);
        });
        let error = world.try_run().unwrap_err();
        assert_eq!(error.code(), Code::ConnRefused);
        assert_eq!(seen.get(), 1);
    });
}

#[test]
fn a_wrong_option_that_nobody_hears_of_ends_run_too() {
    each_case(|world| {
        net::connect(&world.event_loop, net::ConnectOptions::default(), |_| {});
        let error = world.try_run().unwrap_err();
        assert_eq!(error.code(), Code::MissingArgs);
    });
}

// Over UNIX sockets a reset needs unread data, which a server that reads has not.
#[test]
fn a_peer_cannot_stop_a_server_by_resetting() {
    each_form_tcp(|world| {
        let probe = world.probe();
        let met = counter();
        let (count, form) = (Rc::clone(&met), world.form);
        let server = world.server(move |socket| {
            count.set(count.get() + 1);
            match form {
                Form::Closures => {
                    socket.on_data(|_, _| {});
                }
                Form::Handler => {
                    socket.set_handler(Deaf(Rc::clone(&probe)));
                }
            }
        });
        for _ in 0..100 {
            assert!(world.peer(&server).reset());
        }
        turn_until(world, || met.get() == 100 && server.connections() == 0);
        let errors = world.event_loop.stats().unhandled_errors;
        assert_eq!(errors, 100);
        assert!(server.listening());
        server.close();
        // None of them was of an operation that this program began.
        world.run();
    });
}

#[test]
fn an_accepted_sockets_unheard_error_goes_to_the_hook() {
    each_case(|world| {
        let heard: Rc<RefCell<Vec<Code>>> = Rc::default();
        let all = Rc::clone(&heard);
        world
            .event_loop
            .on_unhandled_error(move |_, error| all.borrow_mut().push(error.code()));
        let (probe, form) = (world.probe(), world.form);
        let server = world.server(move |socket| {
            if form == Form::Handler {
                socket.set_handler(Deaf(Rc::clone(&probe)));
            }
            socket.server().unwrap().close();
            socket.destroy_with(Error::new(Code::TimedOut, "too slow"));
        });
        let _peer = world.peer(&server);
        world.run();
        assert_eq!(*heard.borrow(), [Code::TimedOut]);
    });
}

#[test]
fn a_failure_after_connect_is_not_one_of_the_connect() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S").on_error(|_, _| {}));
        let client = net::connect(
            &world.event_loop,
            world.connect_options(&server),
            |socket| {
                socket.destroy_with(Error::new(Code::TimedOut, "too slow"));
            },
        );
        if world.form == Form::Handler {
            client.set_handler(Deaf(world.probe()));
        }
        // It is counted; `run` ends well.
        world.run();
        assert_eq!(world.event_loop.stats().unhandled_errors, 1);
    });
}

#[test]
fn report_unhandled_is_what_a_handler_may_call_itself() {
    struct Selective(#[allow(dead_code)] Rc<()>);
    impl Handler for Selective {
        fn on_error(&mut self, socket: &Socket, error: &Error) {
            socket.report_unhandled(error);
        }
    }
    each_case(|world| {
        let nobody = Nobody::new(world);
        let socket = net::connect(&world.event_loop, nobody.to_connect(), |_| {});
        socket.set_handler(Selective(world.probe()));
        let error = world.try_run().unwrap_err();
        assert_eq!(error.code(), Code::ConnRefused);
        assert_eq!(world.event_loop.stats().unhandled_errors, 1);
    });
}
