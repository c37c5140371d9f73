//! A panic in any callback of the loop or of a server unwinds out of `run`; nothing of the turn it left is lost.

#[path = "common/census.rs"]
mod census;
#[path = "common/panicking.rs"]
mod panicking;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::time::Duration;

use census::EventLoop;
use panicking::{boom, run_through};
use tidewheel::net::{self, Server, Socket};
use tidewheel::Interest;

type Log<T> = Rc<RefCell<Vec<T>>>;

/// A listening server on any port of 127.0.0.1.
fn listen(event_loop: &EventLoop, on_connection: impl FnMut(&Socket) + 'static) -> Server {
    let server = net::create_server(event_loop, on_connection);
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    server
}

fn peer(server: &Server) -> std::net::TcpStream {
    let address = server.address().unwrap();
    std::net::TcpStream::connect((address.ip().unwrap(), address.port().unwrap())).unwrap()
}

#[test]
fn timers_that_were_due_too_still_fire_once_and_in_order() {
    let event_loop = EventLoop::new().unwrap();
    let log: Log<u32> = Log::default();
    for number in 0..100 {
        let log = Rc::clone(&log);
        event_loop.set_timeout(Duration::ZERO, move |_| {
            log.borrow_mut().push(number);
            boom();
        });
    }
    assert_eq!(run_through(&event_loop), 100);
    assert!(log.borrow().iter().copied().eq(0..100));
}

#[test]
fn an_interval_that_panics_goes_on() {
    let event_loop = EventLoop::new().unwrap();
    let calls = Rc::new(Cell::new(0));
    let count = Rc::clone(&calls);
    event_loop.set_interval(Duration::from_millis(1), move |timer| {
        count.set(count.get() + 1);
        if count.get() == 5 {
            timer.clear();
        }
        boom();
    });
    assert_eq!(run_through(&event_loop), 5);
    assert_eq!(calls.get(), 5);
}

#[test]
fn immediates_set_with_one_that_panics_still_run_once_and_in_order() {
    let event_loop = EventLoop::new().unwrap();
    let log: Log<u32> = Log::default();
    for number in 0..100 {
        let log = Rc::clone(&log);
        event_loop.set_immediate(move |_| {
            log.borrow_mut().push(number);
            boom();
        });
    }
    assert_eq!(run_through(&event_loop), 100);
    assert!(log.borrow().iter().copied().eq(0..100));
}

#[test]
fn posts_behind_one_that_panics_still_run_once_and_in_order() {
    thread_local! {
        static LOG: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    }
    let event_loop = EventLoop::new().unwrap();
    let remote = event_loop.remote();
    for number in 0..100 {
        remote
            .post(move |_| {
                LOG.with_borrow_mut(|log| log.push(number));
                boom();
            })
            .unwrap();
    }
    drop(remote);
    assert_eq!(run_through(&event_loop), 100);
    assert!(LOG.take().into_iter().eq(0..100));
}

#[test]
fn a_listening_server_whose_listeners_panic_serves_all_the_same() {
    let event_loop = EventLoop::new().unwrap();
    let accepted = Rc::new(Cell::new(0));
    let count = Rc::clone(&accepted);
    let server = net::create_server(&event_loop, move |socket| {
        count.set(count.get() + 1);
        socket.end();
        if count.get() == 30 {
            socket.server().unwrap().close();
        }
        boom();
    });
    server.on_listening(|_| boom());
    server.listen(("127.0.0.1", 0), |_| boom()).unwrap();
    // All of them wait in the queue: they are accepted in one turn.
    let peers: Vec<_> = (0..30).map(|_| peer(&server)).collect();
    // A panic ends the emission it happened in: the second listener of `listening` was not reached.
    let closer = event_loop.handle();
    closer.set_immediate(move |_| drop(peers));
    assert_eq!(run_through(&event_loop), 1 + 30);
    assert_eq!(accepted.get(), 30);
    assert_eq!(event_loop.stats().sockets_open, 0);
}

