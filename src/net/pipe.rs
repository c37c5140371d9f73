//! `a.pipe(&b)`: the data of one socket written to another, at the pace of the slower.
//!
//! A pipe is an entry among the listeners of its source, so it has its place in their order, and a key among the
//! `inbound` of its destination. While the destination holds a full queue the source *rests*, which is kept apart from
//! the user's own `pause()`. When the destination can take no more for good, the source is unpiped and paused, so that
//! what it has not read yet is not lost.

use super::face::{Pipe, SocketCallback, SocketFace};
use super::listeners::EventKind;
use super::{LoopHandle, WriteStatus};
use crate::arena::Key;

impl LoopHandle {
    pub(super) fn add_pipe(&self, source: Key, destination: Key, end: bool) {
        let inner = self.inner();
        {
            let reactor = inner.reactor.borrow();
            if reactor.socket(source).is_none() {
                return;
            }
            if reactor
                .socket(destination)
                .is_none_or(|socket| socket.conn.destroyed())
            {
                drop(reactor);
                // As when a destination is lost: the source stops unless it has another.
                if count_pipes(inner.face.borrow_mut().socket(source)) == 0 {
                    inner.reactor.borrow_mut().unpiped(source);
                }
                return;
            }
        }
        {
            let face = &mut *inner.face.borrow_mut();
            let pipe = Pipe {
                destination,
                end,
                resting: false,
            };
            let callback = SocketCallback::Pipe(pipe);
            face.add_listener(source, EventKind::Data, false, callback);
            if source != destination {
                face.socket_mut(destination).rare_mut().inbound.push(source);
            }
        }
        let mut reactor = inner.reactor.borrow_mut();
        reactor.piped(source);
        // Its `end` was delivered already, and will not come again for the pipe.
        if end
            && reactor
                .socket(source)
                .is_some_and(|socket| socket.conn.peer_ended())
        {
            reactor.end(destination);
        }
    }

    /// Removes the pipes from `source` to `destination`, or all. The last one gone, the source is paused.
    pub(super) fn remove_pipes(&self, source: Key, destination: Option<Key>) {
        let is_doomed = |pipe: &Pipe| destination.is_none_or(|key| pipe.destination == key);
        let inner = self.inner();
        let (mut removed, mut resting) = (0, 0);
        let left;
        {
            let face = &mut *inner.face.borrow_mut();
            while let Some(pipe) = take_pipe(face.socket(source), is_doomed) {
                removed += 1;
                resting += usize::from(pipe.resting);
                let destination = face.socket(pipe.destination);
                if let Some(rare) = destination.and_then(|socket| socket.rare.as_mut()) {
                    if let Some(at) = rare.inbound.iter().position(|key| *key == source) {
                        rare.inbound.swap_remove(at);
                    }
                }
            }
            left = count_pipes(face.socket(source));
        }
        let reactor = &mut *inner.reactor.borrow_mut();
        if removed > 0 && left == 0 {
            reactor.unpiped(source);
        }
        for _ in 0..resting {
            reactor.wake(source);
        }
    }

    /// `id`: which pipe of the source it is, unless it is the only reader.
    #[inline(always)]
    pub(super) fn pipe_data(&self, source: Key, id: Option<u64>, pipe: Pipe, data: &[u8]) {
        let mut reactor = self.inner().reactor.borrow_mut();
        let status = reactor.write_piped(source, pipe.destination, data);
        drop(reactor);
        if status != Some(WriteStatus::Flushed) {
            self.pipe_stalled(source, id, pipe, status);
        }
    }

