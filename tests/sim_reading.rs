//! Reading on a simulated network with faults: many seeds, each run the same every time.
#![cfg(feature = "sim")]

mod common;
#[path = "common/flow.rs"]
mod flow;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use common::{run_on, EventLoop, Form, Script, Transport, World};
use flow::{after_turns, pattern, Sink};
use tidewheel::net::{self, Socket};
use tidewheel::sim::{Faults, Sim};
use tidewheel::Builder;

/// SplitMix64: the test's own dice.
#[derive(Clone)]
struct Dice(Rc<Cell<u64>>);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(Rc::new(Cell::new(seed)))
    }

    fn below(&self, bound: u64) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut mixed = self.0.get();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn faults(dice: &Dice) -> Faults {
    let some = || dice.below(4) as f64 / 10.0;
    Faults::default()
        .capacity(200 + dice.below(20_000) as usize)
        .short_read(some())
        .short_write(some())
        .would_block(some())
        .spurious(some())
}

fn builder(dice: &Dice, sim: &Sim) -> Builder {
    EventLoop::builder()
        .sim(sim)
        .read_buffer(50 + dice.below(9_000) as usize)
        .read_budget(1 + dice.below(30_000) as usize)
}

/// Each seed in both forms, on a network with faults of its own.
fn each_seed(seeds: std::ops::Range<u64>, scenario: impl Fn(&World, &Dice)) {
    for seed in seeds {
        for form in [Form::Closures, Form::Handler] {
            let dice = Dice::new(seed);
            let sim = Sim::with_faults(seed, faults(&dice));
            // The network is the simulated one; the harness only wants a name for it.
            run_on(
                builder(&dice, &sim),
                form,
                Transport::Unix,
                &|world: &World| scenario(world, &dice),
            );
        }
    }
}

/// Writes it all, waiting for `drain` where it must, and ends.
fn feed(socket: &Socket, bytes: Vec<u8>) {
    let sent = Cell::new(0);
    let more = move |socket: &Socket| {
        while sent.get() < bytes.len() {
            let piece = &bytes[sent.get()..bytes.len().min(sent.get() + 5_000)];
            sent.set(sent.get() + piece.len());
            if !socket.write(piece).is_ok() {
                return;
            }
        }
        socket.end();
    };
    more(socket);
    socket.on_drain(more);
}

/// A reader that stops and goes on as the dice say.
fn erratic(name: &str, sink: &Sink, dice: &Dice) -> Script {
    let (sink, dice) = (sink.clone(), dice.clone());
    Script::new(name).on_data(move |socket, data| {
        assert!(!socket.is_paused() && !data.is_empty());
        sink.push(data);
        let later = socket.clone();
        let resume = move || {
            later.resume();
        };
        match dice.below(8) {
            0 => {
                socket.pause().resume();
            }
            1 => {
                socket.pause();
                let turns = dice.below(5) as usize;
                after_turns(&socket.event_loop().handle(), turns, move |_| resume());
            }
            2 => {
                socket.pause();
                let wait = Duration::from_millis(dice.below(40));
                socket.event_loop().set_timeout(wait, move |_| resume());
            }
            _ => {}
        }
    })
}

#[test]
fn all_bytes_arrive_in_order_whatever_the_network_and_the_reader_do() {
    each_seed(0..150, |world, dice| {
        let (a, b) = net::pair(&world.event_loop).unwrap();
        let total = 1 + dice.below(120_000) as usize;
        let (to_a, to_b) = (Sink::default(), Sink::default());
        world.watch(&a, erratic("A", &to_a, dice));
        world.watch(&b, erratic("B", &to_b, dice));
        // Both half-open, so that neither ends before it has said it all.
        a.set_allow_half_open(true);
        b.set_allow_half_open(true);
        feed(&a, pattern(total));
        feed(&b, pattern(total / 2 + 1));
        world.run();
        assert!(to_b.take() == pattern(total));
        assert!(to_a.take() == pattern(total / 2 + 1));
        for name in ["A", "B"] {
            let events = world.events(name);
            assert_eq!(events.last().unwrap(), "close(false)");
            assert!(events.contains(&"end".to_string()) && events.contains(&"finish".to_string()));
        }
    });
}

