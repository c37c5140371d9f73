//! Tickets: who opens them, for how long, and what they are sealed with.

use std::collections::HashSet;

use super::*;
use crate::tls::binding::Parts;

fn ticketer(keys: &Arc<TicketKeys>, context: &str) -> Ticketer {
    let binding = Binding::of(Parts::of(context));
    Ticketer::new(keys, binding, Duration::from_secs(300))
}

#[test]
fn tickets_open_with_their_keys_for_their_context_and_whole() {
    let keys = TicketKeys::given(&[7; 48]).unwrap();
    let own = ticketer(&keys, "a");
    let ticket = own.encrypt(b"a session").unwrap();
    assert_eq!(own.decrypt(&ticket).unwrap(), b"a session");
    assert_ne!(ticket, own.encrypt(b"a session").unwrap());
    assert!(!ticket.windows(9).any(|part| part == b"a session"));
    assert_eq!(ticketer(&keys, "b").decrypt(&ticket), None);
    let mut other = [7; 48];
    other[47] = 8;
    let other = TicketKeys::given(&other).unwrap();
    assert_eq!(ticketer(&other, "a").decrypt(&ticket), None);
    let same = TicketKeys::given(&[7; 48]).unwrap();
    assert!(ticketer(&same, "a").decrypt(&ticket).is_some());
    for at in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[at] ^= 1;
        assert_eq!(own.decrypt(&changed), None, "{at}");
        assert_eq!(own.decrypt(&ticket[..at]), None, "{at}");
    }
    let longer = [&ticket[..], &[0]].concat();
    assert_eq!(own.decrypt(&longer), None);
}

#[test]
fn keys_have_48_bytes_and_are_replaced_at_once() {
    for wrong in [0, 16, 47, 49] {
        let error = TicketKeys::given(&vec![0; wrong]).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgValue);
    }
    let keys = TicketKeys::own().unwrap();
    let own = ticketer(&keys, "a");
    let ticket = own.encrypt(b"a session").unwrap();
    assert!(keys.set(&[1; 47]).is_err());
    assert!(own.decrypt(&ticket).is_some());
    keys.set(&[1; 48]).unwrap();
    assert_eq!(own.decrypt(&ticket), None);
    assert_eq!(keys.get(), [1; 48]);
    assert_eq!(format!("{keys:?}"), "TicketKeys");
}

#[test]
fn keys_of_our_own_change_and_the_last_ones_still_open() {
    let (keys, lifetime) = (TicketKeys::own().unwrap(), Duration::from_secs(300));
    let own = ticketer(&keys, "a");
    let ticket = own.encrypt(b"a session").unwrap();
    let first = keys.sealing(Instant::now(), lifetime);
    let later = Instant::now() + ROLL + Duration::from_secs(1);
    let second = keys.sealing(later, lifetime);
    assert!(first.bytes != second.bytes && own.decrypt(&ticket).is_some());
    let again = keys.sealing(later, lifetime);
    assert!(again.bytes == second.bytes, "once an hour");
    keys.sealing(later + ROLL + Duration::from_secs(1), lifetime);
    assert_eq!(own.decrypt(&ticket), None);
    // Those that others may have stay.
    let shared = keys.get();
    let far = later + ROLL * 10;
    assert!(keys.sealing(far, lifetime).bytes == shared);
}

fn salt_of(ticket: &[u8]) -> &[u8] {
    &ticket[NAME..NAME + SALT]
}

#[test]
fn a_key_seals_many_tickets_each_with_a_nonce_of_its_own() {
    let own = ticketer(&TicketKeys::own().unwrap(), "a");
    let tickets: Vec<_> = (0..1000).map(|_| own.encrypt(b"x").unwrap()).collect();
    let nonces: HashSet<_> = tickets.iter().map(|one| &one[NAME + SALT..CLEAR]).collect();
    assert_eq!(nonces.len(), tickets.len());
    for ticket in &tickets {
        assert_eq!(salt_of(ticket), salt_of(&tickets[0]));
        assert_eq!(own.decrypt(ticket).unwrap(), b"x");
    }
    assert!(own.memory().ready.opening.is_empty());
}

#[test]
fn a_salt_is_changed_after_a_million_tickets_and_with_the_secret() {
    let keys = TicketKeys::given(&[7; 48]).unwrap();
    let own = ticketer(&keys, "a");
    let first = own.encrypt(b"first").unwrap();
    let sealed = |count| own.memory().ready.sealing.as_mut().unwrap().1 = count;
    sealed(MOST_SEALED - 1);
    let last = own.encrypt(b"last").unwrap();
    let second = own.encrypt(b"second").unwrap();
    assert_eq!(salt_of(&first), salt_of(&last));
    assert_ne!(salt_of(&first), salt_of(&second));
    assert_eq!(
        own.memory().ready.opening.len(),
        1,
        "the one before stays ready"
    );
    for (ticket, plain) in [(&first, "first"), (&last, "last"), (&second, "second")] {
        assert_eq!(own.decrypt(ticket).unwrap(), plain.as_bytes());
    }
    assert_eq!(own.memory().ready.opening.len(), 1);
    // The name stays, and the secret is another.
    let mut other = [7; 48];
    other[47] = 8;
    keys.set(&other).unwrap();
    assert!(own.decrypt(&first).is_none() && own.decrypt(&second).is_none());
    let third = own.encrypt(b"third").unwrap();
    assert_ne!(salt_of(&second), salt_of(&third));
    assert_eq!(own.decrypt(&third).unwrap(), b"third");
    let elsewhere = ticketer(&TicketKeys::given(&other).unwrap(), "a");
    assert_eq!(elsewhere.decrypt(&third).unwrap(), b"third");
    // What was made of a secret is not kept longer than that.
    own.memory()
        .ready
        .keep(SaltedKey::new(&Keys::of([9; 48]), [9; SALT], &own.binding).unwrap());
    let fourth = elsewhere.encrypt(b"fourth").unwrap();
    assert!(own.decrypt(&fourth).is_some());
    let memory = own.memory();
    assert!(memory
        .ready
        .opening
        .iter()
        .all(|key| key.of.strong_count() > 0));
    assert_eq!(memory.ready.opening.len(), 1);
}

#[test]
fn many_processes_open_the_tickets_of_each_other() {
    let process = |_| ticketer(&TicketKeys::given(&[7; 48]).unwrap(), "a");
    let all: Vec<_> = (0..MOST_READY + 4).map(process).collect();
    let tickets: Vec<_> = all.iter().map(|one| one.encrypt(b"x").unwrap()).collect();
    for ticket in tickets.iter().chain(&tickets).chain(tickets.iter().rev()) {
        assert!(all.iter().all(|one| one.decrypt(ticket).is_some()));
    }
    let opening = || {
        all[0]
            .memory()
            .ready
            .opening
            .iter()
            .map(|key| key.salt)
            .collect::<Vec<_>>()
    };
    let before = opening();
    assert_eq!(before.len(), MOST_READY);
    // Made up, but for the name.
    for salt in 0..100 {
        let mut ticket = tickets[1].clone();
        ticket[NAME..NAME + SALT].fill(salt);
        assert_eq!(all[0].decrypt(&ticket), None);
    }
    assert_eq!(opening(), before);
}

#[test]
fn a_ticket_is_good_for_its_time() {
    let keys = TicketKeys::given(&[7; 48]).unwrap();
    let mut own = ticketer(&keys, "a");
    let ticket = own.encrypt(b"a session").unwrap();
    own.lifetime = Duration::ZERO;
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(own.decrypt(&ticket), None);
}
