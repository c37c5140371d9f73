//! What keeps a loop alive: each kind of handle, referenced and not.

#[path = "common/census.rs"]
mod census;

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use census::EventLoop;
use tidewheel::net::{self, Socket, SocketOptions};
use tidewheel::{Code, Interest, LoopHandle};

const HOUR: Duration = Duration::from_secs(3600);

/// Something with a reference.
trait Referenced {
    fn set(&self, referenced: bool);
    fn get(&self) -> Option<bool>;
}

macro_rules! referenced {
    ($($type:ty)*) => {$(
        impl Referenced for $type {
            fn set(&self, referenced: bool) {
                if referenced { self.ref_(); } else { self.unref(); }
            }
            fn get(&self) -> Option<bool> {
                Some(self.has_ref())
            }
        }
    )*};
}

referenced!(net::Socket net::Server tidewheel::Timeout tidewheel::Watch);

impl Referenced for tidewheel::Remote {
    fn set(&self, referenced: bool) {
        if referenced {
            self.ref_();
        } else {
            self.unref();
        }
    }
    fn get(&self) -> Option<bool> {
        None
    }
}

/// It keeps the loop alive exactly while referenced; saying so twice changes nothing.
#[track_caller]
fn assert_counts(event_loop: &EventLoop, handle: &dyn Referenced) {
    let expect = |alive: bool| {
        assert_eq!(event_loop.is_alive(), alive);
        assert!(handle.get().is_none_or(|referenced| referenced == alive));
    };
    expect(true);
    for _ in 0..2 {
        handle.set(false);
        expect(false);
    }
    assert!(!event_loop.turn(None).unwrap(), "turn waits for nobody");
    event_loop.run().unwrap();
    for _ in 0..2 {
        handle.set(true);
        expect(true);
    }
    assert!(event_loop.turn(Some(Duration::ZERO)).unwrap());
    handle.set(false);
    expect(false);
}

