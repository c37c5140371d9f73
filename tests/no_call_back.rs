//! No call ever calls back: what a call lets go of is dropped by the loop in its next turn, and a `RefCell` of the
//! user's may stay borrowed across any call.

#[path = "common/census.rs"]
mod census;
#[path = "common/loud.rs"]
mod loud;

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use census::EventLoop;
use loud::{Loud, Watch};
use tidewheel::net::{self, EventKind, Handler, Server, Socket, SocketOptions};
use tidewheel::{Error, Interest};

/// Names a value in a closure, so that the closure owns it.
fn held_by<T>(_: &T) {}

/// Bytes that belong to a value of the user's.
fn bytes_of(watch: &Watch) -> Bytes {
    Bytes::from_owner(watch.loud())
}

fn fresh() -> (EventLoop, Watch) {
    (EventLoop::new().unwrap(), Watch::default())
}

/// A closure without arguments that holds a value.
fn held(watch: &Watch) -> impl Fn() + 'static {
    let loud = watch.loud();
    move || loud.hear()
}

#[test]
fn removing_or_replacing_what_is_registered_drops_it_in_the_next_turn() {
    let (event_loop, watch) = fresh();
    let (a, b) = net::pair(&event_loop).unwrap();
    let server = net::create_server(&event_loop, |_| {});
    let (data, end, hook, listening) = (held(&watch), held(&watch), held(&watch), held(&watch));
    a.on_data(move |_, _| data()).on_end(move |_| end());
    a.set_handler(watch.loud()).set_data(watch.loud());
    server.on_listening(move |_| listening());
    event_loop.on_unhandled_error(move |_, _| hook());
    assert_eq!(watch.alive(), 6);
    let released = |count, call: &dyn Fn()| watch.assert_released(&event_loop, count, call);
    released(1, &|| {
        a.remove_all_listeners(EventKind::Data);
    });
    released(1, &|| {
        a.remove_all_listeners(EventKind::End);
    });
    released(1, &|| {
        server.remove_all_listeners(EventKind::Listening);
    });
    released(1, &|| {
        a.set_data(1);
    });
    released(1, &|| {
        struct Quiet;
        impl Handler for Quiet {}
        a.set_handler(Quiet);
    });
    released(1, &|| {
        event_loop.on_unhandled_error(|_, _| {});
    });
    b.destroy();
    event_loop.run().unwrap();
}

#[test]
fn clearing_a_timer_drops_its_closure_in_the_next_turn() {
    let (event_loop, watch) = fresh();
    let (once, every) = (held(&watch), held(&watch));
    let once = event_loop.set_timeout(Duration::from_secs(9), move |_| once());
    let every = event_loop.set_interval(Duration::from_secs(9), move |_| every());
    watch.assert_released(&event_loop, 1, || once.clear());
    watch.assert_released(&event_loop, 1, || every.clear());
}

