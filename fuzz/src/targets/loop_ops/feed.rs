//! What the script writes: bytes that say where in the stream they belong.

use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::rc::Rc;

use tidewheel::net::{Socket, WriteStatus};
use tidewheel::Error;

use super::record::Tracked;
use super::world::{Panicked, World};

/// The byte at a place of a stream.
pub fn pattern(at: u64) -> u8 {
    (at % 251) as u8
}

/// Writes so many bytes in one of the forms there are.
pub fn write(world: &Rc<World>, tracked: &Rc<Tracked>, socket: &Socket, bytes: usize, form: u8) {
    let bytes = world.allowance(bytes);
    let start = tracked.position(socket);
    let data: Vec<u8> = (start..).map(pattern).take(bytes).collect();
    let status = match form % 5 {
        0 => world.call(|| socket.write(&data)),
        1 => world.call(|| socket.write(data)),
        2 => world.call(|| socket.write(bytes::Bytes::from(data))),
        3 => write_then(world, tracked, socket, &data),
        _ => in_a_cork(world, tracked, socket, &data),
    };
    check(world, tracked, socket, start + bytes as u64, status);
}

/// The answer, and what must be true with it.
fn check(world: &World, tracked: &Tracked, socket: &Socket, end: u64, status: WriteStatus) {
    let waiting = socket.buffer_size();
    if status != WriteStatus::Refused {
        assert_eq!(tracked.position(socket), end, "{status:?}");
        assert!(!socket.destroyed() && socket.writable());
    }
    match status {
        WriteStatus::Flushed => assert_eq!(waiting, 0),
        WriteStatus::Buffered => assert!(waiting > 0),
        WriteStatus::Queued => {
            assert!(waiting > 0 && socket.need_drain());
            tracked.drain_owed.set(true);
        }
        // Also of what could not be sent, while the peer's last bytes are still to be read.
        _ => assert!(!socket.writable() || world.event_loop.socket(tracked.id).is_none()),
    }
}

fn write_then(
    world: &Rc<World>,
    tracked: &Rc<Tracked>,
    socket: &Socket,
    data: &[u8],
) -> WriteStatus {
    let number = tracked.writes_issued.get();
    let closed = tracked.rules.borrow().closed;
    if !closed {
        tracked.writes_issued.set(number + 1);
    }
    world.owed.set(world.owed.get() + 1);
    let end = tracked.position(socket) + data.len() as u64;
    let (inner, me, probe) = (Rc::clone(world), Rc::clone(tracked), world.probe());
    world.call(|| {
        socket.write_then(data, move |socket, result| {
            let _probe = probe;
            let _running = inner.enter(Some(me.index));
            inner.paid.set(inner.paid.get() + 1);
            if !closed {
                assert_eq!(me.writes_told.replace(number + 1), number, "out of order");
            }
            if result.is_ok() {
                let sent = me.position(socket) - socket.buffer_size() as u64;
                assert!(end <= sent, "told before it was sent");
            }
            inner.act();
        })
    })
}

/// Corks, writes and uncorks; the closure may panic.
fn in_a_cork(world: &World, tracked: &Tracked, socket: &Socket, data: &[u8]) -> WriteStatus {
    let status = Cell::new(WriteStatus::Refused);
    let write = |socket: &Socket, part: &[u8]| {
        status.set(socket.write(part));
        if status.get() == WriteStatus::Queued {
            tracked.drain_owed.set(true);
        }
    };
    let panics = data.len() % 7 == 3;
    let corked = || {
        socket.corked(|socket| {
            let (head, tail) = data.split_at(data.len() / 2);
            write(socket, head);
            if status.get() != WriteStatus::Refused {
                write(socket, tail);
            }
            if panics {
                resume_unwind(Box::new(Panicked));
            }
        });
    };
    let result = world.call(|| catch_unwind(AssertUnwindSafe(corked)));
    assert_eq!(result.is_err(), panics);
    match status.get() {
        // The end of the cork has sent them, or failed to.
        _ if !socket.writable() => WriteStatus::Refused,
        _ if socket.buffer_size() == 0 => WriteStatus::Flushed,
        status => status,
    }
}

/// Ends with a callback.
pub fn end_then(world: &Rc<World>, tracked: &Rc<Tracked>, socket: &Socket) {
    let closed = tracked.rules.borrow().closed;
    if !closed {
        tracked.ends_owed.set(tracked.ends_owed.get() + 1);
    }
    world.owed.set(world.owed.get() + 1);
    let (inner, me, probe) = (Rc::clone(world), Rc::clone(tracked), world.probe());
    let done = move |_: &Socket, _: Result<(), Error>| {
        let _probe = probe;
        let _running = inner.enter(Some(me.index));
        inner.paid.set(inner.paid.get() + 1);
        if !closed {
            me.ends_owed.set(me.ends_owed.get() - 1);
        }
        inner.act();
    };
    world.call(|| socket.end_then(done));
}
