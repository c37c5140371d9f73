//! One run: a network, a loop, the model of everything on it, and what is checked after every turn.

use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidewheel::net::{Server, Socket};
use tidewheel::sim::{Faults, Sim};
use tidewheel::{EventLoop, LoopHandle};

use super::dice::Dice;
use super::pipes::PipeWrite;
use super::rules::End;
use super::timers::Timers;
use super::{servers, user};

/// What a run has come to: for the statistics, and to compare two runs.
#[derive(Default, Debug)]
pub struct Tally {
    pub turns: u64,
    pub events: u64,
    pub bytes: u64,
    /// Sockets that closed without an error, and with one.
    pub clean: u64,
    pub failed: u64,
    pub accepted: u64,
    pub panics: u64,
    pub drains: u64,
    pub timeouts: u64,
    /// Chunks that went through a pipe.
    pub piped: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.turns += other.turns;
        self.events += other.events;
        self.bytes += other.bytes;
        self.clean += other.clean;
        self.failed += other.failed;
        self.accepted += other.accepted;
        self.panics += other.panics;
        self.drains += other.drains;
        self.timeouts += other.timeouts;
        self.piped += other.piped;
    }
}

pub struct World {
    pub sim: Sim,
    pub handle: LoopHandle,
    pub dice: Dice,
    pub ends: RefCell<Vec<Rc<End>>>,
    pub servers: RefCell<Vec<Server>>,
    pub timers: Timers,
    /// What pipes are about to write, or have just written.
    pub pipe_writes: RefCell<Vec<PipeWrite>>,
    /// Calls that the dice still have to make.
    pub left: Cell<usize>,
    /// Calls made.
    pub calls: Cell<u64>,
    /// Answers that are owed to calls, exactly one each.
    pub owed: Cell<usize>,
    /// Closures and buffers that are not dropped yet; those of servers live as long as the loop.
    pub values: Arc<AtomicUsize>,
    pub server_values: Arc<AtomicUsize>,
    /// From when the loop counts.
    start: Instant,
    /// Complete turns so far, and when the last one began.
    pub turn: Cell<u64>,
    pub turn_began: Cell<Duration>,
    pub tally: RefCell<Tally>,
    /// The network breaks connections, or a server has.
    pub faulty: Cell<bool>,
    verbose: bool,
}

/// One value of the user's: it must be dropped, and once.
pub struct Value(Arc<AtomicUsize>);

