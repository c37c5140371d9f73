//! Operations on a whole loop with real sockets, in which callbacks do operations of their own: they write, end,
//! destroy, pause, connect, listen, close, drop handles, add and remove listeners, and panic.
//!
//! What must hold is checked where it shows: `record` has the rules of one socket, `world` those of every callback,
//! `ending` what must be true when all is over. A panic is raised by `resume_unwind`, because the hook that libFuzzer
//! sets ends the process even for a panic that is caught.

mod ending;
mod feed;
mod ops;
mod record;
mod serve;
mod world;

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use tidewheel::EventLoop;

use ending::Ending;
use world::{Panicked, World};

pub fn run(data: &[u8]) {
    let before = open_descriptors();
    let (head, script) = data.split_at(data.len().min(2));
    let head = [head.first(), head.last()].map(|byte| byte.copied().unwrap_or(0));
    let read_buffer = [16, 512, 4096, 65536][usize::from(head[0] >> 6)];
    let event_loop = EventLoop::builder()
        .read_buffer(read_buffer)
        .read_budget(if head[0] & 32 == 0 { 256 * 1024 } else { 1 })
        .build()
        .unwrap();
    let world = World::new(&event_loop, script, head[1], read_buffer);
    world.new_pair();
    while world.has_script() {
        world.next_operations(3);
        turn(&event_loop, &world, Duration::ZERO);
    }
    match head[0] % 4 {
        0 | 1 => ending::end(event_loop, &world, Ending::Orderly),
        2 => ending::end(event_loop, &world, Ending::Abrupt),
        _ => ending::abandon(event_loop, &world),
    }
    let closures = world.closures();
    assert_eq!(closures, 0, "closures are left");
    world.forget();
    assert_eq!(Rc::strong_count(&world), 1, "somebody keeps the world");
    assert_eq!(open_descriptors(), before, "descriptors are left");
}

/// One turn of the loop. A panic of ours is what `turn` may unwind with; any other is a failure.
fn turn(event_loop: &EventLoop, world: &World, wait: Duration) -> bool {
    match catch_unwind(AssertUnwindSafe(|| event_loop.turn(Some(wait)))) {
        Ok(Ok(alive)) => alive,
        // Nobody listened to an error of a connect, and nothing is alive.
        Ok(Err(_)) => event_loop.is_alive(),
        Err(payload) if payload.is::<Panicked>() => {
            world.after_panic();
            true
        }
        Err(payload) => resume_unwind(payload),
    }
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
