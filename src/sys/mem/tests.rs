//! The simulated network, compared with the kernel's and driven through its faults.

use super::*;
use crate::sys::tests::{tcp_pair, wait_for};
use crate::sys::Stream;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(usize, &'static str),
    Read(usize),
    Peek(usize),
    TakeError(usize),
    Shutdown(usize),
    Linger(usize),
    Close(usize),
}
use Step::{Close, Linger, Peek, Read as Recv, Shutdown, TakeError, Write};

/// What a program sees of a list of steps. `settle` lets the network bring what it has for an end.
fn trace(
    ends: (Stream, Stream),
    steps: &[Step],
    settle: impl Fn(&Stream, &Step),
) -> Vec<Result<String, io::ErrorKind>> {
    let mut ends = [Some(ends.0), Some(ends.1)];
    let mut seen = Vec::new();
    for step in steps {
        let (Write(at, _) | Recv(at) | Peek(at) | TakeError(at)) = *step else {
            match *step {
                Shutdown(at) => ends[at].as_ref().unwrap().shutdown_write().unwrap(),
                Linger(at) => ends[at].as_ref().unwrap().set_linger_zero().unwrap(),
                Close(at) => ends[at] = None,
                _ => unreachable!(),
            }
            continue;
        };
        let stream = ends[at].as_ref().unwrap();
        settle(stream, step);
        let mut buffer = [0; 16];
        seen.push(match *step {
            Write(_, text) => stream.write(text.as_bytes()).map(|len| len.to_string()),
            Recv(_) => stream
                .read(&mut buffer)
                .map(|read| String::from_utf8_lossy(&buffer[..read.len()]).into_owned()),
            Peek(_) => stream.peek().map(|len| len.to_string()),
            _ => stream.take_error().map(|()| String::new()),
        })
    }
    let kind = |error: io::Error| error.kind();
    seen.into_iter()
        .map(|result| result.map_err(kind))
        .collect()
}

const SCRIPTS: [&[Step]; 12] = [
    &[Recv(0), Peek(0), Write(0, "abc"), Peek(1), Recv(1), Recv(1)],
    // Half-close.
    &[
        Write(0, "abc"),
        Shutdown(0),
        Recv(1),
        Recv(1),
        Write(1, "de"),
        Recv(0),
        Write(0, "f"),
    ],
    &[Shutdown(0), Peek(1), Recv(1), Close(1), Recv(0), Recv(0)],
    // Closing with unread bytes is a reset, told once.
    &[Write(0, "abc"), Close(1), Recv(0), Recv(0), Write(0, "d")],
    &[
        Write(0, "abc"),
        Close(1),
        Write(0, "d"),
        Recv(0),
        Write(0, "e"),
    ],
    // A reset comes after the bytes before it.
    &[
        Write(1, "abc"),
        Linger(1),
        Close(1),
        Recv(0),
        Recv(0),
        Recv(0),
    ],
    // A peek, too, spends the errno, and so does asking for it.
    &[Linger(1), Close(1), Peek(0), Recv(0), Peek(0)],
    &[
        Linger(1),
        Close(1),
        TakeError(0),
        Recv(0),
        TakeError(0),
        Write(0, "a"),
    ],
    // A closed peer answers bytes with a reset, of which only writers hear after FIN.
    &[
        Close(1),
        Write(0, "abc"),
        Recv(0),
        Write(0, "d"),
        Recv(0),
        TakeError(0),
    ],
    &[
        Write(1, "xy"),
        Close(1),
        Write(0, "abc"),
        Recv(0),
        Recv(0),
        Write(0, "d"),
        Write(0, "d"),
    ],
    // A reset between FIN and FIN, and one after both.
    &[
        Shutdown(1),
        Recv(0),
        Linger(1),
        Close(1),
        TakeError(0),
        Recv(0),
        Write(0, "a"),
    ],
    &[
        Write(0, "a"),
        Shutdown(0),
        Shutdown(1),
        Close(1),
        Recv(0),
        TakeError(0),
        Write(0, "a"),
    ],
];

#[test]
fn a_simulated_connection_ends_as_the_kernels_do() {
    for steps in SCRIPTS {
        let (one, other) = Sim::new(1).pair();
        let simulated = trace((Stream::Mem(one), Stream::Mem(other)), steps, |_, _| ());
        let outcomes = std::cell::RefCell::new(simulated.iter());
        let real = trace(tcp_pair(), steps, |stream, step| {
            // Loopback delivers at once, as a rule; where the model sees something, wait for it.
            match (step, outcomes.borrow_mut().next()) {
                (Recv(_) | Peek(_), Some(Err(io::ErrorKind::WouldBlock))) => {}
                (Recv(_) | Peek(_), _) => wait_for(stream, libc::POLLIN),
                (_, Some(Err(_))) => wait_for(stream, libc::POLLOUT),
                _ => {}
            }
        });
        assert_eq!(simulated, real, "{steps:?}");
    }
}

