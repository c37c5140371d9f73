//! Descriptors of the user's that the loop only watches.

use std::io;
use std::os::fd::RawFd;

use super::poller::Registered;
use super::ready::Step;
use super::source::{Liveness, Source};
use super::{Event, Reactor};
use crate::arena::Key;

pub(crate) struct WatchSource {
    fd: RawFd,
    registered: Registered,
    pub(super) ready: WatchReadiness,
    pub(super) queued: bool,
    pub(super) liveness: Liveness,
}

/// What a watched descriptor is ready for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WatchReadiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) hung_up: bool,
}

impl Reactor {
    /// Watches a descriptor, which the caller keeps open until `unwatch`.
    pub(crate) fn watch(&mut self, fd: RawFd, read: bool, write: bool) -> io::Result<Key> {
        let registered = wanted(read, write);
        let key = self.insert(Source::Watch(WatchSource {
            fd,
            registered,
            ready: WatchReadiness::default(),
            queued: false,
            liveness: Liveness::ACTIVE,
        }));
        if let Err(error) = self.poller.register_fd(fd, key, Registered::No, registered) {
            self.remove(key);
            return Err(error);
        }
        Ok(key)
    }

    pub(crate) fn set_watch_interest(
        &mut self,
        key: Key,
        read: bool,
        write: bool,
    ) -> io::Result<()> {
        let Some(Source::Watch(watch)) = self.sources.get_mut(key) else {
            return Ok(());
        };
        let registered = wanted(read, write);
        self.poller
            .register_fd(watch.fd, key, watch.registered, registered)?;
        watch.registered = registered;
        Ok(())
    }

    /// Ends watching. False: it had ended.
    pub(crate) fn unwatch(&mut self, key: Key) -> bool {
        let Some(Source::Watch(watch)) = self.sources.get(key) else {
            return false;
        };
        self.poller.deregister_fd(watch.fd);
        self.remove(key);
        true
    }

    pub(super) fn step_watch(&mut self, key: Key) -> Step {
        let Some(Source::Watch(watch)) = self.sources.get_mut(key) else {
            return Step::Done;
        };
        let ready = watch.ready;
        if ready.readable || ready.writable || ready.hung_up {
            Step::Event(Event::Watch(key))
        } else {
            Step::Done
        }
    }

    /// What the descriptor was found to be ready for since it was asked the last time.
    pub(crate) fn take_watch_readiness(&mut self, key: Key) -> WatchReadiness {
        match self.sources.get_mut(key) {
            Some(Source::Watch(watch)) => std::mem::take(&mut watch.ready),
            _ => WatchReadiness::default(),
        }
    }
}

fn wanted(read: bool, write: bool) -> Registered {
    match (read, write) {
        (true, true) => Registered::ReadWrite,
        (false, true) => Registered::Write,
        _ => Registered::Read,
    }
}
