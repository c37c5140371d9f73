//! The user of a run: in any callback, whatever the dice say.

use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tidewheel::net::{self, Encoding, PipeOptions, Socket, WriteStatus};
use tidewheel::Error;

use super::rules::End;
use super::servers;
use super::world::{OnPurpose, Value, World};

/// At the end of a callback: some calls, and now and then a panic.
pub fn act(world: &Rc<World>, of: Option<&Rc<End>>) {
    calls(world, of);
    if world.left.get() > 0 && world.dice.one_in(30) {
        world.note(|| "panic".into());
        world.calls.set(world.calls.get() + 1);
        resume_unwind(Box::new(OnPurpose));
    }
}

/// Some calls, on the socket that called or another.
pub fn calls(world: &Rc<World>, of: Option<&Rc<End>>) {
    for _ in 0..world.dice.below(4) {
        if world.left.get() == 0 {
            return;
        }
        world.left.set(world.left.get() - 1);
        world.calls.set(world.calls.get() + 1);
        match any_end(world, of) {
            Some(end) if !world.dice.one_in(6) => on_socket(world, &end),
            _ => on_loop(world),
        }
    }
}

/// The one that called, as a rule.
fn any_end(world: &World, of: Option<&Rc<End>>) -> Option<Rc<End>> {
    let ends = world.ends.borrow();
    match of {
        Some(end) if world.dice.below(3) > 0 => Some(Rc::clone(end)),
        _ if ends.is_empty() => None,
        _ => Some(Rc::clone(&ends[world.dice.below(ends.len())])),
    }
}

/// Keeps the run going until the dice have made their calls.
pub fn tick(world: &Rc<World>) {
    let at = Rc::clone(world);
    let value = world.value();
    let wait = Duration::from_micros(world.dice.size(30_000) as u64);
    world.handle.set_timeout(wait, move |_| {
        drop(value);
        at.enter();
        if at.left.get() > 0 {
            // First, because `act` may panic.
            tick(&at);
            at.left.set(at.left.get() - 1);
            act(&at, None);
        }
    });
}

pub fn open_pair(world: &Rc<World>) {
    // Out of room to watch them: no sockets, but an error.
    let Ok((a, b)) = net::pair(&world.handle) else {
        return;
    };
    let (a, b) = (world.adopt(&a, false), world.adopt(&b, false));
    world.note(|| format!("pair {} {}", a.number, b.number));
    a.peer.set(Some(b.number));
    b.peer.set(Some(a.number));
}

fn on_loop(world: &Rc<World>) {
    let dice = &world.dice;
    let few = world.ends.borrow().len() < 24;
    match dice.below(12) {
        0 if few => open_pair(world),
        1..=3 if few => servers::connect(world),
        4 => servers::change(world),
        5 | 6 => world.timers.set(world),
        7 => world.timers.change(world),
        8 | 9 => {
            let (at, answer) = (Rc::clone(world), world.owe());
            world.handle.set_immediate(move |_| {
                answer();
                at.enter();
                act(&at, None);
            });
        }
        // The callback takes its time.
        10 => world.sim.advance(dice.millis(40)),
        _ => {}
    }
}

fn on_socket(world: &Rc<World>, end: &Rc<End>) {
    let Some(socket) = end.socket(world) else {
        assert!(end.closed.get(), "an open socket cannot be found");
        return;
    };
    match world.dice.below(64) {
        0..=19 => write(world, end, &socket),
        20..=35 => flow(world, end, &socket),
        36..=42 => settings(world, end, &socket),
        43..=47 => listen_in(world, end, &socket),
        48..=51 => finish(world, end, &socket),
        52 => destroy(world, end, &socket),
        53..=56 => pipe(world, end, &socket),
        57..=59 => unpipe(world, end, &socket),
        60 => *end.handle.borrow_mut() = None,
        _ => {}
    }
}

/// The bytes number `at` to `at + len` that a socket sends.
fn pattern(end: &End, len: usize) -> Vec<u8> {
    let at = end.sent.borrow().len();
    let byte = |index: usize| (index * 31 + index / 251 + end.number * 7) as u8;
    (at..at + len).map(byte).collect()
}

fn write(world: &Rc<World>, end: &Rc<End>, socket: &Socket) {
    let len = world.dice.size(4_000);
    world.settle_pipes_to(end.number);
    let before = socket.bytes_written();
    let may = socket.writable();
    let data = pattern(end, len);
    let callback = world.dice.one_in(2).then(|| {
        let number = end.given.get();
        end.given.set(number + 1);
        let (of, at, value) = (Rc::clone(end), Rc::clone(world), world.value());
        move |_: &Socket, result: Result<(), Error>| {
            drop(value);
            of.wrote(&at, number, result);
            act(&at, Some(&of));
        }
    });
    let owner = Owned(data.clone(), world.value());
    let status = match (callback, world.dice.below(3)) {
        (None, 0) => socket.write(&data),
        (None, 1) => socket.write(data.clone()),
        (None, _) => socket.write(Bytes::from_owner(owner)),
        (Some(callback), 0) => socket.write_then(&data, callback),
        (Some(callback), 1) => socket.write_then(data.clone(), callback),
        (Some(callback), _) => socket.write_then(Bytes::from_owner(owner), callback),
    };
    world.note(|| format!("{} write {len}: {status:?}", end.number));
    // Of a refused write the kernel may have some.
    let taken = socket.bytes_written().saturating_sub(before) as usize;
    end.sent.borrow_mut().extend(&data[..taken]);
    world.rebase_pipes_to(end.number, socket.bytes_written());
    if taken > 0 || status != WriteStatus::Refused {
        end.idle.stir(world);
    }
    if status == WriteStatus::Refused {
        assert!(taken < len || len == 0 || !may);
        return;
    }
    assert!(may && taken == len);
    let flushed = socket.buffer_size() == 0;
    assert_eq!(status == WriteStatus::Flushed, flushed);
    if status == WriteStatus::Queued {
        assert!(socket.need_drain());
        end.drain_owed.set(true);
    }
}