impl Value {
    pub fn new(count: &Arc<AtomicUsize>) -> Value {
        count.fetch_add(1, Relaxed);
        Value(Arc::clone(count))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What the panics of the run carry.
pub struct OnPurpose;

/// Runs a seed to its end. A broken promise is a panic.
pub fn run(seed: u64, verbose: bool) -> Tally {
    let dice = Dice::new(seed);
    let faults = faults(&dice);
    let sim = Sim::with_faults(dice.next(), faults.clone());
    let event_loop = EventLoop::builder()
        .sim(&sim)
        .read_buffer(1 + dice.size(5_000))
        .read_budget(1 + dice.size(20_000))
        .build()
        .unwrap();
    let start = event_loop.now() - sim.now();
    let world = Rc::new(World {
        sim,
        handle: event_loop.handle(),
        ends: RefCell::default(),
        servers: RefCell::default(),
        timers: Timers::default(),
        pipe_writes: RefCell::default(),
        left: Cell::new(10 + dice.size(250)),
        calls: Cell::new(0),
        owed: Cell::new(0),
        values: Arc::default(),
        server_values: Arc::default(),
        start,
        turn: Cell::new(0),
        turn_began: Cell::new(Duration::ZERO),
        tally: RefCell::default(),
        faulty: Cell::new(faults.reset + faults.broken_pipe + faults.exhausted > 0.0),
        dice,
        verbose,
    });
    world.note(|| format!("{faults:?}"));
    if world.dice.below(3) > 0 {
        servers::serve(&world);
    }
    for _ in 0..world.dice.below(3) {
        user::open_pair(&world);
    }
    user::tick(&world);
    live(&world, &event_loop);
    let healed = faults.reset(0.0).broken_pipe(0.0).exhausted(0.0);
    let healed = healed.jump(0.0);
    world
        .sim
        .set_faults(healed.clone().delay(0.0).spurious(0.0));
    come_to_rest(&world, &event_loop);
    world.sim.set_faults(healed);
    wind_down(&world, &event_loop);
    world.check_end();
    drop(event_loop);
    assert_eq!(
        world.server_values.load(Relaxed),
        0,
        "values of servers are left"
    );
    world.tally.take()
}

fn faults(dice: &Dice) -> Faults {
    // Most networks have only some faults.
    let some = |most: f64| match dice.below(2) {
        0 => 0.0,
        _ => most * dice.below(100) as f64 / 100.0,
    };
    Faults::default()
        .capacity(1 + dice.size(6_000))
        .short_read(some(0.6))
        .short_write(some(0.6))
        .would_block(some(0.5))
        .reset(some(0.01))
        .broken_pipe(some(0.01))
        .exhausted(some(0.1))
        .interrupt(some(0.3))
        .delay(some(0.6))
        .spurious(some(0.4))
        .stale(some(0.4))
        .jump(some(0.1))
}

/// Turns until the dice have made all their calls.
fn live(world: &Rc<World>, event_loop: &EventLoop) {
    let mut stalled = Stalled::default();
    while world.left.get() > 0 {
        // The last call may be made when nothing else is going to happen.
        step(world, event_loop, Some(Duration::from_secs(1)));
        stalled.check(world);
    }
}

/// The network has healed and nobody does anything: after a while all that can move has moved.
fn come_to_rest(world: &Rc<World>, event_loop: &EventLoop) {
    world.note(|| "a rest".into());
    servers::accept_all(world);
    // It keeps the loop alive until then.
    let over = world.owe();
    world.handle.set_timeout(Duration::from_secs(6), |_| over());
    let end = world.sim.now() + Duration::from_secs(5);
    let mut stalled = Stalled::default();
    let last = world.turn.get() + 2_000;
    while world.sim.now() < end {
        if world.turn.get() == last {
            // Pipes in a circle move for ever.
            return;
        }
        step(world, event_loop, None);
        stalled.check(world);
    }
    for end in world.ends.borrow().iter() {
        end.check_rest(world);
    }
}

/// Everybody ends in order, and then everything must close by itself.
fn wind_down(world: &Rc<World>, event_loop: &EventLoop) {
    world.note(|| "the end begins".into());
    world.timers.clear();
    servers::close_all(world);
    // Those who are accepted, or set, meanwhile come later.
    let mut stalled = Stalled::default();
    loop {
        let ends = world.ends.borrow().clone();
        for end in ends.iter().filter(|end| !end.closed.get()) {
            end.wind_down(world);
        }
        // Whoever has missed an edge waits for ever, and the network says so.
        if !step(world, event_loop, None) {
            return;
        }
        stalled.check(world);
    }
}

/// One turn, with a panic or without. False: nothing is alive.
fn step(world: &Rc<World>, event_loop: &EventLoop, max_wait: Option<Duration>) -> bool {
    let began = world.sim.now();
    let turn = AssertUnwindSafe(|| event_loop.turn(max_wait));
    let alive = match catch_unwind(turn) {
        Ok(alive) => {
            world.turn.set(world.turn.get() + 1);
            world.settle_pipes(None);
            world.check_turn(began);
            alive.expect("the loop goes on")
        }
        Err(payload) if payload.is::<OnPurpose>() => {
            world.tally.borrow_mut().panics += 1;
            true
        }
        Err(payload) => resume_unwind(payload),
    };
    world.turn_began.set(began);
    alive
}

/// Turns in which nothing happens: they must be few, or the loop spins.
#[derive(Default)]
struct Stalled {
    turns: u32,
    before: (Duration, u64, u64),
}

impl Stalled {
    fn check(&mut self, world: &World) {
        let stats = world.handle.stats();
        let events = world.tally.borrow().events;
        let now = (
            world.sim.now(),
            events,
            stats.events + stats.bytes_in + stats.bytes_out,
        );
        self.turns = if now == self.before {
            self.turns + 1
        } else {
            0
        };
        self.before = now;
        assert!(self.turns < 100, "it spins");
    }
}

impl World {
    pub fn note(&self, line: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:>12?} {}", self.sim.now(), line());
        }
    }

    /// The time of the turn under way, or now.
    pub fn loop_time(&self) -> Duration {
        self.handle.now() - self.start
    }

    pub fn value(&self) -> Value {
        Value::new(&self.values)
    }

    /// A number of answers is owed; each call of the result pays one.
    pub fn owe(self: &Rc<Self>) -> impl FnOnce() + use<> {
        self.owed.set(self.owed.get() + 1);
        let (world, value) = (Rc::clone(self), self.value());
        move || {
            drop(value);
            world.owed.set(world.owed.get() - 1);
        }
    }

    pub fn adopt(self: &Rc<Self>, socket: &Socket, paused: bool) -> Rc<End> {
        let end = Rc::new(End::new(self.ends.borrow().len(), socket, paused));
        self.ends.borrow_mut().push(Rc::clone(&end));
        end.watch(self, socket);
        end
    }

    pub fn end(&self, number: usize) -> Rc<End> {
        Rc::clone(&self.ends.borrow()[number])
    }

    /// What must be true between any two turns; `began` is when the last one did.
    fn check_turn(&self, began: Duration) {
        let ends = self.ends.borrow();
        let open = ends.iter().filter(|end| !end.closed.get()).count();
        assert_eq!(self.handle.stats().sockets_open, open, "sockets");
        for end in ends.iter().filter(|end| !end.closed.get()) {
            end.check_turn(self, began);
        }
        self.timers.check_turn(self, began);
    }

    /// Nothing is alive any more.
    fn check_end(&self) {
        let ends = self.ends.borrow();
        for end in ends.iter() {
            end.check_end(self, &ends);
        }
        let stats = self.handle.stats();
        assert_eq!(self.owed.get(), 0, "answers are owed");
        assert_eq!((stats.sockets_open, stats.timers), (0, 0), "left behind");
        assert!(self.handle.active_handles().is_empty());
        assert_eq!(
            self.values.load(Relaxed),
            0,
            "values of the user's are left"
        );
        let mut tally = self.tally.borrow_mut();
        tally.turns = stats.turns;
        tally.bytes = stats.bytes_in;
    }
}
