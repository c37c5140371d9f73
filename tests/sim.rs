//! The whole loop on a simulated network and clock.
#![cfg(feature = "sim")]

#[path = "common/census.rs"]
mod census;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use census::EventLoop;
use tidewheel::net::{self, WriteStatus};
use tidewheel::sim::{Faults, Sim};

#[test]
fn a_simulated_pair_talks_and_time_flies() {
    let sim = Sim::new(1);
    let event_loop = EventLoop::of(EventLoop::builder().sim(&sim)).unwrap();
    let (a, b) = net::pair(&event_loop).unwrap();
    b.pipe(&b);
    let got: Rc<RefCell<Vec<u8>>> = Rc::default();
    let bytes = Rc::clone(&got);
    a.on_data(move |a, data| {
        bytes.borrow_mut().extend_from_slice(data);
        a.set_timeout(Duration::from_secs(3600));
    });
    a.on_timeout(|a| a.end());
    a.write("hello");
    event_loop.run().unwrap();
    assert_eq!(*got.borrow(), b"hello");
    assert!(sim.now() >= Duration::from_secs(3600));
}

#[test]
fn a_simulated_server_accepts_and_refuses() {
    let sim = Sim::new(1);
    let event_loop = EventLoop::builder().sim(&sim).build().unwrap();
    let server = net::create_server(&event_loop, |socket| {
        socket.server().unwrap().close();
        socket.pipe(socket);
    });
    server.listen(("10.0.0.1", 0), |_| {}).unwrap();
    let client = net::connect(&event_loop, server.address().unwrap(), |client| {
        client.write("hello");
    });
    let got: Rc<RefCell<Vec<u8>>> = Rc::default();
    let bytes = Rc::clone(&got);
    client.on_data(move |client, data| {
        bytes.borrow_mut().extend_from_slice(data);
        client.end();
    });
    let refused = net::connect(&event_loop, ("10.0.0.1", 9), |_| unreachable!());
    let message: Rc<RefCell<String>> = Rc::default();
    let told = Rc::clone(&message);
    refused.on_error(move |_, error| *told.borrow_mut() = error.to_string());
    event_loop.run().unwrap();
    assert_eq!(*got.borrow(), b"hello");
    assert_eq!(*message.borrow(), "connect ECONNREFUSED 10.0.0.1:9");
}

/// The rest of a talkative peer's bytes is discarded only while nobody has said `pause`.
#[test]
fn each_who_waits_is_accepted_in_a_turn_of_its_own_while_turns_are_short() {
    let sim = Sim::new(1);
    let event_loop = EventLoop::builder().sim(&sim).build().unwrap();
    let accepted = Rc::new(Cell::new(0));
    let count = Rc::clone(&accepted);
    let server = net::create_server(&event_loop, move |_| count.set(count.get() + 1));
    server.listen(("10.0.0.1", 0), |_| {}).unwrap();
    let address = server.address().unwrap();
    let turn = || {
        let before = accepted.get();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        accepted.get() - before
    };
    turn();
    for _ in 0..6 {
        net::connect(&event_loop, address.clone(), |_| {});
    }
    assert_eq!([turn(), turn(), turn()], [1, 1, 1]);
    // After a long one they wait no more.
    let long = sim.clone();
    event_loop.set_immediate(move |_| long.advance(Duration::from_millis(1)));
    assert_eq!([turn(), turn()], [1, 2]);
}

#[test]
fn an_echo_that_was_told_to_end_rests_while_it_is_paused() {
    let sim = Sim::new(1);
    let event_loop = EventLoop::builder().sim(&sim).build().unwrap();
    let (talker, echo) = net::pair(&event_loop).unwrap();
    talker.set_allow_half_open(true).resume();
    echo.once_data(|echo, _| {
        echo.end();
        echo.pause();
    });
    echo.pipe(&echo);
    talker.write("one");
    event_loop.set_timeout(Duration::from_millis(5), move |_| talker.end_with("two"));
    let resumed = Rc::new(Cell::new(false));
    let flag = Rc::clone(&resumed);
    event_loop.set_timeout(Duration::from_millis(50), move |_| {
        assert!(echo.is_paused());
        assert_eq!(echo.bytes_read(), 3);
        echo.resume();
        flag.set(true);
    });
    event_loop.run().unwrap();
    assert!(resumed.get());
}

