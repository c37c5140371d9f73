//! Who connects is accepted, refused or turned away as by a kernel.

use super::*;
use crate::sys::mem::{Faults, MemEvent};
use std::time::Duration;

fn address(ip: [u8; 4], port: u16) -> Address {
    Address::Ip(SocketAddr::from((ip, port)))
}

fn listening(sim: &Sim, at: &Address) -> MemListener {
    let listener = sim.listener().unwrap();
    listener.bind(at).unwrap();
    listener.listen();
    listener
}

fn poll(sim: &Sim) -> Vec<MemEvent> {
    let mut events = Vec::new();
    let wait = Some(Duration::from_millis(1));
    sim.poll(wait, &mut events).unwrap();
    events
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn a_connection_is_accepted_and_both_know_each_other() {
    let sim = Sim::new(1);
    let at = address([10, 0, 0, 1], 80);
    let listener = listening(&sim, &address([0, 0, 0, 0], 80));
    sim.register_listener(&listener, 7, false).unwrap();
    let client = sim.socket().unwrap();
    assert_eq!(client.connect(&at).unwrap(), Connect::Done);
    let events = poll(&sim);
    assert_eq!(events.len(), 1);
    assert!(events[0].token == 7 && events[0].readable);
    let (server, remote) = listener.accept().unwrap();
    assert_eq!(client.peer_address().unwrap(), at);
    assert_eq!(server.local_address(), at);
    assert_eq!(remote, client.local_address());
    client.write(b"hello").unwrap();
    assert_eq!(server.read(&mut [0; 9]).unwrap().len(), 5);
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn nobody_there_refuses_at_once_or_later() {
    let at = address([10, 0, 0, 1], 80);
    let sim = Sim::new(1);
    let bound = sim.listener().unwrap();
    bound.bind(&at).unwrap();
    // Bound is not listening.
    let refused = errno(sim.socket().unwrap().connect(&at));
    assert_eq!(refused, Some(libc::ECONNREFUSED));

    sim.set_faults(Faults::default().would_block(1.0));
    let client = sim.socket().unwrap();
    assert_eq!(client.connect(&at).unwrap(), Connect::InProgress);
    let early = client.peer_address().unwrap_err();
    assert_eq!(early.kind(), io::ErrorKind::NotConnected);
    sim.register(&client, 1, true, true).unwrap();
    assert!(poll(&sim)[0].error);
    assert_eq!(errno(client.take_error()), Some(libc::ECONNREFUSED));
}

#[test]
fn a_port_has_one_owner_and_zero_is_any() {
    let sim = Sim::new(1);
    let first = listening(&sim, &address([10, 0, 0, 1], 0));
    let second = sim.listener().unwrap();
    let taken = errno(second.bind(&first.local_address()));
    assert_eq!(taken, Some(libc::EADDRINUSE));
    second.bind(&address([10, 0, 0, 1], 0)).unwrap();
    assert_ne!(first.local_address(), second.local_address());
}

#[test]
fn a_listener_that_closes_resets_who_waits() {
    let sim = Sim::new(1);
    let at = address([10, 0, 0, 1], 80);
    let listener = listening(&sim, &at);
    let client = sim.socket().unwrap();
    client.connect(&at).unwrap();
    drop(listener);
    assert_eq!(errno(client.read(&mut [0; 9])), Some(libc::ECONNRESET));
}