#[test]
fn closing_a_watch_drops_its_closure_and_what_it_owns_in_the_next_turn() {
    struct Owned(UnixStream, #[allow(dead_code)] Loud);
    impl AsFd for Owned {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    let (event_loop, watch) = fresh();
    let (stream, _peer) = UnixStream::pair().unwrap();
    let (owned, heard) = (Owned(stream, watch.loud()), held(&watch));
    let watched = event_loop.watch(owned, Interest::READABLE, move |_, _| heard());
    let watched = watched.unwrap();
    watch.assert_released(&event_loop, 2, || watched.close());
}

#[test]
fn chunks_that_were_sent_at_once_are_dropped_in_the_next_turn() {
    let (event_loop, watch) = fresh();
    let (a, _b) = net::pair(&event_loop).unwrap();
    let chunk = bytes_of(&watch);
    watch.assert_released(&event_loop, 1, || {
        assert!(a.write(chunk).is_ok());
    });
    let (chunk, done) = (bytes_of(&watch), held(&watch));
    watch.assert_released(&event_loop, 2, || {
        a.write_then(chunk, move |_, _| done());
    });
    let chunk = bytes_of(&watch);
    watch.assert_released(&event_loop, 1, || a.end_with(chunk));
}

#[test]
fn chunks_that_were_refused_are_dropped_in_the_next_turn() {
    let (event_loop, watch) = fresh();
    let (a, _b) = net::pair(&event_loop).unwrap();
    a.set_max_queued(Some(1)).cork();
    let refused = |socket: &Socket| {
        let chunk = bytes_of(&watch);
        watch.assert_released(&event_loop, 1, || {
            assert_eq!(socket.write(chunk), net::WriteStatus::Refused);
        });
    };
    refused(&a);
    refused(&a);
    let never = Socket::new(&event_loop, SocketOptions::default());
    refused(&never);
    let (ended, _other) = net::pair(&event_loop).unwrap();
    ended.end();
    refused(&ended);
    while event_loop.turn(Some(Duration::ZERO)).unwrap() && !a.destroyed() {}
    refused(&a);
    assert!(event_loop.socket(a.id()).is_none(), "the slot is free");
    refused(&a);
}

#[test]
fn chunks_that_wait_are_dropped_in_the_turn_after_destroy() {
    let (event_loop, watch) = fresh();
    let (a, _b) = net::pair(&event_loop).unwrap();
    a.write(vec![0; 16 << 20]);
    for _ in 0..10 {
        a.write(bytes_of(&watch));
    }
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(watch.alive(), 10);
    watch.assert_released(&event_loop, 10, || a.destroy());
}

#[test]
fn a_listener_given_to_a_socket_or_server_that_is_gone_is_dropped_in_the_next_turn() {
    let (event_loop, watch) = fresh();
    let (a, b) = net::pair(&event_loop).unwrap();
    let server = net::create_server(&event_loop, |_| {});
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    server.close();
    a.destroy();
    b.destroy();
    event_loop.run().unwrap();
    let give: [&dyn Fn(Box<dyn Fn()>); 12] = [
        &|f| drop(a.on_data(move |_, _| f()).clone()),
        &|f| drop(a.once_drain(move |_| f()).clone()),
        &|f| drop(a.on_error(move |_, _| f()).clone()),
        &|f| drop(a.on_close(move |_, _| f()).clone()),
        &|f| drop(a.set_data(f).clone()),
        &|f| drop(server.on_connection(move |_| f()).clone()),
        &|f| drop(server.on_close(move |_| f()).clone()),
        &|f| assert!(server.listen(("127.0.0.1", 0), move |_| f()).is_err()),
        &|f| assert!(a.connect(1, move |_| f()).is_err()),
        &|f| assert!(!a.write_then("x", move |_, _| f()).is_ok()),
        &|f| a.end_then(move |_, _| f()),
        &|f| server.close_with(move |_, _| f()),
    ];
    for (number, give) in give.iter().enumerate() {
        let value = Box::new(held(&watch));
        watch.assert_released(&event_loop, 1, || give(value));
        assert_eq!(watch.alive(), 0, "{number}");
    }
    let loud = watch.loud();
    watch.assert_released(&event_loop, 1, || {
        a.set_handler(loud);
    });
}

#[test]
fn a_listen_or_connect_that_fails_at_once_drops_its_listener_in_the_next_turn() {
    let (event_loop, watch) = fresh();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = net::create_server(&event_loop, |_| {});
    let listening = held(&watch);
    watch.assert_released(&event_loop, 1, || {
        let address = taken.local_addr().unwrap();
        server.listen(address, move |_| listening()).unwrap_err();
    });
    let (a, b) = net::pair(&event_loop).unwrap();
    let connected = held(&watch);
    watch.assert_released(&event_loop, 1, || {
        a.connect(1, move |_| connected()).unwrap_err();
    });
    drop(b);
}

#[test]
fn a_server_closed_before_listening_was_told_drops_that_listener_in_the_next_turn() {
    let (event_loop, watch) = fresh();
    let server = net::create_server(&event_loop, |_| {});
    let listening = held(&watch);
    server
        .listen(("127.0.0.1", 0), move |_| listening())
        .unwrap();
    watch.assert_released(&event_loop, 1, || server.close());
}

#[test]
fn deferred_answers_come_after_the_call_and_not_in_it() {
    let (event_loop, watch) = fresh();
    let server = net::create_server(&event_loop, |_| {});
    let closures: Vec<_> = (0..4).map(|_| held(&watch)).collect();
    let mut closures = closures.into_iter();
    let mut next = || closures.next().unwrap();
    let (count, close, shut, immediate, post) = (next(), next(), next(), next(), watch.loud());
    watch.call(|| {
        server.get_connections(move |_| count());
        server.close_with(move |_, _| close());
        server.shutdown(Duration::ZERO, move |_, _| shut());
        event_loop.set_immediate(move |_| immediate());
        event_loop.remote().post(move |_| post.hear()).unwrap();
    });
    assert_eq!(watch.alive(), 5);
    assert!(closures.next().is_none());
    event_loop.run().unwrap();
    assert_eq!(watch.alive(), 0);
}

#[test]
fn a_cell_of_the_users_may_stay_borrowed_across_every_call() {
    let event_loop = EventLoop::new().unwrap();
    let state: Rc<RefCell<Vec<&str>>> = Rc::default();
    let note = |name| {
        let state = Rc::clone(&state);
        move || state.borrow_mut().push(name)
    };
    let server = net::create_server(&event_loop, |socket| {
        socket.pipe(socket);
    });
    let borrowed = state.borrow_mut();
    let (listening, close, ready, wrote, closed) = (
        note("listening"),
        note("close"),
        note("ready"),
        note("wrote"),
        note("closed"),
    );
    server
        .listen(("127.0.0.1", 0), move |_| listening())
        .unwrap();
    let client = net::connect(&event_loop, server.address().unwrap(), |_| {});
    client.on_ready(move |_| ready());
    client.write_then("x", move |_, _| wrote());
    let peer = server.clone();
    client.on_data(move |socket, _| {
        socket.end();
        peer.close();
    });
    client.on_close(move |_, _| closed());
    server.on_close(move |_| close());
    client.pause().resume().cork().uncork();
    drop(borrowed);
    event_loop.run().unwrap();
    let mut seen = state.borrow().clone();
    seen.sort();
    assert_eq!(seen, ["close", "closed", "listening", "ready", "wrote"]);
}

#[test]
fn a_destructor_may_call_into_the_loop() {
    struct Busy(Socket, Server, Rc<Cell<usize>>);
    impl Drop for Busy {
        fn drop(&mut self) {
            self.2.set(self.2.get() + 1);
            let handle = self.0.event_loop().clone();
            let (a, b) = net::pair(&handle).unwrap();
            a.write("x");
            b.on_data(|socket, _| socket.destroy());
            a.on_close(|_, _| {}).set_data(5);
            self.0.write("more");
            self.0.destroy_with(Error::other("late"));
            self.1.close();
            handle.set_immediate(|_| {});
            handle.set_timeout(Duration::ZERO, |_| {}).clear();
            let _ = self.1.listen(("127.0.0.1", 0), |server| server.close());
        }
    }
    let event_loop = EventLoop::new().unwrap();
    let dropped = Rc::new(Cell::new(0));
    let server = net::create_server(&event_loop, |_| {});
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    let (a, b) = net::pair(&event_loop).unwrap();
    let busy = || Busy(a.clone(), server.clone(), Rc::clone(&dropped));
    // Let go of by calls, by an emission, by a timer, by `close`, and by a server that is freed.
    let (listener, spent, timer, cleared, of_server) = (busy(), busy(), busy(), busy(), busy());
    a.set_data(busy()).set_data(busy());
    a.on_drain(move |_| held_by(&listener))
        .remove_all_listeners(EventKind::Drain);
    b.once_data(move |_, _| drop(spent));
    a.write("x");
    event_loop.set_timeout(Duration::ZERO, move |_| drop(timer));
    event_loop
        .set_interval(Duration::from_millis(1), move |timer| {
            let _ = &cleared;
            timer.clear();
        })
        .ref_();
    server.on_error(move |_, _| held_by(&of_server));
    event_loop.run().unwrap();
    assert_eq!(dropped.get(), 7);
    assert_eq!(event_loop.stats().sockets_open, 0);
}

#[test]
fn a_closure_a_handler_adds_is_first_called_for_the_next_event() {
    struct Adds(Rc<RefCell<Vec<String>>>);
    impl Handler for Adds {
        fn on_data(&mut self, socket: &Socket, data: &[u8]) {
            self.0.borrow_mut().push(format!("handler {data:?}"));
            let log = Rc::clone(&self.0);
            socket.once_data(move |_, data| log.borrow_mut().push(format!("closure {data:?}")));
        }
        fn on_end(&mut self, socket: &Socket) {
            socket.on_end(|_| panic!("the end is being told already"));
        }
        fn on_close(&mut self, socket: &Socket, _: bool) {
            socket.on_close(|_, _| panic!("the close is being told already"));
        }
    }
    let event_loop = EventLoop::new().unwrap();
    let (a, b) = net::pair(&event_loop).unwrap();
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    b.set_handler(Adds(Rc::clone(&log)));
    a.write([1]);
    event_loop.turn(None).unwrap();
    a.write([2]);
    a.end();
    event_loop.run().unwrap();
    assert_eq!(*log.borrow(), ["handler [1]", "handler [2]", "closure [2]"]);
}

/// An error may wrap one of the user's, and that may reach the loop when it is dropped.
#[test]
fn the_users_error_is_dropped_in_no_call_and_with_nothing_borrowed() {
    thread_local! {
        static OTHER: RefCell<Option<Socket>> = const { RefCell::new(None) };
    }
    #[derive(Debug)]
    struct Own {
        _loud: Loud,
    }
    impl std::fmt::Display for Own {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("own")
        }
    }
    impl std::error::Error for Own {}
    impl Drop for Own {
        fn drop(&mut self) {
            OTHER.with_borrow(|other| other.as_ref().unwrap().write("x"));
        }
    }
    let (event_loop, watch) = fresh();
    let own = || {
        Error::other(Own {
            _loud: watch.loud(),
        })
    };
    let (a, b) = net::pair(&event_loop).unwrap();
    OTHER.set(Some(b));
    event_loop.on_unhandled_error(|_, _| {});
    let cause = own();
    watch.assert_released(&event_loop, 1, || a.destroy_with(cause));
    let (a, _b) = net::pair(&event_loop).unwrap();
    a.destroy();
    let late = own();
    watch.assert_released(&event_loop, 1, || a.destroy_with(late));
    let gone = own();
    watch.assert_released(&event_loop, 1, || a.destroy_with(gone));
    OTHER.set(None);
}
