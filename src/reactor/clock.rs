//! The loop's clock: nanoseconds since the loop began, and the ticks of the timer wheel.

use std::time::{Duration, Instant};

use crate::conn::Nanos;
#[cfg(any(test, feature = "sim"))]
use crate::sys::Sim;

/// One tick of the timer wheel.
const TICK: Nanos = 1_000_000;

pub(crate) struct Clock {
    start: Instant,
    #[cfg(any(test, feature = "sim"))]
    sim: Option<Sim>,
}

impl Clock {
    pub(crate) fn system() -> Clock {
        Clock {
            start: Instant::now(),
            #[cfg(any(test, feature = "sim"))]
            sim: None,
        }
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn simulated(sim: Sim) -> Clock {
        Clock {
            start: Instant::now(),
            sim: Some(sim),
        }
    }

    #[inline(never)]
    pub(crate) fn read(&self) -> Nanos {
        #[cfg(any(test, feature = "sim"))]
        if let Some(sim) = &self.sim {
            return nanos(sim.now());
        }
        nanos(self.start.elapsed())
    }

    pub(crate) fn instant(&self, at: Nanos) -> Instant {
        self.start + Duration::from_nanos(at)
    }
}

/// A duration in nanoseconds; 584 years and more are as good as for ever.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

/// The first tick at which `deadline` is past: rounded up, so that no timer is ever early.
pub(crate) fn deadline_tick(deadline: Nanos) -> u64 {
    deadline.div_ceil(TICK)
}

/// The last tick that `now` has reached.
pub(crate) fn tick(now: Nanos) -> u64 {
    now / TICK
}

/// How long from `now` until `tick` is reached.
pub(crate) fn until(tick: u64, now: Nanos) -> Duration {
    Duration::from_nanos(tick.saturating_mul(TICK).saturating_sub(now))
}
