//! The ready list: sources with something to do, worked through in batches, each within its budget.

use super::drive::{Plain, Unplain, VAIN_WAKEUPS};
use super::poller::{Found, Wake, Wakeup};
use super::source::{SocketSource, Source};
use super::{Event, Next, Reactor, MAX_ROUNDS};
use crate::arena::Key;

/// Sources with something to do. What is added while a batch is worked through belongs to the next.
#[derive(Default)]
pub(super) struct ReadyList {
    batch: Vec<Key>,
    /// How far the batch has come.
    next: usize,
    /// What the poll has found of others. They come after the batch, and where there is none (nearly always) they are
    /// not looked up before their turn.
    woken: Vec<Wakeup>,
    next_woken: usize,
    /// What the last poll has found is still with the poller.
    pub(super) fresh: bool,
    waiting: Vec<Key>,
}

impl ReadyList {
    pub(super) fn push(&mut self, key: Key) {
        self.waiting.push(key);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.batch_is_done() && !self.fresh
    }

    fn batch_is_done(&self) -> bool {
        self.next == self.batch.len() && self.next_woken == self.woken.len()
    }

    /// All that waits is the batch now, behind what a panic has left of the last one.
    fn begin_batch(&mut self) {
        forget(&mut self.batch, &mut self.next);
        if self.batch.is_empty() {
            std::mem::swap(&mut self.batch, &mut self.waiting);
        } else {
            self.batch.append(&mut self.waiting);
        }
    }

    /// The next source, and how it was woken if it stands there for that.
    #[inline]
    fn next(&mut self) -> Option<Wakeup> {
        if let Some(key) = self.batch.get(self.next) {
            self.next += 1;
            let (key, wake) = (*key, Wake::LISTED);
            return Some(Wakeup { key, wake });
        }
        let woken = *self.woken.get(self.next_woken)?;
        self.next_woken += 1;
        Some(woken)
    }
}

/// Takes off the list what is done, which is all of it but after a panic.
#[inline]
fn forget<T>(list: &mut Vec<T>, done: &mut usize) {
    if *done == list.len() {
        list.clear();
    } else {
        list.drain(..*done);
    }
    *done = 0;
}

/// The source at work and what is left of its budget.
pub(super) struct Current {
    pub(super) key: Key,
    bytes: usize,
    rounds: u32,
}

/// What one step on a source did.
pub(super) enum Step {
    /// Something `net` must deliver; there may be more to do.
    Event(Event),
    /// Bytes are in the buffer. `drained`: there is nothing more to do now.
    Data { len: usize, drained: bool },
    /// Something nobody needs to hear of; there may be more to do.
    Again,
    /// There is nothing more to do now.
    Done,
}

impl Reactor {
    /// Puts a source on the ready list.
    pub(super) fn schedule(&mut self, key: Key) {
        let queued = match self.sources.get_mut(key) {
            Some(Source::Socket(socket)) => &mut socket.queued,
            Some(Source::Server(server)) => &mut server.queued,
            Some(Source::Watch(watch)) => &mut watch.queued,
            _ => return,
        };
        if !std::mem::replace(queued, true) {
            self.ready.push(key);
        }
    }

    /// What is on the ready list now is the batch; what comes later belongs to the next. Gives away what the poll has
    /// found and is not in the batch: to be worked through after it, and to be given back by
    /// [`end_batch`](Reactor::end_batch).
    pub(crate) fn begin_batch(&mut self) -> Found {
        self.ready.begin_batch();
        if self.ready.fresh && self.ready.batch_is_done() {
            self.ready.fresh = false;
            return self.poller.lend();
        }
        self.take_wakeups();
        if !self.ready.batch.is_empty() {
            self.merge_wakeups();
        }
        Found::nothing()
    }

    /// What was given away has been worked through.
    pub(crate) fn end_batch(&mut self, found: Found) {
        self.poller.take_back(found);
    }

    /// What a panic has left of it comes in the next turn.
    pub(crate) fn wake_again(&mut self, rest: impl Iterator<Item = Wakeup>) {
        self.ready.woken.extend(rest);
    }

    /// A source of the batch that the poll has found, too, knows so when its turn comes, and has no second one.
    #[inline(never)]
    fn merge_wakeups(&mut self) {
        let Reactor { ready, sources, .. } = self;
        ready
            .woken
            .retain(|woken| match sources.get_mut(woken.key) {
                Some(source) if source.is_queued() => {
                    source.note(woken.wake);
                    false
                }
                _ => true,
            });
    }

    /// Works on until there is something to deliver. What is read goes into `buffer`. `deferred_first`: what is deferred
    /// already comes first.
    pub(crate) fn next(&mut self, buffer: &mut [u8], deferred_first: bool) -> Next {
        if deferred_first && !self.deferred.is_empty() {
            return Next::Deferred;
        }
        loop {
            let current = self.current.as_ref().map(|current| Wakeup {
                key: current.key,
                wake: Wake::NOT,
            });
            let Some(woken) = current.or_else(|| self.ready.next()) else {
                return Next::Done;
            };
            let key = woken.key;
            let plain = if woken.wake == Wake::READABLE {
                self.read_plain(key, buffer)
            } else {
                Plain::Else(None)
            };
            let next = match plain {
                Plain::Read(len) => Some(Next::Data { key, len }),
                Plain::Else(result) => self.step(woken, result, buffer),
            };
            if let Some(next) = next {
                return next;
            }
        }
    }

