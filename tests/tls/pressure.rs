//! `buffer_size`, `drain`, `max_queued` and the callbacks of writes under back-pressure, in TLS and in TLS within TLS:
//! what counts as sent is what arrives, whatever becomes of the sender.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tidewheel::net::{EventKind, Server, Socket, WriteStatus};
use tidewheel::tls::{TlsConnectOptions, TlsOptions};
use tidewheel::LoopHandle;

use crate::certs::{Authority, Identity};
use crate::common::{counter, Script};
use crate::scene::{each_scene, Scene};

/// Sessions upon one another.
const DEPTHS: [usize; 2] = [1, 2];

/// A client and a server that does not read, secure to the last depth.
struct Pressed {
    inner: Rc<(Authority, Identity)>,
    depth: usize,
    server: Server,
    /// The server's socket, when it waits to be resumed, and whether it need not wait.
    far: Rc<RefCell<Option<Socket>>>,
    reads: Rc<Cell<bool>>,
    /// What the server has read.
    read: Rc<Cell<usize>>,
}

impl Pressed {
    fn new(scene: &Scene<'_>, depth: usize) -> Pressed {
        let inner = Authority::new("inner");
        let own = inner.issue(&["inner.example"]);
        let within = TlsOptions::default().key(&own.key).cert(&own.cert);
        let read = counter();
        let count = Rc::clone(&read);
        let server = scene.serve_one(scene.server_options(), move || {
            let read = Rc::clone(&count);
            Script::new("S").on_data(move |_, data| read.set(read.get() + data.len()))
        });
        let far: Rc<RefCell<Option<Socket>>> = Rc::default();
        let (kept, left) = (Rc::clone(&far), Cell::new(depth));
        let reads = Rc::new(Cell::new(false));
        let resumed = Rc::clone(&reads);
        server.on_secure_connection(move |socket| {
            left.set(left.get() - 1);
            if left.get() == 0 {
                if !resumed.get() {
                    socket.pause();
                }
                kept.replace(Some(socket.clone()));
            } else {
                socket.start_tls(within.clone(), &[], |_| {}).unwrap();
            }
        });
        Pressed {
            inner: Rc::new((inner, own)),
            depth,
            server,
            far,
            reads,
            read,
        }
    }

    /// Calls `begin` when the client is as deep as it should be.
    fn client(
        &self,
        scene: &Scene<'_>,
        options: TlsConnectOptions,
        script: Script,
        begin: impl Fn(&Socket) + 'static,
    ) -> Socket {
        let client = scene.client_with(options, script);
        let (inner, left) = (Rc::clone(&self.inner), Cell::new(self.depth));
        client.on_secure_connect(move |socket| {
            left.set(left.get() - 1);
            if left.get() == 0 {
                return begin(socket);
            }
            let options = TlsConnectOptions::default()
                .servername("inner.example")
                .ca(inner.0.pem());
            socket.start_tls(&options, &[], |_| {}).unwrap();
        });
        client
    }

    /// Has the server read, as soon as it is there to do so.
    fn resume(&self) -> impl Fn() + Clone + 'static {
        let (far, reads) = (Rc::clone(&self.far), Rc::clone(&self.reads));
        move || {
            reads.set(true);
            if let Some(socket) = &*far.borrow() {
                socket.resume();
            }
        }
    }
}