#[test]
fn an_echo_through_a_pipe_returns_every_byte_on_any_network() {
    each_seed(1_000..1_100, |world, dice| {
        let (a, b) = net::pair(&world.event_loop).unwrap();
        let (c, d) = net::pair(&world.event_loop).unwrap();
        for socket in [&a, &b, &c, &d] {
            socket.set_allow_half_open(true);
        }
        // a -> b -> c -> d -> c -> b -> a, each hop at its own pace.
        b.pipe(&c);
        c.pipe(&b);
        d.pipe(&d);
        let total = 1 + dice.below(80_000) as usize;
        let sink = Sink::default();
        world.watch(&a, erratic("A", &sink, dice));
        feed(&a, pattern(total));
        world.run();
        assert!(sink.take() == pattern(total));
        assert_eq!(world.events("A").last().unwrap(), "close(false)");
    });
}

#[test]
fn a_reset_network_gives_a_prefix_and_one_error_and_never_an_end() {
    for seed in 0..200 {
        let dice = Dice::new(seed);
        let sim = Sim::with_faults(seed, faults(&dice).reset(0.02));
        run_on(
            builder(&dice, &sim),
            Form::Closures,
            Transport::Unix,
            &|world: &World| {
                let (a, b) = net::pair(&world.event_loop).unwrap();
                let sink = Sink::default();
                world.watch(&b, erratic("B", &sink, &dice));
                a.on_error(|_, _| {});
                let total = 200_000;
                feed(&a, pattern(total));
                world.run();
                let got = sink.take();
                assert!(got[..] == pattern(total)[..got.len()]);
                let events = world.events("B");
                let failed = events.iter().any(|event| event.starts_with("error("));
                let ended = events.iter().any(|event| event == "end");
                if failed {
                    assert_eq!(events.last().unwrap(), "close(true)");
                }
                // An end says that it is complete.
                assert!(
                    !ended || got.len() == total,
                    "{} of {total}, and an end",
                    got.len()
                );
            },
        );
    }
}

#[test]
fn a_reader_that_pauses_again_and_again_counts_nothing_meanwhile() {
    for form in [Form::Closures, Form::Handler] {
        let sim = Sim::new(13);
        let clock = sim.clone();
        let builder = EventLoop::builder().sim(&sim);
        run_on(builder, form, Transport::Unix, &|world: &World| {
            let (dripping, reader) = net::pair(&world.event_loop).unwrap();
            // A byte every 50 ms, 200 of them.
            let left = Cell::new(200);
            world
                .event_loop
                .set_interval(Duration::from_millis(50), move |interval| {
                    dripping.write("x");
                    left.set(left.get() - 1);
                    if left.get() == 0 {
                        dripping.end();
                        interval.clear();
                    }
                });
            // Half a second on, half a second off.
            let at_pause: Rc<RefCell<Option<u64>>> = Rc::default();
            let switched = reader.clone();
            world
                .event_loop
                .set_interval(Duration::from_millis(500), move |interval| {
                    let was = at_pause.take();
                    match was {
                        Some(before) => {
                            assert_eq!(switched.bytes_read(), before);
                            switched.resume();
                        }
                        None => *at_pause.borrow_mut() = Some(switched.pause().bytes_read()),
                    }
                    if switched.destroyed() {
                        interval.clear();
                    }
                });
            world.watch(&reader, Script::new("R"));
            world.run();
            world.assert_trace("R", "data(200) end finish close(false)");
        });
        assert!(clock.now() >= Duration::from_secs(10));
    }
}

#[test]
fn a_paused_socket_over_unread_bytes_and_a_fin_costs_no_turn() {
    let sim = Sim::new(5);
    run_on(
        EventLoop::builder().sim(&sim),
        Form::Closures,
        Transport::Unix,
        &|world: &World| {
            let (a, b) = net::pair(&world.event_loop).unwrap();
            world.watch(&b, Script::new("B"));
            b.pause();
            a.end_with("unread");
            let long = Duration::from_secs(20);
            let resumes = b.clone();
            world.event_loop.set_timeout(long, move |handle| {
                let turns = handle.stats().turns;
                assert!(turns < 10, "{turns} turns");
                resumes.resume();
            });
            world.run();
            world.assert_trace("B", "data(6) end finish close(false)");
        },
    );
}
