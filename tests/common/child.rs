//! Tests that change what belongs to the whole process, its limits, descriptors or user, run in a process of their
//! own: the test binary started again for that one test.
#![allow(dead_code)]

use std::process::Command;

const VARIABLE: &str = "TIDEWHEEL_TEST_IN_CHILD";

/// A child that has not ended by then is killed.
const STUCK_SECONDS: u32 = 90;

/// Runs `body` in a child. `test` is the name of the test that calls this.
#[track_caller]
pub fn in_child(test: &str, body: impl FnOnce()) {
    if std::env::var(VARIABLE).is_ok_and(|name| name == test) {
        // SAFETY: the call takes no pointers.
        unsafe { libc::alarm(STUCK_SECONDS) };
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, test)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{said}", output.status);
    // A name that is none would run nothing, and succeed.
    assert!(said.contains("1 passed"), "{test} is not a test:\n{said}");
    for line in said.lines().filter(|line| line.starts_with("skipped")) {
        println!("{line}");
    }
}

/// Sets how many descriptors may be numbered, and gives what it was. Those already open stay open.
pub fn limit_descriptors(limit: u64) -> u64 {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live `rlimit`.
    assert_eq!(
        unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits) },
        0
    );
    let before = limits.rlim_cur;
    limits.rlim_cur = limit.min(limits.rlim_max);
    // SAFETY: as above.
    assert_eq!(
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits) },
        0
    );
    before
}

/// Becomes nobody, if this is root: root may do what is to fail here.
pub fn leave_root() {
    // SAFETY: the calls take no pointers.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setgid(65534), 0);
            assert_eq!(libc::setuid(65534), 0);
        }
    }
}
