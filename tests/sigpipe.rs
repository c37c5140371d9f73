//! A write to nobody must not kill a program that left SIGPIPE at its default, as one whose `main` is not Rust's does.

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/sending.rs"]
mod sending;

use std::time::Duration;

use child::in_child;
use common::EventLoop;
use sending::break_sending;
use tidewheel::net::{self, WriteStatus};

#[test]
fn sigpipe_does_not_kill_a_program_that_left_it_at_its_default() {
    let name = "sigpipe_does_not_kill_a_program_that_left_it_at_its_default";
    in_child(name, || {
        // SAFETY: no handler is installed, only the default taken.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        write_to_nobody();
    });
}

/// A write, and a gathered one: both by `send` calls that raise no signal.
fn write_to_nobody() {
    for corked in [false, true] {
        let event_loop = EventLoop::new().unwrap();
        let (a, _b) = net::pair(&event_loop).unwrap();
        break_sending(&a);
        if corked {
            a.cork();
            a.write(vec![b'x'; 10]);
            a.write(vec![b'y'; 10]);
            a.uncork();
        } else {
            assert_eq!(a.write("x"), WriteStatus::Refused);
        }
        while !a.destroyed() {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
    }
}
