//! What counts as activity for the idle timeout: bytes that moved, and little else.
#![cfg(feature = "sim")]

mod common;
#[path = "common/simulated.rs"]
mod simulated;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{Script, World};
use simulated::{each_form_sim, each_form_with, ms, pair};
use tidewheel::net::{EventKind, Socket, WriteStatus};
use tidewheel::sim::{Faults, Sim};

type Times = Rc<RefCell<Vec<u64>>>;

/// A script that notes when `timeout` comes and then destroys its socket.
fn ends_at_timeout(sim: &Sim, times: &Times) -> Script {
    let (sim, times) = (sim.clone(), Rc::clone(times));
    Script::new("A").on(EventKind::Timeout, move |socket, _| {
        times.borrow_mut().push(sim.now().as_millis() as u64);
        socket.destroy();
    })
}

/// Calls `act` every 200 ms, `count` times. Then the timer is gone.
fn five_times(world: &World, mut act: impl FnMut() + 'static) {
    let mut left = 5;
    world.event_loop.set_interval(ms(200), move |timer| {
        act();
        left -= 1;
        if left == 0 {
            timer.clear();
        }
    });
}

/// When the timeout of 300 ms fired although `act` was done to the pair every 200 ms until 1,000.
#[track_caller]
fn assert_fires_at(expected: u64, reads: bool, act: impl Fn(&Socket, &Socket) + Clone + 'static) {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let mut script = ends_at_timeout(sim, &times);
        if !reads {
            script = script.no_reader();
        }
        let (a, b) = pair(world, script, Script::new("B"));
        a.set_timeout(ms(300));
        let act = act.clone();
        five_times(world, move || act(&a, &b));
        world.run();
        assert_eq!(*times.borrow(), [expected]);
    });
}

#[test]
fn bytes_that_arrive_are_activity() {
    assert_fires_at(1300, true, |_, b| {
        b.write("x");
    });
}

#[test]
fn bytes_that_leave_are_activity() {
    assert_fires_at(1300, true, |a, _| {
        a.write("x");
    });
}

#[test]
fn setting_the_timeout_again_is_activity() {
    assert_fires_at(1300, true, |a, _| {
        a.set_timeout(ms(300));
    });
}

#[test]
fn the_fin_of_the_peer_is_activity() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let (a, b) = pair(world, ends_at_timeout(sim, &times), Script::new("B"));
        a.set_allow_half_open(true).set_timeout(ms(300));
        world.event_loop.set_timeout(ms(200), move |_| b.end());
        world.run();
        assert_eq!(*times.borrow(), [500]);
    });
}

#[test]
fn the_fin_seen_by_a_socket_that_nobody_reads_is_activity() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let script = ends_at_timeout(sim, &times).no_reader();
        let (a, b) = pair(world, script, Script::new("B"));
        a.set_allow_half_open(true).set_timeout(ms(300));
        world.event_loop.set_timeout(ms(200), move |_| b.end());
        world.run();
        assert_eq!(*times.borrow(), [500]);
    });
}

#[test]
fn bytes_that_are_read_and_discarded_are_activity() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let script = ends_at_timeout(sim, &times).no_reader();
        let (a, b) = pair(world, script, Script::new("B"));
        a.resume().set_timeout(ms(300));
        five_times(world, move || {
            b.write("x");
        });
        world.run();
        assert_eq!(*times.borrow(), [1300]);
    });
}

#[test]
fn pause_and_resume_are_no_activity() {
    assert_fires_at(300, true, |a, _| {
        a.pause().resume();
    });
}

#[test]
fn bytes_that_stay_in_the_kernel_are_no_activity() {
    assert_fires_at(300, false, |_, b| {
        b.write("x");
    });
}

#[test]
fn options_and_properties_are_no_activity() {
    assert_fires_at(300, true, |a, _| {
        a.set_no_delay(true).set_keep_alive(true, None).unref();
        a.ref_().cork().uncork();
        let _ = (a.buffer_size(), a.address(), a.bytes_read());
    });
}

#[test]
fn bytes_that_wait_in_a_cork_are_no_activity() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let (a, _b) = pair(world, ends_at_timeout(sim, &times), Script::new("B"));
        a.set_timeout(ms(300)).cork();
        five_times(world, move || {
            let status = a.write("x");
            assert!(matches!(status, WriteStatus::Buffered) || a.destroyed());
        });
        world.run();
        assert_eq!(*times.borrow(), [300]);
    });
}

#[test]
fn a_peer_that_stops_reading_times_out_one_period_after_the_last_progress() {
    each_form_with(
        Faults::default().capacity(1000),
        |builder| builder,
        |world, sim| {
            let times = Rc::default();
            let b = Script::new("B").no_reader();
            let (a, b) = pair(world, ends_at_timeout(sim, &times), b);
            b.pause();
            a.set_timeout(ms(300));
            let writer = a.clone();
            world.event_loop.set_timeout(ms(200), move |_| {
                assert_eq!(writer.write(vec![7; 64 << 20]), WriteStatus::Queued);
            });
            // Queued behind the stalled one: nothing moves, so it does not count.
            world.event_loop.set_timeout(ms(400), move |_| {
                assert_eq!(a.write("more"), WriteStatus::Queued);
            });
            world.event_loop.set_timeout(ms(600), move |_| b.destroy());
            world.run();
            assert_eq!(*times.borrow(), [500]);
            world.assert_trace("A", "timeout close(false)");
        },
    );
}

