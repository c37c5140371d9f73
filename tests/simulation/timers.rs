//! The timers of a run: never early, never late by a turn, and each as often as it should be.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tidewheel::Timeout;

use super::user::act;
use super::world::World;

#[derive(Default)]
pub struct Timers(RefCell<Vec<Rc<Timer>>>);

struct Timer {
    handle: RefCell<Option<Timeout>>,
    period: Duration,
    /// Not before this, and in the first turn that begins after that.
    due: Cell<Duration>,
    latest: Cell<Duration>,
    active: Cell<bool>,
    /// The number of the turn in which it was set or has fired.
    armed: Cell<u64>,
    repeats: bool,
}

impl Timer {
    fn arm(&self, world: &World, due: Duration) {
        self.due.set(due);
        self.latest.set(world.sim.now() + self.period);
        self.active.set(true);
        self.armed.set(world.turn.get());
    }

    fn fire(&self, world: &World) {
        let now = world.sim.now();
        world.enter();
        assert!(self.active.get(), "a timer that was cleared");
        assert!(now >= self.due.get(), "early by {:?}", self.due.get() - now);
        self.active.set(false);
        if self.repeats {
            self.arm(world, self.due.get() + self.period);
        }
    }
}

impl Timers {
    pub fn set(&self, world: &Rc<World>) {
        let timer = Rc::new(Timer {
            handle: RefCell::default(),
            period: world.dice.millis(200),
            due: Cell::default(),
            latest: Cell::default(),
            active: Cell::new(false),
            armed: Cell::default(),
            repeats: world.dice.one_in(4),
        });
        timer.arm(world, world.sim.now() + timer.period);
        let (of, at, value) = (Rc::clone(&timer), Rc::clone(world), world.value());
        let handle = if timer.repeats {
            let left = Cell::new(1 + world.dice.below(5));
            world.handle.set_interval(timer.period, move |handle| {
                let _held = &value;
                of.fire(&at);
                left.set(left.get() - 1);
                if left.get() == 0 {
                    handle.clear();
                    of.active.set(false);
                }
                act(&at, None);
            })
        } else {
            world.handle.set_timeout(timer.period, move |_| {
                drop(value);
                of.fire(&at);
                act(&at, None);
            })
        };
        *timer.handle.borrow_mut() = Some(handle);
        self.0.borrow_mut().push(timer);
    }

    /// Clears or refreshes one of them, or lets the loop end without it.
    pub fn change(&self, world: &World) {
        let timers = self.0.borrow();
        if timers.is_empty() {
            return;
        }
        let timer = &timers[world.dice.below(timers.len())];
        let handle = timer.handle.borrow();
        let Some(handle) = handle.as_ref() else {
            return;
        };
        match world.dice.below(4) {
            0 => {
                handle.clear();
                timer.active.set(false);
            }
            1 => drop(handle.unref()),
            2 => drop(handle.ref_()),
            _ => {
                let refreshed = handle.refresh();
                // Within its own callback an interval is set again only afterwards, a timeout never.
                assert!(refreshed || !timer.active.get() || timer.repeats);
                if refreshed {
                    timer.arm(world, world.sim.now() + timer.period);
                }
            }
        }
    }

    pub fn clear(&self) {
        for timer in self.0.borrow_mut().drain(..) {
            if let Some(handle) = timer.handle.take() {
                handle.clear();
            }
            timer.active.set(false);
        }
    }

    /// The turn that `began` then has fired all that were due by then.
    pub fn check_turn(&self, world: &World, began: Duration) {
        let tick = Duration::from_millis(1);
        for timer in self.0.borrow().iter().filter(|timer| timer.active.get()) {
            let set_before = timer.armed.get() + 1 < world.turn.get();
            assert!(
                !set_before || timer.latest.get() + tick > began,
                "a timer is late"
            );
        }
    }
}
