//! Timers of the loop on a virtual clock: never early, in order, in rhythm.
#![cfg(feature = "sim")]

#[path = "common/census.rs"]
mod census;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use census::EventLoop;
use tidewheel::sim::Sim;
use tidewheel::{net, Timeout};

fn simulated() -> (Sim, EventLoop) {
    let sim = Sim::new(1);
    let event_loop = EventLoop::of(EventLoop::builder().sim(&sim)).unwrap();
    (sim, event_loop)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

type Log<T> = Rc<RefCell<Vec<T>>>;

/// Appends the virtual time, in milliseconds, to the log.
fn stamp(sim: &Sim, log: &Log<u64>) -> impl Fn() + Clone + 'static {
    let (sim, log) = (sim.clone(), Rc::clone(log));
    move || log.borrow_mut().push(sim.now().as_millis() as u64)
}

#[test]
fn a_timer_set_at_a_random_phase_is_never_early_and_hardly_late() {
    let (sim, event_loop) = simulated();
    let fired = Rc::new(Cell::new(0));
    let mut random = 88172645463325252u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for _ in 0..10_000 {
        sim.advance(Duration::from_nanos(next(3_000_000)));
        let period = Duration::from_nanos(next(400_000_000));
        let due = sim.now() + period;
        let (clock, count) = (sim.clone(), Rc::clone(&fired));
        event_loop.set_timeout(period, move |_| {
            let now = clock.now();
            assert!(now >= due, "{:?} early", due - now);
            assert!(now <= due + ms(3 + 1), "{:?} late", now - due);
            count.set(count.get() + 1);
        });
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    event_loop.run().unwrap();
    assert_eq!(fired.get(), 10_000);
}

#[test]
fn setting_a_timer_reads_the_clock_and_not_the_time_of_the_turn() {
    let (sim, event_loop) = simulated();
    let log = Log::default();
    let (clock, now) = (sim.clone(), stamp(&sim, &log));
    event_loop.set_timeout(ms(10), move |handle| {
        clock.advance(ms(70));
        handle.set_timeout(ms(5), move |_| now());
    });
    event_loop.run().unwrap();
    assert_eq!(*log.borrow(), [85]);
}

#[test]
fn refreshing_a_timer_reads_the_clock_too() {
    let (sim, event_loop) = simulated();
    let log = Log::default();
    let timer = event_loop.set_timeout(ms(100), stamp_once(&sim, &log));
    let clock = sim.clone();
    event_loop.set_timeout(ms(50), move |_| {
        clock.advance(ms(30));
        assert!(timer.refresh());
    });
    event_loop.run().unwrap();
    assert_eq!(*log.borrow(), [180]);
}

fn stamp_once(sim: &Sim, log: &Log<u64>) -> impl FnOnce(&tidewheel::LoopHandle) + 'static {
    let now = stamp(sim, log);
    move |_| now()
}

#[test]
fn timers_run_in_the_order_of_their_deadlines_and_equal_ones_as_they_were_set() {
    let (sim, event_loop) = simulated();
    let log: Log<(u64, u32)> = Log::default();
    for (number, after) in [40, 5, 70, 5, 40, 0, 5000, 5, 64, 63, 65, 70]
        .into_iter()
        .enumerate()
    {
        let log = Rc::clone(&log);
        event_loop.set_timeout(ms(after), move |_| {
            log.borrow_mut().push((after, number as u32));
        });
    }
    // All of them become due in one turn.
    sim.advance(ms(6000));
    event_loop.run().unwrap();
    let mut sorted = log.borrow().clone();
    sorted.sort();
    assert_eq!(*log.borrow(), sorted);
    assert_eq!(log.borrow().len(), 12);
}

#[test]
fn an_interval_keeps_its_rhythm_although_its_calls_are_late() {
    let (sim, event_loop) = simulated();
    let log = Log::default();
    let (now, clock) = (stamp(&sim, &log), sim.clone());
    event_loop.set_interval(ms(100), move |timer| {
        now();
        clock.advance(ms(30));
        if clock.now() > ms(500) {
            timer.clear();
        }
    });
    event_loop.run().unwrap();
    assert_eq!(*log.borrow(), [100, 200, 300, 400, 500]);
}