/// Its idle timeout has fired, and a write that would start it anew finds no room to wait for room.
#[test]
fn a_socket_that_fails_in_a_write_leaves_no_timer() {
    let small = || Faults::default().capacity(10);
    let sim = Sim::with_faults(1, small());
    let event_loop = EventLoop::builder().sim(&sim).build().unwrap();
    let (socket, peer) = net::pair(&event_loop).unwrap();
    socket.set_timeout(Duration::from_millis(5));
    assert_eq!(socket.write([0; 10]), WriteStatus::Flushed);
    let network = sim.clone();
    socket.on_timeout(move |socket| {
        network.set_faults(small().exhausted(1.0));
        assert_eq!(socket.write("x"), WriteStatus::Refused);
        assert_eq!(socket.event_loop().stats().timers, 0);
    });
    let failed = Rc::new(Cell::new(false));
    let flag = Rc::clone(&failed);
    socket.on_error(move |_, error| {
        assert_eq!(error.to_string(), "epoll_ctl ENOSPC");
        peer.destroy();
        flag.set(true);
    });
    event_loop.run().unwrap();
    assert!(failed.get());
    assert_eq!(sim.now(), Duration::from_millis(5));
}

/// A peek has seen that bytes are unread in front of the FIN; who reads just those and rests again has seen it all.
#[test]
fn a_reader_that_rests_after_the_last_byte_sees_the_fin_behind_it() {
    let sim = Sim::new(1);
    let builder = EventLoop::builder().sim(&sim).read_buffer(1);
    let event_loop = builder.build().unwrap();
    let (talker, reader) = net::pair(&event_loop).unwrap();
    talker.resume();
    reader.pause();
    let ended = Rc::new(Cell::new(false));
    let flag = Rc::clone(&ended);
    reader.on_end(move |_| flag.set(true));
    reader.on_data(|reader, _| {
        if reader.bytes_read() == 2 {
            reader.pause();
        }
    });
    talker.end_with("ab");
    event_loop.set_timeout(Duration::from_millis(5), move |_| {
        reader.resume();
    });
    event_loop.run().unwrap();
    assert!(ended.get());
}

/// It rests until its queue is empty, and then there is no `drain` to wake it.
#[test]
fn an_echo_that_rests_when_it_is_told_to_end_reads_on() {
    let sim = Sim::with_faults(1, Faults::default().capacity(10));
    let event_loop = EventLoop::builder().sim(&sim).build().unwrap();
    let (talker, echo) = net::pair(&event_loop).unwrap();
    talker.set_allow_half_open(true).pause();
    echo.pipe(&echo);
    talker.write([7; 100]);
    let got = Rc::new(Cell::new(0));
    let count = Rc::clone(&got);
    talker.on_data(move |_, data| count.set(count.get() + data.len()));
    let ending = echo.clone();
    event_loop.set_timeout(Duration::from_millis(5), move |_| {
        assert!(ending.buffer_size() > 0);
        ending.end();
    });
    event_loop.set_timeout(Duration::from_millis(10), move |_| {
        talker.resume().end();
    });
    event_loop.run().unwrap();
    assert!(got.get() > 0);
    assert!(echo.destroyed());
}

/// An echo that has drained wakes itself, and cannot be watched again: the error is all there is to tell.
#[test]
fn an_echo_that_fails_in_waking_up_hears_no_drain() {
    let small = || Faults::default().capacity(100);
    let sim = Sim::with_faults(1, small());
    let event_loop = EventLoop::builder().sim(&sim).build().unwrap();
    let (talker, echo) = net::pair(&event_loop).unwrap();
    talker.set_allow_half_open(true).pause();
    echo.pipe(&echo);
    echo.on_drain(|echo| assert!(!echo.destroyed()));
    let network = sim.clone();
    talker.on_data(move |_, _| network.set_faults(small().exhausted(1.0)));
    let (failed, other) = (Rc::new(Cell::new(false)), talker.clone());
    let flag = Rc::clone(&failed);
    echo.on_error(move |_, error| {
        assert_eq!(error.to_string(), "epoll_ctl ENOSPC");
        flag.set(true);
        other.destroy();
    });
    // It rests over a full queue, and is woken in vain until it gives up its read interest.
    talker.write([7; 150]);
    event_loop.set_interval(Duration::from_millis(1), move |interval| {
        if talker.bytes_written() < 160 {
            talker.write("x");
        } else {
            talker.resume();
            interval.clear();
        }
    });
    event_loop.run().unwrap();
    assert!(failed.get());
}
