//! A write to nobody must not kill a program that left SIGPIPE at its default, as one whose `main` is not Rust's does.

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::process::Command;
use std::time::Duration;

use sending::break_sending;
use tidewheel::net::{self, WriteStatus};
use tidewheel::EventLoop;

const CHILD: &str = "TIDEWHEEL_SIGPIPE_CHILD";

#[test]
fn sigpipe_does_not_kill_a_program_that_left_it_at_its_default() {
    let name = "sigpipe_does_not_kill_a_program_that_left_it_at_its_default";
    if std::env::var_os(CHILD).is_some() {
        // SAFETY: no handler is installed, only the default taken.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        return write_to_nobody();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{:?}\n{text}", output.status);
    assert!(text.contains("1 passed"), "{text}");
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
            event_loop.turn(Some(std::time::Duration::ZERO)).unwrap();
        }
    }
}
