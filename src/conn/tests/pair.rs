//! A connection and its model side by side: a vector of accepted bytes, a list of callbacks, flags.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use bytes::Bytes;

use super::clock::{Clock, Tick};
use super::model::{Callback, Model};
use super::shell::{broken_pipe, reset_by_peer, Shell};
use super::*;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Connect,
    Connected,
    /// `room`: how much the kernel takes; `None`: it fails the write.
    Write {
        len: usize,
        room: Option<usize>,
        owned: bool,
    },
    Flush(usize),
    FlushFails,
    End,
    /// As `End`, and the kernel fails the FIN.
    EndFails,
    Cork,
    Uncork,
    Destroy(bool),
    DestroySoon,
    Flow(bool),
    Attach,
    Piped,
    Unpiped,
    Rest,
    Wake,
    /// So many bytes came.
    Read(usize),
    Eof,
    ReadError,
    /// The next event is delivered.
    Deliver,
    HighWaterMark(usize),
    HalfOpen(bool),
    Clock(Tick),
}

enum Event {
    Notice(Notice),
    End,
}

pub(super) struct Pair {
    shell: Shell,
    model: Model,
    clock: Clock,
    events: VecDeque<Event>,
    owners_made: usize,
    owners_dropped: Arc<AtomicUsize>,
}

