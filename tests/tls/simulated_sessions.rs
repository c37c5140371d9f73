//! Sessions over the simulated network: a program that keeps them and answers as the dice say, clients that come again
//! and again, and a network with faults. Every socket closes, and whoever was told of no fault has heard everything.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{Server, Socket};
use tidewheel::sim::Sim;
use tidewheel::tls::{self, ResumeReply, Session, TlsConnectOptions, TlsOptions, TlsVersion};
use tidewheel::{Code, Error, EventLoop};

use crate::certs::{Authority, Identity};
use crate::common::{Form, Transport, World};
use crate::simulated::Dice;

const SEEDS: u64 = 120;
const VISITS: usize = 6;
const SAID: usize = 5_000;

/// What happened in one seed.
#[derive(Default)]
struct Seen {
    made: Cell<usize>,
    asked: Cell<usize>,
    reused: Cell<usize>,
    whole: Cell<usize>,
    failed: Cell<usize>,
    closed: Cell<usize>,
    /// What the next client takes up.
    session: RefCell<Option<Session>>,
}

fn add(count: &Cell<usize>) {
    count.set(count.get() + 1);
}

/// Now or some time later, or in the same call.
fn some_time(dice: &Dice, server: &Server, call: impl FnOnce() + 'static) {
    if dice.one_in(2) {
        return call();
    }
    let delay = Duration::from_millis(dice.below(200) as u64);
    let handle = server.event_loop().clone();
    handle.set_timeout(delay, move |_| call());
}

fn keep(server: &Server, dice: &Dice, seen: &Rc<Seen>) {
    let store: Rc<RefCell<HashMap<Vec<u8>, Vec<u8>>>> = Rc::default();
    let (sessions, own, seen_new) = (Rc::clone(&store), dice.clone(), Rc::clone(seen));
    server.on_new_session(move |server, id, data, reply| {
        add(&seen_new.made);
        sessions.borrow_mut().insert(id.to_vec(), data.to_vec());
        some_time(&own, server, move || reply.done());
    });
    let (own, seen) = (dice.clone(), Rc::clone(seen));
    server.on_resume_session(move |server, id, reply: ResumeReply| {
        add(&seen.asked);
        let data = store.borrow()[id].clone();
        let answer = own.below(8);
        some_time(&own, server, move || match answer {
            0 => reply.not_found(),
            1 => reply.found(&data[1..]),
            2 => reply.error(Error::new(Code::TlsInvalidState, "no")),
            3 => drop(reply),
            _ => reply.found(&data),
        });
    });
}

/// One client after the other, the next as soon as this one is closed.
fn visit(
    options: &TlsConnectOptions,
    handle: &tidewheel::LoopHandle,
    seen: &Rc<Seen>,
    left: usize,
) {
    let mut with = options.clone();
    if let Some(session) = seen.session.borrow().as_ref() {
        with = with.session(session);
    }
    let client = tls::connect(handle, with, |socket: &Socket| {
        socket.write(vec![7; SAID]);
    });
    let got = Rc::new(Cell::new(0));
    let told = Rc::clone(seen);
    client.on_session(move |_, session| {
        told.session.replace(Some(session.clone()));
    });
    let count = Rc::clone(&got);
    client.on_data(move |socket, data| {
        assert!(socket.tls().unwrap().authorized());
        count.set(count.get() + data.len());
        if count.get() == SAID {
            socket.end();
        }
    });
    let (told, failed) = (Rc::clone(seen), Rc::new(Cell::new(false)));
    let fails = Rc::clone(&failed);
    client.on_error(move |_, _| {
        add(&told.failed);
        fails.set(true);
    });
    let (options, seen) = (options.clone(), Rc::clone(seen));
    client.on_close(move |socket, _| {
        add(&seen.closed);
        let info = socket.tls().unwrap();
        if info.is_session_reused() {
            add(&seen.reused);
        }
        let cut = info.truncated();
        if got.get() == SAID {
            add(&seen.whole);
        }
        assert!(
            got.get() == SAID || failed.get() || cut,
            "bytes are missing"
        );
        if left > 1 {
            visit(&options, socket.event_loop(), &seen, left - 1);
        }
    });
}

fn run(seed: u64, own: &Identity, ca: &str) -> Rc<Seen> {
    let dice = Dice::new(seed);
    let sim = Sim::with_faults(seed, dice.faults());
    let event_loop = EventLoop::builder()
        .sim(&sim)
        .read_buffer(100 + dice.below(20_000))
        .build()
        .unwrap();
    let options = TlsOptions::default().key(&own.key).cert(&own.cert);
    let server = tls::create_server(&event_loop, options, |socket| {
        socket.pipe(socket);
        socket.on_error(|_, _| {});
    })
    .unwrap();
    server.on_tls_client_error(|_, _, _| {});
    let seen: Rc<Seen> = Rc::default();
    if !dice.one_in(4) {
        keep(&server, &dice, &seen);
    }
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    server.unref();
    let version = match dice.one_in(2) {
        true => TlsVersion::V1_2,
        false => TlsVersion::V1_3,
    };
    let options = TlsConnectOptions::from(server.address().unwrap())
        .servername("localhost")
        .ca(ca)
        .max_version(version);
    let stuck = event_loop.set_timeout(Duration::from_secs(3600), |_| panic!("stuck"));
    stuck.unref();
    visit(&options, &event_loop, &seen, VISITS);
    event_loop.run().unwrap();
    server.close();
    event_loop.run().unwrap();
    assert_eq!(seen.closed.get(), VISITS);
    seen
}

#[test]
fn sessions_on_any_network_are_taken_up_or_not_and_nobody_waits_for_ever() {
    let alone = World::new(Form::Closures, Transport::Unix);
    let ca = Authority::new("ca");
    let (own, pem) = (ca.issue(&["localhost"]), ca.pem());
    let total = Seen::default();
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let seen = run(seed, &own, &pem);
        let sums = [
            (&total.made, &seen.made),
            (&total.asked, &seen.asked),
            (&total.reused, &seen.reused),
            (&total.whole, &seen.whole),
            (&total.failed, &seen.failed),
        ];
        for (sum, one) in sums {
            sum.set(sum.get() + one.get());
        }
    }
    alone.finish();
    let counts = [
        &total.made,
        &total.asked,
        &total.reused,
        &total.whole,
        &total.failed,
    ];
    let counts = counts.map(Cell::get);
    println!("made, asked for, reused, whole, failed: {counts:?}");
    // A driver that does nothing finds nothing.
    assert!(
        counts.iter().all(|count| *count > SEEDS as usize / 4),
        "{counts:?}"
    );
}
