//! The loop inside a foreign one, which waits for our descriptor no longer than `next_timeout` says and then calls
//! `turn`: by poll(2) and by epoll, with timers only, with posts only, with sockets, with work that waits, with nothing.
//! The turns are counted, for one that finds nothing to do is a step of a busy loop.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use census::EventLoop;
use tidewheel::net::{self, ConnectOptions, Socket, SocketOptions};
use tidewheel::{Code, Error};

#[path = "common/census.rs"]
mod census;
#[path = "../examples/common/epoll.rs"]
mod epoll;

use epoll::Epoll;

/// How long anything may take. Generous: the machine may be busy.
const STUCK: Duration = Duration::from_secs(30);

/// How the foreign loop waits.
enum Foreign {
    Poll,
    Epoll(Epoll),
}

/// What became of a loop that lived in a foreign one.
#[derive(Default, Debug)]
struct Life {
    turns: u64,
    /// How often the descriptor ended a wait, and not the time.
    woken: u64,
    error: Option<Error>,
}

impl Foreign {
    fn both(event_loop: &EventLoop) -> [Foreign; 2] {
        let epoll = Epoll::new().unwrap();
        epoll.add(event_loop, 7).unwrap();
        [Foreign::Poll, Foreign::Epoll(epoll)]
    }

    /// Waits for our descriptor; says whether it is readable.
    fn wait(&self, event_loop: &EventLoop, timeout: Option<Duration>) -> bool {
        match self {
            Foreign::Poll => is_readable(event_loop, timeout),
            Foreign::Epoll(epoll) => epoll.wait(timeout).unwrap().eq([7]),
        }
    }

    /// Runs our loop until nothing is alive.
    #[track_caller]
    fn run(&self, event_loop: &EventLoop) -> Life {
        let mut life = Life::default();
        loop {
            life.turns += 1;
            match event_loop.turn(Some(Duration::ZERO)) {
                Ok(true) => {}
                Ok(false) => return life,
                Err(error) => {
                    life.error = Some(error);
                    return life;
                }
            }
            let timeout = event_loop.next_timeout();
            let woken = self.wait(event_loop, timeout.or(Some(STUCK)));
            assert!(woken || timeout.is_some(), "nothing woke us: {life:?}");
            life.woken += u64::from(woken);
        }
    }
}

fn is_readable(fd: &impl AsFd, timeout: Option<Duration>) -> bool {
    let mut polled = libc::pollfd {
        fd: fd.as_fd().as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let timeout = timeout.map_or(-1, |time| time.as_nanos().div_ceil(1_000_000) as i32);
    // SAFETY: the pointer is to the one entry that it is told of.
    let count = unsafe { libc::poll(&mut polled, 1, timeout) };
    assert!(count >= 0, "{}", std::io::Error::last_os_error());
    count == 1
}

/// An address of loopback where nobody listens nor can begin to: the near end of a connection, which must be kept.
fn refusing() -> (SocketAddr, (TcpStream, TcpListener)) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (stream.local_addr().unwrap(), (stream, listener))
}

#[test]
fn with_timers_only() {
    let event_loop = EventLoop::new().unwrap();
    for foreign in Foreign::both(&event_loop) {
        let fired = Rc::new(RefCell::new(Vec::new()));
        let start = Instant::now();
        for millis in [30, 5, 17] {
            let (fired, after) = (Rc::clone(&fired), Duration::from_millis(millis));
            event_loop.set_timeout(after, move |_| {
                assert!(start.elapsed() >= after);
                fired.borrow_mut().push(millis);
            });
        }
        let mut ticks = 0;
        event_loop.set_interval(Duration::from_millis(4), move |interval| {
            ticks += 1;
            if ticks == 3 {
                interval.clear();
            }
        });
        let life = foreign.run(&event_loop);
        assert!(life.error.is_none());
        assert_eq!(*fired.borrow(), [5, 17, 30]);
        assert_eq!(life.woken, 0, "timers are not seen by the descriptor");
        assert!(life.turns <= 1 + 3 + 3, "{life:?}");
    }
}

#[test]
fn with_posts_only() {
    const POSTS: u64 = 20;
    let event_loop = EventLoop::new().unwrap();
    for foreign in Foreign::both(&event_loop) {
        let remote = event_loop.remote();
        assert_eq!(event_loop.next_timeout(), None);
        let thread = thread::spawn(move || {
            let (sender, receiver) = mpsc::channel();
            for number in 0..POSTS {
                let sender = sender.clone();
                remote.post(move |_| sender.send(number).unwrap()).unwrap();
                // So each post has to wake the loop anew.
                assert_eq!(receiver.recv_timeout(STUCK), Ok(number));
            }
        });
        let life = foreign.run(&event_loop);
        thread.join().unwrap();
        assert!(life.error.is_none());
        // A post that a turn has run before it was woken for it costs a second one.
        assert!(life.turns <= 2 * POSTS + 3, "{life:?}");
    }
}

