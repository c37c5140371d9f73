//! What the tests of faults share: servers that echo, guests who behave, and what the process costs.
#![allow(dead_code)]

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{Address, Server, ServerOptions, Socket};

use crate::common::{Peer, World};

/// A server that says everything back, also to those who have ended. Its sockets are counted, but not watched: there
/// may be thousands. Nobody listens to their errors, as in many a program.
#[track_caller]
pub fn echo_server(world: &World, options: ServerOptions) -> Server {
    let probe = world.probe();
    world.server_with(options, move |socket| echo(socket, &probe))
}

fn echo(socket: &Socket, probe: &Rc<()>) {
    let (data, closed) = (Rc::clone(probe), Rc::clone(probe));
    socket.on_data(move |socket, bytes| {
        let _ = &data;
        socket.write(bytes);
    });
    socket.on_close(move |_, _| drop(closed));
}

/// What the `error` of a server says.
pub fn errors_of(world: &World, server: &Server) -> Rc<RefCell<Vec<String>>> {
    let errors: Rc<RefCell<Vec<String>>> = Rc::default();
    let (heard, probe) = (Rc::clone(&errors), world.probe());
    server.on_error(move |_, error| {
        let _ = &probe;
        heard.borrow_mut().push(error.to_string());
    });
    errors
}

/// One question and its answer. False: the other side is not there (any more).
pub fn converse(peer: &mut Peer, question: &[u8]) -> bool {
    let mut answer = vec![0; question.len()];
    peer.write_all(question).is_ok() && peer.read_exact(&mut answer).is_ok() && answer == question
}

/// Dials and asks until there is an answer, and tells how many attempts it took.
pub fn converse_at_last(address: &Address, question: &[u8]) -> usize {
    let mut attempts = 1;
    while !Peer::try_connect(address).is_ok_and(|mut peer| converse(&mut peer, question)) {
        attempts += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    attempts
}

/// Runs the loop for a while, and says how many turns it took.
pub fn turns_in(world: &World, time: Duration) -> u64 {
    let handle = world.event_loop.handle();
    let timer = world.event_loop.set_timeout(time, move |_| handle.stop());
    let before = world.event_loop.stats().turns;
    world.run();
    timer.clear();
    world.event_loop.stats().turns - before
}

/// A loop that has nothing to do hardly turns; one that spins turns thousands of times.
#[track_caller]
pub fn assert_rests(world: &World) {
    let turns = turns_in(world, Duration::from_millis(40));
    assert!(turns < 20, "it spins: {turns} turns in 40 ms");
}

/// How much time on a processor this process has taken, in all its threads.
pub fn process_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live `timespec`.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Resident memory, in bytes.
pub fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

/// The number of a peer's descriptor.
pub fn fd_of(peer: &Peer) -> RawFd {
    match peer {
        Peer::Tcp(stream) => stream.as_raw_fd(),
        Peer::Unix(stream) => stream.as_raw_fd(),
    }
}
