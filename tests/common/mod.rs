//! The harness of the socket tests.
//!
//! A scenario runs once for each case: its listeners as closures and as one `Handler`, over TCP and over UNIX sockets.
//! [`World::watch`] records every event of a socket and holds the rules that always hold: `close` once and last,
//! `connect` before `data`, nothing after `destroy` but `error` and `close`. When a scenario is over, no descriptor,
//! no slot, no timer and no closure may be left.
#![allow(dead_code, unused_imports, clippy::type_complexity)]

mod census;
mod peer;
mod script;
mod watcher;
mod world;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

pub use census::EventLoop;
pub use peer::Peer;
pub use script::{Script, Seen};
pub use watcher::Watcher;
pub use world::World;

/// How long a scenario may take before it is called stuck. Generous: the machine may be busy.
const STUCK: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Closures,
    Handler,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Tcp,
    Unix,
}

/// Runs a scenario in all four cases.
#[track_caller]
pub fn each_case(scenario: impl Fn(&World)) {
    for transport in [Transport::Tcp, Transport::Unix] {
        for form in [Form::Closures, Form::Handler] {
            run_case(form, transport, &scenario);
        }
    }
}

/// Runs a scenario in both forms over TCP, for what only TCP has.
#[track_caller]
pub fn each_form_tcp(scenario: impl Fn(&World)) {
    for form in [Form::Closures, Form::Handler] {
        run_case(form, Transport::Tcp, &scenario);
    }
}

/// Runs a scenario in both forms over UNIX sockets.
#[track_caller]
pub fn each_form_unix(scenario: impl Fn(&World)) {
    for form in [Form::Closures, Form::Handler] {
        run_case(form, Transport::Unix, &scenario);
    }
}

/// Runs a scenario in all four cases, on loops with settings of its own.
#[track_caller]
pub fn each_case_on(builder: &tidewheel::Builder, scenario: impl Fn(&World)) {
    for transport in [Transport::Tcp, Transport::Unix] {
        for form in [Form::Closures, Form::Handler] {
            run_on(builder.clone(), form, transport, &scenario);
        }
    }
}

#[track_caller]
fn run_case(form: Form, transport: Transport, scenario: &impl Fn(&World)) {
    run_on(EventLoop::builder(), form, transport, scenario);
}

/// Runs a scenario in one case, on a loop with settings of its own.
#[track_caller]
pub fn run_on(
    builder: tidewheel::Builder,
    form: Form,
    transport: Transport,
    scenario: &impl Fn(&World),
) {
    let world = World::with(form, transport, builder);
    scenario(&world);
    world.finish();
}

/// A counter shared with closures.
pub fn counter() -> Rc<Cell<usize>> {
    Rc::default()
}
