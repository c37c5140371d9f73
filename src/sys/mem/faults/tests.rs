//! Each fault that is not of a single call happens, and does what it says.

use super::*;
use crate::sys::mem::{Mem, MemEvent, Sim};
use std::io;
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(50);

fn registered(sim: &Sim) -> (Mem, Mem) {
    let (one, other) = sim.pair();
    sim.register(&one, 1, true, false).unwrap();
    sim.register(&other, 2, true, false).unwrap();
    (one, other)
}

fn poll(sim: &Sim) -> io::Result<Vec<MemEvent>> {
    let mut events = Vec::new();
    sim.poll(Some(WAIT), &mut events)?;
    Ok(events)
}

#[test]
fn a_broken_pipe_is_told_to_the_writer_alone() {
    let sim = Sim::new(1);
    let (one, other) = sim.pair();
    other.write(b"before").unwrap();
    sim.set_faults(Faults::default().broken_pipe(1.0));
    let broken = one.write(b"x").unwrap_err();
    assert_eq!(broken.raw_os_error(), Some(libc::EPIPE));
    assert_eq!(one.read(&mut [0; 9]).unwrap().len(), 6);
    assert_eq!(one.read(&mut [0; 9]).unwrap().len(), 0);
    let reset = other.read(&mut [0; 9]).unwrap_err();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn who_is_exhausted_has_no_descriptor_and_watches_nothing() {
    let sim = Sim::with_faults(1, Faults::default().exhausted(1.0));
    let errno = |error: io::Error| error.raw_os_error();
    assert_eq!(sim.socket().err().and_then(errno), Some(libc::EMFILE));
    assert_eq!(sim.listener().err().and_then(errno), Some(libc::EMFILE));
    let (one, _other) = sim.pair();
    let unwatched = sim.register(&one, 1, true, true);
    assert_eq!(unwatched.err().and_then(errno), Some(libc::ENOSPC));
}

#[test]
fn an_interrupted_call_is_tried_again_and_an_interrupted_wait_is_told() {
    let sim = Sim::with_faults(1, Faults::default().interrupt(0.5));
    let (one, other) = sim.pair();
    for _ in 0..50 {
        assert_eq!(one.write(b"x").unwrap(), 1);
        assert_eq!(other.read(&mut [0; 9]).unwrap().len(), 1);
    }
    let interrupted = |result: io::Result<_>| {
        result.is_err_and(|error: io::Error| error.kind() == io::ErrorKind::Interrupted)
    };
    let waits = (0..50).filter(|_| interrupted(poll(&sim))).count();
    assert!((5..45).contains(&waits), "{waits}");
}

#[test]
fn a_delayed_edge_comes_a_little_later() {
    let sim = Sim::with_faults(1, Faults::default().delay(0.9));
    let (_one, other) = registered(&sim);
    let (mut waits, mut late) = (0, 0);
    for _ in 0..20 {
        other.write(b"x").unwrap();
        let before = sim.now();
        while !poll(&sim).unwrap().iter().any(|event| event.token == 1) {
            waits += 1;
            assert!(waits < 5_000);
        }
        late += u32::from(sim.now() > before);
    }
    assert!(waits > 50 && late > 10, "{waits} {late}");
}

#[test]
fn a_stale_event_names_one_who_is_gone() {
    let sim = Sim::with_faults(1, Faults::default().stale(1.0));
    let (one, other) = registered(&sim);
    assert_eq!(poll(&sim).unwrap(), []);
    drop(one);
    let events = poll(&sim).unwrap();
    let stale = events.iter().find(|event| event.token == 1).unwrap();
    assert!(stale.readable && stale.writable && stale.read_closed && stale.error);
    drop(other);
}

#[test]
fn a_wait_may_end_late() {
    let sim = Sim::with_faults(1, Faults::default().jump(1.0));
    let _ends = registered(&sim);
    poll(&sim).unwrap();
    assert!(sim.now() > WAIT && sim.now() < WAIT + Duration::from_secs(60));
}