fn poll(sim: &Sim) -> Vec<MemEvent> {
    let mut events = Vec::new();
    sim.poll(Some(Duration::ZERO), &mut events).unwrap();
    events
}

#[test]
fn readiness_is_told_once_per_edge() {
    let sim = Sim::with_faults(1, Faults::default().capacity(4));
    let (one, other) = sim.pair();
    sim.register(&one, 1, true, true).unwrap();
    sim.register(&other, 2, true, false).unwrap();
    let writable = MemEvent {
        token: 1,
        readable: false,
        writable: true,
        read_closed: false,
        write_closed: false,
        error: false,
    };
    assert_eq!(poll(&sim), [writable], "the state at registration");
    assert_eq!(poll(&sim), []);

    assert_eq!(one.write(b"abcdef").unwrap(), 4);
    let readable = MemEvent {
        token: 2,
        readable: true,
        writable: false,
        ..writable
    };
    assert_eq!(poll(&sim), [readable]);
    assert_eq!(poll(&sim), [], "unread bytes are no new edge");
    sim.register(&other, 2, true, false).unwrap();
    assert_eq!(poll(&sim), [readable], "registering again tells again");

    assert_eq!(
        one.write(b"ef").unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    assert_eq!(other.read(&mut [0; 2]).unwrap().len(), 2);
    assert_eq!(poll(&sim), [writable], "room after a refused write");
    assert_eq!(other.read(&mut [0; 2]).unwrap().len(), 2);
    assert_eq!(poll(&sim), [], "more room is no new edge");

    drop(one);
    let ended = MemEvent {
        read_closed: true,
        ..readable
    };
    assert_eq!(poll(&sim), [ended]);
    other.write(b"x").unwrap();
    let reset = MemEvent {
        write_closed: true,
        error: true,
        ..ended
    };
    assert_eq!(poll(&sim), [reset]);
}

#[test]
fn the_seed_orders_the_events() {
    let order = |seed| {
        let sim = Sim::new(seed);
        let ends = [(); 4].map(|()| sim.pair().0);
        for (token, end) in (0..).zip(&ends) {
            sim.register(end, token, false, true).unwrap();
        }
        let tokens = poll(&sim).into_iter().map(|event| event.token);
        tokens.collect::<Vec<_>>()
    };
    let orders: Vec<_> = (0..9).map(order).collect();
    assert!(orders.iter().any(|other| *other != orders[0]), "{orders:?}");
}

#[test]
fn room_is_an_edge_however_its_lack_was_noticed() {
    let by_short_write = |one: &Mem, _: &Sim| assert_eq!(one.write(b"abcdef").unwrap(), 4);
    let by_refusal = |one: &Mem, _: &Sim| {
        assert_eq!(one.write(b"abcd").unwrap(), 4);
        let refusal = one.write(b"e").unwrap_err();
        assert_eq!(refusal.kind(), io::ErrorKind::WouldBlock);
    };
    let by_poll = |one: &Mem, sim: &Sim| {
        assert_eq!(one.write(b"abcd").unwrap(), 4);
        sim.register(one, 1, false, true).unwrap();
        assert_eq!(poll(sim), []);
    };
    let ways: [fn(&Mem, &Sim); 3] = [by_short_write, by_refusal, by_poll];
    for fill in ways {
        let sim = Sim::with_faults(1, Faults::default().capacity(4));
        let (one, other) = sim.pair();
        sim.register(&one, 1, false, true).unwrap();
        assert_eq!(poll(&sim).len(), 1);
        fill(&one, &sim);
        other.read(&mut [0; 2]).unwrap();
        assert_eq!(poll(&sim).len(), 1);
    }
}

#[test]
fn a_hang_up_is_told_whatever_is_waited_for() {
    let sim = Sim::new(1);
    let (one, other) = sim.pair();
    sim.register(&one, 1, false, false).unwrap();
    sim.register(&other, 2, false, false).unwrap();
    one.shutdown_write();
    assert_eq!(poll(&sim), [], "half-closed");
    other.shutdown_write();
    let events = poll(&sim);
    assert_eq!(events.len(), 2);
    assert!(events
        .iter()
        .all(|event| event.read_closed && event.write_closed));
}

#[test]
fn a_wait_moves_the_clock_or_is_refused() {
    let sim = Sim::new(1);
    let (one, other) = sim.pair();
    sim.register(&one, 1, true, false).unwrap();
    let mut events = Vec::new();
    sim.poll(Some(Duration::from_millis(30)), &mut events)
        .unwrap();
    assert_eq!((sim.now(), events.len()), (Duration::from_millis(30), 0));
    assert!(sim.poll(None, &mut events).is_err());

    other.write(b"x").unwrap();
    sim.poll(Some(Duration::from_millis(30)), &mut events)
        .unwrap();
    assert_eq!(
        (sim.now(), events.len()),
        (Duration::from_millis(30), 1),
        "no wait with events"
    );
    sim.advance(Duration::from_secs(1));
    assert_eq!(sim.now(), Duration::from_millis(1030));

    other.write(b"y").unwrap();
    sim.deregister(&one);
    other.write(b"z").unwrap();
    let outcome = sim.poll(None, &mut events);
    assert!(outcome.is_err(), "nobody waits any more");
}

#[test]
fn a_new_pair_knows_nothing_of_the_one_before() {
    let sim = Sim::new(1);
    let (one, other) = sim.pair();
    sim.register(&one, 1, true, true).unwrap();
    one.write(b"x").unwrap();
    drop((other, one));
    let (one, other) = sim.pair();
    assert_eq!(poll(&sim), []);
    for end in [&one, &other] {
        assert_eq!(
            end.read(&mut [0; 4]).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }
}

/// Sends `total` bytes from one end to the other by the rules of edge-triggered readiness, and
/// gives what happened and what arrived. A lost wake-up is an error of the last poll.
fn transfer(seed: u64, faults: Faults, total: usize) -> (String, io::Result<Vec<u8>>) {
    let sim = Sim::with_faults(seed, faults);
    let (one, other) = sim.pair();
    sim.register(&one, 0, false, true).unwrap();
    sim.register(&other, 1, true, false).unwrap();
    let mut rest: Vec<u8> = (0..total).map(|index| index as u8).collect();
    let (mut trace, mut events, mut received) = (String::new(), Vec::new(), Vec::new());
    while received.len() < total {
        events.clear();
        if let Err(error) = sim.poll(None, &mut events) {
            return (trace, Err(error));
        }
        trace += &format!("{events:?}\n");
        for event in &events {
            let outcome = match event.token {
                0 => send(&one, &mut rest, &mut trace),
                _ => receive(&other, &mut received, &mut trace),
            };
            match outcome {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return (trace, Err(error))
                }
                _ => {}
            }
        }
    }
    (trace, Ok(received))
}

/// Writes until there is no room, which a short write says as well.
fn send(stream: &Mem, rest: &mut Vec<u8>, trace: &mut String) -> io::Result<()> {
    let sent = stream.write(rest)?;
    *trace += &format!("sent {sent}\n");
    rest.drain(..sent);
    Ok(())
}

/// Reads until nothing is there, which a short read says as well, unless it says that it does not.
fn receive(stream: &Mem, received: &mut Vec<u8>, trace: &mut String) -> io::Result<()> {
    let mut buffer = [0; 7];
    loop {
        let read = stream.read(&mut buffer)?;
        *trace += &format!("{read:?}\n");
        received.extend(&buffer[..read.len()]);
        if read.len() < buffer.len() && !read.stopped_early() {
            return Ok(());
        }
    }
}

fn faults() -> Faults {
    let faults = Faults::default().capacity(11).short_read(0.3);
    faults.short_write(0.3).would_block(0.3).spurious(0.2)
}

#[test]
fn the_seed_decides_everything() {
    let run = |seed| transfer(seed, faults(), 300).0;
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn each_fault_happens() {
    let each = [
        Faults::default().capacity(9),
        Faults::default().short_read(0.5),
        Faults::default().short_write(0.5),
        Faults::default().would_block(0.5),
        Faults::default().spurious(0.5),
    ];
    for faults in each {
        let differs = |seed| {
            let plain = transfer(seed, Faults::default(), 300);
            transfer(seed, faults.clone(), 300).0 != plain.0
        };
        assert!((0..9).any(differs), "{faults:?}");
    }
    let stopped = |seed| {
        let (trace, _) = transfer(seed, Faults::default().short_read(0.5), 300);
        trace.contains("stopped_early: true")
    };
    assert!((0..9).any(stopped));
    let (one, other) = Sim::with_faults(1, Faults::default().reset(1.0)).pair();
    for outcome in [one.write(b"x").map(drop), other.take_error()] {
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}

proptest! {
    #[test]
    fn faults_lose_no_byte_and_no_wake_up(seed: u64, total in 1usize..200) {
        let received = transfer(seed, faults(), total).1.unwrap();
        prop_assert!(received.into_iter().eq((0..total).map(|index| index as u8)));
    }
}
