//! The idle clock of one connection, lazy: activity only stores a time.
//!
//! The loop's wheel holds at most one timer per connection. When that one comes due it asks [`Idle::check`], which
//! fires, or says how much longer to wait because something happened meanwhile.

use super::event::Nanos;

/// What a due timer has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IdleCheck {
    /// The period is over: `timeout`.
    Fire,
    /// Something happened; look again then.
    Later(Nanos),
    /// No idle timeout is set.
    Off,
}

#[derive(Debug, Default)]
pub(crate) struct Idle {
    /// Zero: no timeout.
    period: Nanos,
    last: Nanos,
    /// It fired and nothing happened since.
    fired: bool,
}

impl Idle {
    pub(crate) fn period(&self) -> Nanos {
        self.period
    }

    pub(crate) fn set(&mut self, period: Nanos, now: Nanos) {
        self.period = period;
        self.last = now;
        self.fired = false;
    }

    /// Something happened. True when a timer must be started because the last one has fired.
    #[inline]
    pub(crate) fn touch(&mut self, now: Nanos) -> bool {
        self.last = now;
        self.fired && self.wake(now)
    }

    /// As activity, but only for a timer that has fired.
    #[inline]
    pub(crate) fn wake(&mut self, now: Nanos) -> bool {
        let woken = self.fired;
        if woken {
            self.last = now;
            self.fired = false;
        }
        woken
    }

    /// When the running period ends; `None` when none runs.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        (self.period > 0 && !self.fired).then(|| self.last.saturating_add(self.period))
    }

    pub(crate) fn check(&mut self, now: Nanos) -> IdleCheck {
        match self.deadline() {
            None => IdleCheck::Off,
            Some(deadline) if deadline <= now => {
                self.fired = true;
                IdleCheck::Fire
            }
            Some(deadline) => IdleCheck::Later(deadline),
        }
    }
}
