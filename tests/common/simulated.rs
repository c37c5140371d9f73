//! Scenarios on a simulated network and clock: a pair of watched sockets, and time that only moves while the loop
//! waits. Keep them shorter than 30 virtual seconds: then the harness calls them stuck.
#![allow(dead_code)]

use std::time::Duration;

use tidewheel::net::{self, Socket};
use tidewheel::sim::{Faults, Sim};
use tidewheel::{Builder, EventLoop};

use super::common::{Form, Script, Transport, World};

/// Runs a scenario in both forms on a network without faults.
#[track_caller]
pub fn each_form_sim(scenario: impl Fn(&World, &Sim)) {
    each_form_with(Faults::default(), |builder| builder, scenario);
}

/// The same with faults and settings of the loop.
#[track_caller]
pub fn each_form_with(
    faults: Faults,
    settings: impl Fn(Builder) -> Builder,
    scenario: impl Fn(&World, &Sim),
) {
    for form in [Form::Closures, Form::Handler] {
        let sim = Sim::with_faults(1, faults.clone());
        let builder = settings(EventLoop::builder().sim(&sim));
        // The transport only names the case: a pair is neither TCP nor UNIX.
        let world = World::with(form, Transport::Unix, builder);
        scenario(&world, &sim);
        world.finish();
    }
}

/// Two watched sockets connected to each other.
pub fn pair(world: &World, a: Script, b: Script) -> (Socket, Socket) {
    let pair = net::pair(&world.event_loop).unwrap();
    world.watch(&pair.0, a);
    world.watch(&pair.1, b);
    pair
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
