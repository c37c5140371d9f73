//! A wheel and a sorted list side by side.

use super::{TimerKey, Wheel};

#[derive(Clone, Copy, Debug)]
pub(super) enum Time {
    /// After the present tick.
    In(u64),
    /// Around a boundary of slots or levels: this many boundaries of so many bits on, and an offset.
    Boundary(u32, u64, i64),
    At(u64),
}

impl Time {
    fn tick(self, now: u64) -> u64 {
        match self {
            Time::In(delay) => now.saturating_add(delay),
            Time::Boundary(bits, count, offset) => (now >> bits << bits)
                .saturating_add(count << bits)
                .saturating_add_signed(offset),
            Time::At(tick) => tick,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Insert(Time),
    /// Of every key there ever was, the one at this place.
    Cancel(usize),
    Rearm(usize, Time),
    Advance(Time),
    /// Pop, and cancel what was popped or leave it unarmed.
    Pop(bool),
}

/// A wheel and its model side by side, and every key there ever was.
pub(super) struct Pair {
    wheel: Wheel<usize>,
    model: Model,
    keys: Vec<TimerKey>,
}

impl Default for Pair {
    fn default() -> Pair {
        Pair {
            wheel: Wheel::new(),
            model: Model::default(),
            keys: Vec::new(),
        }
    }
}

impl Pair {
    pub(super) fn apply(&mut self, op: Op) {
        let Pair { wheel, model, keys } = self;
        match op {
            Op::Insert(time) => {
                let (deadline, value) = (time.tick(model.now), keys.len());
                let key = wheel.insert(deadline, value);
                assert!(!keys.contains(&key));
                model.arm(key, value, deadline);
                keys.push(key);
            }
            Op::Cancel(index) if !keys.is_empty() => {
                let key = keys[index % keys.len()];
                let removed = model.remove(key).map(|timer| timer.value);
                assert_eq!(wheel.cancel(key), removed);
            }
            Op::Rearm(index, time) if !keys.is_empty() => {
                let (key, deadline) = (keys[index % keys.len()], time.tick(model.now));
                let timer = model.remove(key);
                assert_eq!(wheel.rearm(key, deadline), timer.is_some());
                if let Some(timer) = timer {
                    model.arm(key, timer.value, deadline);
                }
            }
            Op::Cancel(_) | Op::Rearm(..) => {}
            Op::Advance(time) => {
                let now = time.tick(model.now);
                wheel.advance(now);
                model.advance(now);
            }
            Op::Pop(cancel) => {
                let key = wheel.pop_due_key();
                assert_eq!(key, model.pop());
                if let Some(key) = key.filter(|_| cancel) {
                    let removed = model.remove(key).map(|timer| timer.value);
                    assert_eq!(wheel.cancel(key), removed);
                }
            }
        }
    }

    pub(super) fn check(&self) {
        let Pair { wheel, model, .. } = self;
        assert_eq!(wheel.next_deadline(), model.next_deadline());
        assert_eq!(wheel.len(), model.timers.len());
        assert_eq!(wheel.is_empty(), model.timers.is_empty());
    }

    /// Finds those and only those that are there.
    pub(super) fn check_keys(&self) {
        let Pair { wheel, model, keys } = self;
        for key in keys {
            let timer = model.timers.iter().find(|timer| timer.key == *key);
            assert_eq!(wheel.get(*key), timer.map(|timer| &timer.value));
        }
    }

    /// Lets everything fire: nothing may be left over.
    pub(super) fn run_to_the_end(mut self) {
        self.check();
        self.check_keys();
        self.apply(Op::Advance(Time::At(u64::MAX)));
        while !self.model.due.is_empty() {
            self.check();
            self.apply(Op::Pop(true));
        }
        self.check();
        self.check_keys();
        assert_eq!(self.wheel.pop_due_key(), None);
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Armed,
    Due,
    Unarmed,
}

#[derive(Clone, Debug)]
struct Timer {
    key: TimerKey,
    value: usize,
    deadline: u64,
    state: State,
}

/// What a wheel should do, the plain way: the timers in order of arming, the due ones also in order of firing.
#[derive(Default)]
struct Model {
    now: u64,
    timers: Vec<Timer>,
    due: Vec<TimerKey>,
}

impl Model {
    fn remove(&mut self, key: TimerKey) -> Option<Timer> {
        self.due.retain(|due| *due != key);
        let at = self.timers.iter().position(|timer| timer.key == key)?;
        Some(self.timers.remove(at))
    }

    fn arm(&mut self, key: TimerKey, value: usize, deadline: u64) {
        let state = State::Armed;
        self.timers.push(Timer {
            key,
            value,
            deadline,
            state,
        });
    }

    fn advance(&mut self, now: u64) {
        self.now = now.max(self.now);
        let now = self.now;
        let fires = |timer: &&mut Timer| timer.state == State::Armed && timer.deadline <= now;
        let mut fired: Vec<&mut Timer> = self.timers.iter_mut().filter(fires).collect();
        fired.sort_by_key(|timer| timer.deadline);
        for timer in fired {
            timer.state = State::Due;
            self.due.push(timer.key);
        }
    }

    fn pop(&mut self) -> Option<TimerKey> {
        let key = (!self.due.is_empty()).then(|| self.due.remove(0))?;
        let timer = self.timers.iter_mut().find(|timer| timer.key == key)?;
        timer.state = State::Unarmed;
        Some(key)
    }

    fn next_deadline(&self) -> Option<u64> {
        let waiting = self.timers.iter().filter(|t| t.state != State::Unarmed);
        waiting.map(|timer| timer.deadline).min()
    }
}
