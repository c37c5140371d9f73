//! The idle timeout of one socket: one period after the last progress, never early, never late by a turn, and once.

use std::cell::Cell;
use std::time::Duration;

use tidewheel::net::Socket;

use super::world::World;

#[derive(Default)]
pub struct IdleRule {
    /// Zero: none.
    period: Cell<Duration>,
    /// Nothing moved before this, and nothing after that.
    earliest: Cell<Duration>,
    latest: Cell<Duration>,
    fired: Cell<bool>,
    /// Bytes that the kernel has taken or given, as they were last seen.
    moved: Cell<u64>,
    /// A queue was given up, or sent: nobody can tell.
    unsure: Cell<bool>,
    /// The number of the turn in which something was last seen to move.
    seen: Cell<u64>,
}

impl IdleRule {
    pub fn set(&self, period: Duration, world: &World) {
        self.period.set(period);
        self.earliest.set(world.loop_time());
        self.stir(world);
    }

    /// Something moved, and bears the time of this turn.
    pub fn moved(&self, world: &World) {
        self.earliest.set(world.loop_time());
        self.stir(world);
    }

    /// Something may have moved.
    pub fn stir(&self, world: &World) {
        self.fired.set(false);
        self.unsure.set(false);
        self.latest.set(world.sim.now());
        self.seen.set(world.turn.get());
    }

    pub fn fire(&self, world: &World, socket: &Socket) {
        let (period, now) = (self.period.get(), world.sim.now());
        assert!(!period.is_zero(), "a timeout that was not set");
        assert!(now >= self.earliest.get() + period, "an early timeout");
        self.look(world, socket);
        assert!(!self.fired.replace(true), "two timeouts in one period");
    }

    /// The turn that `began` then has told of every period that was over.
    pub fn check_turn(&self, world: &World, socket: &Socket, began: Duration) {
        self.look(world, socket);
        let set = !self.period.get().is_zero() && !socket.pending();
        let runs = set && !self.fired.get() && !self.unsure.get();
        let over = self.latest.get() + self.period.get() + Duration::from_millis(1);
        let before = self.seen.get() + 1 < world.turn.get();
        assert!(
            !(runs && before && over <= began),
            "a timeout of {:?} is late: nothing has moved since {:?}",
            self.period.get(),
            self.latest.get()
        );
    }

    /// Has anything moved since the last look?
    fn look(&self, world: &World, socket: &Socket) {
        let moved = socket.bytes_read() + socket.bytes_written() - socket.buffer_size() as u64;
        if moved != self.moved.replace(moved) {
            self.stir(world);
            let failed = !socket.writable() && socket.buffer_size() == 0;
            self.unsure.set(failed);
        }
    }
}
