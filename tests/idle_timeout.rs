//! The idle timeout on a virtual clock: what it does when it fires, and how it is set and unset.
#![cfg(feature = "sim")]

mod common;
#[path = "common/simulated.rs"]
mod simulated;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{counter, Script};
use simulated::{each_form_sim, ms, pair};
use tidewheel::net::{EventKind, ReadyState, Socket, SocketOptions};
use tidewheel::sim::Sim;

/// A script that notes when `timeout` comes, and acts on each by its number.
fn timed(
    sim: &Sim,
    times: &Rc<RefCell<Vec<u64>>>,
    mut action: impl FnMut(&Socket, usize) + 'static,
) -> Script {
    let (sim, times) = (sim.clone(), Rc::clone(times));
    Script::new("A").on(EventKind::Timeout, move |socket, _| {
        times.borrow_mut().push(sim.now().as_millis() as u64);
        let number = times.borrow().len();
        action(socket, number);
    })
}

fn plain(name: &str) -> Script {
    Script::new(name)
}

#[test]
fn it_fires_after_one_idle_period_and_touches_nothing() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let a = timed(sim, &times, |socket, _| {
            assert_eq!(socket.ready_state(), ReadyState::Open);
            assert!(!socket.destroyed() && socket.writable() && socket.readable());
            socket.end();
        });
        let (a, b) = pair(world, a, plain("B"));
        assert_eq!((a.timeout(), b.timeout()), (None, None));
        a.set_timeout(ms(300));
        assert_eq!(a.timeout(), Some(ms(300)));
        world.run();
        assert_eq!(*times.borrow(), [300]);
        world.assert_trace("A", "timeout finish end close(false)");
        world.assert_trace("B", "end finish close(false)");
    });
}

#[test]
fn it_fires_once_and_only_activity_arms_it_again_with_the_same_period() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let a = timed(sim, &times, |socket, number| {
            if number == 2 {
                socket.end();
            }
        });
        let (a, _b) = pair(world, a, plain("B"));
        a.set_timeout(ms(300));
        let writer = a.clone();
        world.event_loop.set_timeout(ms(2000), move |_| {
            writer.write("x");
        });
        world.run();
        assert_eq!(*times.borrow(), [300, 2300]);
        assert_eq!(a.timeout(), None, "gone with the socket");
    });
}

#[test]
fn a_write_inside_its_own_timeout_starts_the_next_period() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let a = timed(sim, &times, |socket, number| {
            if number < 4 {
                socket.write("x");
            } else {
                socket.end();
            }
        });
        let (a, _b) = pair(world, a, plain("B"));
        a.set_timeout(ms(100));
        world.run();
        assert_eq!(*times.borrow(), [100, 200, 300, 400]);
    });
}

#[test]
fn several_one_shot_listeners_run_at_the_same_expiry_in_order_and_only_once() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let note = world.noter();
        let a = timed(sim, &times, |socket, number| {
            if number < 2 {
                socket.set_timeout(ms(100));
            } else {
                socket.end();
            }
        });
        let (a, _b) = pair(world, a, plain("B"));
        for name in ["first", "second"] {
            let note = note.clone();
            a.set_timeout(ms(100))
                .once_timeout(move |_| note(&format!("A:{name}")));
        }
        world.run();
        assert_eq!(*times.borrow(), [100, 200]);
        world.assert_trace("A", "timeout first second timeout finish end close(false)");
    });
}

#[test]
fn zero_turns_it_off_also_directly_after_it_was_set() {
    each_form_sim(|world, _| {
        let (a, _b) = pair(world, plain("A"), plain("B"));
        a.set_timeout(ms(10)).set_timeout(Duration::ZERO);
        assert_eq!(a.timeout(), None);
        let stats = world.event_loop.stats();
        assert_eq!(stats.timers, 0, "not even a timer is left");
        let end = a.clone();
        world.event_loop.set_timeout(ms(500), move |_| end.end());
        world.run();
        world.assert_trace("A", "finish end close(false)");
    });
}

#[test]
fn zero_turns_it_off_after_it_fired_and_activity_does_not_bring_it_back() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let a = timed(sim, &times, |socket, _| {
            socket.set_timeout(Duration::ZERO);
            socket.write("x");
        });
        let (a, _b) = pair(world, a, plain("B"));
        a.set_timeout(ms(100));
        let end = a.clone();
        world.event_loop.set_timeout(ms(1000), move |_| end.end());
        world.run();
        assert_eq!(*times.borrow(), [100]);
    });
}

#[test]
fn a_new_period_counts_from_the_call_whether_shorter_or_longer() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let a = timed(sim, &times, |socket, _| socket.end());
        let (a, b) = pair(world, a, plain("B").on(EventKind::Timeout, |_, _| {}));
        a.set_timeout(ms(1000));
        b.set_timeout(ms(100));
        world.event_loop.set_timeout(ms(50), move |_| {
            a.set_timeout(ms(70));
            b.set_timeout(ms(5000));
        });
        world.run();
        assert_eq!(*times.borrow(), [120]);
        assert_eq!(world.events("B"), ["end", "finish", "close(false)"]);
    });
}

