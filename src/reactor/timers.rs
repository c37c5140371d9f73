//! Timers of the user and of idle sockets, in one wheel.

use std::time::Duration;

use super::clock::{deadline_tick, nanos, tick};
use super::source::{Liveness, Source, TimerSource};
use super::{Event, Reactor};
use crate::arena::Key;
use crate::conn::{IdleCheck, Nanos};

/// An interval of zero would leave no time for anything else.
const SHORTEST_INTERVAL: Nanos = 1_000_000;

impl Reactor {
    /// Starts a timer. The clock is read, so that a long callback does not make it early.
    pub(crate) fn start_timer(&mut self, after: Duration, repeats: bool) -> Key {
        let mut period = nanos(after);
        if repeats {
            period = period.max(SHORTEST_INTERVAL);
        }
        let deadline = self.clock.read().saturating_add(period);
        let key = self.insert(Source::Timer(TimerSource {
            timer: None,
            liveness: Liveness::ACTIVE,
            period,
            deadline,
            repeats,
        }));
        self.schedule_timer(key, deadline);
        key
    }

    /// The whole period again, from now. False: the timer is gone.
    pub(crate) fn refresh_timer(&mut self, key: Key) -> bool {
        let now = self.clock.read();
        let Some(Source::Timer(timer)) = self.sources.get(key) else {
            return false;
        };
        let deadline = now.saturating_add(timer.period);
        self.schedule_timer(key, deadline);
        true
    }

    pub(crate) fn clear_timer(&mut self, key: Key) -> bool {
        let Some(Source::Timer(timer)) = self.sources.get(key) else {
            return false;
        };
        if let Some(timer) = timer.timer {
            self.wheel.cancel(timer);
        }
        self.remove(key);
        true
    }

    fn schedule_timer(&mut self, key: Key, deadline: Nanos) {
        let Some(Source::Timer(timer)) = self.sources.get_mut(key) else {
            return;
        };
        timer.deadline = deadline;
        let tick = deadline_tick(deadline);
        match timer.timer {
            Some(handle) if self.wheel.rearm(handle, tick) => {}
            _ => timer.timer = Some(self.wheel.insert(tick, key)),
        }
    }

    /// Starts (or stops) the wheel's timer of an idle socket.
    pub(super) fn start_idle_timer(&mut self, key: Key) {
        let Some(Source::Socket(socket)) = self.sources.get_mut(key) else {
            return;
        };
        if socket.released {
            // Nobody would stop it.
            return;
        }
        match (socket.conn.idle().deadline(), socket.idle_timer) {
            (Some(deadline), Some(timer)) => {
                self.wheel.rearm(timer, deadline_tick(deadline));
            }
            (Some(deadline), None) => {
                socket.idle_timer = Some(self.wheel.insert(deadline_tick(deadline), key));
            }
            (None, Some(timer)) => {
                self.wheel.cancel(timer);
                socket.idle_timer = None;
            }
            (None, None) => {}
        }
    }

    /// Takes the timers that are due as a batch; timers set from now on belong to a later one.
    pub(crate) fn begin_timers(&mut self) {
        self.wheel.advance(tick(self.now));
    }

    /// The next due timer, if it has something to deliver.
    pub(crate) fn next_timer(&mut self) -> Option<Event> {
        while let Some(timer) = self.wheel.pop_due_key() {
            let Some(&key) = self.wheel.get(timer) else {
                continue;
            };
            if self.is_dial_timer(key, timer) {
                self.dial_overdue(key);
                continue;
            }
            #[cfg(feature = "tls")]
            if self.is_tls_timer(key, timer) {
                self.tls_overdue(key);
                continue;
            }
            match self.sources.get_mut(key) {
                Some(Source::Timer(source)) if source.repeats => {
                    let deadline = next_deadline(source, self.now);
                    self.schedule_timer(key, deadline);
                    return Some(Event::Timer(key));
                }
                Some(Source::Timer(source)) => {
                    source.timer = None;
                    self.wheel.cancel(timer);
                    self.remove(key);
                    return Some(Event::Timer(key));
                }
                Some(Source::Socket(_)) => {
                    if self.idle_due(key) {
                        return Some(Event::Timeout(key));
                    }
                }
                Some(Source::Server(_)) => self.accept_again(key),
                Some(Source::Watch(_)) | None => {
                    self.wheel.cancel(timer);
                }
            }
        }
        None
    }

    /// An idle timer came due: did anything happen since it was set? The clock is read again, so that a turn that
    /// took long does not make it early.
    fn idle_due(&mut self, key: Key) -> bool {
        let now = self.clock.read();
        let Some(Source::Socket(socket)) = self.sources.get_mut(key) else {
            return false;
        };
        let check = socket.conn.idle_mut().check(now);
        match check {
            IdleCheck::Later(deadline) => {
                if let Some(timer) = socket.idle_timer {
                    self.wheel.rearm(timer, deadline_tick(deadline));
                }
            }
            IdleCheck::Fire | IdleCheck::Off => {
                if let Some(timer) = socket.idle_timer.take() {
                    self.wheel.cancel(timer);
                }
            }
        }
        check == IdleCheck::Fire
    }
}

/// An interval keeps to its rhythm and skips the ticks it missed.
fn next_deadline(timer: &TimerSource, now: Nanos) -> Nanos {
    let next = timer.deadline.saturating_add(timer.period);
    if next > now {
        return next;
    }
    let missed = (now - next) / timer.period + 1;
    next.saturating_add(missed.saturating_mul(timer.period))
}
