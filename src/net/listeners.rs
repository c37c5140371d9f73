//! The listeners of one emitter, in order of registration.
//!
//! A listener is *leased* while it runs: taken out of its entry, called with nothing borrowed, and *restored* unless
//! it was removed meanwhile. Ids grow with every registration, so an emission visits exactly the listeners that were
//! there when it began, however they come and go while it runs.

/// The kinds of events, for [`remove_all_listeners`](crate::net::Socket::remove_all_listeners) and
/// [`listener_count`](crate::net::Socket::listener_count).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// A socket is connected.
    Connect,
    /// A socket is connected, after `Connect`.
    Ready,
    /// A name was looked up.
    Lookup,
    /// Bytes came.
    Data,
    /// Bytes came, decoded.
    Text,
    /// The peer has sent all it had to send.
    End,
    /// The write queue is empty again.
    Drain,
    /// Nothing moved for the idle timeout.
    Timeout,
    /// All we had to send, and our FIN, are with the kernel.
    Finish,
    /// A socket or a server failed.
    Error,
    /// A socket or a server is closed.
    Close,
    /// A server listens.
    Listening,
    /// A server accepted a connection.
    Connection,
    /// A server dropped a connection, having as many as it may.
    Drop,
}

struct Entry<C> {
    id: u64,
    kind: EventKind,
    once: bool,
    /// `None` while leased.
    callback: Option<C>,
}

pub(super) struct Listeners<C> {
    entries: Vec<Entry<C>>,
    /// Never wraps: a `once_drain` for each write would have used up 32 bits within days.
    next_id: u64,
}

/// A listener that runs.
pub(super) struct Lease<C> {
    pub(super) callback: C,
    /// It was removed when it was leased, and is not restored.
    pub(super) once: bool,
}

impl<C> Listeners<C> {
    pub(super) fn new() -> Listeners<C> {
        Listeners {
            entries: Vec::new(),
            next_id: 1,
        }
    }

