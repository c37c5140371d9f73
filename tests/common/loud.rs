//! Watches that no call calls back: whether a call is under way, and values that notice when they are heard or dropped in
//! one.
#![allow(dead_code)]

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use tidewheel::net::Handler;
use tidewheel::EventLoop;

/// Whether a call is under way, and how many values of the user's there are.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    in_call: Arc<AtomicBool>,
    alive: Arc<AtomicUsize>,
}

/// A value of the user's: neither may a closure that holds it be called during a call, nor its destructor.
#[derive(Debug)]
pub struct Loud(Watch);

impl Loud {
    /// A closure was called that holds it.
    pub fn hear(&self) {
        assert!(!self.0.in_call.load(Ordering::Relaxed), "called back");
    }
}

impl Drop for Loud {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.hear();
        }
        self.0.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for Loud {
    fn as_ref(&self) -> &[u8] {
        b"loud"
    }
}

impl Handler for Loud {}

impl fmt::Display for Loud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("loud")
    }
}

impl std::error::Error for Loud {}

impl Watch {
    pub fn loud(&self) -> Loud {
        self.alive.fetch_add(1, Ordering::Relaxed);
        Loud(self.clone())
    }

    pub fn alive(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }

    /// Makes a call, during which nothing of the user's may run.
    pub fn call<R>(&self, call: impl FnOnce() -> R) -> R {
        self.in_call.store(true, Ordering::Relaxed);
        let result = call();
        self.in_call.store(false, Ordering::Relaxed);
        result
    }

    /// One call that lets go of `count` values, which are gone after the next turn.
    #[track_caller]
    pub fn assert_released(&self, event_loop: &EventLoop, count: usize, call: impl FnOnce()) {
        let before = self.alive();
        self.call(call);
        assert!(self.alive() >= before, "dropped inside the call");
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(before - self.alive(), count);
    }
}
