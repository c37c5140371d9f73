//! `no_delay` and `keep_alive`: what the kernel is told, when, and how often. Only TCP has them.
//!
//! Whether a system call was made is seen by changing the option behind the library's back.

mod common;
#[path = "common/place.rs"]
mod place;

use std::os::fd::RawFd;
use std::time::Duration;

use common::{each_case, each_form_tcp, Script, World};
use place::option;
use tidewheel::net::{EventKind, ReadyState, ServerOptions, Socket};

const NO_DELAY: (i32, i32) = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
const KEEP_ALIVE: (i32, i32) = (libc::SOL_SOCKET, libc::SO_KEEPALIVE);
const IDLE: (i32, i32) = (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE);
const INTERVAL: (i32, i32) = (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL);
const PROBES: (i32, i32) = (libc::IPPROTO_TCP, libc::TCP_KEEPCNT);

fn get(socket: &Socket, (level, name): (i32, i32)) -> i32 {
    option(socket.raw_fd().unwrap(), level, name)
}

fn set(fd: RawFd, (level, name): (i32, i32), value: i32) {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointer and the length are of one live integer.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), length) };
    assert_eq!(result, 0);
}

/// The option keeps what it was given behind the library's back: `call` makes no system call.
#[track_caller]
fn assert_untouched(socket: &Socket, of: (i32, i32), value: i32, call: impl FnOnce(&Socket)) {
    set(socket.raw_fd().unwrap(), of, value);
    call(socket);
    let now = get(socket, of);
    assert!(now == value || (value != 0 && now != 0), "it was set");
}

fn secs(secs: u64) -> Option<Duration> {
    Some(Duration::from_secs(secs))
}

/// A client that is prepared before it connects and checked when it has.
fn prepared(world: &World, prepare: impl Fn(&Socket), check: impl FnMut(&Socket) + 'static) {
    let server = world.serve_one(|| Script::new("S"));
    let mut check = check;
    let client = world.client(
        &server,
        Script::new("C").on(EventKind::Connect, move |socket, _| {
            check(socket);
            socket.end();
        }),
    );
    prepare(&client);
    world.run();
    world.assert_trace("C", "connect ready finish end close(false)");
}

#[test]
fn nothing_is_set_by_default() {
    each_form_tcp(|world| {
        prepared(
            world,
            |_| {},
            |socket| {
                assert_eq!((get(socket, NO_DELAY), get(socket, KEEP_ALIVE)), (0, 0));
            },
        );
    });
}

#[test]
fn no_delay_before_connect_is_remembered_and_applied_once_connected() {
    each_form_tcp(|world| {
        prepared(
            world,
            |socket| {
                socket.set_no_delay(true);
            },
            |socket| {
                assert_eq!(get(socket, NO_DELAY), 1);
                assert_untouched(socket, NO_DELAY, 0, |socket| {
                    socket.set_no_delay(true);
                });
            },
        );
    });
}

#[test]
fn no_delay_is_set_and_unset_with_a_system_call_for_each_change_only() {
    each_form_tcp(|world| {
        prepared(
            world,
            |_| {},
            |socket| {
                assert_untouched(socket, NO_DELAY, 1, |socket| {
                    socket.set_no_delay(false);
                });
                set(socket.raw_fd().unwrap(), NO_DELAY, 0);
                socket.set_no_delay(true);
                assert_eq!(get(socket, NO_DELAY), 1);
                assert_untouched(socket, NO_DELAY, 0, |socket| {
                    socket.set_no_delay(true).set_no_delay(true);
                });
                set(socket.raw_fd().unwrap(), NO_DELAY, 1);
                socket.set_no_delay(false);
                assert_eq!(get(socket, NO_DELAY), 0);
            },
        );
    });
}

#[test]
fn keep_alive_takes_whole_seconds_and_sets_the_probes_with_them() {
    each_form_tcp(|world| {
        prepared(
            world,
            |_| {},
            |socket| {
                let system = get(socket, IDLE);
                socket.set_keep_alive(true, Some(Duration::from_millis(456_123)));
                assert_eq!(get(socket, KEEP_ALIVE), 1);
                assert_eq!(get(socket, IDLE), 456);
                assert_eq!((get(socket, INTERVAL), get(socket, PROBES)), (1, 10));
                assert_ne!(system, 456);
            },
        );
    });
}

#[test]
fn a_delay_of_less_than_a_second_leaves_the_systems() {
    for delay in [None, Some(Duration::ZERO), Some(Duration::from_millis(123))] {
        each_form_tcp(|world| {
            prepared(
                world,
                |_| {},
                move |socket| {
                    let system = get(socket, IDLE);
                    socket.set_keep_alive(true, delay);
                    assert_eq!(get(socket, KEEP_ALIVE), 1);
                    assert_eq!(get(socket, IDLE), system);
                },
            );
        });
    }
}

