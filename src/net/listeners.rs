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
    /// The handshake of a socket is done.
    #[cfg(feature = "tls")]
    SecureConnect,
    /// The handshake of a socket that a server accepted is done.
    #[cfg(feature = "tls")]
    SecureConnection,
    /// A socket that a server accepted failed before its handshake was done.
    #[cfg(feature = "tls")]
    TlsClientError,
    /// Secrets of a connection, for reading a capture of it.
    #[cfg(feature = "tls")]
    KeyLog,
    /// A client of a server would have an OCSP response.
    #[cfg(feature = "tls")]
    OcspRequest,
    /// A server has sent an OCSP response, or none.
    #[cfg(feature = "tls")]
    OcspResponse,
    /// A server sent a session that may be taken up later.
    #[cfg(feature = "tls")]
    Session,
    /// A client of a server got a session, for the program to keep.
    #[cfg(feature = "tls")]
    NewSession,
    /// A client of a server would take up a session that the program may have kept.
    #[cfg(feature = "tls")]
    ResumeSession,
}

/// As small as may be: there is one for each listener of each socket.
struct Entry<C> {
    id: Id,
    kind: EventKind,
    once: bool,
    /// `None` while leased.
    callback: Option<C>,
}

/// 48 bits of a number, which a million registrations a second need nine years to use up.
#[derive(Clone, Copy)]
struct Id([u8; 6]);

impl Id {
    fn new(id: u64) -> Id {
        let [a, b, c, d, e, f, ..] = id.to_le_bytes();
        Id([a, b, c, d, e, f])
    }

    #[inline]
    fn get(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

impl<C> Entry<C> {
    #[inline]
    fn id(&self) -> u64 {
        self.id.get()
    }

    #[inline]
    fn hears(&self, wanted: impl Fn(EventKind, &C) -> bool) -> bool {
        let callback = self.callback.as_ref();
        callback.is_some_and(|callback| wanted(self.kind, callback))
    }

    #[inline]
    fn found(&mut self, index: usize, last: bool) -> Found<'_, C> {
        Found {
            place: Place {
                id: self.id(),
                index,
                once: self.once,
            },
            last,
            callback: &mut self.callback,
        }
    }
}

/// Up to so many a list grows one by one.
const FEW: usize = 8;

/// Most sockets have one listener, and there may be many sockets: it needs no allocation.
enum Entries<C> {
    None,
    One(Entry<C>),
    Many(Vec<Entry<C>>),
}

pub(super) struct Listeners<C> {
    entries: Entries<C>,
}

/// Where a listener stands.
pub(super) struct Place {
    pub(super) id: u64,
    index: usize,
    /// It is to be called once.
    pub(super) once: bool,
}

/// A listener that an emission has come to. It is leased by taking the callback.
pub(super) struct Found<'a, C> {
    pub(super) place: Place,
    /// No other one follows in this emission.
    pub(super) last: bool,
    pub(super) callback: &'a mut Option<C>,
}

impl<C> Listeners<C> {
    pub(super) fn new() -> Listeners<C> {
        Listeners {
            entries: Entries::None,
        }
    }

    /// Adds a listener. Its id is higher than those of all before it.
    pub(super) fn add(&mut self, id: u64, kind: EventKind, once: bool, callback: C) {
        let entry = Entry {
            id: Id::new(id),
            kind,
            once,
            callback: Some(callback),
        };
        self.entries = match std::mem::replace(&mut self.entries, Entries::None) {
            Entries::None => Entries::One(entry),
            Entries::One(first) => Entries::Many(vec![first, entry]),
            Entries::Many(mut entries) => {
                if entries.len() < FEW {
                    // Most sockets have a few, and never more.
                    entries.reserve_exact(1);
                }
                entries.push(entry);
                Entries::Many(entries)
            }
        };
    }

