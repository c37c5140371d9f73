//! Peers that read slowly, or stop for ever: memory stays within bounds, and the idle timeout counts from the last byte
//! that moved. What is resident belongs to the whole process, so that each test has one of its own.

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/faults.rs"]
mod faults;

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use child::in_child;
use common::{run_on, Form, Peer, Script, Transport, World};
use faults::resident;
use tidewheel::net::{EventKind, Server, ServerOptions, Socket, WriteStatus};
use tidewheel::EventLoop;

const MIB: usize = 1024 * 1024;
const REPLY: usize = 1024 * MIB;
const CHUNK: usize = 64 * 1024;
const MAX_QUEUED: usize = 4 * MIB;

/// What the allocator, the loop and the log may take beside.
const SLACK: usize = 4 * MIB;

/// Runs a scenario once over each transport: a gibibyte is much for four times.
fn each_transport(scenario: impl Fn(&World)) {
    for transport in [Transport::Tcp, Transport::Unix] {
        run_on(EventLoop::builder(), Form::Closures, transport, &scenario);
    }
}

/// Every chunk is this one: a byte lost or doubled shows as a shift.
fn chunk() -> Bytes {
    (0..CHUNK).map(|at| (at % 251) as u8).collect()
}

/// Reads to the end and checks every byte; rests for a moment after each `rest` bytes. Gives how many came.
fn slow_reader(mut peer: Peer, rest: usize) -> JoinHandle<usize> {
    std::thread::spawn(move || {
        let expected = chunk();
        let (mut buffer, mut total) = (vec![0; CHUNK], 0);
        loop {
            let at = total % CHUNK;
            match peer.read(&mut buffer[at..]) {
                Ok(0) | Err(_) => return total,
                Ok(count) => {
                    assert!(buffer[at..at + count] == expected[at..at + count]);
                    total += count;
                    if total / rest != (total - count) / rest {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        }
    })
}

/// The most that was resident, over what was at the beginning.
#[derive(Clone)]
struct Memory {
    before: usize,
    most: Rc<Cell<usize>>,
}

impl Memory {
    fn new() -> Memory {
        Memory {
            before: resident(),
            most: Rc::default(),
        }
    }

    fn look(&self) {
        let grown = resident().saturating_sub(self.before);
        self.most.set(self.most.get().max(grown));
    }

    #[track_caller]
    fn assert_below(&self, limit: usize) {
        let grown = self.most.get();
        println!("{} KiB more were resident", grown / 1024);
        assert!(grown <= limit, "{grown} bytes more were resident");
    }
}

/// Writes until it has to wait, and goes on when it need not any more.
fn send(socket: &Socket, chunk: &Bytes, left: &Cell<usize>, memory: &Memory) {
    memory.look();
    while left.get() > 0 {
        left.set(left.get() - CHUNK);
        match socket.write(chunk.clone()) {
            WriteStatus::Flushed | WriteStatus::Buffered => {}
            WriteStatus::Queued => return,
            other => panic!("{other:?}"),
        }
    }
    socket.end();
}

fn serve(world: &World, act: impl Fn(&Socket) + 'static) -> Server {
    let watcher = world.watcher();
    let options = ServerOptions::default().max_queued(MAX_QUEUED);
    world.server_with(options, move |socket| {
        watcher.watch(socket, Script::new("S").no_reader());
        socket.server().unwrap().close();
        act(socket);
    })
}

#[test]
fn a_gibibyte_for_a_slow_reader_takes_no_memory_if_the_writer_waits_for_drain() {
    let test = "a_gibibyte_for_a_slow_reader_takes_no_memory_if_the_writer_waits_for_drain";
    in_child(test, || {
        each_transport(|world| {
            let memory = Memory::new();
            let seen = memory.clone();
            let server = serve(world, move |socket| {
                let (chunk, left, memory) = (chunk(), Rc::new(Cell::new(REPLY)), memory.clone());
                let (more, rest, look) = (chunk.clone(), Rc::clone(&left), memory.clone());
                socket.on_drain(move |socket| send(socket, &more, &rest, &look));
                send(socket, &chunk, &left, &memory);
            });
            let reader = slow_reader(world.peer(&server), 4 * MIB);
            world.run();
            assert_eq!(reader.join().unwrap(), REPLY);
            let drained = world.events("S").iter().filter(|e| *e == "drain").count();
            assert!(drained > 0, "it never had to wait");
            // One chunk waits at a time.
            seen.assert_below(CHUNK + SLACK);
        });
    });
}

#[test]
fn a_writer_that_waits_for_nobody_is_refused_when_max_queued_wait() {
    let test = "a_writer_that_waits_for_nobody_is_refused_when_max_queued_wait";
    in_child(test, || {
        each_transport(|world| {
            let memory = Memory::new();
            let seen = memory.clone();
            let server = serve(world, move |socket| {
                let chunk = chunk();
                let mut status = WriteStatus::Flushed;
                while status != WriteStatus::Refused {
                    assert!(socket.bytes_written() < REPLY as u64);
                    assert!(socket.buffer_size() <= MAX_QUEUED);
                    status = socket.write(&chunk);
                    memory.look();
                }
            });
            let peer = world.peer(&server);
            world.run();
            world.assert_trace("S", "error(ERR_SOCKET_QUEUE_FULL) close(true)");
            seen.assert_below(MAX_QUEUED + SLACK);
            assert!(seen.most.get() > MAX_QUEUED / 2, "nothing was queued");
            drop(peer);
        });
    });
}

#[test]
fn a_reply_larger_than_may_wait_is_refused_whole_or_in_part_and_never_copied() {
    let test = "a_reply_larger_than_may_wait_is_refused_whole_or_in_part_and_never_copied";
    in_child(test, || {
        each_transport(|world| {
            let memory = Memory::new();
            let seen = memory.clone();
            let server = serve(world, move |socket| {
                // The system gives memory of zeros only where it is written to.
                assert_eq!(socket.write(vec![0; REPLY]), WriteStatus::Refused);
                memory.look();
            });
            let mut peer = world.peer(&server);
            world.run();
            world.assert_trace("S", "error(ERR_SOCKET_QUEUE_FULL) close(true)");
            let mut rest = Vec::new();
            // A close with nothing unread is no reset.
            peer.read_to_end(&mut rest).unwrap();
            assert!(rest.len() < REPLY);
            seen.assert_below(SLACK);
        });
    });
}

const PERIOD: Duration = Duration::from_millis(400);

#[test]
fn a_reader_that_stops_for_ever_times_out_one_period_after_the_last_byte_moved() {
    let test = "a_reader_that_stops_for_ever_times_out_one_period_after_the_last_byte_moved";
    in_child(test, || each_transport(stops_for_ever));
}

fn stops_for_ever(world: &World) {
    let (waited, told) = (Rc::new(Cell::new(None)), world.watcher());
    let answer = Rc::clone(&waited);
    let server = world.server(move |socket| {
        let progress = Progress::follow(socket);
        let waited = Rc::clone(&answer);
        let script = Script::new("S").on(EventKind::Timeout, move |socket, _| {
            waited.set(Some(progress.since()));
            socket.destroy();
        });
        told.watch(socket, script);
        socket.server().unwrap().close();
        socket.set_timeout(PERIOD);
        socket.write(vec![b'x'; 64 * MIB]);
    });
    let mut peer = world.peer(&server);
    // Slower than the timeout would bear if it counted from the write.
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; MIB / 2];
        for _ in 0..40 {
            // Where the machine stalls it for a period, it has stopped sooner than it meant to.
            if peer.read_exact(&mut buffer).is_err() {
                break;
            }
            std::thread::sleep(PERIOD / 20);
        }
        peer
    });
    world.run();
    drop(reader.join().unwrap());
    world.assert_trace("S", "timeout close(false)");
    let (least, most) = waited.get().unwrap();
    println!("{least:?} to {most:?} after the last progress");
    assert!(most >= PERIOD, "early: {most:?}");
    assert!(least < Duration::from_secs(5), "late: {least:?}");
}

/// When the kernel last took something of what waits: after the first of two looks, and before the second.
#[derive(Clone)]
struct Progress(Rc<Cell<(Instant, Instant)>>);

impl Progress {
    /// Looks at a socket every millisecond, or whenever the machine has time for it.
    fn follow(socket: &Socket) -> Progress {
        let mut look = Instant::now();
        let progress = Progress(Rc::new(Cell::new((look, look))));
        let (socket, seen, mut waits) = (socket.clone(), progress.clone(), 0);
        let handle = socket.event_loop().clone();
        let timer = handle.set_interval(Duration::from_millis(1), move |timer| {
            if socket.destroyed() {
                timer.clear();
            }
            let before = std::mem::replace(&mut look, Instant::now());
            let waited = std::mem::replace(&mut waits, socket.buffer_size());
            if waits != waited {
                seen.0.set((before, look));
            }
        });
        timer.unref();
        progress
    }

    /// How long ago that was, at least and at most.
    fn since(&self) -> (Duration, Duration) {
        let (first, second) = self.0.get();
        (second.elapsed(), first.elapsed())
    }
}
