//! A panic in every kind of callback there is, while others have work in the same turn: none of that work is lost.
//!
//! Each row arranges for one callback that panics. Beside it, made before and after it, others are busy in every turn:
//! sockets that play ping-pong, timers, immediates, posts. When the loop has run on to its end, each of them has done
//! all it had to do, once.

#[path = "panic_table/bystanders.rs"]
mod bystanders;
#[path = "common/panicking.rs"]
mod panicking;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bystanders::Bystanders;
use panicking::{boom, run_through};
use tidewheel::net::{
    self, ConnectOptions, Encoding, EventKind, Handler, ListenOptions, Lookup, LookupReply, Server,
    Socket, SocketOptions,
};
use tidewheel::{Error, EventLoop, Interest};

/// What a row has to call in the callback it is about.
#[derive(Clone, Default)]
struct Bomb(Rc<Cell<usize>>);

impl Bomb {
    fn go(&self) {
        self.0.set(self.0.get() + 1);
        boom();
    }
}

/// Goes off when it is dropped.
struct Armed(Bomb);

impl Drop for Armed {
    fn drop(&mut self) {
        self.0.go();
    }
}

type Row = (&'static str, fn(&EventLoop, Bomb));

const ROWS: &[Row] = &[
    ("a timeout", |event_loop, bomb| {
        event_loop.set_timeout(Duration::ZERO, move |_| bomb.go());
    }),
    ("an interval", |event_loop, bomb| {
        let left = Cell::new(3);
        event_loop.set_interval(Duration::from_millis(1), move |interval| {
            left.set(left.get() - 1);
            if left.get() == 0 {
                interval.clear();
            }
            bomb.go();
        });
    }),
    ("an immediate", |event_loop, bomb| {
        event_loop.set_immediate(move |_| bomb.go());
    }),
    ("a post", |event_loop, bomb| {
        thread_local! {
            static POSTED: RefCell<Option<Bomb>> = const { RefCell::new(None) };
        }
        POSTED.set(Some(bomb));
        let posted = |_: &_| POSTED.take().unwrap().go();
        event_loop.remote().post(posted).unwrap();
    }),
    ("a watch", |event_loop, bomb| {
        let (watched, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let watching = event_loop.watch(watched, Interest::WRITABLE, move |watch, _| {
            watch.close();
            bomb.go();
        });
        watching.unwrap();
    }),
    ("the hook for unhandled errors", |event_loop, bomb| {
        event_loop.on_unhandled_error(move |_, _| bomb.go());
        let socket = Socket::new(event_loop, SocketOptions::default());
        socket.destroy_with(Error::other("nobody listens"));
    }),
    ("the callback of a write", |event_loop, bomb| {
        let (socket, _) = ending_pair(event_loop);
        socket.write_then("x", move |_, result| {
            result.unwrap();
            bomb.go();
        });
        socket.end();
    }),
    ("the callback of a write that waited", |event_loop, bomb| {
        let (socket, _) = ending_pair(event_loop);
        socket.write_then(vec![0; BULK], move |_, result| {
            result.unwrap();
            bomb.go();
        });
        socket.end();
    }),
    ("the callback of a write that failed", |event_loop, bomb| {
        let (socket, peer) = ending_pair(event_loop);
        peer.pause();
        socket.write_then(vec![0; BULK], move |_, result| {
            assert!(result.is_err());
            bomb.go();
        });
        socket.destroy();
        peer.resume();
    }),
    ("the callback of an end", |event_loop, bomb| {
        let (socket, _) = ending_pair(event_loop);
        socket.end_then(move |_, result| {
            result.unwrap();
            bomb.go();
        });
    }),
    ("data in front of a pipe", |event_loop, bomb| {
        // The chunk counts as delivered; what comes after it flows.
        piping(event_loop, move |source, _| {
            source.once_data(move |_, _| bomb.go());
        });
    }),
    ("drain of a pipe's destination", |event_loop, bomb| {
        piping(event_loop, move |_, destination| {
            destination.on_drain(move |_| bomb.go());
        });
    }),
    ("a lookup of one's own", |event_loop, bomb| {
        // The reply is dropped unanswered: the name is not found.
        let lookup = move |_: &_, _: &str, _: LookupReply| bomb.go();
        let options = ConnectOptions::from(("name.test", 1)).lookup(lookup);
        net::connect(event_loop, options, |_| unreachable!()).on_error(|_, _| {});
    }),
    ("configure of a connect", |event_loop, bomb| {
        let server = serve_one(event_loop, |_| unreachable!());
        let options = ConnectOptions::from(address(&server)).configure(move |_| {
            bomb.go();
            Ok(())
        });
        let client = net::connect(event_loop, options, |_| unreachable!());
        client
            .on_error(|_, _| {})
            .on_close(move |_, _| server.close());
    }),
    ("listening", |event_loop, bomb| {
        let server = net::create_server(event_loop, |_| {});
        let listening = move |server: &Server| {
            server.close();
            bomb.go();
        };
        server.listen(("127.0.0.1", 0), listening).unwrap();
    }),
    ("connection", |event_loop, bomb| {
        let server = serve_one(event_loop, move |socket| {
            socket.resume();
            bomb.go();
        });
        net::connect(event_loop, address(&server), |client| client.end());
    }),
    ("drop", |event_loop, bomb| {
        let server = serve_one(event_loop, |_| unreachable!());
        server.set_max_connections(Some(0));
        server.on_drop(move |server, _| {
            server.close();
            bomb.go();
        });
        net::connect(event_loop, address(&server), |client| {
            client.resume();
        });
    }),
    ("error of a server", |event_loop, bomb| {
        let server = serve_one(event_loop, |_| unreachable!());
        server.on_error(move |server, _| {
            server.close();
            bomb.go();
        });
        // SAFETY: the descriptor is open, and the call takes no pointer.
        let shut = unsafe { libc::shutdown(server.raw_fd().unwrap(), libc::SHUT_RDWR) };
        assert_eq!(shut, 0);
    }),
    ("close of a server", |event_loop, bomb| {
        let server = serve_one(event_loop, |_| unreachable!());
        server.on_close(move |_| bomb.go());
        server.close();
    }),
    ("close_with", |event_loop, bomb| {
        let server = serve_one(event_loop, |_| unreachable!());
        server.close_with(move |_, _| bomb.go());
    }),
    (
        "close_with of a server that does not run",
        |event_loop, bomb| {
            let server = net::create_server(event_loop, |_| {});
            server.close_with(move |_, result| {
                assert!(result.is_err());
                bomb.go();
            });
        },
    ),
    ("shutdown", |event_loop, bomb| {
        let server = serve_one(event_loop, |_| unreachable!());
        server.shutdown(Duration::ZERO, move |_, _| bomb.go());
    }),
    ("get_connections", |event_loop, bomb| {
        let server = net::create_server(event_loop, |_| {});
        server.get_connections(move |_| bomb.go());
    }),
    ("configure of a listen by name", |event_loop, bomb| {
        // A name that is looked up off this thread, unlike `localhost`.
        let server = net::create_server(event_loop, |_| {});
        let options = ListenOptions::from(("ip6-localhost.test", 0)).configure(move |_| {
            bomb.go();
            Ok(())
        });
        server.on_error(|_, _| {});
        server.listen(options, |_| unreachable!()).unwrap();
    }),
    ("the destructor of a listener", |event_loop, bomb| {
        let (socket, _) = ending_pair(event_loop);
        let armed = Armed(bomb);
        socket.on_drain(move |_| {
            let _held = &armed;
        });
        socket.end();
    }),
    (
        "the destructor of a removed listener",
        |event_loop, bomb| {
            let (socket, _) = ending_pair(event_loop);
            let armed = Armed(bomb);
            socket.on_drain(move |_| {
                let _held = &armed;
            });
            socket.remove_all_listeners(EventKind::Drain).end();
        },
    ),
    ("the destructor of a handler", |event_loop, bomb| {
        struct Holder(#[allow(dead_code)] Armed);
        impl Handler for Holder {}
        let (socket, _) = ending_pair(event_loop);
        socket.set_handler(Holder(Armed(bomb))).end();
    }),
    ("the destructor of data", |event_loop, bomb| {
        let (socket, _) = ending_pair(event_loop);
        socket.set_data(Armed(bomb)).end();
    }),
    ("the destructor of a timer's closure", |event_loop, bomb| {
        let armed = Armed(bomb);
        let timer = event_loop.set_timeout(Duration::from_secs(100), move |_| drop(armed));
        timer.clear();
    }),
];

/// More than the kernel holds of a connection.
const BULK: usize = 1 << 22;

/// Two sockets; the second reads everything and ends when the first does.
fn ending_pair(event_loop: &EventLoop) -> (Socket, Socket) {
    let (socket, peer) = net::pair(event_loop).unwrap();
    peer.resume();
    socket.resume();
    socket.on_error(|_, _| {});
    peer.on_error(|_, _| {});
    (socket, peer)
}

/// Much flows through a pipe, most of it behind the panic.
fn piping(event_loop: &EventLoop, arm: impl FnOnce(&Socket, &Socket)) {
    let (feeder, source) = ending_pair(event_loop);
    let (destination, sink) = ending_pair(event_loop);
    arm(&source, &destination);
    source.pipe(&destination);
    // Not before there is a queue to drain.
    sink.pause();
    let (writer, reader) = (destination.clone(), sink.clone());
    event_loop.set_interval(Duration::from_millis(1), move |interval| {
        if writer.need_drain() {
            reader.resume();
            interval.clear();
        }
    });
    let got = Rc::new(Cell::new(0));
    let count = Rc::clone(&got);
    sink.on_data(move |_, data| count.set(count.get() + data.len()));
    sink.on_close(move |_, _| assert!(got.get() > BULK / 2, "{} bytes", got.get()));
    feeder.write(vec![0; BULK]);
    feeder.end();
}

/// A server that closes when the first connection has come.
fn serve_one(event_loop: &EventLoop, connection: impl Fn(&Socket) + 'static) -> Server {
    let server = net::create_server(event_loop, move |socket| {
        socket.server().unwrap().close();
        connection(socket);
    });
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    server
}

fn address(server: &Server) -> net::Address {
    server.address().unwrap()
}

/// One row among bystanders who have come before it and after it.
fn check(row: &str, arrange: impl FnOnce(&EventLoop, Bomb)) {
    let look_up = |_: &str, _| Ok(vec![std::net::Ipv4Addr::LOCALHOST.into()]);
    let event_loop = EventLoop::builder().resolver(look_up).build().unwrap();
    let (bomb, bystanders) = (Bomb::default(), Bystanders::default());
    bystanders.come(&event_loop);
    arrange(&event_loop, bomb.clone());
    bystanders.come(&event_loop);
    // Shown when this fails.
    println!("{row}");
    let panics = run_through(&event_loop);
    assert_eq!(panics, bomb.0.get(), "{row}");
    assert!(panics > 0, "{row} was never called");
    bystanders.check(2, row);
    let stats = event_loop.stats();
    assert_eq!((stats.sockets_open, stats.timers), (0, 0), "{row}");
}

#[test]
fn a_panic_in_any_callback_takes_no_work_from_others() {
    for (row, arrange) in ROWS {
        check(row, arrange);
    }
}

#[test]
fn so_does_one_in_any_event_of_a_socket_in_every_form() {
    for form in [Form::Closures, Form::Once, Form::Handler] {
        for kind in KINDS {
            let row = format!("{kind:?}, {form:?}");
            check(&row, |event_loop, bomb| {
                converse(event_loop, kind, form, bomb)
            });
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Closures,
    /// `once_x`, where there is one.
    Once,
    Handler,
}

const KINDS: [EventKind; 11] = [
    EventKind::Lookup,
    EventKind::Connect,
    EventKind::Ready,
    EventKind::Data,
    EventKind::Text,
    EventKind::Drain,
    EventKind::Timeout,
    EventKind::End,
    EventKind::Finish,
    EventKind::Error,
    EventKind::Close,
];

/// A client that sees every event once at least: it sends much, waits for `drain`, for the answer and for the timeout,
/// ends, and, if that is asked for, fails.
struct Client {
    panics_in: EventKind,
    bomb: Bomb,
}

impl Client {
    fn hear(&self, socket: &Socket, kind: EventKind) {
        match kind {
            EventKind::Connect => drop(socket.write(vec![0; BULK])),
            EventKind::Data => drop(socket.set_timeout(Duration::from_millis(2))),
            EventKind::Timeout if self.panics_in == EventKind::Error => {
                socket.destroy_with(Error::other("on purpose"));
            }
            EventKind::Timeout => socket.end(),
            _ => {}
        }
        if kind == self.panics_in {
            self.bomb.go();
        }
    }
}

impl Handler for Client {
    fn on_lookup(&mut self, socket: &Socket, _: &Lookup) {
        self.hear(socket, EventKind::Lookup);
    }
    fn on_connect(&mut self, socket: &Socket) {
        self.hear(socket, EventKind::Connect);
    }
    fn on_ready(&mut self, socket: &Socket) {
        self.hear(socket, EventKind::Ready);
    }
    fn on_data(&mut self, socket: &Socket, _: &[u8]) {
        self.hear(socket, EventKind::Data);
    }
    fn on_text(&mut self, socket: &Socket, _: &str) {
        self.hear(socket, EventKind::Text);
    }
    fn on_drain(&mut self, socket: &Socket) {
        self.hear(socket, EventKind::Drain);
    }
    fn on_timeout(&mut self, socket: &Socket) {
        self.hear(socket, EventKind::Timeout);
    }
    fn on_end(&mut self, socket: &Socket) {
        self.hear(socket, EventKind::End);
    }
    fn on_finish(&mut self, socket: &Socket) {
        self.hear(socket, EventKind::Finish);
    }
    fn on_error(&mut self, socket: &Socket, _: &Error) {
        self.hear(socket, EventKind::Error);
    }
    fn on_close(&mut self, socket: &Socket, _: bool) {
        self.hear(socket, EventKind::Close);
    }
}

fn converse(event_loop: &EventLoop, panics_in: EventKind, form: Form, bomb: Bomb) {
    let server = serve_one(event_loop, |socket| {
        socket.on_error(|_, _| {});
        socket.on_data(|socket, _| {
            if socket.bytes_read() == BULK as u64 {
                socket.write("thanks");
            }
        });
    });
    let port = server.address().unwrap().port().unwrap();
    let socket = net::connect(event_loop, ("name.test", port), |_| {});
    socket.set_encoding(Some(Encoding::Utf8));
    let client = Client { panics_in, bomb };
    match form {
        Form::Handler => drop(socket.set_handler(client)),
        Form::Closures => listen(&socket, client, false),
        Form::Once => listen(&socket, client, true),
    }
}

fn listen(socket: &Socket, client: Client, once: bool) {
    let client = Rc::new(client);
    let hear = |kind| {
        let client = Rc::clone(&client);
        move |socket: &Socket| client.hear(socket, kind)
    };
    let lookup = hear(EventKind::Lookup);
    let data = hear(EventKind::Data);
    let text = hear(EventKind::Text);
    if once {
        socket.once_lookup(move |socket, _| lookup(socket));
        socket.once_data(move |socket, _| data(socket));
        socket.once_text(move |socket, _| text(socket));
        socket.once_drain(hear(EventKind::Drain));
        socket.once_timeout(hear(EventKind::Timeout));
    } else {
        socket.on_lookup(move |socket, _| lookup(socket));
        socket.on_data(move |socket, _| data(socket));
        socket.on_text(move |socket, _| text(socket));
        socket.on_drain(hear(EventKind::Drain));
        socket.on_timeout(hear(EventKind::Timeout));
    }
    let (error, close) = (hear(EventKind::Error), hear(EventKind::Close));
    socket
        .on_connect(hear(EventKind::Connect))
        .on_ready(hear(EventKind::Ready))
        .on_end(hear(EventKind::End))
        .on_finish(hear(EventKind::Finish))
        .on_error(move |socket, _| error(socket))
        .on_close(move |socket, _| close(socket));
}