    #[inline(never)]
    fn pipe_stalled(&self, source: Key, id: Option<u64>, pipe: Pipe, status: Option<WriteStatus>) {
        let inner = self.inner();
        match status {
            Some(WriteStatus::Flushed | WriteStatus::Buffered) => {}
            Some(WriteStatus::Queued) => {
                let mut face = inner.face.borrow_mut();
                let Some(socket) = face.socket(source) else {
                    return;
                };
                let pipe = match id {
                    Some(id) => socket.readers.get_mut(id),
                    None => socket.readers.iter_mut().next(),
                };
                if set_resting(pipe, true) {
                    inner.reactor.borrow_mut().rest(source);
                }
            }
            Some(WriteStatus::Refused) => self.remove_pipes(source, Some(pipe.destination)),
            None => {
                self.remove_pipes(source, Some(pipe.destination));
                // An echo that was told to end, by a `shutdown` say, has said its last: what still comes is nobody's.
                // It flows on to be discarded, unless the user has paused it.
                if source == pipe.destination {
                    inner.reactor.borrow_mut().piped(source);
                }
            }
        }
    }

    pub(super) fn pipe_end(&self, pipe: Pipe) {
        if pipe.end {
            self.inner().reactor.borrow_mut().end(pipe.destination);
        }
    }

    /// `destination` has drained: what is piped into it goes on.
    pub(super) fn wake_sources(&self, destination: Key) {
        self.each_source(destination, |source| self.wake_source(source, destination));
    }

    fn wake_source(&self, source: Key, destination: Key) {
        let inner = self.inner();
        let mut woken = 0;
        if let Some(socket) = inner.face.borrow_mut().socket(source) {
            for callback in socket.readers.iter_mut() {
                if matches!(callback, SocketCallback::Pipe(pipe) if pipe.destination == destination)
                    && set_resting(Some(callback), false)
                {
                    woken += 1;
                }
            }
        }
        for _ in 0..woken {
            inner.reactor.borrow_mut().wake(source);
        }
    }

    /// `destination` takes nothing more: it has ended, or is gone. An echo ends by itself.
    pub(super) fn finish_pipes(&self, destination: Key) {
        self.each_source(destination, |source| {
            // No `drain` will come for those who rest.
            if source == destination {
                self.wake_source(source, destination);
            } else {
                self.remove_pipes(source, Some(destination));
            }
        });
    }

    /// `destination` failed to send: nothing is piped into it any more, not even by itself.
    pub(super) fn fail_pipes(&self, destination: Key) {
        self.each_source(destination, |source| {
            self.remove_pipes(source, Some(destination))
        });
    }

    /// A socket is gone: it is neither source nor destination any more.
    pub(super) fn detach_pipes(&self, key: Key) {
        self.remove_pipes(key, None);
        self.finish_pipes(key);
    }

    /// For the sockets that are piped into this one, itself last if it is piped anywhere: mostly none, or just itself, and
    /// then nothing is allocated.
    fn each_source(&self, destination: Key, work: impl Fn(Key)) {
        let mut face = self.inner().face.borrow_mut();
        let Some(socket) = face.socket(destination) else {
            return;
        };
        let others = socket.inbound().to_vec();
        let itself = count_pipes(Some(socket)) > 0;
        drop(face);
        others.into_iter().for_each(&work);
        if itself {
            work(destination);
        }
    }
}

/// Takes a pipe away from its source, the last one that `is_doomed` names: what is behind it has to move.
fn take_pipe(source: Option<&mut SocketFace>, is_doomed: impl Fn(&Pipe) -> bool) -> Option<Pipe> {
    let is_doomed = |callback: &SocketCallback| match callback {
        SocketCallback::Pipe(pipe) => is_doomed(pipe),
        _ => false,
    };
    match source?.readers.remove_last(is_doomed)? {
        SocketCallback::Pipe(pipe) => Some(pipe),
        _ => None,
    }
}

/// Notes whether the source of a pipe rests; says whether that is a change.
fn set_resting(callback: Option<&mut SocketCallback>, resting: bool) -> bool {
    match callback {
        Some(SocketCallback::Pipe(pipe)) => {
            std::mem::replace(&mut pipe.resting, resting) != resting
        }
        _ => false,
    }
}

fn count_pipes(source: Option<&mut SocketFace>) -> usize {
    source.map_or(0, |socket| {
        socket
            .readers
            .count(|_, callback| matches!(callback, Some(SocketCallback::Pipe(_))))
    })
}
