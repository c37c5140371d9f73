//! Tests that change what belongs to the whole process, its limits, descriptors or user, run in a process of their
//! own: the test binary started again for that one test.
#![allow(dead_code)]

use std::process::{Child, Command, Stdio};

const VARIABLE: &str = "TIDEWHEEL_TEST_IN_CHILD";
const ROLE: &str = "TIDEWHEEL_TEST_ROLE";

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

/// Starts the test `test` once more in a process of its own, to play a part in it: there [`role`] says which. Its
/// standard input is a pipe that ends when the returned value is dropped.
#[track_caller]
pub fn start_as(test: &str, role: &str) -> Child {
    command_as(test, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The command that does so.
pub fn command_as(test: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, format!("{test} {role}"));
    command
}

/// The part that this process is to play in the test, if it was started for one.
pub fn role(test: &str) -> Option<String> {
    let role = std::env::var(ROLE).ok()?;
    Some(role.strip_prefix(test)?.trim().to_string())
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

/// Makes the system refuse IPv6 sockets to this thread, as one without IPv6 does. False: it may not.
pub fn forbid_ipv6() -> bool {
    const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    // `seccomp_data`: the call's number at 0, its first argument at 16 (the low half, on little endian).
    let mut program = [
        step(LOAD_WORD, 0, 0, 0),
        step(JUMP_EQUAL, libc::SYS_socket as u32, 0, 3),
        step(LOAD_WORD, 16, 0, 0),
        step(JUMP_EQUAL, libc::AF_INET6 as u32, 0, 1),
        step(
            RETURN,
            libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32,
            0,
            0,
        ),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the filter lives through the call, which copies it.
    unsafe {
        cfg!(target_endian = "little")
            && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const filter,
            ) == 0
    }
}