    pub(super) fn add(&mut self, kind: EventKind, once: bool, callback: C) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        if self.entries.capacity() == 0 {
            // Most sockets have one or two listeners; there may be many sockets.
            self.entries.reserve_exact(1);
        }
        self.entries.push(Entry {
            id,
            kind,
            once,
            callback: Some(callback),
        });
        id
    }

    /// An emission that begins now ends before this id.
    pub(super) fn end(&self) -> u64 {
        self.next_id
    }

    /// The first listener after `after` and before `end` that `wanted` accepts.
    #[inline]
    pub(super) fn find(
        &self,
        after: u64,
        end: u64,
        wanted: impl Fn(EventKind, &C) -> bool,
    ) -> Option<(u64, &C)> {
        let first = self.entries.partition_point(|entry| entry.id <= after);
        self.entries[first..]
            .iter()
            .take_while(|entry| entry.id < end)
            .find_map(|entry| {
                let callback = entry.callback.as_ref()?;
                wanted(entry.kind, callback).then_some((entry.id, callback))
            })
    }

    /// Leases a listener that was found.
    #[inline]
    pub(super) fn lease(&mut self, id: u64) -> Option<Lease<C>> {
        let index = self.index(id)?;
        let entry = &mut self.entries[index];
        let once = entry.once;
        let callback = entry.callback.take()?;
        if once {
            self.entries.remove(index);
        }
        Some(Lease { callback, once })
    }

    /// Puts a leased listener back. If it was removed meanwhile it is returned, to be dropped by the caller.
    pub(super) fn restore(&mut self, id: u64, callback: C) -> Option<C> {
        match self.index(id) {
            Some(index) => {
                self.entries[index].callback = Some(callback);
                None
            }
            None => Some(callback),
        }
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut C> {
        let index = self.index(id)?;
        self.entries[index].callback.as_mut()
    }

    /// Removes one listener. Leased, it will not be restored.
    pub(super) fn remove(&mut self, id: u64) -> Option<C> {
        let index = self.index(id)?;
        self.entries.remove(index).callback
    }

    /// Removes the listeners that `doomed` names; leased ones are not restored.
    pub(super) fn remove_where(
        &mut self,
        doomed: impl Fn(EventKind, Option<&C>) -> bool,
    ) -> Vec<C> {
        let mut removed = Vec::new();
        self.entries.retain_mut(|entry| {
            let keep = !doomed(entry.kind, entry.callback.as_ref());
            if !keep {
                removed.extend(entry.callback.take());
            }
            keep
        });
        removed
    }

    /// How many entries `counted` accepts; `None` stands for a leased one.
    pub(super) fn count(&self, counted: impl Fn(EventKind, Option<&C>) -> bool) -> usize {
        self.entries
            .iter()
            .filter(|entry| counted(entry.kind, entry.callback.as_ref()))
            .count()
    }

    /// Ids ascend, so that emitting to many listeners takes no search through all of them for each.
    #[inline]
    fn index(&self, id: u64) -> Option<usize> {
        let found = self.entries.binary_search_by_key(&id, |entry| entry.id);
        found.ok()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut C> {
        self.entries
            .iter_mut()
            .filter_map(|entry| entry.callback.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(listeners: &mut Listeners<u8>, kind: EventKind) -> Vec<u8> {
        let end = listeners.end();
        let mut after = 0;
        let mut seen = Vec::new();
        while let Some((id, _)) = listeners.find(after, end, |k, _| k == kind) {
            let lease = listeners.lease(id).unwrap();
            after = id;
            seen.push(lease.callback);
            if !lease.once {
                assert_eq!(listeners.restore(id, lease.callback), None);
            }
        }
        seen
    }

    #[test]
    fn listeners_run_in_order_of_registration_and_once_means_once() {
        let mut listeners = Listeners::new();
        listeners.add(EventKind::Data, false, 1);
        listeners.add(EventKind::End, false, 2);
        listeners.add(EventKind::Data, true, 3);
        listeners.add(EventKind::Data, false, 4);
        assert_eq!(visit(&mut listeners, EventKind::Data), [1, 3, 4]);
        assert_eq!(visit(&mut listeners, EventKind::Data), [1, 4]);
        assert_eq!(visit(&mut listeners, EventKind::End), [2]);
    }

    #[test]
    fn one_added_during_an_emission_waits_for_the_next() {
        let mut listeners = Listeners::new();
        listeners.add(EventKind::Data, false, 1);
        let end = listeners.end();
        let (id, _) = listeners.find(0, end, |_, _| true).unwrap();
        let lease = listeners.lease(id).unwrap();
        listeners.add(EventKind::Data, false, 2);
        listeners.restore(id, lease.callback);
        assert!(listeners.find(id, end, |_, _| true).is_none());
        assert_eq!(visit(&mut listeners, EventKind::Data), [1, 2]);
    }

    #[test]
    fn more_than_four_billion_registrations_are_no_limit() {
        let mut listeners = Listeners::new();
        listeners.next_id = u64::from(u32::MAX);
        listeners.add(EventKind::Data, false, 1);
        listeners.add(EventKind::Data, false, 2);
        assert_eq!(visit(&mut listeners, EventKind::Data), [1, 2]);
    }

    #[test]
    fn removing_stops_the_running_emission_and_gives_the_leased_one_back() {
        let mut listeners = Listeners::new();
        listeners.add(EventKind::Data, false, 1);
        listeners.add(EventKind::Data, false, 2);
        let end = listeners.end();
        let (id, _) = listeners.find(0, end, |_, _| true).unwrap();
        let lease = listeners.lease(id).unwrap();
        assert_eq!(
            listeners.remove_where(|kind, _| kind == EventKind::Data),
            [2]
        );
        assert_eq!(listeners.restore(id, lease.callback), Some(1));
        assert!(listeners.find(id, end, |_, _| true).is_none());
    }
}
