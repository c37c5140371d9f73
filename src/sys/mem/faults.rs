//! What a simulated network may do to its sockets.

/// How badly a [`Sim`](super::Sim) treats its sockets. All probabilities are from 0 (the default) to 1, and apply to
/// each call, wait or edge anew.
///
/// Except for `reset`, `broken_pipe` and `exhausted` no fault breaks a promise of the kernel: bytes arrive, in order,
/// and whoever was told to wait is woken later.
///
/// ```
/// use std::time::Duration;
/// use tidewheel::sim::{Faults, Sim};
///
/// let sim = Sim::with_faults(7, Faults::default().short_read(0.3).would_block(0.1));
/// sim.advance(Duration::from_secs(3600));
/// assert_eq!(sim.now(), Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Faults {
    /// Bytes that each direction of a connection holds, at least 1: 64 KiB by default.
    pub capacity: usize,
    /// A read brings less than there is.
    pub short_read: f64,
    /// A write takes less than there is room for.
    pub short_write: f64,
    /// A read, write or accept that could go on says `WouldBlock`, and a connect that it is under way; readiness
    /// follows.
    pub would_block: f64,
    /// A read or write finds that the network has reset the connection: ECONNRESET.
    pub reset: f64,
    /// A write finds that the connection is gone: EPIPE, and a read says no more than that it has ended.
    pub broken_pipe: f64,
    /// No descriptor is left for an accept or a connect (EMFILE), or no room to watch one more (ENOSPC).
    pub exhausted: f64,
    /// A signal interrupts a call or a wait: EINTR.
    pub interrupt: f64,
    /// An edge is told one wait later, and so after others that came after it. Below 1, or it is never told.
    pub delay: f64,
    /// A wait ends with readiness that has no cause.
    pub spurious: f64,
    /// A wait ends with an event of something closed since, whose slot may have a new owner.
    pub stale: f64,
    /// A wait ends up to a minute late, as after a suspend.
    pub jump: f64,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            capacity: 64 * 1024,
            short_read: 0.0,
            short_write: 0.0,
            would_block: 0.0,
            reset: 0.0,
            broken_pipe: 0.0,
            exhausted: 0.0,
            interrupt: 0.0,
            delay: 0.0,
            spurious: 0.0,
            stale: 0.0,
            jump: 0.0,
        }
    }
}

impl Faults {
    /// Sets [`capacity`](Faults#structfield.capacity).
    pub fn capacity(mut self, bytes: usize) -> Faults {
        self.capacity = bytes;
        self
    }

    /// Sets [`short_read`](Faults#structfield.short_read).
    pub fn short_read(mut self, probability: f64) -> Faults {
        self.short_read = probability;
        self
    }

    /// Sets [`short_write`](Faults#structfield.short_write).
    pub fn short_write(mut self, probability: f64) -> Faults {
        self.short_write = probability;
        self
    }

    /// Sets [`would_block`](Faults#structfield.would_block).
    pub fn would_block(mut self, probability: f64) -> Faults {
        self.would_block = probability;
        self
    }

    /// Sets [`reset`](Faults#structfield.reset).
    pub fn reset(mut self, probability: f64) -> Faults {
        self.reset = probability;
        self
    }

    /// Sets [`broken_pipe`](Faults#structfield.broken_pipe).
    pub fn broken_pipe(mut self, probability: f64) -> Faults {
        self.broken_pipe = probability;
        self
    }

    /// Sets [`exhausted`](Faults#structfield.exhausted).
    pub fn exhausted(mut self, probability: f64) -> Faults {
        self.exhausted = probability;
        self
    }

    /// Sets [`interrupt`](Faults#structfield.interrupt).
    pub fn interrupt(mut self, probability: f64) -> Faults {
        self.interrupt = probability;
        self
    }

    /// Sets [`delay`](Faults#structfield.delay).
    pub fn delay(mut self, probability: f64) -> Faults {
        self.delay = probability;
        self
    }

    /// Sets [`spurious`](Faults#structfield.spurious).
    pub fn spurious(mut self, probability: f64) -> Faults {
        self.spurious = probability;
        self
    }

    /// Sets [`stale`](Faults#structfield.stale).
    pub fn stale(mut self, probability: f64) -> Faults {
        self.stale = probability;
        self
    }

    /// Sets [`jump`](Faults#structfield.jump).
    pub fn jump(mut self, probability: f64) -> Faults {
        self.jump = probability;
        self
    }
}

#[cfg(test)]
mod tests;