#[test]
fn a_panic_in_the_close_of_a_server_leaves_it_closed() {
    let event_loop = EventLoop::new().unwrap();
    let servers: Vec<Server> = (0..3).map(|_| listen(&event_loop, |_| {})).collect();
    let log: Log<&str> = Log::default();
    let (on_close, with, shut) = (Rc::clone(&log), Rc::clone(&log), Rc::clone(&log));
    servers[0].on_close(move |_| {
        on_close.borrow_mut().push("close");
        boom();
    });
    servers[0].close();
    servers[1].close_with(move |_, result| {
        result.unwrap();
        with.borrow_mut().push("close_with");
        boom();
    });
    servers[2].shutdown(Duration::from_secs(100), move |_, destroyed| {
        assert_eq!(destroyed, 0);
        shut.borrow_mut().push("shutdown");
        boom();
    });
    assert_eq!(run_through(&event_loop), 3);
    log.borrow_mut().sort();
    assert_eq!(*log.borrow(), ["close", "close_with", "shutdown"]);
    for server in &servers {
        assert!(event_loop.server(server.id()).is_none(), "it is freed");
    }
    assert_eq!(event_loop.stats().timers, 0);
}

#[test]
fn answers_that_are_deferred_may_panic_one_by_one() {
    let event_loop = EventLoop::new().unwrap();
    let server = net::create_server(&event_loop, |_| {});
    let answers = Rc::new(Cell::new(0));
    for _ in 0..5 {
        let (counted, closed) = (Rc::clone(&answers), Rc::clone(&answers));
        server.get_connections(move |count| {
            assert_eq!(count.unwrap(), 0);
            counted.set(counted.get() + 1);
            boom();
        });
        server.close_with(move |_, result| {
            assert!(result.is_err());
            closed.set(closed.get() + 1);
            boom();
        });
    }
    assert_eq!(run_through(&event_loop), 10);
    assert_eq!(answers.get(), 10);
}

#[test]
fn the_error_listener_of_a_server_may_panic() {
    let event_loop = EventLoop::new().unwrap();
    let server = listen(&event_loop, |_| {});
    let errors = Rc::new(Cell::new(0));
    let count = Rc::clone(&errors);
    server.on_error(move |server, error| {
        assert_eq!(error.syscall(), Some("accept"));
        count.set(count.get() + 1);
        server.close();
        boom();
    });
    // A listening socket that was shut down refuses to accept.
    let fd = server.raw_fd().unwrap();
    // SAFETY: the descriptor is open, and the call takes no pointer.
    assert_eq!(unsafe { libc::shutdown(fd, libc::SHUT_RDWR) }, 0);
    assert_eq!(run_through(&event_loop), 1);
    assert_eq!(errors.get(), 1);
}

#[test]
fn a_watch_that_panics_hears_of_what_comes_next() {
    let event_loop = EventLoop::new().unwrap();
    let (watched, mut peer) = UnixStream::pair().unwrap();
    watched.set_nonblocking(true).unwrap();
    let watched = Rc::new(watched);
    let (reader, heard) = (Rc::clone(&watched), Rc::new(Cell::new(0)));
    let count = Rc::clone(&heard);
    peer.write_all(b"x").unwrap();
    let watch = event_loop.watch(watched, Interest::READABLE, move |watch, readiness| {
        assert!(readiness.readable());
        while (&*reader).read(&mut [0]).is_ok_and(|count| count > 0) {}
        count.set(count.get() + 1);
        if count.get() == 3 {
            watch.close();
        } else {
            peer.write_all(b"x").unwrap();
        }
        boom();
    });
    watch.unwrap();
    assert_eq!(run_through(&event_loop), 3);
    assert_eq!(heard.get(), 3);
}

#[test]
fn a_drop_listener_that_panics_hears_of_the_next_connection_too() {
    let event_loop = EventLoop::new().unwrap();
    let server = listen(&event_loop, |_| {});
    server.set_max_connections(Some(1));
    let dropped = Rc::new(Cell::new(0));
    let count = Rc::clone(&dropped);
    let first = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&first);
    server.on_connection(move |socket| *kept.borrow_mut() = Some(socket.clone()));
    server.on_drop(move |server, _| {
        count.set(count.get() + 1);
        if count.get() == 5 {
            server.close();
            first.borrow().as_ref().unwrap().destroy();
        }
        boom();
    });
    let peers: Vec<_> = (0..6).map(|_| peer(&server)).collect();
    assert_eq!(run_through(&event_loop), 5);
    assert_eq!(dropped.get(), 5);
    drop(peers);
}

