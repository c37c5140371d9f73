//! When the script is over: what is open is closed in order, at once or by dropping the loop, and nothing may be lost
//! or left.

use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{self, Socket, WriteStatus};
use tidewheel::{Code, EventLoop};

use super::record::Tracked;
use super::turn;
use super::world::World;

/// Turns without a byte moved after which it is called stuck. The first do not wait, later ones ever longer, in all
/// half a minute.
const TURNS: u64 = 480;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything is read and written, then both sides end.
    Orderly,
    /// Everything is destroyed.
    Abrupt,
}

pub fn end(event_loop: EventLoop, world: &Rc<World>, ending: Ending) {
    world.acting.set(false);
    stop_the_rest(world);
    if ending == Ending::Orderly && !world.pipes {
        until(&event_loop, world, || {
            open(world, |_, socket| {
                socket.resume();
            });
            is_quiet(world)
        });
        // What the last bytes have left to tell.
        for _ in 0..3 {
            turn(&event_loop, world, Duration::ZERO);
        }
        open(world, check_quiet);
    }
    until(&event_loop, world, || {
        open(world, |_, socket| {
            socket.set_allow_half_open(false).resume();
            // What goes round in circles of pipes has no end of its own.
            match ending == Ending::Orderly && !world.pipes {
                true => socket.end(),
                false => socket.destroy(),
            }
        });
        !event_loop.is_alive()
    });
    assert_eq!(event_loop.active_handles().len(), 0);
    assert_eq!(event_loop.stats().sockets_open, 0);
    for tracked in world.sockets.borrow().iter() {
        assert!(tracked.rules.borrow().closed, "a `close` is lost");
        tracked.stream.check_whole();
    }
    let all_paid = world.paid.get() == world.owed.get();
    assert!(
        all_paid || world.close_cut_short.get(),
        "a callback is lost"
    );
    assert_eq!(world.posts_paid(), world.posts_owed.get(), "a post is lost");
    let timers = world.timers.borrow();
    assert!(
        timers.iter().all(|timer| timer.over.get()),
        "a timer is lost"
    );
    drop(event_loop);
}

/// Drops the loop with all that is open. What is left are handles of nothing.
pub fn abandon(event_loop: EventLoop, world: &Rc<World>) {
    world.acting.set(false);
    drop(event_loop);
    for tracked in world.sockets.borrow().iter() {
        if let Some(socket) = &*tracked.handle.borrow() {
            assert!(socket.destroyed() && socket.raw_fd().is_none());
            assert_eq!(socket.write("x"), WriteStatus::Refused);
            socket.end();
            socket.on_data(|_, _| {}).pause().destroy();
            let error = socket.connect(1, |_| {}).unwrap_err();
            assert_eq!(error.code(), Code::LoopClosed);
        }
    }
    for server in world.servers.borrow().iter() {
        assert!(!server.listening() && server.address().is_none());
        server.close();
        let error = server.listen(("127.0.0.1", 0), |_| {}).unwrap_err();
        assert_eq!(error.code(), Code::LoopClosed);
    }
    for remote in world.remotes.borrow().iter() {
        assert!(remote.post(|_| {}).is_err());
    }
    assert!(net::pair(&world.event_loop).is_err());
    assert!(net::connect(&world.event_loop, 1, |_| {}).destroyed());
}

/// Servers, timers, watches and all that is no socket.
fn stop_the_rest(world: &World) {
    for server in world.servers.borrow().iter() {
        server.resume().set_max_connections(None).close();
    }
    for timer in world.timers.borrow().iter() {
        if let Some(timeout) = &*timer.timeout.borrow() {
            timeout.ref_();
            if timer.repeats {
                timer.over.set(true);
                timeout.clear();
            }
        }
    }
    for (watch, _) in world.watches.borrow_mut().drain(..) {
        watch.close();
    }
    world.remotes.borrow_mut().clear();
    world.replies.borrow_mut().clear();
    world.detached.borrow_mut().clear();
    open(world, |tracked, socket| {
        socket.ref_();
        for _ in 0..tracked.corks.take() {
            socket.uncork();
        }
    });
}

/// Turns until it is done.
fn until(event_loop: &EventLoop, world: &World, mut done: impl FnMut() -> bool) {
    let moved = || event_loop.stats().bytes_in + event_loop.stats().bytes_out;
    let (mut last, mut idle) = (moved(), 0);
    while !done() {
        turn(event_loop, world, Duration::from_millis(idle / 4));
        idle = if moved() == last { idle + 1 } else { 0 };
        last = moved();
        assert!(idle < TURNS, "stuck: {:?}", event_loop.active_handles());
    }
}

/// No socket has bytes that wait, or waits for its connection.
fn is_quiet(world: &World) -> bool {
    let mut quiet = true;
    open(world, |_, socket| {
        quiet &= socket.buffer_size() == 0 && !socket.connecting();
    });
    quiet
}

/// All is sent and read: nobody waits for a `drain`.
fn check_quiet(tracked: &Tracked, socket: &Socket) {
    let live = socket.writable() && !socket.connecting();
    assert!(!(live && tracked.drain_owed.get()), "a `drain` is lost");
}

fn open(world: &World, mut each: impl FnMut(&Tracked, &Socket)) {
    let sockets = world.sockets.borrow().clone();
    for tracked in sockets {
        if let Some(socket) = world.event_loop.socket(tracked.id) {
            if !socket.destroyed() {
                each(&tracked, &socket);
            }
        }
    }
}