#[test]
fn a_peer_that_drips_keeps_a_long_upload_from_timing_out() {
    each_form_with(
        Faults::default().capacity(1000),
        |builder| builder.read_buffer(1),
        |world, sim| {
            let times = Rc::default();
            let b = Script::new("B").on_data(|socket, data| {
                assert_eq!(data.len(), 1);
                socket.pause();
            });
            let (a, b) = pair(world, ends_at_timeout(sim, &times), b);
            b.pause();
            a.set_timeout(ms(300));
            assert_eq!(a.write(vec![7; 1 << 20]), WriteStatus::Queued);
            // A byte every 100 ms, for two seconds.
            let mut left = 20;
            world.event_loop.set_interval(ms(100), move |timer| {
                b.resume();
                left -= 1;
                if left == 0 {
                    timer.clear();
                }
                if left == 0 {
                    let b = b.clone();
                    let handle = b.event_loop().clone();
                    handle.set_timeout(ms(400), move |_| b.destroy());
                }
            });
            world.run();
            assert_eq!(*times.borrow(), [2300]);
        },
    );
}

#[test]
fn a_queued_write_wakes_a_timer_that_has_fired() {
    each_form_with(
        Faults::default().capacity(100),
        |builder| builder,
        |world, sim| {
            let times: Times = Rc::default();
            let (clock, seen) = (sim.clone(), Rc::clone(&times));
            let script = Script::new("A").on(EventKind::Timeout, move |socket, _| {
                seen.borrow_mut().push(clock.now().as_millis() as u64);
                if seen.borrow().len() == 2 {
                    socket.destroy();
                }
            });
            let (a, b) = pair(world, script, Script::new("B").no_reader());
            b.pause();
            a.write(vec![7; 1000]);
            a.set_timeout(ms(300));
            world.event_loop.set_timeout(ms(1000), move |_| {
                assert_eq!(a.write("more"), WriteStatus::Queued);
            });
            world.event_loop.set_timeout(ms(2000), move |_| b.destroy());
            world.run();
            assert_eq!(*times.borrow(), [300, 1300]);
        },
    );
}

#[test]
fn activity_in_a_turn_that_takes_long_does_not_make_it_early() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let (a, b) = pair(world, ends_at_timeout(sim, &times), Script::new("B"));
        a.set_timeout(ms(300));
        let clock = sim.clone();
        // The timer is due when this callback returns, but in the same turn a byte is on its way.
        world.event_loop.set_timeout(ms(250), move |_| {
            b.write("x");
            clock.advance(ms(100));
        });
        world.run();
        assert_eq!(*times.borrow(), [650]);
    });
}

#[test]
fn a_timeout_set_by_a_deferred_call_counts_from_the_present() {
    // What is deferred outside a turn runs first in the next one, long after the last poll perhaps.
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let (a, _b) = pair(world, ends_at_timeout(sim, &times), Script::new("B"));
        sim.advance(ms(5000));
        a.write_then("x", |socket, _| {
            socket.set_timeout(ms(300));
        });
        // Not the harness's `run`, whose own timer would make the loop look at the clock.
        world.event_loop.run().unwrap();
        assert_eq!(*times.borrow(), [5300]);
    });
}

#[test]
fn a_timeout_is_never_early_at_any_phase_of_the_clock() {
    each_form_sim(|world, sim| {
        let times: Rc<RefCell<Vec<(Duration, Duration)>>> = Rc::default();
        let set_at: Rc<RefCell<Duration>> = Rc::default();
        let (clock, seen, at) = (sim.clone(), Rc::clone(&times), Rc::clone(&set_at));
        let script = Script::new("A").on(EventKind::Timeout, move |socket, _| {
            seen.borrow_mut().push((*at.borrow(), clock.now()));
            if seen.borrow().len() == 200 {
                return socket.destroy();
            }
            clock.advance(Duration::from_nanos(777_777));
            let (socket, at, clock) = (socket.clone(), Rc::clone(&at), clock.clone());
            let handle = socket.event_loop().clone();
            handle.set_immediate(move |_| {
                *at.borrow_mut() = clock.now();
                socket.set_timeout(Duration::from_micros(10_300));
            });
        });
        let (a, _b) = pair(world, script, Script::new("B"));
        a.set_timeout(Duration::from_micros(10_300));
        world.run();
        assert_eq!(times.borrow().len(), 200);
        for (set, fired) in times.borrow().iter() {
            let after = *fired - *set;
            assert!(after >= Duration::from_micros(10_300), "{after:?}");
            assert!(after < Duration::from_micros(12_000), "{after:?}");
        }
    });
}

#[test]
fn activity_moves_the_deadline_by_as_much_as_it_is_later() {
    for later in [1, 7, 50, 150, 299] {
        each_form_sim(|world, sim| {
            let times = Rc::default();
            let (a, _b) = pair(world, ends_at_timeout(sim, &times), Script::new("B"));
            a.set_timeout(ms(300));
            world.event_loop.set_timeout(ms(later), move |_| {
                a.write("x");
            });
            world.run();
            assert_eq!(*times.borrow(), [300 + later]);
        });
    }
}

#[test]
fn a_timeout_set_by_a_destructor_at_the_start_of_a_turn_counts_from_the_present() {
    struct Sets(Socket);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.set_timeout(ms(50));
        }
    }
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let (a, b) = pair(world, ends_at_timeout(sim, &times), Script::new("B"));
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        b.set_data(Sets(a)).set_data(());
        sim.advance(ms(100));
        // It sets no timer before, and so need not know the time.
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        world.run();
        assert_eq!(*times.borrow(), [150]);
    });
}