#[test]
fn an_interval_skips_the_ticks_it_missed() {
    let (sim, event_loop) = simulated();
    let log = Log::default();
    let (now, clock) = (stamp(&sim, &log), sim.clone());
    let mut calls = 0;
    event_loop.set_interval(ms(100), move |timer| {
        now();
        calls += 1;
        match calls {
            1 => clock.advance(ms(450)),
            4 => timer.clear(),
            _ => {}
        }
    });
    event_loop.run().unwrap();
    // 200, 300, 400 and 500 were missed: one call makes up for them, and the rhythm is that of before.
    assert_eq!(*log.borrow(), [100, 550, 600, 700]);
}

#[test]
fn an_interval_of_fractions_does_not_drift() {
    let (sim, event_loop) = simulated();
    let log = Log::default();
    let now = stamp(&sim, &log);
    let mut calls = 0;
    event_loop.set_interval(Duration::from_micros(1500), move |timer| {
        now();
        calls += 1;
        if calls == 1000 {
            timer.clear();
        }
    });
    event_loop.run().unwrap();
    assert_eq!(log.borrow().last(), Some(&1500));
}

#[test]
fn an_interval_can_be_refreshed_and_cleared_in_its_own_call() {
    let (sim, event_loop) = simulated();
    let log = Log::default();
    let (now, clock) = (stamp(&sim, &log), sim.clone());
    let mut calls = 0;
    let timer = event_loop.set_interval(ms(100), move |timer| {
        now();
        calls += 1;
        if calls == 1 {
            clock.advance(ms(50));
            assert!(timer.refresh());
        } else {
            timer.clear();
            assert!(!timer.refresh());
            assert!(!timer.has_ref());
        }
    });
    event_loop.run().unwrap();
    assert_eq!(*log.borrow(), [100, 250]);
    assert!(!timer.refresh());
}

#[test]
fn a_timer_that_has_fired_or_was_cleared_is_harmless() {
    let (_, event_loop) = simulated();
    let own: Rc<RefCell<Option<Timeout>>> = Rc::default();
    let of_callback = Rc::clone(&own);
    let timer = event_loop.set_timeout(ms(1), move |_| {
        let timer = of_callback.borrow_mut().take().unwrap();
        assert!(!timer.refresh(), "this was its last time");
        timer.clear();
    });
    *own.borrow_mut() = Some(timer.clone());
    let cleared = event_loop.set_timeout(ms(1), |_| panic!("it was cleared"));
    cleared.clear();
    cleared.clear();
    assert!(!cleared.refresh());
    event_loop.run().unwrap();
    for timer in [timer, cleared] {
        assert!(!timer.refresh());
        assert!(!timer.ref_().unref().has_ref());
        timer.clear();
    }
    assert!(!event_loop.is_alive());
    assert_eq!(event_loop.stats().timers, 0);
}

#[test]
fn the_handle_of_a_timer_that_is_gone_does_not_name_the_next_one() {
    let (_, event_loop) = simulated();
    let old = event_loop.set_timeout(ms(1), |_| {});
    event_loop.run().unwrap();
    let fired = Rc::new(Cell::new(false));
    let flag = Rc::clone(&fired);
    let new = event_loop.set_timeout(ms(1), move |_| flag.set(true));
    old.clear();
    assert!(!old.refresh());
    old.unref();
    assert!(new.has_ref() && !old.has_ref());
    event_loop.run().unwrap();
    assert!(fired.get());
}

#[test]
fn a_timer_may_clear_or_refresh_others_that_are_due_in_the_same_turn() {
    let (sim, event_loop) = simulated();
    let log = Log::default();
    let victims: Rc<RefCell<Vec<Timeout>>> = Rc::default();
    let list = Rc::clone(&victims);
    event_loop.set_timeout(ms(10), move |_| {
        list.borrow()[0].clear();
        list.borrow()[1].clear();
        assert!(list.borrow()[2].refresh());
    });
    let never = || panic!("it was cleared");
    let cleared = event_loop.set_timeout(ms(10), move |_| never());
    let interval = event_loop.set_interval(ms(10), move |_| never());
    let moved = event_loop.set_timeout(ms(11), stamp_once(&sim, &log));
    victims.borrow_mut().extend([cleared, interval, moved]);
    sim.advance(ms(50));
    event_loop.run().unwrap();
    assert_eq!(*log.borrow(), [61]);
}