/// Owns bytes, and tells when it is dropped.
struct Owner(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

impl Pair {
    pub(super) fn new(adopted: bool, limits: Limits) -> Pair {
        let shell = if adopted {
            Shell::open(limits)
        } else {
            Shell::idle(limits)
        };
        Pair {
            shell,
            model: Model {
                connected: adopted,
                limits,
                ..Model::default()
            },
            clock: Clock::default(),
            events: VecDeque::new(),
            owners_made: 0,
            owners_dropped: Arc::default(),
        }
    }

    fn waiting(&self) -> usize {
        if self.model.failed || !self.model.alive() {
            return 0;
        }
        self.model.accepted.len() - self.shell.wire.len()
    }

    pub(super) fn apply(&mut self, op: Op) {
        let Pair { shell, model, .. } = self;
        match op {
            Op::Connect => {
                let new = !model.connecting && !model.connected && model.alive();
                assert_eq!(shell.conn.connect_started(), new);
                model.connecting |= new;
            }
            Op::Connected => {
                let now = model.connecting && model.alive();
                assert_eq!(shell.conn.handle_connected(), now);
                if now {
                    (model.connecting, model.connected) = (false, true);
                }
            }
            Op::Write { len, room, owned } => self.write(len, room, owned),
            Op::Flush(room) => {
                shell.flush(room);
            }
            Op::FlushFails if shell.conn.wants_flush() => {
                model.fail_write();
                shell.write_error(broken_pipe());
            }
            Op::FlushFails => {}
            Op::End | Op::EndFails => {
                model.end();
                shell.end();
                if matches!(op, Op::EndFails) && shell.conn.wants_shutdown() {
                    model.fail_write();
                    shell.write_error(broken_pipe());
                }
            }
            Op::Cork => {
                model.corked += 1;
                shell.conn.cork();
            }
            Op::Uncork => {
                model.corked = model.corked.saturating_sub(1);
                shell.conn.uncork();
            }
            Op::Destroy(failed) => {
                let cause = if failed {
                    Cause::Failed(reset_by_peer())
                } else {
                    Cause::Destroyed
                };
                model.die(if failed { "ECONNRESET" } else { "destroyed" });
                shell.destroy(cause);
            }
            Op::DestroySoon => {
                model.destroy_soon = true;
                model.end();
                model.finish_if_done();
                shell.conn.destroy_soon(&mut shell.released);
            }
            Op::Deliver => self.deliver(),
            Op::Eof => self.eof(),
            Op::ReadError if model.open() => {
                model.die(if model.failed { "EPIPE" } else { "ECONNRESET" });
                shell.read_error(reset_by_peer());
            }
            Op::ReadError => {}
            Op::Clock(tick) => self.clock.apply(shell.conn.idle_mut(), tick),
            op => self.set(op),
        }
        self.settle();
    }

    fn set(&mut self, op: Op) {
        let Pair { shell, model, .. } = self;
        match op {
            Op::Flow(flowing) => {
                (model.flow, model.unpiped) = (Some(flowing), false);
                shell.conn.set_flowing(flowing);
            }
            Op::Attach => {
                model.flow.get_or_insert(true);
                shell.conn.reader_attached();
            }
            Op::Piped => {
                if model.unpiped || model.flow.is_none() {
                    (model.flow, model.unpiped) = (Some(true), false);
                }
                shell.conn.piped();
            }
            Op::Unpiped => {
                if model.flow != Some(false) {
                    (model.flow, model.unpiped) = (Some(false), true);
                }
                shell.conn.unpiped();
            }
            Op::Read(len) if shell.conn.wants_read() => {
                model.read += len as u64;
                shell.conn.handle_read(len);
            }
            Op::Read(_) => {}
            Op::Rest => {
                model.resting += 1;
                shell.conn.rest();
            }
            Op::Wake => {
                model.resting = model.resting.saturating_sub(1);
                shell.conn.wake();
            }
            Op::HighWaterMark(bytes) => {
                model.limits.set_high_water_mark(bytes);
                shell.conn.limits_mut().set_high_water_mark(bytes);
            }
            Op::HalfOpen(allowed) => {
                model.limits.allow_half_open = allowed;
                shell.conn.limits_mut().allow_half_open = allowed;
            }
            _ => unreachable!("{op:?}"),
        }
    }

    fn write(&mut self, len: usize, room: Option<usize>, owned: bool) {
        let (want, cause) = self.model.answer(self.waiting(), len, room);
        let start = self.model.accepted.len();
        let data: Vec<u8> = (start..start + len).map(|i| (i % 251) as u8).collect();
        let was_dead = !self.model.alive();
        match cause {
            "" => {}
            "a failed write" => {
                self.model.fail_write();
                let released = &mut self.shell.released;
                assert_eq!(self.shell.conn.admit(len, released), Admission::Try);
                self.shell.write_error(broken_pipe());
            }
            cause => self.model.die(cause),
        }
        if cause != "a failed write" {
            let payload = if owned {
                self.owners_made += 1;
                let owner = Owner(data.clone(), Arc::clone(&self.owners_dropped));
                Payload::Owned(Bytes::from_owner(owner))
            } else {
                Payload::Borrowed(&data)
            };
            let status = self.shell.send(payload, room.unwrap_or(0), true);
            assert_eq!(status, want);
        }
        let refused = want == WriteStatus::Refused;
        if refused && was_dead {
            self.shell.conn.abort_late_callback();
        }
        // Of a write that turned out too long the kernel may have a part.
        let wire = self.shell.wire.len();
        let taken = if refused {
            wire.saturating_sub(start)
        } else {
            len
        };
        self.model.accepted.extend_from_slice(&data[..taken]);
        self.model.drain_owed |= want == WriteStatus::Queued;
        self.model.callbacks.push_back(Callback {
            position: self.model.accepted.len(),
            refused,
            resolved: false,
        });
    }

    /// The peer has ended and everything before that was read.
    fn eof(&mut self) {
        let Pair { shell, model, .. } = self;
        let first = model.open() && !model.eof && !model.failed;
        assert_eq!(shell.conn.handle_eof(), first);
        if first {
            model.eof = true;
            self.events.push_back(Event::End);
        } else if model.failed {
            model.die("EPIPE");
            shell.conn.settle_write_error(&mut shell.released);
        }
    }

    /// Draws the consequences, as the loop does after every change.
    fn settle(&mut self) {
        let Pair { shell, model, .. } = self;
        if shell.conn.wants_shutdown() {
            assert!(model.ended && model.open() && !model.shut);
            assert_eq!(shell.wire, model.accepted, "our FIN comes last");
            shell.shut();
            model.shut = true;
        }
        while let Some(notice) = shell.conn.poll_notice() {
            self.events.push_back(Event::Notice(notice));
        }
    }

    fn deliver(&mut self) {
        let waiting = self.waiting();
        let Pair { shell, model, .. } = self;
        let Some(event) = self.events.pop_front() else {
            return;
        };
        match event {
            Event::End => {
                model.end_told = true;
                if !model.limits.allow_half_open {
                    model.ended_by_peer |= model.alive() && !model.ended;
                    model.end();
                }
                model.finish_if_done();
                shell.end_delivered();
            }
            Event::Notice(Notice::Drain) => {
                let live = model.open() && !model.ended && !model.failed;
                let due = model.drain_owed && live && waiting == 0;
                assert_eq!(shell.conn.take_drain(), due);
                model.drain_owed &= !due;
            }
            Event::Notice(Notice::Wrote) => {
                let next = model
                    .callbacks
                    .iter_mut()
                    .find(|callback| !callback.resolved);
                let callback = next.expect("one callback for each");
                assert!(callback.position <= shell.wire.len() && !callback.refused);
                callback.resolved = true;
            }
            Event::Notice(Notice::Finish) => {
                if shell.conn.is_open() {
                    assert!(model.shut && !model.finish_told);
                    model.finish_told = true;
                    model.finish_if_done();
                    shell.conn.handle_finish_begun();
                    shell.finish_delivered();
                }
            }
            Event::Notice(Notice::Error) => model.errors_told += 1,
            Event::Notice(Notice::Abort) => {
                assert!(!model.alive());
                for callback in model
                    .callbacks
                    .iter_mut()
                    .filter(|callback| !callback.resolved)
                {
                    let sent = callback.position <= shell.wire.len() && model.connected;
                    assert!(callback.refused || !sent, "it has succeeded");
                    callback.resolved = true;
                }
            }
        }
    }

    pub(super) fn compare(&self) {
        let Pair { shell, model, .. } = self;
        let conn = &shell.conn;
        assert!(
            model.accepted.starts_with(&shell.wire),
            "bytes in are bytes out"
        );
        assert_eq!(conn.buffer_size(), self.waiting());
        assert_eq!(conn.bytes_written(), model.accepted.len() as u64);
        assert_eq!(shell.cause(), model.dead.as_deref().unwrap_or("none"));
        assert_eq!(conn.bytes_read(), model.read);
        assert_eq!(conn.wants_read(), model.reads());
        assert_eq!(
            conn.may_peek(),
            model.open() && !model.eof && !model.reads()
        );
        let begun = model.alive() && (model.connecting || model.connected);
        assert_eq!(conn.readable(), begun && !model.eof);
        assert_eq!(conn.writable(), begun && !model.ended && !model.failed);
        assert_eq!(conn.destroyed(), !model.alive());
        assert_eq!(conn.need_drain(), model.drain_owed && conn.writable());
        let held =
            model.corked > 0 && !model.ended && !model.drain_owed && self.waiting() < CORK_LIMIT;
        assert_eq!(
            conn.wants_flush(),
            model.open() && self.waiting() > 0 && !held
        );
        assert_eq!(
            self.owners_dropped.load(Ordering::Relaxed),
            0,
            "dropped too early"
        );
    }

    /// Lets everything that is due happen, then closes: nothing may be left over.
    pub(super) fn run_to_the_end(mut self) {
        for op in [
            Op::Connect,
            Op::Connected,
            Op::HalfOpen(false),
            Op::Flow(true),
        ] {
            self.apply(op);
        }
        for _ in 0..self.model.corked {
            self.apply(Op::Uncork);
        }
        self.flush_and_deliver();
        let live = self.model.open() && !self.model.ended && !self.model.failed;
        assert!(!(live && self.model.drain_owed), "a `drain` was lost");
        self.apply(Op::End);
        self.flush_and_deliver();
        self.apply(Op::Eof);
        self.flush_and_deliver();
        self.compare();

        let Pair {
            mut shell, model, ..
        } = self;
        let cause = model.dead.expect("both sides are done");
        let failed = !matches!(cause.as_str(), "finished" | "destroyed");
        assert_eq!(model.errors_told, u32::from(failed), "{cause}");
        assert!(model.callbacks.iter().all(|callback| callback.resolved));
        if cause == "finished" {
            assert_eq!(shell.wire, model.accepted);
            assert!(model.finish_told && model.end_told);
        }
        shell.conn.handle_close_delivered();
        assert_eq!(shell.conn.phase(), Phase::Closed);
        assert_eq!(shell.conn.poll_notice(), None);
        drop(shell.released);
        let dropped = self.owners_dropped.load(Ordering::Relaxed);
        assert_eq!(dropped, self.owners_made, "handed back");
    }

    fn flush_and_deliver(&mut self) {
        while self.shell.conn.wants_flush() {
            self.apply(Op::Flush(usize::MAX));
        }
        while !self.events.is_empty() {
            self.apply(Op::Deliver);
            self.compare();
        }
    }
}
