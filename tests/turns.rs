//! Turns: what runs in one, in which order, how long it waits, and what starts and stops a run.

#[path = "common/census.rs"]
mod census;

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use census::EventLoop;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use tidewheel::net::{self, Socket};
use tidewheel::{Code, LoopHandle};

type Log = Rc<RefCell<Vec<String>>>;

fn noter(log: &Log) -> impl Fn(&str) + Clone + 'static {
    let log = Rc::clone(log);
    move |line: &str| log.borrow_mut().push(line.to_string())
}

#[test]
fn immediates_run_after_the_events_of_the_kernel_and_before_close() {
    let event_loop = EventLoop::new().unwrap();
    let log = Log::default();
    let note = noter(&log);
    let (a, b) = net::pair(&event_loop).unwrap();
    let (on_timer, on_data, on_close) = (note.clone(), note.clone(), note);
    let sender = a.clone();
    event_loop.set_timeout(Duration::ZERO, move |handle| {
        on_timer("timer");
        sender.write("x");
        handle.set_immediate(move |_| on_timer("immediate of the timer"));
    });
    b.on_data(move |socket, _| {
        let note = on_data.clone();
        note("data");
        let handle = socket.event_loop();
        handle.set_immediate(move |_| note("immediate of data"));
        socket.destroy();
        a.destroy();
    });
    b.on_close(move |_, _| on_close("close"));
    event_loop.run().unwrap();
    let expected = [
        "timer",
        "data",
        "immediate of the timer",
        "immediate of data",
        "close",
    ];
    assert_eq!(*log.borrow(), expected);
}

/// A callback before its turn resumes it, or leaves bytes of it to be sent: that costs it no turn.
#[test]
fn a_socket_that_the_poll_has_found_has_its_turn_whatever_others_do_to_it_first() {
    let acts: [fn(&Socket); 3] = [
        |_| {},
        |socket| {
            socket.pause().resume();
        },
        |socket| {
            socket.write(vec![0; 1024 * 1024]);
        },
    ];
    for act in acts {
        let event_loop = EventLoop::new().unwrap();
        let log = Log::default();
        let note = noter(&log);
        let (first, far_first) = net::pair(&event_loop).unwrap();
        let (second, far_second) = net::pair(&event_loop).unwrap();
        let (on_first, on_second, other) = (note.clone(), note, second.clone());
        first.on_data(move |socket, _| {
            on_first("first");
            act(&other);
            let note = on_first.clone();
            let handle = socket.event_loop();
            handle.set_immediate(move |_| note("immediate"));
        });
        second.on_data(move |_, _| on_second("second"));
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        far_first.write("x");
        far_second.write("x");
        event_loop.turn(None).unwrap();
        assert_eq!(*log.borrow(), ["first", "second", "immediate"]);
    }
}

#[test]
fn an_immediate_set_by_an_immediate_runs_in_the_next_turn() {
    let event_loop = EventLoop::new().unwrap();
    let turns: Rc<RefCell<Vec<u64>>> = Rc::default();
    fn again(handle: &LoopHandle, turns: Rc<RefCell<Vec<u64>>>, left: u32) {
        turns.borrow_mut().push(handle.stats().turns);
        if left > 0 {
            handle.set_immediate(move |handle| again(handle, turns, left - 1));
        }
    }
    for _ in 0..2 {
        let turns = Rc::clone(&turns);
        event_loop.set_immediate(move |handle| again(handle, turns, 2));
    }
    event_loop.run().unwrap();
    assert_eq!(*turns.borrow(), [1, 1, 2, 2, 3, 3]);
}

#[test]
fn turn_says_whether_something_is_alive_and_never_waits_for_nothing() {
    let event_loop = EventLoop::new().unwrap();
    assert!(!event_loop.turn(None).unwrap());
    event_loop.set_immediate(|_| {});
    assert!(!event_loop.turn(None).unwrap(), "it has run");
    let timer = event_loop.set_timeout(Duration::from_secs(3600), |_| {});
    assert!(event_loop.turn(Some(Duration::ZERO)).unwrap());
    timer.unref();
    assert!(!event_loop.turn(None).unwrap(), "nobody waits for it");
    timer.ref_();
    assert!(event_loop.turn(Some(Duration::ZERO)).unwrap());
}

#[test]
fn turn_waits_no_longer_than_it_is_told() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_timeout(Duration::from_secs(3600), |_| {});
    let start = Instant::now();
    assert!(event_loop.turn(Some(Duration::from_millis(20))).unwrap());
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(20), "{waited:?}");
    assert!(waited < Duration::from_secs(60), "{waited:?}");
}