#[test]
fn a_timer_set_by_a_timer_waits_for_a_later_turn_although_it_is_due() {
    let (_, event_loop) = simulated();
    let turns: Log<u64> = Log::default();
    fn again(handle: &tidewheel::LoopHandle, turns: Log<u64>, left: u32) {
        turns.borrow_mut().push(handle.stats().turns);
        if left > 0 {
            handle.set_timeout(Duration::ZERO, move |handle| again(handle, turns, left - 1));
        }
    }
    let log = Rc::clone(&turns);
    event_loop.set_timeout(Duration::ZERO, move |handle| again(handle, log, 20));
    event_loop.run().unwrap();
    let turns = turns.borrow();
    assert_eq!(turns.len(), 21);
    assert!(turns.windows(2).all(|two| two[0] < two[1]), "{turns:?}");
}

#[test]
fn a_timer_of_zero_that_sets_itself_again_starves_nobody() {
    let (_, event_loop) = simulated();
    let (a, b) = net::pair(&event_loop).unwrap();
    let rounds = Rc::new(Cell::new(0u32));
    fn spin(handle: &tidewheel::LoopHandle, rounds: Rc<Cell<u32>>) {
        rounds.set(rounds.get() + 1);
        handle.set_timeout(Duration::ZERO, move |handle| spin(handle, rounds));
    }
    let count = Rc::clone(&rounds);
    event_loop.set_timeout(Duration::ZERO, move |handle| spin(handle, count));
    a.write("x");
    let heard = Rc::new(Cell::new(false));
    let flag = Rc::clone(&heard);
    b.on_data(move |socket, _| {
        flag.set(true);
        socket.event_loop().stop();
    });
    event_loop.run().unwrap();
    assert!(heard.get());
    assert!(rounds.get() < 5, "{} rounds before the data", rounds.get());
}

#[test]
fn an_interval_of_zero_is_one_of_a_millisecond() {
    let (sim, event_loop) = simulated();
    let log = Log::default();
    let now = stamp(&sim, &log);
    let mut calls = 0;
    event_loop.set_interval(Duration::ZERO, move |timer| {
        now();
        calls += 1;
        if calls == 5 {
            timer.clear();
        }
    });
    event_loop.run().unwrap();
    assert_eq!(*log.borrow(), [1, 2, 3, 4, 5]);
}

#[test]
fn long_timers_do_not_wrap() {
    let (sim, event_loop) = simulated();
    let log = Log::default();
    const DAY: u64 = 24 * 3600 * 1000;
    for days in [1, 24, 25, 49, 50, 365, 40_000] {
        event_loop.set_timeout(ms(days * DAY), stamp_once(&sim, &log));
    }
    let never = event_loop.set_timeout(Duration::MAX, |_| panic!("it is for ever"));
    never.unref();
    event_loop.run().unwrap();
    let expected = [1, 24, 25, 49, 50, 365, 40_000].map(|days| days * DAY);
    assert_eq!(*log.borrow(), expected);
    never.clear();
}

#[test]
fn a_timer_that_is_not_referenced_fires_only_while_something_else_lives() {
    let (sim, event_loop) = simulated();
    let log = Log::default();
    let early = event_loop.set_timeout(ms(10), stamp_once(&sim, &log));
    let late = event_loop.set_timeout(ms(30), stamp_once(&sim, &log));
    early.unref();
    late.unref();
    assert!(!event_loop.is_alive());
    event_loop.run().unwrap();
    assert_eq!(*log.borrow(), [0; 0]);
    event_loop.set_timeout(ms(20), stamp_once(&sim, &log));
    event_loop.run().unwrap();
    assert_eq!(*log.borrow(), [10, 20]);
}