/// Turns until nothing is left to do at once.
fn settle(event_loop: &EventLoop) {
    while event_loop.next_timeout() == Some(Duration::ZERO) {
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn a_fresh_loop_is_not_alive() {
    let event_loop = EventLoop::new().unwrap();
    assert!(!event_loop.is_alive());
    event_loop.run().unwrap();
}

#[test]
fn a_timer_and_an_interval() {
    let event_loop = EventLoop::new().unwrap();
    let timer = event_loop.set_timeout(HOUR, |_| {});
    assert_counts(&event_loop, &timer);
    let interval = event_loop.set_interval(HOUR, |_| {});
    assert_counts(&event_loop, &interval);
    interval.ref_();
    interval.clear();
    assert!(!event_loop.is_alive());
}

#[test]
fn a_remote() {
    let event_loop = EventLoop::new().unwrap();
    assert_counts(&event_loop, &event_loop.remote());
    assert!(!event_loop.is_alive(), "it is dropped");
}

#[test]
fn a_listening_server_over_tcp_and_unix() {
    let path = std::env::temp_dir().join(format!("tidewheel-alive-{}", std::process::id()));
    let event_loop = EventLoop::new().unwrap();
    for options in [("127.0.0.1", 0).into(), net::ListenOptions::from(&path)] {
        let server = net::create_server(&event_loop, |_| {});
        assert!(!event_loop.is_alive(), "it does not listen yet");
        server.listen(options, |_| {}).unwrap();
        settle(&event_loop);
        assert_counts(&event_loop, &server);
        server.ref_();
        server.close();
        settle(&event_loop);
        assert!(!event_loop.is_alive());
    }
    assert!(!Path::new(&path).exists());
}

#[test]
fn a_closed_server_does_not_count_although_connections_are_left() {
    let event_loop = EventLoop::new().unwrap();
    let server = net::create_server(&event_loop, |socket| {
        socket.unref().server().unwrap().close();
    });
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    let client = net::connect(&event_loop, server.address().unwrap(), |_| {});
    client.unref();
    event_loop.run().unwrap();
    assert_eq!(server.connections(), 1);
    assert!(!event_loop.is_alive() && server.has_ref());
}

#[test]
fn a_server_unreferenced_before_it_listens_stays_so() {
    let event_loop = EventLoop::new().unwrap();
    let server = net::create_server(&event_loop, |_| {});
    server.unref().unref();
    assert!(!server.has_ref());
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    event_loop.run().unwrap();
    assert!(server.listening() && !server.has_ref());
    server.close();
    event_loop.run().unwrap();
}

#[test]
fn an_open_socket_paused_or_not() {
    let event_loop = EventLoop::new().unwrap();
    let (a, b) = net::pair(&event_loop).unwrap();
    b.unref();
    assert_counts(&event_loop, &a);
    a.ref_().pause();
    assert_counts(&event_loop, &a);
    a.ref_().resume();
    settle(&event_loop);
    assert_counts(&event_loop, &a);
}

#[test]
fn a_socket_that_connects_and_one_that_never_began() {
    let event_loop = EventLoop::new().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = Socket::new(&event_loop, SocketOptions::default());
    assert!(
        !event_loop.is_alive(),
        "it keeps nothing alive until it connects"
    );
    socket.connect(address, |_| {}).unwrap();
    assert!(event_loop.is_alive());
    let unreferenced = Socket::new(&event_loop, SocketOptions::default());
    unreferenced.unref();
    unreferenced.connect(address, |_| {}).unwrap();
    while socket.connecting() || unreferenced.connecting() {
        event_loop.turn(None).unwrap();
    }
    assert_counts(&event_loop, &socket);
    assert!(
        !unreferenced.has_ref(),
        "what was said before connect holds"
    );
    assert!(!event_loop.is_alive());
    assert_counts(&event_loop, {
        unreferenced.ref_();
        &unreferenced
    });
}

#[test]
fn an_attempt_that_is_not_referenced_does_not_hold_the_loop() {
    let event_loop = EventLoop::new().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = net::connect(&event_loop, listener.local_addr().unwrap(), |_| {});
    socket.unref();
    event_loop.run().unwrap();
    assert!(!event_loop.is_alive());
    // It goes on as soon as something else turns the loop.
    while socket.connecting() {
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    assert!(!socket.destroyed());
}

#[test]
fn a_watch() {
    let event_loop = EventLoop::new().unwrap();
    let (watched, _peer) = UnixStream::pair().unwrap();
    let watch = event_loop.watch(watched, Interest::READABLE, |_, _| {});
    let watch = watch.unwrap();
    assert_counts(&event_loop, &watch);
    watch.ref_();
    watch.close();
    assert!(!event_loop.is_alive() && !watch.has_ref());
}

#[test]
fn work_that_waits_to_be_done() {
    let event_loop = EventLoop::new().unwrap();
    let works: [&dyn Fn(&LoopHandle); 4] = [
        &|handle| handle.set_immediate(|_| {}),
        &|handle| {
            let remote = handle.remote();
            remote.unref();
            remote.post(|_| {}).unwrap();
        },
        &|handle| net::create_server(handle, |_| {}).get_connections(|_| {}),
        &|handle| {
            let socket = Socket::new(handle, SocketOptions::default());
            socket.unref().destroy();
        },
    ];
    for (number, work) in works.iter().enumerate() {
        assert!(!event_loop.is_alive());
        work(&event_loop);
        assert!(event_loop.is_alive(), "{number}");
        event_loop.run().unwrap();
    }
    assert!(!event_loop.is_alive());
}

#[test]
fn a_write_that_waits_in_a_socket_nobody_refers_to_holds_nothing() {
    let event_loop = EventLoop::new().unwrap();
    let (a, b) = net::pair(&event_loop).unwrap();
    a.write(vec![0; 16 << 20]);
    assert!(a.buffer_size() > 0);
    settle(&event_loop);
    a.unref();
    b.unref();
    event_loop.run().unwrap();
    assert!(a.buffer_size() > 0);
}

#[test]
fn the_error_of_a_connect_nobody_heard_is_what_run_returns() {
    let event_loop = EventLoop::new().unwrap();
    let path = std::env::temp_dir().join("tidewheel-nobody-listens-here");
    net::connect(&event_loop, path, |_| {});
    let error = event_loop.run().unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    event_loop.run().unwrap();
}
