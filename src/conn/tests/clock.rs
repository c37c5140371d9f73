//! The idle clock beside its plainest form: when something moved last, and whether that was told.

use super::*;

#[derive(Clone, Debug)]
pub(super) enum Tick {
    Period(Nanos),
    /// Something moved.
    Touch,
    /// Something was queued, which only wakes a clock that has fired.
    Wake,
    /// So much later the timer looks at the clock.
    Look(Nanos),
}

#[derive(Default)]
pub(super) struct Clock {
    now: Nanos,
    period: Nanos,
    moved: Nanos,
    told: bool,
}

impl Clock {
    pub(super) fn apply(&mut self, idle: &mut Idle, tick: Tick) {
        match tick {
            Tick::Period(period) => {
                idle.set(period, self.now);
                (self.period, self.moved, self.told) = (period, self.now, false);
            }
            Tick::Touch => {
                self.moved = self.now;
                assert_eq!(idle.touch(self.now), std::mem::take(&mut self.told));
            }
            Tick::Wake => {
                if self.told {
                    self.moved = self.now;
                }
                assert_eq!(idle.wake(self.now), std::mem::take(&mut self.told));
            }
            Tick::Look(later) => {
                // The clock counts 292 years, and a loop does not live longer.
                self.now = self.now.saturating_add(later).min(Nanos::MAX >> 1);
                assert_eq!(idle.check(self.now), self.answer());
                self.told |= self.answer() == IdleCheck::Fire;
            }
        }
        assert_eq!((idle.period(), idle.last()), (self.period, self.moved));
    }

    fn answer(&self) -> IdleCheck {
        let end = self.moved.saturating_add(self.period);
        match self.period {
            0 => IdleCheck::Off,
            _ if self.told => IdleCheck::Off,
            _ if end <= self.now => IdleCheck::Fire,
            _ => IdleCheck::Later(end),
        }
    }
}