#[test]
fn keep_alive_before_connect_is_remembered_and_the_same_again_makes_no_call() {
    each_form_tcp(|world| {
        prepared(
            world,
            |socket| {
                socket.set_keep_alive(true, secs(600));
            },
            |socket| {
                assert_eq!((get(socket, KEEP_ALIVE), get(socket, IDLE)), (1, 600));
                set(socket.raw_fd().unwrap(), IDLE, 77);
                socket.set_keep_alive(true, secs(600));
                assert_eq!(get(socket, IDLE), 77, "the same again");
                socket.set_keep_alive(true, secs(700));
                assert_eq!(get(socket, IDLE), 700, "another delay");
                socket.set_keep_alive(false, None);
                assert_eq!(get(socket, KEEP_ALIVE), 0);
            },
        );
    });
}

#[test]
fn options_of_a_connect_are_applied_once_connected() {
    each_form_tcp(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let options = world
            .connect_options(&server)
            .no_delay(true)
            .keep_alive(true)
            .keep_alive_initial_delay(Duration::from_secs(60))
            .timeout(Duration::from_secs(9));
        let client = world.client_with(
            options,
            Script::new("C").on(EventKind::Connect, |socket, _| {
                assert_eq!((get(socket, NO_DELAY), get(socket, KEEP_ALIVE)), (1, 1));
                assert_eq!(get(socket, IDLE), 60);
                socket.end();
            }),
        );
        assert_eq!(client.timeout(), secs(9), "it counts from the start");
        world.run();
    });
}

#[test]
fn accepted_sockets_have_those_of_their_server_before_connection_is_told() {
    each_form_tcp(|world| {
        let options = ServerOptions::default()
            .no_delay(true)
            .keep_alive(true)
            .keep_alive_initial_delay(Duration::from_secs(50))
            .timeout(Duration::from_secs(8));
        let watcher = world.watcher();
        let server = world.server_with(options, move |socket| {
            assert_eq!((get(socket, NO_DELAY), get(socket, KEEP_ALIVE)), (1, 1));
            assert_eq!(get(socket, IDLE), 50);
            assert_eq!(socket.timeout(), secs(8));
            assert_untouched(socket, NO_DELAY, 0, |socket| {
                socket.set_no_delay(true);
            });
            socket.set_keep_alive(true, secs(51));
            assert_eq!(get(socket, IDLE), 51);
            watcher.watch(socket, Script::new("S"));
            socket.server().unwrap().close();
            socket.end();
        });
        world.client(&server, Script::new("C"));
        world.run();
    });
}

#[test]
fn both_are_accepted_in_silence_everywhere() {
    each_case(|world| {
        let all = |socket: &Socket| {
            socket.set_no_delay(true).set_no_delay(false);
            socket
                .set_keep_alive(true, secs(5))
                .set_keep_alive(false, None);
            assert!(std::ptr::eq(socket.set_no_delay(true), socket));
        };
        let server = world.serve_one(move || {
            Script::new("S")
                .on(EventKind::End, move |socket, _| all(socket))
                .on(EventKind::Close, move |socket, _| all(socket))
        });
        let client = world.client(
            &server,
            Script::new("C").on(EventKind::Ready, move |socket, _| {
                all(socket);
                socket.end();
            }),
        );
        all(&client);
        world.run();
        all(&client);
        world.assert_trace("C", "connect ready finish end close(false)");
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn probes_change_nothing_that_is_seen_and_are_no_activity() {
    // The one test that waits: the kernel has no delay shorter than a second.
    const PERIOD: Duration = Duration::from_millis(1700);
    let world = World::new(common::Form::Closures, common::Transport::Tcp);
    let server = world.serve_one(|| Script::new("S"));
    world.client(
        &server,
        Script::new("C")
            .on(EventKind::Ready, |socket, _| {
                socket.set_keep_alive(true, secs(1)).set_timeout(PERIOD);
            })
            .on(EventKind::Timeout, |socket, _| {
                assert_eq!(socket.ready_state(), ReadyState::Open);
                socket.end();
            }),
    );
    let start = std::time::Instant::now();
    world.run();
    assert!(start.elapsed() >= PERIOD);
    world.assert_trace("C", "connect ready timeout finish end close(false)");
    world.assert_trace("S", "end finish close(false)");
    world.finish();
}

/// Linux refuses a longer one.
#[test]
fn a_delay_of_days_is_cut_to_the_longest_there_is() {
    each_form_tcp(|world| {
        let day = Duration::from_secs(24 * 60 * 60);
        let options = ServerOptions::default()
            .keep_alive(true)
            .keep_alive_initial_delay(day);
        let watcher = world.watcher();
        let server = world.server_with(options, move |socket| {
            assert_eq!(get(socket, IDLE), 32_767);
            socket.set_keep_alive(true, secs(50));
            socket.set_keep_alive(true, Some(Duration::MAX));
            assert_eq!(get(socket, IDLE), 32_767);
            watcher.watch(socket, Script::new("S"));
            socket.server().unwrap().close();
            socket.end();
        });
        world.client(&server, Script::new("C"));
        world.run();
    });
}
