//! TLS over the simulated network: many seeds, each with faults of its own, both sides doing what the dice say.
//!
//! What arrives is a prefix of what was sent, and all of it where nothing was cut; every socket closes, once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{self, Socket};
use tidewheel::sim::{Faults, Sim};
use tidewheel::tls::{TlsConnectOptions, TlsOptions, TlsVersion};
use tidewheel::EventLoop;

use crate::certs::{Authority, Identity};
use crate::common::{Form, Transport, World};

const SEEDS: u64 = 150;

/// SplitMix64: the test's own dice.
#[derive(Clone)]
pub struct Dice(Rc<Cell<u64>>);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(Rc::new(Cell::new(seed)))
    }

    pub fn below(&self, bound: usize) -> usize {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut mixed = self.0.get();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    pub fn one_in(&self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    pub fn faults(&self) -> Faults {
        let some = || self.below(4) as f64 / 10.0;
        let rare = || if self.one_in(4) { 0.003 } else { 0.0 };
        Faults::default()
            .capacity(50 + self.below(20_000))
            .short_read(some())
            .short_write(some())
            .would_block(some())
            .interrupt(some())
            .spurious(some())
            .delay(some())
            .reset(rare())
            .broken_pipe(rare())
    }
}

/// One side of a conversation, and what is known of it.
struct Side {
    number: usize,
    dice: Dice,
    /// What it sends, and how much of it was written.
    total: usize,
    written: Cell<usize>,
    got: Cell<usize>,
    secure: Cell<bool>,
    ended: Cell<bool>,
    /// It was destroyed by its user.
    cut: Cell<bool>,
    failed: Cell<bool>,
    closed: Cell<bool>,
    log: Rc<RefCell<Vec<String>>>,
}

/// The byte at `at` of what side `number` sends.
fn byte(number: usize, at: usize) -> u8 {
    ((at % 65_521) % 251) as u8 ^ number as u8
}

impl Side {
    fn note(&self, event: &str) {
        self.log
            .borrow_mut()
            .push(format!("{} {event}", self.number));
        assert!(!self.closed.get(), "after close");
    }

    /// Something that a user might do.
    fn act(&self, socket: &Socket) {
        match self.dice.below(60) {
            0..=3 => drop(socket.pause()),
            4..=9 => drop(socket.resume()),
            10..=12 => drop(socket.cork()),
            13..=15 => drop(socket.uncork()),
            16..=30 => self.say(socket),
            31 if self.dice.one_in(6) => self.destroy(socket, Socket::destroy),
            32 if self.dice.one_in(6) => self.destroy(socket, Socket::reset_and_destroy),
            33 if self.dice.one_in(3) => self.destroy(socket, Socket::destroy_soon),
            _ => {}
        }
    }

    fn destroy(&self, socket: &Socket, how: fn(&Socket)) {
        self.note("destroy");
        self.cut.set(true);
        how(socket);
    }

    /// Writes what is left, in pieces, and ends.
    fn say(&self, socket: &Socket) {
        while self.written.get() < self.total && !socket.destroyed() && socket.writable() {
            let from = self.written.get();
            let to = self.total.min(from + 1 + self.dice.below(9_000));
            let piece: Vec<u8> = (from..to).map(|at| byte(self.number, at)).collect();
            self.written.set(to);
            if !socket.write(piece).is_ok() {
                return;
            }
        }
        if self.written.get() == self.total {
            socket.end();
        }
    }

    fn read(&self, data: &[u8]) {
        assert!(self.secure.get() && !self.ended.get() && !self.failed.get());
        let at = self.got.get();
        for (offset, found) in data.iter().enumerate() {
            assert_eq!(*found, byte(1 - self.number, at + offset), "at {at}");
        }
        self.got.set(at + data.len());
    }
}

fn watch(side: &Rc<Side>, socket: &Socket) {
    let on = |event: &'static str| {
        let side = Rc::clone(side);
        move |socket: &Socket| {
            side.note(event);
            side.act(socket);
        }
    };
    let at = Rc::clone(side);
    socket.on_secure_connect(move |socket| {
        assert!(!at.secure.replace(true));
        at.note("secure");
        at.say(socket);
        at.act(socket);
    });
    let at = Rc::clone(side);
    socket.on_data(move |socket, data| {
        at.note("data");
        at.read(data);
        at.act(socket);
    });
    let at = Rc::clone(side);
    socket.on_drain(move |socket| {
        at.note("drain");
        at.say(socket);
    });
    let at = Rc::clone(side);
    socket.on_end(move |socket| {
        assert!(!at.ended.replace(true));
        at.note("end");
        at.act(socket);
    });
    socket.on_finish(on("finish"));
    let at = Rc::clone(side);
    socket.on_error(move |socket, error| {
        assert!(socket.destroyed() && !at.failed.replace(true));
        at.note(error.code().as_str());
    });
    let at = Rc::clone(side);
    socket.on_close(move |_, had_error| {
        at.note("close");
        assert_eq!(had_error, at.failed.get());
        assert!(!at.closed.replace(true));
    });
    // Whatever it did, it goes on in the end.
    let (at, of) = (Rc::clone(side), socket.clone());
    let rest = socket
        .event_loop()
        .set_interval(Duration::from_millis(50), move |timer| {
            if at.closed.get() {
                return timer.clear();
            }
            of.uncork();
            of.resume();
            if at.secure.get() && !of.need_drain() {
                at.say(&of);
            }
        });
    rest.unref();
}