struct Owned(Vec<u8>, #[allow(dead_code)] Value);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn flow(world: &Rc<World>, end: &Rc<End>, socket: &Socket) {
    let choice = world.dice.below(8);
    let name = ["pause", "pause", "resume", "resume", "resume", "cork"].get(choice);
    world.note(|| format!("{} {}", end.number, name.unwrap_or(&"uncork")));
    match choice {
        0 | 1 => {
            socket.pause();
            end.paused.set(true);
        }
        2..=4 => {
            socket.resume();
            end.paused.set(false);
        }
        5 => {
            socket.cork();
            end.corks.set(end.corks.get() + 1);
        }
        _ => {
            socket.uncork();
            end.corks.set(end.corks.get().saturating_sub(1));
        }
    }
}

fn settings(world: &Rc<World>, end: &Rc<End>, socket: &Socket) {
    let dice = &world.dice;
    match dice.below(9) {
        0..=2 if !socket.destroyed() => {
            let period = dice.millis(80);
            socket.set_timeout(period);
            end.idle.set(period, world);
        }
        3 => drop(socket.set_high_water_mark(dice.size(3_000))),
        4 => drop(socket.set_max_queued(dice.one_in(4).then(|| dice.size(8_000)))),
        5 => drop(socket.set_allow_half_open(dice.one_in(2))),
        6 => drop(socket.unref()),
        7 => drop(socket.ref_()),
        _ => drop(socket.set_encoding(dice.one_in(2).then_some(Encoding::Utf8))),
    }
}

/// Further listeners, which only act.
fn listen_in(world: &Rc<World>, end: &Rc<End>, socket: &Socket) {
    let (of, at, value) = (Rc::clone(end), Rc::clone(world), world.value());
    let from = end.number;
    let heard = move || {
        let _held = &value;
        at.settle_pipes(Some(from));
        act(&at, Some(&of));
    };
    match world.dice.below(9) {
        0 => socket.on_data(move |_, _| heard()),
        1 => socket.once_data(move |_, _| heard()),
        2 => socket.on_text(move |_, _| heard()),
        3 => socket.on_drain(move |_| heard()),
        4 => socket.on_end(move |_| heard()),
        5 => socket.on_finish(move |_| heard()),
        6 => socket.on_close(move |_, _| heard()),
        7 => socket.once_timeout(move |_| heard()),
        _ => {
            end.rewatch(world, socket);
            socket
        }
    };
}

fn finish(world: &Rc<World>, end: &Rc<End>, socket: &Socket) {
    world.note(|| format!("{} end", end.number));
    match world.dice.below(5) {
        0 => {
            let (of, at, answer) = (Rc::clone(end), Rc::clone(world), world.owe());
            socket.end_then(move |_, _| {
                answer();
                at.enter();
                act(&at, Some(&of));
            });
        }
        1 => {
            // It ends our side, and then what the peer still sends is not waited for.
            end.cut.set(true);
            socket.destroy_soon();
        }
        _ if world.dice.one_in(3) => socket.end(),
        _ => {}
    }
}

fn destroy(world: &Rc<World>, end: &Rc<End>, socket: &Socket) {
    world.note(|| format!("{} destroy", end.number));
    if !socket.destroyed() {
        end.cut.set(true);
    }
    match world.dice.below(3) {
        0 => socket.destroy(),
        1 => socket.destroy_with(Error::other("on purpose")),
        _ => socket.reset_and_destroy(),
    }
}

fn pipe(world: &Rc<World>, end: &Rc<End>, socket: &Socket) {
    let ends = world.ends.borrow();
    let to = &ends[world.dice.below(ends.len())];
    if end.pipes.borrow().contains(&to.number) || socket.destroyed() {
        return;
    }
    let Some(destination) = to.socket(world) else {
        return;
    };
    world.note(|| format!("{} pipe {}", end.number, to.number));
    let options = PipeOptions::default().end(world.dice.one_in(2));
    socket.pipe_with(&destination, options);
    if !destination.destroyed() {
        end.pipes.borrow_mut().push(to.number);
    }
}

fn unpipe(world: &Rc<World>, end: &Rc<End>, socket: &Socket) {
    world.note(|| format!("{} unpipe", end.number));
    let one = end.pipes.borrow().first().copied();
    match one {
        Some(to) if world.dice.one_in(2) => {
            let Some(destination) = world.end(to).socket(world) else {
                return;
            };
            socket.unpipe(Some(&destination));
            end.pipes.borrow_mut().retain(|other| *other != to);
        }
        _ => {
            socket.unpipe(None);
            end.pipes.borrow_mut().clear();
        }
    }
    // The last one gone, nobody hears of what comes until somebody asks again.
    if world.dice.one_in(2) {
        socket.resume();
        end.paused.set(false);
    }
}
