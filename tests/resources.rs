//! After ten thousand connections everything is back where it was: descriptors, slots, timers, closures, memory.

#[path = "common/census.rs"]
mod census;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use census::EventLoop;
use tidewheel::net::{self, ConnectOptions, Handler, Server, Socket};
use tidewheel::LoopHandle;

/// Descriptors and memory are those of the process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Resident memory, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// How much memory may be resident more than after the first thousands: what an allocator keeps to itself. One
/// socket that stays for each connection would be ten times that.
const SLACK: usize = 512;

const WARM_UP: usize = 2_000;
const CYCLES: usize = 10_000;
/// Connections at a time.
const BATCH: usize = 100;

/// Counts itself as long as it is there.
#[derive(Clone)]
struct Probe(Rc<()>);

impl Handler for Probe {}

/// A loop that makes connections to its own server, one after another.
struct Cycles {
    event_loop: EventLoop,
    server: Server,
    probe: Probe,
}

impl Cycles {
    fn new(options: net::ListenOptions, serve: fn(&Socket)) -> Cycles {
        let event_loop = EventLoop::new().unwrap();
        let probe = Probe(Rc::new(()));
        let held = probe.clone();
        let server = net::create_server(&event_loop, move |socket| {
            occupy(socket, &held);
            serve(socket);
        });
        server.listen(options, |_| {}).unwrap();
        server.unref();
        event_loop.run().unwrap();
        Cycles {
            event_loop,
            server,
            probe,
        }
    }

    /// Connects `count` times, `BATCH` at a time; each client does as it is told and goes.
    fn run(&self, count: usize, behave: fn(&Socket)) {
        let closed = Rc::new(Cell::new(0));
        for _ in 0..count / BATCH {
            for _ in 0..BATCH {
                let options = ConnectOptions::from(self.server.address().unwrap());
                let client = net::connect(&self.event_loop, options, behave);
                occupy(&client, &self.probe);
                let (probe, closed) = (self.probe.clone(), Rc::clone(&closed));
                client.on_close(move |_, _| {
                    let _ = &probe;
                    closed.set(closed.get() + 1);
                });
            }
            self.event_loop.run().unwrap();
            while self.server.connections() > 0 {
                self.event_loop.turn(None).unwrap();
            }
        }
        assert_eq!(closed.get(), count);
    }

    /// What must not grow: descriptors, sockets, timers, probes.
    fn census(&self) -> [usize; 4] {
        self.event_loop.turn(Some(Duration::ZERO)).unwrap();
        let stats = self.event_loop.stats();
        [
            open_fds(),
            stats.sockets_open,
            stats.timers,
            Rc::strong_count(&self.probe.0),
        ]
    }
}

/// Gives a socket one of everything.
fn occupy(socket: &Socket, probe: &Probe) {
    let (data, end, drain) = (probe.clone(), probe.clone(), probe.clone());
    socket.on_data(move |_, _| drop(data.clone()));
    socket.on_end(move |_| drop(end));
    socket.on_drain(move |_| drop(drain.clone()));
    socket.on_error(|_, _| {});
    socket.set_handler(probe.clone()).set_data(probe.clone());
    socket.set_timeout(Duration::from_secs(60));
    let wrote = probe.clone();
    socket.write_then("hello", move |_, _| drop(wrote));
}

#[track_caller]
fn assert_nothing_is_left(options: net::ListenOptions, serve: fn(&Socket), behave: fn(&Socket)) {
    let _alone = alone();
    let cycles = Cycles::new(options, serve);
    cycles.run(WARM_UP, behave);
    let (before, memory) = (cycles.census(), resident());
    cycles.run(CYCLES, behave);
    assert_eq!(cycles.census(), before);
    let grown = resident().saturating_sub(memory);
    assert!(grown <= SLACK, "{grown} KiB more are resident");
    // The probes of the test and of the server.
    assert_eq!(before[1..], [0, 0, 2]);
    drop(cycles.event_loop);
    // Those of the test itself: the one in `cycles`.
    assert_eq!(Rc::strong_count(&cycles.probe.0), 1);
}

#[test]
fn ten_thousand_tcp_connections_that_end_in_order_leave_nothing() {
    assert_nothing_is_left(("127.0.0.1", 0).into(), |_| {}, |client| client.end());
}

#[test]
fn ten_thousand_unix_connections_that_end_in_order_leave_nothing() {
    let path = std::env::temp_dir().join(format!("tidewheel-cycles-{}", std::process::id()));
    assert_nothing_is_left(path.into(), |_| {}, |client| client.end());
}

#[test]
fn ten_thousand_connections_destroyed_on_both_sides_leave_nothing() {
    let path = std::env::temp_dir().join(format!("tidewheel-broken-{}", std::process::id()));
    assert_nothing_is_left(
        path.into(),
        |socket| {
            socket.write(vec![0; 100_000]);
            let socket = socket.clone();
            let handle = socket.event_loop().clone();
            handle.set_immediate(move |_| socket.destroy());
        },
        |client| client.destroy(),
    );
}

#[test]
fn ten_thousand_timers_servers_and_posts_leave_nothing() {
    let _alone = alone();
    let event_loop = EventLoop::new().unwrap();
    let (remote, probe) = (event_loop.remote(), Rc::new(()));
    remote.unref();
    let round = |count: usize| {
        for number in 0..count {
            let held = Rc::clone(&probe);
            let timer = event_loop.set_timeout(Duration::ZERO, move |_: &LoopHandle| drop(held));
            if number % 2 == 0 {
                timer.clear();
            }
            let held = Rc::clone(&probe);
            event_loop.set_immediate(move |_| drop(held));
            remote.post(|_| {}).unwrap();
            if number % 10 == 0 {
                let held = Rc::clone(&probe);
                let server = net::create_server(&event_loop, move |_| drop(held.clone()));
                server.listen(("127.0.0.1", 0), |_| {}).unwrap();
                server.close();
            }
            if number % 100 == 99 {
                event_loop.run().unwrap();
            }
        }
        event_loop.run().unwrap();
    };
    round(2_000);
    let (fds, memory) = (open_fds(), resident());
    round(CYCLES);
    assert_eq!((open_fds(), event_loop.stats().timers), (fds, 0));
    assert_eq!(Rc::strong_count(&probe), 1);
    let grown = resident().saturating_sub(memory);
    assert!(grown <= SLACK, "{grown} KiB more are resident");
}

/// A server runs for months; what is freed must not wait for its end.
#[test]
fn ten_thousand_connections_within_one_run_leave_nothing() {
    let _alone = alone();
    let event_loop = EventLoop::new().unwrap();
    let server = net::create_server(&event_loop, |socket| socket.end());
    let path = std::env::temp_dir().join(format!("tidewheel-one-run-{}", std::process::id()));
    server.listen(path, |_| {}).unwrap();
    let memory = Rc::new(Cell::new(0));
    dial_again(&server, 0, &memory);
    event_loop.run().unwrap();
    let grown = resident().saturating_sub(memory.get());
    assert!(grown <= SLACK, "{grown} KiB more are resident");
}

/// One connection after another, and the last one closes the server. `memory` gets what is resident when it is warm.
fn dial_again(server: &Server, number: usize, memory: &Rc<Cell<usize>>) {
    match number {
        WARM_UP => memory.set(resident()),
        number if number == WARM_UP + CYCLES => return server.close(),
        _ => {}
    }
    let client = net::connect(server.event_loop(), server.address().unwrap(), |_| {});
    let (server, memory) = (server.clone(), Rc::clone(memory));
    client.on_close(move |_, _| dial_again(&server, number + 1, &memory));
}