#[test]
fn a_text_listener_that_panics_hears_the_rest_and_no_character_is_torn() {
    let event_loop = EventLoop::new().unwrap();
    let (a, b) = net::pair(&event_loop).unwrap();
    let text: Rc<RefCell<String>> = Rc::default();
    let seen = Rc::clone(&text);
    b.on_text(move |_, text| {
        seen.borrow_mut().push_str(text);
        boom();
    });
    let panics = Cell::new(0);
    for byte in "aé漢".bytes() {
        a.write([byte]);
        let turn = AssertUnwindSafe(|| event_loop.turn(Some(Duration::ZERO)));
        panics.set(panics.get() + usize::from(catch_unwind(turn).is_err()));
    }
    // An incomplete character: its replacement comes before `end`.
    a.end_with([0xe6]);
    assert_eq!(panics.get() + run_through(&event_loop), 4);
    assert_eq!(*text.borrow(), "aé漢\u{fffd}");
}

#[test]
fn a_destructor_that_panics_takes_no_other_with_it() {
    struct Boom(Rc<Cell<usize>>, bool);
    impl Drop for Boom {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            if self.1 {
                boom();
            }
        }
    }
    let event_loop = EventLoop::new().unwrap();
    let dropped = Rc::new(Cell::new(0));
    for number in 0..10 {
        // One that panics among others: two of them would abort the process, as in any list.
        let bomb = Boom(Rc::clone(&dropped), number == 4);
        let timer = event_loop.set_timeout(Duration::from_secs(1), move |_| drop(bomb));
        timer.clear();
    }
    let ran = Rc::new(Cell::new(false));
    let flag = Rc::clone(&ran);
    event_loop.set_immediate(move |_| flag.set(true));
    assert_eq!(run_through(&event_loop), 1);
    assert_eq!(dropped.get(), 10);
    assert!(ran.get());
}

#[test]
fn what_a_panicking_callback_had_begun_is_finished() {
    let event_loop = EventLoop::new().unwrap();
    let (a, b) = net::pair(&event_loop).unwrap();
    let log: Log<String> = Log::default();
    let note = |log: &Log<String>, line: &str| log.borrow_mut().push(line.to_string());
    let (wrote, closed, ended) = (Rc::clone(&log), Rc::clone(&log), Rc::clone(&log));
    a.on_close(move |_, _| note(&closed, "a closed"));
    b.on_data(|_, _| {});
    b.on_end(move |_| note(&ended, "b heard the end"));
    event_loop.set_immediate(move |handle| {
        a.write_then("x", move |_, _| note(&wrote, "a wrote"));
        a.destroy();
        handle.set_immediate(|_| {});
        boom();
    });
    assert_eq!(run_through(&event_loop), 1);
    let mut seen = log.borrow().clone();
    seen.sort();
    assert_eq!(seen, ["a closed", "a wrote", "b heard the end"]);
}

#[test]
fn everything_of_one_turn_panics_and_everything_is_delivered() {
    let event_loop = EventLoop::new().unwrap();
    let total = Rc::new(Cell::new(0));
    let count = |total: &Rc<Cell<usize>>| {
        let total = Rc::clone(total);
        move || {
            total.set(total.get() + 1);
            boom();
        }
    };
    for _ in 0..10 {
        let (timer, immediate, data, close) =
            (count(&total), count(&total), count(&total), count(&total));
        event_loop.set_timeout(Duration::ZERO, move |_| timer());
        event_loop.set_immediate(move |_| immediate());
        let (a, b) = net::pair(&event_loop).unwrap();
        a.write("x");
        b.on_data(move |socket, _| {
            socket.destroy();
            data();
        });
        b.on_close(move |_, _| close());
        a.resume();
    }
    assert_eq!(run_through(&event_loop), 40);
    assert_eq!(total.get(), 40);
    assert_eq!(event_loop.stats().sockets_open, 0);
}