#[test]
fn destroy_cancels_it_and_setting_it_afterwards_does_nothing() {
    each_form_sim(|world, _| {
        let (a, b) = pair(world, plain("A"), plain("B"));
        a.set_timeout(ms(10)).destroy();
        assert_eq!(world.event_loop.stats().timers, 0);
        a.set_timeout(ms(10));
        assert_eq!(world.event_loop.stats().timers, 0);
        b.set_timeout(ms(10));
        let later = b.clone();
        world.event_loop.set_timeout(ms(100), move |_| {
            later.set_timeout(ms(1));
        });
        world.run();
        world.assert_trace("A", "close(false)");
        world.assert_trace("B", "end finish close(false)");
        assert_eq!(b.timeout(), None);
    });
}

#[test]
fn it_keeps_no_loop_alive() {
    each_form_sim(|world, sim| {
        let (a, b) = pair(
            world,
            plain("A").stays_open(),
            plain("B").stays_open().no_reader(),
        );
        a.set_timeout(ms(500)).unref();
        b.unref();
        assert!(!world.event_loop.is_alive());
        world.run();
        assert_eq!(sim.now(), Duration::ZERO);
        assert_eq!(world.events("A"), [""; 0]);
        // It is still set: it fires as soon as something else keeps the loop going.
        world.event_loop.set_timeout(ms(600), |_| {});
        world.run();
        assert_eq!(world.events("A"), ["timeout"]);
    });
}

#[test]
fn it_works_on_a_socket_that_was_never_connected() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let socket = Socket::new(&world.event_loop, SocketOptions::default());
        world.watch(&socket, timed(sim, &times, |socket, _| socket.destroy()));
        socket.set_timeout(ms(250));
        assert_eq!(socket.timeout(), Some(ms(250)));
        world.event_loop.set_timeout(ms(400), |_| {});
        world.run();
        assert_eq!(*times.borrow(), [250]);
        world.assert_trace("A", "timeout close(false)");
    });
}

#[test]
fn the_smallest_and_the_largest_period_are_kept_as_given() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let a = timed(sim, &times, |socket, number| {
            if number == 1 {
                socket.set_timeout(Duration::MAX);
                assert!(socket.timeout().unwrap() > Duration::from_secs(3600 * 24 * 365 * 500));
            }
        });
        let (a, _b) = pair(world, a, plain("B"));
        a.set_timeout(Duration::from_nanos(1));
        assert_eq!(a.timeout(), Some(Duration::from_nanos(1)));
        let end = a.clone();
        world.event_loop.set_timeout(ms(20_000), move |_| end.end());
        world.run();
        assert_eq!(*times.borrow(), [1], "the resolution is a millisecond");
    });
}

#[test]
fn one_handler_may_cancel_move_or_destroy_others_that_are_due_too() {
    each_form_sim(|world, _| {
        let fired = counter();
        let others: Rc<RefCell<Vec<Socket>>> = Rc::default();
        let (count, victims) = (Rc::clone(&fired), Rc::clone(&others));
        let script = plain("A").on(EventKind::Timeout, move |_, _| {
            count.set(count.get() + 1);
            let victims = victims.borrow();
            victims[0].set_timeout(Duration::ZERO);
            victims[1].destroy();
            victims[2].set_timeout(ms(500));
        });
        let (a, cancelled) = pair(world, script, plain("cancelled"));
        let (destroyed, moved) = pair(world, plain("destroyed"), plain("moved").stays_open());
        others
            .borrow_mut()
            .extend([cancelled, destroyed, moved.clone()]);
        a.set_timeout(ms(100));
        for socket in others.borrow().iter() {
            socket.set_timeout(ms(100));
        }
        let (end, all) = (a.clone(), Rc::clone(&others));
        world.event_loop.set_timeout(ms(300), move |_| {
            end.end();
            all.borrow_mut().clear();
        });
        world.run();
        assert_eq!(fired.get(), 1);
        world.assert_trace("cancelled", "end finish close(false)");
        world.assert_trace("destroyed", "close(false)");
        world.assert_trace("moved", "end finish close(false)");
    });
}

#[test]
fn after_end_the_timeout_still_watches_the_other_side() {
    each_form_sim(|world, sim| {
        let times = Rc::default();
        let a = timed(sim, &times, |socket, _| socket.destroy());
        let (a, b) = pair(world, a, plain("B"));
        b.set_allow_half_open(true);
        a.set_timeout(ms(200)).end();
        let end = b.clone();
        world.event_loop.set_timeout(ms(1000), move |_| end.end());
        world.run();
        assert_eq!(*times.borrow(), [200]);
        world.assert_trace("A", "finish timeout close(false)");
    });
}