    /// A source that was woken was not the plain case: works on as [`next`](Reactor::next) does.
    #[inline(never)]
    pub(crate) fn next_after(&mut self, woken: Wakeup, result: Unplain, buffer: &mut [u8]) -> Next {
        let next = self.step(woken, result, buffer);
        next.unwrap_or_else(|| self.next(buffer, false))
    }

    /// One step on a source that is not the plain case; `result` is of the read that showed it. Gives what it brought, if
    /// that is to be delivered.
    fn step(&mut self, woken: Wakeup, result: Unplain, buffer: &mut [u8]) -> Option<Next> {
        let key = woken.key;
        let step = match result {
            Some(result) => self.step_received(key, result, buffer.len()),
            None => self.step_source(woken, buffer),
        };
        self.told(key, step)
    }

    /// What a step brought that is to be delivered.
    fn told(&mut self, key: Key, step: Step) -> Option<Next> {
        match step {
            Step::Data { len, drained } => {
                // Drained, it comes back to the ready list by what its listeners leave to do.
                if drained {
                    self.current = None;
                } else {
                    self.go_on(key, len);
                }
                self.counters.events += 1;
                return Some(Next::Data { key, len });
            }
            Step::Event(event) => {
                self.go_on(key, 0);
                self.counters.events += 1;
                return Some(Next::Event(event));
            }
            Step::Again => self.go_on(key, 0),
            Step::Done => self.current = None,
        }
        (!self.deferred.is_empty()).then_some(Next::Deferred)
    }

    /// A source has had one step, which took `bytes` of its budget: it goes on, or others come first.
    fn go_on(&mut self, key: Key, bytes: usize) {
        let mut current = self.current.take().unwrap_or(Current {
            key,
            bytes: self.read_budget,
            rounds: MAX_ROUNDS,
        });
        current.bytes = current.bytes.saturating_sub(bytes);
        current.rounds -= 1;
        if current.bytes > 0 && current.rounds > 0 {
            self.current = Some(current);
        } else {
            self.schedule(key);
        }
    }

    fn step_source(&mut self, woken: Wakeup, buffer: &mut [u8]) -> Step {
        let Wakeup { key, wake } = woken;
        let now = self.now;
        let Some(source) = self.sources.get_mut(key) else {
            // It closed after the kernel reported it.
            return Step::Done;
        };
        if wake != Wake::NOT {
            source.note(wake);
        }
        match source {
            Source::Socket(socket) => {
                #[cfg(feature = "tls")]
                if socket.tls.is_some() && socket.conn.is_open() {
                    return self.tls_step(key, buffer);
                }
                let work = socket.work(buffer, now);
                self.step_socket(key, work)
            }
            Source::Server(_) => self.step_server(key),
            Source::Watch(_) => self.step_watch(key),
            Source::Timer(_) => Step::Done,
        }
    }

    /// Takes over what the poll has found.
    #[inline(never)]
    pub(super) fn take_wakeups(&mut self) {
        let ready = &mut self.ready;
        if std::mem::take(&mut ready.fresh) {
            forget(&mut ready.woken, &mut ready.next_woken);
            self.poller.wakeups(|wakeup| ready.woken.push(wakeup));
        }
    }
}

impl Source {
    /// Whether it stands on the ready list.
    fn is_queued(&self) -> bool {
        match self {
            Source::Socket(socket) => socket.queued,
            Source::Server(server) => server.queued,
            Source::Watch(watch) => watch.queued,
            Source::Timer(_) => false,
        }
    }

    /// Notes why it was woken.
    #[inline]
    fn note(&mut self, wake: Wake) {
        match self {
            Source::Socket(socket) => socket.note(wake),
            Source::Server(server) => {
                server.queued &= !wake.has(Wake::LISTED);
                server.readable |= wake != Wake::LISTED;
            }
            Source::Watch(watch) => {
                watch.queued &= !wake.has(Wake::LISTED);
                watch.ready.readable |= wake.has(Wake::READABLE);
                watch.ready.writable |= wake.has(Wake::WRITABLE);
                watch.ready.hung_up |= wake.has(Wake::HUNG_UP);
            }
            Source::Timer(_) => {}
        }
    }
}

impl SocketSource {
    fn note(&mut self, wake: Wake) {
        self.queued &= !wake.has(Wake::LISTED);
        let hung_up = wake.has(Wake::HUNG_UP);
        let bits = &mut self.ready;
        bits.readable |= wake.has(Wake::READABLE) || hung_up;
        bits.writable |= wake.has(Wake::WRITABLE);
        bits.hung_up |= hung_up;
        bits.peek_due |= hung_up;
        bits.shut |= wake.has(Wake::SHUT) && self.conn.is_open();
        bits.urgent |= wake.has(Wake::URGENT);
        if wake.has(Wake::READABLE) && self.conn.may_peek() {
            self.vain_wakeups = self.vain_wakeups.saturating_add(1);
            bits.peek_due |= self.vain_wakeups >= VAIN_WAKEUPS;
        }
    }
}
