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
    /// With [`FIRED`] set: it fired and nothing happened since.
    last: Nanos,
}

/// No loop lives that long: 292 years.
const FIRED: Nanos = 1 << 63;

impl Idle {
    pub(crate) fn period(&self) -> Nanos {
        self.period
    }

    #[inline]
    fn has_fired(&self) -> bool {
        self.last & FIRED != 0
    }

    /// When something moved last.
    pub(crate) fn last(&self) -> Nanos {
        self.last & !FIRED
    }

    pub(crate) fn set(&mut self, period: Nanos, now: Nanos) {
        self.period = period;
        self.last = now;
    }

    /// Something happened. True when a timer must be started because the last one has fired.
    #[inline]
    pub(crate) fn touch(&mut self, now: Nanos) -> bool {
        let woken = self.has_fired();
        self.last = now;
        woken
    }

    /// As activity, but only for a timer that has fired.
    #[inline]
    pub(crate) fn wake(&mut self, now: Nanos) -> bool {
        let woken = self.has_fired();
        if woken {
            self.last = now;
        }
        woken
    }

    /// When the running period ends; `None` when none runs.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        (self.period > 0 && !self.has_fired()).then(|| self.last.saturating_add(self.period))
    }

    pub(crate) fn check(&mut self, now: Nanos) -> IdleCheck {
        match self.deadline() {
            None => IdleCheck::Off,
            Some(deadline) if deadline <= now => {
                self.last |= FIRED;
                IdleCheck::Fire
            }
            Some(deadline) => IdleCheck::Later(deadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(period: Nanos, now: Nanos) -> Idle {
        let mut idle = Idle::default();
        idle.set(period, now);
        idle
    }

    #[test]
    fn none_unless_set() {
        let mut idle = Idle::default();
        assert_eq!(idle.deadline(), None);
        assert!(!idle.touch(5));
        assert_eq!(idle.check(Nanos::MAX), IdleCheck::Off);
    }

    #[test]
    fn never_early() {
        let mut idle = idle(10, 100);
        assert_eq!(idle.check(109), IdleCheck::Later(110));
        assert_eq!(idle.check(110), IdleCheck::Fire);
    }

    /// Activity starts no timer: it only moves the moment that the next look at the clock finds.
    #[test]
    fn lazy() {
        let mut idle = idle(10, 100);
        assert!(!idle.touch(104));
        assert!(!idle.touch(107));
        assert_eq!(idle.check(110), IdleCheck::Later(117));
        assert_eq!(idle.check(117), IdleCheck::Fire);
    }

    #[test]
    fn fires_once_per_period() {
        let mut idle = idle(10, 100);
        assert_eq!(idle.check(110), IdleCheck::Fire);
        assert_eq!(idle.deadline(), None);
        assert_eq!(idle.check(1000), IdleCheck::Off);
        assert!(idle.touch(2000), "activity needs a timer again");
        assert_eq!(idle.deadline(), Some(2010));
        assert!(!idle.touch(2001), "and only one");
        assert_eq!(idle.check(2011), IdleCheck::Fire);
    }

    /// A write that was only queued is no activity, except after the timer has fired.
    #[test]
    fn woken_only_after_it_fired() {
        let mut idle = idle(10, 100);
        assert!(!idle.wake(105));
        assert_eq!(idle.check(110), IdleCheck::Fire);
        assert!(idle.wake(120));
        assert_eq!(idle.deadline(), Some(130));
        assert!(!idle.wake(125));
        assert_eq!(idle.deadline(), Some(130));
    }

    #[test]
    fn set_again_or_off() {
        let mut idle = idle(10, 100);
        idle.set(50, 105);
        assert_eq!(idle.check(110), IdleCheck::Later(155));
        assert_eq!(idle.check(155), IdleCheck::Fire);
        idle.set(5, 160);
        assert_eq!(idle.deadline(), Some(165), "also after it fired");
        idle.set(0, 161);
        assert_eq!(idle.check(1000), IdleCheck::Off);
        assert_eq!(idle.period(), 0);
    }

    #[test]
    fn a_period_beyond_all_time_never_ends() {
        let mut idle = idle(Nanos::MAX, 100);
        assert_eq!(idle.deadline(), Some(Nanos::MAX));
        assert_eq!(idle.check(Nanos::MAX - 1), IdleCheck::Later(Nanos::MAX));
    }
}
