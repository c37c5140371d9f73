//! Signals that interrupt the poll and every other system call: no event is lost, and timers are right.

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/faults.rs"]
mod faults;
#[path = "common/sending.rs"]
mod sending;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use child::in_child;
use common::{each_case, Script, World};
use faults::{converse, echo_server};
use sending::{pattern, Received};
use tidewheel::net::ServerOptions;

static SEEN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: libc::c_int) {
    SEEN.fetch_add(1, Ordering::Relaxed);
}

/// A handler that does not have the system restart what it interrupts.
fn install() {
    // SAFETY: zero is a valid `sigaction`; the handler only touches an atomic number.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        assert_eq!(
            libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()),
            0
        );
    }
}

/// Signals the thread that made it, again and again, until it is dropped.
struct Hail {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hail {
    fn new() -> Hail {
        install();
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        // SAFETY: the call takes nothing.
        let target = unsafe { libc::pthread_self() };
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // SAFETY: the thread waits for this one before it ends.
                unsafe { libc::pthread_kill(target, libc::SIGUSR1) };
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        Hail {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Hail {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Runs a scenario in a hail of signals, which must have hit.
fn each_case_in_hail(test: &str, scenario: fn(&World)) {
    in_child(test, || {
        each_case(|world| {
            let before = SEEN.load(Ordering::Relaxed);
            let hail = Hail::new();
            scenario(world);
            drop(hail);
            let hits = SEEN.load(Ordering::Relaxed) - before;
            println!("{hits} signals");
            assert!(hits > 0, "no signal came");
        });
    });
}

#[test]
fn no_byte_and_no_event_is_lost() {
    each_case_in_hail("no_byte_and_no_event_is_lost", |world| {
        const MUCH: usize = 4 * 1024 * 1024;
        let server = world.serve_one(|| {
            Script::new("S").on_data(|socket, data| {
                socket.write(data);
            })
        });
        let received = Received::default();
        let client = world.client(&server, received.by(Script::new("C")));
        client.end_with(pattern(0, MUCH));
        let handle = world.event_loop.handle();
        // So that the poll waits, too, and is interrupted.
        let rest = Rc::new(Cell::new(20));
        handle.set_interval(Duration::from_millis(1), move |timer| {
            rest.set(rest.get() - 1);
            if rest.get() == 0 {
                timer.clear();
            }
        });
        world.run();
        assert!(received.bytes() == pattern(0, MUCH));
        assert!(world.trace("S").ends_with("end finish close(false)"));
        assert!(world.trace("C").ends_with("end close(false)"));
    });
}

#[test]
fn connections_of_others_and_posts_are_served() {
    each_case_in_hail("connections_of_others_and_posts_are_served", |world| {
        let server = echo_server(world, ServerOptions::default());
        let (address, remote) = (server.address().unwrap(), world.event_loop.remote());
        let others = std::thread::spawn(move || {
            for number in 0..100 {
                let mut peer = common::Peer::connect(&address);
                assert!(converse(&mut peer, format!("question {number}").as_bytes()));
                let (told, answer) = std::sync::mpsc::channel();
                remote.post(move |_| told.send(number).unwrap()).unwrap();
                assert_eq!(answer.recv().unwrap(), number);
            }
            remote.post(move |handle| handle.stop()).unwrap();
        });
        world.run();
        others.join().unwrap();
        server.close();
        world.run();
    });
}

#[test]
fn timers_are_neither_early_nor_lost() {
    each_case_in_hail("timers_are_neither_early_nor_lost", |world| {
        let fired = Rc::new(Cell::new(0));
        for millis in [1, 7, 20, 60] {
            let (start, time) = (Instant::now(), Duration::from_millis(millis));
            let (fired, probe) = (Rc::clone(&fired), world.probe());
            world.event_loop.set_timeout(time, move |_| {
                let _ = &probe;
                assert!(start.elapsed() >= time, "early");
                assert!(start.elapsed() < Duration::from_secs(5), "late");
                fired.set(fired.get() + 1);
            });
        }
        world.run();
        assert_eq!(fired.get(), 4);
    });
}

#[test]
fn a_turn_that_is_interrupted_says_whether_something_is_alive() {
    let test = "a_turn_that_is_interrupted_says_whether_something_is_alive";
    each_case_in_hail(test, |world| {
        let timer = world
            .event_loop
            .set_timeout(Duration::from_secs(60), |_| {});
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20) {
            assert!(world.event_loop.turn(None).unwrap());
        }
        timer.clear();
        assert!(!world.event_loop.turn(None).unwrap());
    });
}