#[test]
fn with_sockets() {
    const ROUNDS: u64 = 100;
    let event_loop = EventLoop::new().unwrap();
    for foreign in Foreign::both(&event_loop) {
        let server = net::create_server(&event_loop, |socket| {
            socket.pipe(socket);
            socket.on_end(|socket| socket.server().unwrap().close());
        });
        server.listen(("127.0.0.1", 0), |_| {}).unwrap();
        let port = server.address().unwrap().port().unwrap();
        let thread = thread::spawn(move || {
            let mut peer = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            for round in 0..ROUNDS as u8 {
                peer.write_all(&[round]).unwrap();
                let mut heard = [0];
                peer.read_exact(&mut heard).unwrap();
                assert_eq!(heard, [round]);
            }
        });
        let life = foreign.run(&event_loop);
        thread.join().unwrap();
        assert!(life.error.is_none());
        assert!(life.woken >= ROUNDS, "{life:?}");
        assert!(life.turns <= ROUNDS + 10, "{life:?}");
    }
}

/// More is ready than a turn takes: what it knows of but leaves is in `next_timeout`, what it never saw in the
/// descriptor.
#[test]
fn with_more_than_one_turn_can_do() {
    const LENGTH: usize = 100_000;
    let builder = EventLoop::builder()
        .events(2)
        .read_buffer(1024)
        .read_budget(2048);
    let event_loop = EventLoop::of(builder).unwrap();
    for foreign in Foreign::both(&event_loop) {
        let ended = Rc::new(Cell::new(0));
        for _ in 0..8 {
            let (ours, theirs) = net::pair(&event_loop).unwrap();
            ours.end_with(vec![0; LENGTH]);
            theirs.resume();
            let ended = Rc::clone(&ended);
            theirs.on_end(move |socket| {
                assert_eq!(socket.bytes_read(), LENGTH as u64);
                ended.set(ended.get() + 1);
            });
        }
        let life = foreign.run(&event_loop);
        assert!(life.error.is_none());
        assert_eq!(ended.get(), 8);
    }
}

/// What is begun outside of a turn and is due at once: the descriptor does not tell, but `next_timeout` does.
#[test]
fn with_work_that_waits() {
    type Begin = fn(&EventLoop, &Socket, Box<dyn FnOnce()>);
    let cases: [(&str, Begin); 9] = [
        ("an immediate", |event_loop, _, done| {
            event_loop.set_immediate(|_| done());
        }),
        ("a timer that is due", |event_loop, _, done| {
            event_loop.set_timeout(Duration::ZERO, |_| done());
        }),
        ("a write callback", |_, socket, done| {
            socket.write_then("x", |_, _| done());
        }),
        ("finish", |_, socket, done| {
            socket.on_finish(|_| done());
            socket.end();
        }),
        ("close", |_, socket, done| {
            socket.on_close(|_, _| done());
            socket.destroy();
        }),
        ("a refused write", |_, socket, done| {
            socket.end();
            socket.on_error(|_, _| done());
            socket.write("after the end");
        }),
        ("listening", |event_loop, _, done| {
            let server = net::create_server(event_loop, |_| {});
            server.listen(("127.0.0.1", 0), |_| done()).unwrap();
            server.unref();
        }),
        ("a count of connections", |event_loop, _, done| {
            net::create_server(event_loop, |_| {}).get_connections(|_| done());
        }),
        ("a connect that cannot be", |event_loop, _, done| {
            let nowhere = ConnectOptions::default();
            net::connect(event_loop, nowhere, |_| {}).on_error(|_, _| done());
        }),
    ];
    for (name, begin) in cases {
        let event_loop = EventLoop::new().unwrap();
        let (ours, _peer) = UnixStream::pair().unwrap();
        let socket = Socket::from_fd(&event_loop, ours.into(), SocketOptions::default()).unwrap();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(event_loop.next_timeout(), None);
        let done = Rc::new(Cell::new(false));
        let note = Rc::clone(&done);
        begin(&event_loop, &socket, Box::new(move || note.set(true)));
        assert!(!done.get(), "{name}: a call called back");
        // The wheel counts in milliseconds.
        let next = event_loop.next_timeout().expect(name);
        let tick = Duration::from_millis(u64::from(name.contains("timer")));
        assert!(next <= tick, "{name}: {next:?}");
        assert!(!is_readable(&event_loop, Some(next)), "{name}");
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert!(done.get(), "{name}");
    }
}