fn each_depth(test: impl Fn(&Scene<'_>, Pressed)) {
    each_scene(|scene| {
        for depth in DEPTHS {
            test(scene, Pressed::new(scene, depth));
        }
    });
}

/// Writes chunks until one waits, and on until more than `more` does; says how much that was in all.
fn fill(socket: &Socket, chunk: usize, more: usize) -> usize {
    let chunk = vec![7; chunk];
    let mut written = 0;
    let mut sent = 0;
    loop {
        let status = socket.write(&chunk);
        written += chunk.len();
        assert!(status != WriteStatus::Refused);
        let waits = socket.buffer_size();
        assert_eq!(status == WriteStatus::Flushed, waits == 0);
        assert!(written - waits >= sent, "what was sent waits again");
        sent = written - waits;
        if waits > more {
            return written;
        }
    }
}

/// Calls `then` after so many turns.
fn after_turns(handle: &LoopHandle, turns: usize, then: Box<dyn FnOnce()>) {
    handle.set_immediate(move |handle| match turns {
        0 => then(),
        _ => after_turns(handle, turns - 1, then),
    });
}

#[test]
fn what_counts_as_sent_arrives_though_the_sender_is_destroyed() {
    for (chunk, more, turns) in [
        (10_007, 0, 0),
        (200_000, 0, 0),
        (999, 300_000, 0),
        (50_000, 300_000, 9),
    ] {
        each_depth(|scene, pressed| {
            let sent = counter();
            let (claim, resume) = (Rc::clone(&sent), pressed.resume());
            let options = scene.client_options(&pressed.server);
            pressed.client(scene, options, Script::new("C"), move |socket| {
                let written = fill(socket, chunk, more);
                let (claim, resume, own) = (Rc::clone(&claim), resume.clone(), socket.clone());
                let destroy = Box::new(move || {
                    claim.set(written - own.buffer_size());
                    own.destroy();
                    resume();
                });
                if turns == 0 {
                    return destroy();
                }
                after_turns(socket.event_loop(), turns, destroy);
            });
            scene.run();
            assert!(sent.get() > 0);
            assert_eq!(pressed.read.get(), sent.get(), "{chunk} {more} {turns}");
        });
    }
}

#[test]
fn what_has_arrived_counts_as_sent_and_drain_comes_once() {
    const CHUNK: usize = 30_011;
    const CHUNKS: usize = 150;
    each_depth(|scene, pressed| {
        let name = format!("C{}", pressed.depth);
        let drains = counter();
        let (count, resume) = (Rc::clone(&drains), pressed.resume());
        let script = Script::new(&name).on(EventKind::Drain, move |socket, _| {
            count.set(count.get() + 1);
            assert_eq!(socket.buffer_size(), 0);
            socket.end();
        });
        let told = counter();
        let count = Rc::clone(&told);
        let options = scene.client_options(&pressed.server);
        let client = pressed.client(scene, options, script, move |socket| {
            for number in 1..=CHUNKS {
                let told = Rc::clone(&count);
                socket.write_then(vec![1; CHUNK], move |socket, result| {
                    result.unwrap();
                    assert_eq!(told.replace(number), number - 1, "in order");
                    let sent = CHUNK * CHUNKS - socket.buffer_size();
                    assert!(sent >= CHUNK * number, "told before it was sent");
                });
            }
            assert!(socket.need_drain());
            after_turns(socket.event_loop(), 5, Box::new(resume.clone()));
        });
        // Nothing is read that is not sent, however much waits behind it.
        let (read, far) = (Rc::clone(&pressed.read), Rc::clone(&pressed.far));
        let compared = counter();
        let count = Rc::clone(&compared);
        let watched = client.clone();
        let look = scene
            .event_loop
            .set_interval(std::time::Duration::from_millis(1), move |_| {
                let waits = watched.buffer_size();
                if far.borrow().is_some() && waits > 0 && waits < CHUNK * CHUNKS {
                    assert!(
                        CHUNK * CHUNKS - waits >= read.get(),
                        "{waits} {}",
                        read.get()
                    );
                    count.set(count.get() + 1);
                }
            });
        look.unref();
        scene.run();
        look.clear();
        assert_eq!((drains.get(), told.get()), (1, CHUNKS));
        assert_eq!(pressed.read.get(), CHUNK * CHUNKS);
        assert!(scene
            .trace(&name)
            .ends_with("drain finish end close(false)"));
    });
}

#[test]
fn the_limit_of_what_may_wait_is_exact() {
    const LIMIT: usize = 150_000;
    each_depth(|scene, pressed| {
        let name = format!("C{}", pressed.depth);
        let sent = counter();
        let (claim, resume) = (Rc::clone(&sent), pressed.resume());
        let options = scene.client_options(&pressed.server).max_queued(LIMIT);
        pressed.client(scene, options, Script::new(&name), move |socket| {
            let written = fill(socket, 10_007, 0);
            let waits = socket.buffer_size();
            claim.set(written - waits);
            let status = socket.write(vec![7; LIMIT - waits]);
            assert!(!status.is_ok() && status != WriteStatus::Refused);
            assert_eq!((socket.buffer_size(), socket.destroyed()), (LIMIT, false));
            assert_eq!(socket.write("x"), WriteStatus::Refused);
            resume();
        });
        scene.run();
        let secure = ["secure"; 2][..pressed.depth].join(" ");
        let trace = format!("connect ready {secure} error(ERR_SOCKET_QUEUE_FULL) close(true)");
        scene.assert_trace(&name, &trace);
        assert_eq!(pressed.read.get(), sent.get());
    });
}