fn start(sides: &[Rc<Side>; 2], sockets: &(Socket, Socket), own: &Identity, ca: &str) {
    let version = match sides[0].dice.one_in(2) {
        true => TlsVersion::V1_2,
        false => TlsVersion::V1_3,
    };
    let server = TlsOptions::default()
        .key(&own.key)
        .cert(&own.cert)
        .request_cert(sides[0].dice.one_in(3))
        .reject_unauthorized(false)
        .max_version(version);
    let mut client = TlsConnectOptions::default().ca(ca).servername("localhost");
    if sides[0].dice.one_in(3) {
        client = client.check_server_identity(tidewheel::tls::check_server_identity);
    }
    watch(&sides[0], &sockets.0);
    watch(&sides[1], &sockets.1);
    // Where our side goes on after the end of the peer, all is said.
    for socket in [&sockets.0, &sockets.1] {
        socket.set_allow_half_open(sides[0].dice.one_in(2));
        if sides[0].dice.one_in(4) {
            socket.pause();
        }
    }
    sockets.0.start_tls(client, &[], |_| {}).unwrap();
    sockets.1.start_tls(server, &[], |_| {}).unwrap();
}

/// How one seed ended.
#[derive(Default)]
struct Ending {
    whole: bool,
    failed: bool,
    cut: bool,
    log: Vec<String>,
}

fn run(seed: u64, own: &Identity, ca: &str) -> Ending {
    let dice = Dice::new(seed);
    let sim = Sim::with_faults(seed, dice.faults());
    let event_loop = EventLoop::builder()
        .sim(&sim)
        .read_buffer(100 + dice.below(20_000))
        .read_budget(1 + dice.below(40_000))
        .build()
        .unwrap();
    let log: Rc<RefCell<Vec<String>>> = Rc::default();
    let sides = [0, 1].map(|number| {
        Rc::new(Side {
            number,
            dice: dice.clone(),
            total: dice.below(if dice.one_in(3) { 300_000 } else { 3_000 }),
            written: Cell::default(),
            got: Cell::default(),
            secure: Cell::default(),
            ended: Cell::default(),
            cut: Cell::default(),
            failed: Cell::default(),
            closed: Cell::default(),
            log: Rc::clone(&log),
        })
    });
    let sockets = net::pair(&event_loop).unwrap();
    start(&sides, &sockets, own, ca);
    let stuck = event_loop.set_timeout(Duration::from_secs(3600), |_| panic!("stuck"));
    stuck.unref();
    event_loop.run().unwrap();
    assert!(sides.iter().all(|side| side.closed.get()), "not closed");
    let whole = (0..2).all(|side| sides[side].got.get() == sides[1 - side].written.get());
    let failed = sides.iter().any(|side| side.failed.get());
    let cut = sides.iter().any(|side| side.cut.get());
    let known = whole || failed || cut;
    assert!(known, "bytes are missing: {}", log.borrow().join(", "));
    drop(sides);
    Ending {
        whole,
        failed,
        cut,
        log: log.take(),
    }
}

#[test]
fn conversations_on_any_network_keep_every_promise() {
    // Other scenarios count descriptors, and a simulated loop has one, too.
    let alone = World::new(Form::Closures, Transport::Unix);
    let ca = Authority::new("ca");
    let (own, pem) = (ca.issue(&["localhost"]), ca.pem());
    let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    if let Some(seed) = number("SIM_SEED") {
        println!("{}", run(seed, &own, &pem).log.join("\n"));
        return alone.finish();
    }
    let (mut whole, mut failed, mut cut) = (0, 0, 0);
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        println!("seed {seed}");
        let ending = run(seed, &own, &pem);
        whole += u64::from(ending.whole);
        failed += u64::from(ending.failed);
        cut += u64::from(ending.cut);
    }
    println!("of {seeds}: {whole} whole, {failed} failed, {cut} cut");
    alone.finish();
    // A driver that does nothing finds nothing.
    assert!(whole > seeds / 4 && failed > seeds / 50 && cut > seeds / 50);
}