#[test]
fn with_nothing_alive() {
    let event_loop = EventLoop::new().unwrap();
    for max_wait in [None, Some(STUCK), Some(Duration::ZERO)] {
        let start = Instant::now();
        assert_eq!(event_loop.next_timeout(), None);
        assert!(!is_readable(&event_loop, Some(Duration::ZERO)));
        assert!(!event_loop.turn(max_wait).unwrap());
        assert!(start.elapsed() < STUCK / 2, "it waited for nothing");
    }
    for foreign in Foreign::both(&event_loop) {
        assert_eq!(foreign.run(&event_loop).turns, 1);
    }
}

/// What nobody references is served for as long as the foreign loop goes on, though it is no reason to.
#[test]
fn with_nothing_but_what_is_unreferenced() {
    let event_loop = EventLoop::new().unwrap();
    for foreign in Foreign::both(&event_loop) {
        let ticks = Rc::new(Cell::new(0));
        let count = Rc::clone(&ticks);
        let interval = event_loop.set_interval(Duration::from_millis(2), move |_| {
            count.set(count.get() + 1);
        });
        interval.unref();
        let (socket, peer) = net::pair(&event_loop).unwrap();
        socket.unref();
        peer.unref();
        let heard = Rc::new(Cell::new(false));
        let hear = Rc::clone(&heard);
        peer.on_data(move |_, _| hear.set(true));
        socket.write("x");
        for _ in 0..4 {
            foreign.wait(&event_loop, event_loop.next_timeout());
            assert!(!event_loop.turn(Some(Duration::ZERO)).unwrap());
        }
        assert!(heard.get());
        assert!(ticks.get() >= 2, "{}", ticks.get());
        interval.clear();
        socket.destroy();
        peer.destroy();
        foreign.run(&event_loop);
    }
}

#[test]
fn the_turn_after_which_nothing_is_alive_returns_the_unheard_error_once() {
    let (address, _keep) = refusing();
    let event_loop = EventLoop::new().unwrap();
    for foreign in Foreign::both(&event_loop) {
        for (target, code) in [
            (ConnectOptions::from(address), Code::ConnRefused),
            // Looked up by a thread. No part of a name is longer than 63 characters.
            (
                ConnectOptions::from(("x".repeat(64), 80)),
                Code::HostNotFound,
            ),
        ] {
            let closed = Rc::new(Cell::new(false));
            let close = Rc::clone(&closed);
            net::connect(&event_loop, target, |_| {}).on_close(move |socket, _| {
                close.set(true);
                // As long as this is alive no turn says so.
                let after = Duration::from_millis(5);
                socket.event_loop().set_timeout(after, |_| {});
            });
            let life = foreign.run(&event_loop);
            assert!(closed.get());
            assert_eq!(life.error.map(|error| error.code()), Some(code));
            assert!(life.turns <= 6, "{}", life.turns);
            let life = foreign.run(&event_loop);
            assert!(life.error.is_none() && life.turns == 1, "{life:?}");
        }
    }
}

#[test]
fn an_unheard_error_with_a_listener_of_its_own_is_not_returned() {
    let (address, _keep) = refusing();
    let event_loop = EventLoop::new().unwrap();
    let heard = Rc::new(Cell::new(0));
    let count = Rc::clone(&heard);
    event_loop.on_unhandled_error(move |_, _| count.set(count.get() + 1));
    for foreign in Foreign::both(&event_loop) {
        net::connect(&event_loop, address, |_| {});
        assert!(foreign.run(&event_loop).error.is_none());
    }
    assert_eq!(heard.get(), 2);
}

/// The foreign loop has a descriptor of its own, and uses our sockets between the turns.
#[test]
fn beside_a_descriptor_of_the_foreign_loop() {
    const BYTES: u8 = 50;
    let event_loop = EventLoop::new().unwrap();
    let (mut reader, mut writer) = UnixStream::pair().unwrap();
    let epoll = Epoll::new().unwrap();
    epoll.add(&event_loop, 0).unwrap();
    epoll.add(&reader, 1).unwrap();
    let (socket, echo) = net::pair(&event_loop).unwrap();
    echo.pipe(&echo);
    let (sender, receiver) = mpsc::channel();
    socket.on_data(move |_, data| sender.send(data[0]).unwrap());
    let thread = thread::spawn(move || {
        for byte in 0..BYTES {
            writer.write_all(&[byte]).unwrap();
            assert_eq!(receiver.recv_timeout(STUCK), Ok(byte));
        }
        writer.write_all(&[BYTES]).unwrap();
        writer
    });
    let mut turns = 0;
    while event_loop.turn(Some(Duration::ZERO)).unwrap() {
        turns += 1;
        for token in epoll.wait(event_loop.next_timeout()).unwrap() {
            if token == 0 {
                continue;
            }
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            if byte == [BYTES] {
                socket.end();
            } else {
                socket.write(byte);
            }
        }
    }
    thread.join().unwrap();
    // Each byte comes to us, goes to the echo, and comes back.
    assert!(turns <= 3 * (u32::from(BYTES) + 4), "{turns} turns");
}
