//! Clocks that jump: the loop knows none but the monotonic one, and where that has moved on while the process was
//! stopped, everything overdue happens once.

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/place.rs"]
mod place;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use child::in_child;
use common::{run_on, Form, Script, Transport, World};
use place::turn_until;
use tidewheel::net::{EventKind, ServerOptions};
use tidewheel::EventLoop;

const STOPPED: Duration = Duration::from_millis(200);

/// Stops this process, all threads of it, for a while: as a debugger does, or a machine that is moved.
fn stop_for_a_while() {
    // SAFETY: the child makes only calls that are allowed after a fork in a program with threads.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: as above; the numbers are of the parent, which waits for this child.
        unsafe {
            let parent = libc::getppid();
            libc::kill(parent, libc::SIGSTOP);
            libc::usleep(STOPPED.as_micros() as libc::useconds_t);
            libc::kill(parent, libc::SIGCONT);
            libc::_exit(0);
        }
    }
    // SAFETY: a null status is not stored.
    let waited = unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    assert_eq!(waited, pid);
}

/// Runs a scenario in a process that is stopped when the scenario says so; that it was is checked.
fn each_transport_stopped(test: &str, scenario: fn(&World, &dyn Fn())) {
    in_child(test, || {
        for transport in [Transport::Tcp, Transport::Unix] {
            run_on(EventLoop::builder(), Form::Closures, transport, &|world| {
                scenario(world, &|| {
                    let start = Instant::now();
                    stop_for_a_while();
                    assert!(start.elapsed() >= STOPPED, "it was not stopped");
                });
            });
        }
    });
}

#[test]
fn timers_overdue_after_a_stop_fire_once_and_intervals_skip_what_they_missed() {
    let test = "timers_overdue_after_a_stop_fire_once_and_intervals_skip_what_they_missed";
    each_transport_stopped(test, |world, stop| {
        let (fired, ticks) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let start = Instant::now();
        for millis in [30, 100, 180] {
            let (fired, time) = (Rc::clone(&fired), Duration::from_millis(millis));
            world.event_loop.set_timeout(time, move |_| {
                assert!(start.elapsed() >= time, "early");
                fired.set(fired.get() + 1);
            });
        }
        let late = Duration::from_millis(350);
        let after = Rc::clone(&fired);
        world.event_loop.set_timeout(late, move |_| {
            assert!(start.elapsed() >= late, "early");
            assert_eq!(after.get(), 3);
        });
        let tick = Rc::clone(&ticks);
        let interval = world
            .event_loop
            .set_interval(Duration::from_millis(10), move |_| tick.set(tick.get() + 1));
        stop();
        let goes_on = Instant::now();
        world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!((fired.get(), ticks.get()), (3, 1));
        for _ in 0..10 {
            world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        // Those of the meantime, and not of the time before.
        let most = 2 + goes_on.elapsed().as_millis() / 10;
        assert!(ticks.get() as u128 <= most, "{} ticks", ticks.get());
        interval.clear();
        world.run();
        assert_eq!(fired.get(), 3);
    });
}

#[test]
fn an_idle_timeout_overdue_after_a_stop_fires_once_and_the_connection_lives() {
    let test = "an_idle_timeout_overdue_after_a_stop_fires_once_and_the_connection_lives";
    each_transport_stopped(test, |world, stop| {
        let options = ServerOptions::default().timeout(STOPPED / 2);
        let server = world.server_for(1, options, || {
            Script::new("S").on(EventKind::Timeout, |socket, _| {
                socket.set_timeout(Duration::ZERO);
                socket.write("still there?");
            })
        });
        let mut peer = world.peer(&server);
        turn_until(world, || server.connections() == 1);
        stop();
        turn_until(world, || world.event_loop.stats().bytes_out == 12);
        peer.send(b"yes");
        peer.end();
        world.run();
        world.assert_trace("S", "timeout data(3) end finish close(false)");
    });
}

/// The wall clock is set by administrators and by the network; the system never sets the monotonic one.
#[test]
fn no_source_file_but_those_of_tls_reads_the_wall_clock() {
    let mut files = 0;
    visit(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut |path| {
            files += 1;
            // How long a certificate is valid is a matter of the calendar.
            if path.components().any(|part| part.as_os_str() == "tls") {
                return;
            }
            let text = fs::read_to_string(path).unwrap();
            for clock in ["SystemTime", "CLOCK_REALTIME", "UNIX_EPOCH", "gettimeofday"] {
                assert!(!text.contains(clock), "{}: {clock}", path.display());
            }
        },
    );
    assert!(files > 50, "{files} files");
}

fn visit(directory: &Path, look: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, look);
        } else {
            look(&path);
        }
    }
}
