//! Panics in callbacks, and a loop that is run again after each.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::time::Duration;

use tidewheel::EventLoop;

/// Unwinds without the message of a panic.
pub fn boom() -> ! {
    resume_unwind(Box::new("boom"))
}

/// Runs until nothing is alive and counts the panics on the way.
#[track_caller]
pub fn run_through(event_loop: &EventLoop) -> usize {
    let deadline = event_loop.set_timeout(Duration::from_secs(30), |_| panic!("stuck"));
    deadline.unref();
    let mut panics = 0;
    loop {
        match catch_unwind(AssertUnwindSafe(|| event_loop.run())) {
            Ok(result) => {
                result.unwrap();
                deadline.clear();
                return panics;
            }
            Err(payload) if payload.downcast_ref() == Some(&"boom") => panics += 1,
            Err(payload) => resume_unwind(payload),
        }
        assert!(panics < 10_000, "it panics for ever");
    }
}