#[test]
fn next_timeout_is_zero_while_work_waits_and_none_without_timers() {
    let event_loop = EventLoop::new().unwrap();
    let zero = Some(Duration::ZERO);
    let turn = || event_loop.turn(zero).unwrap();
    assert_eq!(event_loop.next_timeout(), None);
    event_loop.set_immediate(|_| {});
    assert_eq!(event_loop.next_timeout(), zero, "an immediate");
    turn();
    assert_eq!(event_loop.next_timeout(), None);
    event_loop.remote().post(|_| {}).unwrap();
    assert_eq!(event_loop.next_timeout(), zero, "a post");
    turn();
    let (a, b) = net::pair(&event_loop).unwrap();
    a.write_then("x", |_, _| {});
    assert_eq!(event_loop.next_timeout(), zero, "a write callback");
    turn();
    a.destroy();
    assert_eq!(event_loop.next_timeout(), zero, "a close");
    b.destroy();
    while turn() {}
    assert_eq!(event_loop.next_timeout(), None);
    event_loop.set_timeout(Duration::from_secs(100), |_| {});
    let next = event_loop.next_timeout().unwrap();
    assert!(next > Duration::from_secs(30), "{next:?}");
    assert!(next <= Duration::from_millis(100_001), "{next:?}");
}

#[test]
fn the_loop_lives_inside_another_one_by_its_descriptor_and_its_timeout() {
    let event_loop = EventLoop::new().unwrap();
    let fd = event_loop.as_raw_fd();
    assert_eq!(event_loop.as_fd().as_raw_fd(), fd);
    let mut poll = Poll::new().unwrap();
    let registry = poll.registry();
    registry
        .register(&mut SourceFd(&fd), Token(0), Interest::READABLE)
        .unwrap();
    let (a, b) = net::pair(&event_loop).unwrap();
    b.pipe(&b);
    let rounds = Rc::new(Cell::new(0));
    let count = Rc::clone(&rounds);
    a.on_data(move |socket, _| {
        count.set(count.get() + 1);
        let socket = socket.clone();
        let handle = socket.event_loop().clone();
        handle.set_timeout(Duration::from_millis(1), move |_| {
            if count_is(&socket, 3) {
                socket.end();
            } else {
                socket.write("x");
            }
        });
    });
    a.write("x");
    let mut events = Events::with_capacity(8);
    while event_loop.turn(Some(Duration::ZERO)).unwrap() {
        let wait = event_loop.next_timeout();
        let wait = wait.or(Some(Duration::from_secs(30)));
        poll.poll(&mut events, wait).unwrap();
    }
    assert_eq!(rounds.get(), 3);
}

fn count_is(socket: &net::Socket, bytes: u64) -> bool {
    socket.bytes_read() == bytes
}

#[test]
fn stop_ends_the_run_after_its_turn_and_the_next_run_goes_on() {
    let event_loop = EventLoop::new().unwrap();
    let log = Log::default();
    let note = noter(&log);
    let (first, second) = (note.clone(), note);
    event_loop.set_immediate(move |handle| {
        handle.stop();
        first("stopped");
        let again = first.clone();
        handle.set_immediate(move |_| again("a turn later"));
    });
    event_loop.set_immediate(move |_| second("the same turn"));
    event_loop.run().unwrap();
    assert_eq!(*log.borrow(), ["stopped", "the same turn"]);
    assert!(event_loop.is_alive());
    event_loop.run().unwrap();
    assert_eq!(log.borrow().last().unwrap(), "a turn later");
}

#[test]
fn stop_closes_nothing() {
    let event_loop = EventLoop::new().unwrap();
    let server = net::create_server(&event_loop, |_| {});
    server
        .listen(("127.0.0.1", 0), |server| server.event_loop().stop())
        .unwrap();
    event_loop.run().unwrap();
    assert!(server.listening() && event_loop.is_alive());
    server.close();
    event_loop.run().unwrap();
}

#[test]
fn stop_without_a_run_under_way_does_nothing() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.stop();
    let handle = event_loop.handle();
    event_loop.set_immediate(move |_| handle.stop());
    assert!(!event_loop.turn(None).unwrap());
    let rounds = Rc::new(Cell::new(0));
    let count = Rc::clone(&rounds);
    event_loop.set_interval(Duration::from_millis(1), move |timer| {
        count.set(count.get() + 1);
        if count.get() == 3 {
            timer.clear();
        }
    });
    event_loop.run().unwrap();
    assert_eq!(rounds.get(), 3);
}

