//! What every test program is held to, whether it uses the harness or not: when it ends no descriptor is left that was
//! not there when it began, and no loop that came to its end keeps a socket or a timer.
//!
//! [`EventLoop`] stands in for the crate's; the harness looks at descriptors and closures after each scenario besides.
#![allow(dead_code)]

use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tidewheel::HandleKind;

/// The crate's loop, looked at when it is dropped.
#[derive(Debug)]
pub struct EventLoop(tidewheel::EventLoop);

impl EventLoop {
    pub fn new() -> tidewheel::Result<EventLoop> {
        tidewheel::EventLoop::new().map(EventLoop)
    }

    pub fn builder() -> tidewheel::Builder {
        tidewheel::EventLoop::builder()
    }

    /// A loop with settings of its own.
    pub fn of(builder: tidewheel::Builder) -> tidewheel::Result<EventLoop> {
        builder.build().map(EventLoop)
    }
}

impl Deref for EventLoop {
    type Target = tidewheel::EventLoop;

    fn deref(&self) -> &tidewheel::EventLoop {
        &self.0
    }
}

impl AsFd for EventLoop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for EventLoop {
    /// A loop with something still under way is one that was dropped in the middle; then it closes all there is.
    fn drop(&mut self) {
        let goes_on = |kind| !matches!(kind, HandleKind::Remote);
        let mut handles = self.active_handles().into_iter();
        if std::thread::panicking() || self.is_alive() || handles.any(|it| goes_on(it.kind)) {
            return;
        }
        // One turn frees what the last calls let go of.
        let last = self.turn(Some(Duration::ZERO));
        let stats = self.stats();
        let left = (stats.sockets_open, stats.timers);
        assert_eq!(left, (0, 0), "sockets and timers are left ({last:?})");
    }
}

/// How long what other threads have open for a moment may stay open at the end.
const PATIENCE: Duration = Duration::from_secs(5);

static AT_FIRST: OnceLock<Vec<(i32, PathBuf)>> = OnceLock::new();

/// Before `main`, because the tests run beside one another: once they do there is no time at which none has anything
/// open.
#[cfg(target_os = "linux")]
#[used]
#[link_section = ".init_array"]
static BEFORE_MAIN: extern "C" fn() = begin;

extern "C" fn begin() {
    let _ = AT_FIRST.set(descriptors());
    // SAFETY: `end` takes nothing and does not unwind.
    unsafe { libc::atexit(end) };
}

extern "C" fn end() {
    let at_first = AT_FIRST.get().map_or(&[][..], Vec::as_slice);
    let known = |fd: &i32| at_first.iter().any(|(number, _)| number == fd);
    let start = Instant::now();
    loop {
        let mut left = descriptors();
        left.retain(|(fd, _)| !known(fd));
        if left.is_empty() {
            return;
        }
        if start.elapsed() > PATIENCE {
            eprintln!("descriptors are left when all tests have ended: {left:?}");
            // SAFETY: it ends the process, which has nothing left to do.
            unsafe { libc::_exit(101) };
        }
        std::thread::yield_now();
    }
}

/// All that are open, and what they are.
fn descriptors() -> Vec<(i32, PathBuf)> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    entries
        .flatten()
        .filter_map(|entry| {
            let fd = entry.file_name().to_str()?.parse().ok()?;
            // The directory that is being read is gone by the time one looks.
            Some((fd, std::fs::read_link(entry.path()).ok()?))
        })
        .filter(|(_, file)| !file.starts_with("/proc"))
        .collect()
}
