//! The whole loop on a simulated network and clock.
#![cfg(feature = "sim")]

#[path = "common/census.rs"]
mod census;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use census::EventLoop;
use tidewheel::net;
use tidewheel::sim::Sim;

#[test]
fn a_simulated_pair_talks_and_time_flies() {
    let sim = Sim::new(1);
    let event_loop = EventLoop::of(EventLoop::builder().sim(&sim)).unwrap();
    let (a, b) = net::pair(&event_loop).unwrap();
    b.pipe(&b);
    let got: Rc<RefCell<Vec<u8>>> = Rc::default();
    let bytes = Rc::clone(&got);
    a.on_data(move |a, data| {
        bytes.borrow_mut().extend_from_slice(data);
        a.set_timeout(Duration::from_secs(3600));
    });
    a.on_timeout(|a| a.end());
    a.write("hello");
    event_loop.run().unwrap();
    assert_eq!(*got.borrow(), b"hello");
    assert!(sim.now() >= Duration::from_secs(3600));
}