#[test]
fn a_stop_in_a_turn_that_panicked_does_not_end_the_next_run() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_immediate(|handle| {
        handle.stop();
        std::panic::resume_unwind(Box::new("boom"));
    });
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| event_loop.run()));
    assert!(result.is_err());
    let done = Rc::new(Cell::new(false));
    let flag = Rc::clone(&done);
    event_loop.set_timeout(Duration::from_millis(5), move |_| flag.set(true));
    event_loop.run().unwrap();
    assert!(done.get());
}

#[test]
fn run_and_turn_inside_a_callback_are_an_error_and_harmless() {
    let event_loop = Rc::new(EventLoop::new().unwrap());
    let weak = Rc::downgrade(&event_loop);
    let checked = Rc::new(Cell::new(false));
    let flag = Rc::clone(&checked);
    event_loop.set_immediate(move |_| {
        let event_loop = weak.upgrade().unwrap();
        let error = event_loop.run().unwrap_err();
        assert_eq!(error.code(), Code::LoopRunning);
        assert_eq!(error.code().as_str(), "ERR_LOOP_RUNNING");
        let error = event_loop.turn(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(error.code(), Code::LoopRunning);
        event_loop.set_immediate(move |_| flag.set(true));
    });
    event_loop.run().unwrap();
    assert!(checked.get(), "the run under way went on");
}

#[test]
fn now_stands_still_during_a_turn_and_is_the_present_outside() {
    let event_loop = EventLoop::new().unwrap();
    let before = event_loop.now();
    while event_loop.now() == before {}
    let times: Rc<RefCell<Vec<Instant>>> = Rc::default();
    for _ in 0..2 {
        let times = Rc::clone(&times);
        event_loop.set_immediate(move |handle| {
            times.borrow_mut().push(handle.now());
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(50) {}
        });
    }
    let start = Instant::now();
    event_loop.run().unwrap();
    let times = times.borrow();
    assert_eq!(times[0], times[1]);
    assert!(times[0] >= start && times[0] <= Instant::now());
    assert!(event_loop.now() > times[1]);
}

#[test]
fn timers_of_the_real_clock_are_never_early() {
    let event_loop = EventLoop::new().unwrap();
    let fired = Rc::new(Cell::new(0));
    for number in 0..200u64 {
        let period = Duration::from_micros(number * 137);
        let (due, fired) = (Instant::now() + period, Rc::clone(&fired));
        event_loop.set_timeout(period, move |handle| {
            assert!(Instant::now() >= due);
            assert!(handle.now() >= due, "the time of the turn is not before it");
            fired.set(fired.get() + 1);
        });
    }
    event_loop.run().unwrap();
    assert_eq!(fired.get(), 200);
}

#[test]
fn no_number_of_events_is_too_large_to_ask_for() {
    let event_loop = EventLoop::of(EventLoop::builder().events(usize::MAX)).unwrap();
    event_loop.set_immediate(|_| {});
    assert!(!event_loop.turn(None).unwrap());
}

#[test]
fn the_longest_turn_is_known_while_the_run_goes_on() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_immediate(|handle| {
        assert_eq!(handle.stats().longest_turn, Duration::ZERO);
        handle.set_immediate(|handle| assert!(handle.stats().longest_turn > Duration::ZERO));
    });
    event_loop.run().unwrap();
}

/// What is left to do is what is left for somebody: a socket that is gone has nothing.
#[test]
fn a_piped_socket_that_its_peer_has_reset_leaves_no_turn_for_nothing() {
    let event_loop = EventLoop::new().unwrap();
    let closed = Rc::new(Cell::new(false));
    let closes = Rc::clone(&closed);
    let server = net::create_server(&event_loop, move |socket| {
        let closes = Rc::clone(&closes);
        socket.on_close(move |_, had_error| {
            assert!(had_error);
            closes.set(true);
        });
        socket.pipe(socket);
    });
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    let mut peer = TcpStream::connect(server.address().unwrap().to_string()).unwrap();
    peer.write_all(b"back to one who does not read").unwrap();
    while peer.set_nonblocking(true).is_err() || peer.peek(&mut [0]).is_err() {
        event_loop.turn(Some(Duration::from_millis(1))).unwrap();
    }
    // What it has not read makes it a reset.
    drop(peer);
    while !closed.get() {
        event_loop.turn(None).unwrap();
    }
    assert_eq!(event_loop.next_timeout(), None);
    server.close();
    event_loop.run().unwrap();
}
