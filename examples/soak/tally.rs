//! What all threads count together, and what the system says of the process.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Complaints that are printed; beyond that they are counted.
const PRINTED: u64 = 20;

#[derive(Default)]
pub struct Tally {
    /// No more connections are to be begun.
    pub stopping: AtomicBool,
    /// The clients are gone, and the servers may go.
    pub closing: AtomicBool,
    /// Clients that exist: their state, not only their sockets.
    pub live: Count,
    pub served_live: Count,
    pub begun: Count,
    /// Connections that did all they were to do, and those that met the fault they were to meet.
    pub complete: Count,
    pub faults: Count,
    /// Dialled again later, because the system had no room for it.
    pub busy: Count,
    pub unexpected: Count,
    /// Of the connections without a fault, as counted by the clients and by the servers.
    pub sent: Count,
    pub received: Count,
    pub served_in: Count,
    pub served_out: Count,
}

impl Tally {
    /// Something that should not be.
    pub fn unexpected(&self, what: &str) {
        if self.unexpected.add(1) < PRINTED {
            println!("UNEXPECTED: {what}");
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    /// What it was before.
    pub fn add(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Ordering::AcqRel)
    }

    pub fn remove_one(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Descriptors that are open.
pub fn descriptors() -> u64 {
    // One of them is the directory itself.
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64 - 1)
}

/// Resident memory, in KiB.
pub fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.and_then(|line| line.split_whitespace().nth(1));
    words.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Raises the soft limit of descriptors as far as it goes, and says how far that is.
pub fn raise_descriptors() -> u64 {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointers are to a live `rlimit`.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits);
        limits.rlim_cur = limits.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits);
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits);
    }
    limits.rlim_cur
}