    /// The first listener after `after` and before `end` that `wanted` accepts.
    #[inline]
    pub(super) fn find(
        &mut self,
        after: u64,
        end: u64,
        wanted: impl Fn(EventKind, &C) -> bool,
    ) -> Option<Found<'_, C>> {
        match &mut self.entries {
            Entries::None => None,
            Entries::One(entry) => {
                let wanted = entry.id() > after && entry.id() < end && entry.hears(&wanted);
                wanted.then(|| entry.found(0, true))
            }
            Entries::Many(entries) => find_of_many(entries, after, end, &wanted),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self.entries, Entries::None)
    }

    /// The callback of the only listener there is, unless it is leased.
    #[inline(always)]
    pub(super) fn only(&mut self) -> Option<&mut C> {
        match &mut self.entries {
            Entries::One(Entry {
                callback: Some(callback),
                ..
            }) => Some(callback),
            _ => None,
        }
    }

    /// What was leased was for one time: it is gone from the list.
    pub(super) fn spend(&mut self, place: &Place) {
        self.remove_at(place.index);
    }

    /// Where a leased listener is to be put back; `None` if it was removed meanwhile.
    #[inline(always)]
    pub(super) fn vacancy(&mut self, place: &Place) -> Option<&mut Option<C>> {
        let entries = self.as_mut_slice();
        // It stands where it stood, unless one before it has gone.
        let stands = |entry: &Entry<C>| entry.id() == place.id;
        let index = match entries.get(place.index) {
            Some(entry) if stands(entry) => place.index,
            _ => entries.iter().position(stands)?,
        };
        Some(&mut entries[index].callback)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut C> {
        let index = self.index(id)?;
        self.as_mut_slice()[index].callback.as_mut()
    }

    /// Removes one listener. Leased, it will not be restored.
    pub(super) fn remove(&mut self, id: u64) -> Option<C> {
        let index = self.index(id)?;
        self.remove_at(index)
    }

    /// Removes the last listener that `doomed` names and that is not leased.
    pub(super) fn remove_last(&mut self, doomed: impl Fn(&C) -> bool) -> Option<C> {
        let doomed = |entry: &Entry<C>| entry.callback.as_ref().is_some_and(&doomed);
        let index = self.as_slice().iter().rposition(doomed)?;
        self.remove_at(index)
    }

    /// Removes the listeners that `doomed` names; leased ones are not restored.
    pub(super) fn remove_where(
        &mut self,
        doomed: impl Fn(EventKind, Option<&C>) -> bool,
    ) -> Vec<C> {
        let mut removed = Vec::new();
        match &mut self.entries {
            Entries::Many(entries) => {
                entries.retain_mut(|entry| {
                    let keep = !doomed(entry.kind, entry.callback.as_ref());
                    if !keep {
                        removed.extend(entry.callback.take());
                    }
                    keep
                });
                self.be_one_again();
            }
            Entries::One(entry) if doomed(entry.kind, entry.callback.as_ref()) => {
                removed.extend(self.remove_at(0));
            }
            Entries::One(_) | Entries::None => {}
        }
        removed
    }

    /// How many entries `counted` accepts; `None` stands for a leased one.
    pub(super) fn count(&self, counted: impl Fn(EventKind, Option<&C>) -> bool) -> usize {
        self.as_slice()
            .iter()
            .filter(|entry| counted(entry.kind, entry.callback.as_ref()))
            .count()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut C> {
        self.as_mut_slice()
            .iter_mut()
            .filter_map(|entry| entry.callback.as_mut())
    }

    fn remove_at(&mut self, index: usize) -> Option<C> {
        if let Entries::Many(entries) = &mut self.entries {
            let removed = entries.remove(index);
            self.be_one_again();
            return removed.callback;
        }
        match std::mem::replace(&mut self.entries, Entries::None) {
            Entries::One(entry) => entry.callback,
            _ => None,
        }
    }

    /// The last one of many is as quick to find as one that always was alone, and none at all as none ever.
    fn be_one_again(&mut self) {
        if let Entries::Many(entries) = &mut self.entries {
            if entries.len() <= 1 {
                self.entries = entries.pop().map_or(Entries::None, Entries::One);
            }
        }
    }

    #[inline]
    fn index(&self, id: u64) -> Option<usize> {
        let found = self.as_slice().binary_search_by_key(&id, Entry::id);
        found.ok()
    }

    #[inline]
    fn as_slice(&self) -> &[Entry<C>] {
        match &self.entries {
            Entries::None => &[],
            Entries::One(entry) => std::slice::from_ref(entry),
            Entries::Many(entries) => entries,
        }
    }

    #[inline(always)]
    fn as_mut_slice(&mut self) -> &mut [Entry<C>] {
        match &mut self.entries {
            Entries::None => &mut [],
            Entries::One(entry) => std::slice::from_mut(entry),
            Entries::Many(entries) => entries,
        }
    }
}

fn find_of_many<'a, C>(
    entries: &'a mut [Entry<C>],
    after: u64,
    end: u64,
    wanted: &impl Fn(EventKind, &C) -> bool,
) -> Option<Found<'a, C>> {
    let mut at = match after {
        0 => 0,
        // Ids ascend, so that emitting to many listeners takes no walk through all of them for each.
        _ => entries.partition_point(|entry| entry.id() <= after),
    };
    while entries.get(at).is_some_and(|entry| !entry.hears(wanted)) {
        at += 1;
    }
    let (entry, rest) = entries.get_mut(at..)?.split_first_mut()?;
    if entry.id() >= end {
        return None;
    }
    let follows = |entry: &Entry<C>| entry.id() < end && entry.hears(wanted);
    let last = !rest.iter().any(follows);
    Some(entry.found(at, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids 1, 2, 3 and so on.
    fn listeners(entries: &[(EventKind, bool, u8)]) -> Listeners<u8> {
        let mut listeners = Listeners::new();
        for (id, (kind, once, callback)) in (1..).zip(entries) {
            listeners.add(id, *kind, *once, *callback);
        }
        listeners
    }

    /// Puts one back; gives it back if it was removed meanwhile.
    fn restore(listeners: &mut Listeners<u8>, place: &Place, callback: u8) -> Option<u8> {
        match listeners.vacancy(place) {
            Some(vacancy) => {
                *vacancy = Some(callback);
                None
            }
            None => Some(callback),
        }
    }

    fn lease(listeners: &mut Listeners<u8>, after: u64, end: u64) -> (Place, u8) {
        let found = listeners.find(after, end, |_, _| true).unwrap();
        let callback = found.callback.take().unwrap();
        (found.place, callback)
    }

    fn visit(listeners: &mut Listeners<u8>, kind: EventKind) -> Vec<u8> {
        let mut after = 0;
        let mut seen = Vec::new();
        let mut last = false;
        while let Some(found) = listeners.find(after, u64::MAX, |k, _| k == kind) {
            assert!(!last, "one was said to be the last");
            let callback = found.callback.take().unwrap();
            let place = found.place;
            after = place.id;
            last = found.last;
            seen.push(callback);
            if place.once {
                listeners.spend(&place);
            } else {
                assert_eq!(restore(listeners, &place, callback), None);
            }
        }
        assert!(last || seen.is_empty(), "the last one was not said to be");
        seen
    }

    #[test]
    fn listeners_run_in_order_of_registration_and_once_means_once() {
        let mut listeners = listeners(&[
            (EventKind::Data, false, 1),
            (EventKind::End, false, 2),
            (EventKind::Data, true, 3),
            (EventKind::Data, false, 4),
        ]);
        assert_eq!(visit(&mut listeners, EventKind::Data), [1, 3, 4]);
        assert_eq!(visit(&mut listeners, EventKind::Data), [1, 4]);
        assert_eq!(visit(&mut listeners, EventKind::End), [2]);
    }

    #[test]
    fn a_single_listener_is_as_good_as_one_of_many() {
        let mut one = listeners(&[(EventKind::Data, false, 1)]);
        assert_eq!(visit(&mut one, EventKind::End), []);
        assert_eq!(visit(&mut one, EventKind::Data), [1]);
        assert_eq!(visit(&mut one, EventKind::Data), [1]);
        assert_eq!(one.remove(1), Some(1));
        assert_eq!(visit(&mut one, EventKind::Data), []);
        let mut once = listeners(&[(EventKind::Data, true, 1)]);
        assert_eq!(visit(&mut once, EventKind::Data), [1]);
        assert_eq!(visit(&mut once, EventKind::Data), []);
    }

    /// Whoever is asked for by [`Listeners::only`] and [`Listeners::is_empty`] is served by the short way.
    #[test]
    fn one_that_is_left_is_the_only_one_and_of_many_that_go_none_is_left() {
        let three = [
            (EventKind::Data, false, 1),
            (EventKind::Data, true, 2),
            (EventKind::Text, false, 3),
        ];
        let mut left = listeners(&three);
        assert_eq!(left.only(), None);
        assert_eq!(visit(&mut left, EventKind::Data), [1, 2]);
        assert_eq!(left.only(), None);
        assert_eq!(left.remove(1), Some(1));
        assert_eq!(left.only(), Some(&mut 3));
        let mut left = listeners(&three);
        assert_eq!(left.remove_where(|kind, _| kind == EventKind::Data), [1, 2]);
        assert_eq!(left.only(), Some(&mut 3));
        let mut none = listeners(&three);
        assert_eq!(none.remove_where(|_, _| true), [1, 2, 3]);
        assert!(none.is_empty());
    }

    #[test]
    fn one_added_during_an_emission_waits_for_the_next() {
        let mut listeners = listeners(&[(EventKind::Data, false, 1)]);
        let (place, callback) = lease(&mut listeners, 0, 2);
        listeners.add(2, EventKind::Data, false, 2);
        restore(&mut listeners, &place, callback);
        assert!(listeners.find(1, 2, |_, _| true).is_none());
        assert_eq!(visit(&mut listeners, EventKind::Data), [1, 2]);
    }

    #[test]
    fn a_leased_listener_is_restored_although_one_before_it_has_gone() {
        let mut listeners = listeners(&[
            (EventKind::Data, false, 1),
            (EventKind::Data, false, 2),
            (EventKind::Data, false, 3),
        ]);
        let (place, callback) = lease(&mut listeners, 1, u64::MAX);
        assert_eq!(listeners.remove(1), Some(1));
        assert_eq!(restore(&mut listeners, &place, callback), None);
        assert_eq!(visit(&mut listeners, EventKind::Data), [2, 3]);
    }

    #[test]
    fn more_than_four_billion_registrations_are_no_limit() {
        let mut listeners = Listeners::new();
        listeners.add(u64::from(u32::MAX), EventKind::Data, false, 1);
        listeners.add(u64::from(u32::MAX) + 1, EventKind::Data, false, 2);
        assert_eq!(visit(&mut listeners, EventKind::Data), [1, 2]);
    }

    #[test]
    fn removing_stops_the_running_emission_and_gives_the_leased_one_back() {
        let mut listeners = listeners(&[(EventKind::Data, false, 1), (EventKind::Data, false, 2)]);
        let (place, callback) = lease(&mut listeners, 0, u64::MAX);
        assert_eq!(
            listeners.remove_where(|kind, _| kind == EventKind::Data),
            [2]
        );
        assert_eq!(restore(&mut listeners, &place, callback), Some(1));
        assert!(listeners.find(1, u64::MAX, |_, _| true).is_none());
    }
}
