//! A name server that never answers, asked by the system's own resolver: timers and sockets are unaffected. It needs a
//! system that lets a process have namespaces of its own, where it is root: without a network, and with a
//! `resolv.conf` that names a server of the test's.
#![cfg(target_os = "linux")]

#[path = "common/child.rs"]
mod child;

use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use child::{command_as, role};
use tidewheel::net;
use tidewheel::EventLoop;

const NAME: &str = "never.answered.example";
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_name_server_that_never_answers_delays_neither_timers_nor_sockets() {
    let test = "a_name_server_that_never_answers_delays_neither_timers_nor_sockets";
    if role(test).is_some() {
        return match deaf_name_server() {
            Ok(name_server) => look_up_in_vain(&name_server),
            Err(error) => println!("\nskipped: no name server can be made here: {error}"),
        };
    }
    // SAFETY: these only ask.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let user = CString::new(format!("0 {user} 1")).unwrap();
    let group = CString::new(format!("0 {group} 1")).unwrap();
    let mut command = command_as(test, "inside");
    // SAFETY: between fork and exec only system calls are made, with memory that is there already.
    unsafe { command.pre_exec(move || enter_namespaces(&user, &group)) };
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return println!("skipped: no namespaces of its own for a process: {error}"),
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    for line in said.lines().filter(|line| line.starts_with("skipped")) {
        println!("{line}");
    }
}

/// The body, in the process of its own.
fn look_up_in_vain(name_server: &UdpSocket) {
    let event_loop = EventLoop::new().unwrap();
    let server = net::create_server(&event_loop, |socket| {
        socket.pipe(socket);
    });
    server.listen(("127.0.0.1", 0), |_| {}).unwrap();
    let address = server.address().unwrap();
    let start = Instant::now();
    let hung = net::connect(&event_loop, (NAME, 1), |_| panic!("connected"));
    hung.on_error(|_, error| panic!("{error}"));
    assert!(event_loop.turn(Some(Duration::ZERO)).unwrap());
    // The question has come, and stays without an answer.
    let mut question = [0; 512];
    let length = name_server.recv(&mut question).unwrap();
    assert!(question[..length].windows(5).any(|label| label == b"never"));

    let by_name = net::connect(
        &event_loop,
        ("localhost", address.port().unwrap()),
        |socket| socket.end(),
    );
    let peer = address.ip().unwrap();
    let port = address.port().unwrap();
    let talk = std::thread::spawn(move || {
        let mut peer = TcpStream::connect((peer, port)).unwrap();
        for _ in 0..100 {
            let mut answer = [0; 4];
            peer.write_all(b"ping").unwrap();
            peer.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"ping");
        }
    });
    let ticks = Rc::new(Cell::new(0));
    let tick = Rc::clone(&ticks);
    let interval = event_loop.set_interval(Duration::from_millis(5), move |_| {
        tick.set(tick.get() + 1);
    });
    while !(ticks.get() >= 10 && talk.is_finished() && by_name.destroyed()) {
        event_loop.turn(Some(Duration::from_millis(10))).unwrap();
        assert!(start.elapsed() < SOON, "stuck after {} ticks", ticks.get());
    }
    talk.join().unwrap();
    assert!(hung.connecting(), "the look-up still waits");
    hung.destroy();
    interval.clear();
    server.close();
    event_loop.run().unwrap();
    assert_eq!(event_loop.stats().sockets_open, 0);
    // Nor does the end wait for the look-up.
    let start = Instant::now();
    drop(event_loop);
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// A socket where the system's resolver now sends its questions.
fn deaf_name_server() -> io::Result<UdpSocket> {
    let no_path = c"none".as_ptr();
    // SAFETY: the strings are there through the call, and the last pointer may be null.
    let private = unsafe {
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        libc::mount(no_path, c"/".as_ptr(), no_path, flags, std::ptr::null())
    };
    done(private)?;
    replace_file("resolv.conf", "nameserver 127.0.0.1\noptions timeout:30\n")?;
    if Path::new("/etc/nsswitch.conf").exists() {
        replace_file("nsswitch.conf", "hosts: files dns\n")?;
    }
    raise_loopback()?;
    let socket = UdpSocket::bind("127.0.0.1:53")?;
    socket.set_read_timeout(Some(SOON))?;
    Ok(socket)
}

/// Puts a file over one of `/etc`, for this process alone.
fn replace_file(name: &str, text: &str) -> io::Result<()> {
    let own = std::env::temp_dir().join(format!("tidewheel-{}-{name}", std::process::id()));
    std::fs::write(&own, text)?;
    let from = CString::new(own.to_str().unwrap())?;
    let to = CString::new(format!("/etc/{name}"))?;
    // SAFETY: the strings are there through the call; a bind mount has neither type nor data.
    let mounted = unsafe {
        libc::mount(
            from.as_ptr(),
            to.as_ptr(),
            std::ptr::null(),
            libc::MS_BIND,
            std::ptr::null(),
        )
    };
    let mounted = done(mounted);
    // What is mounted stays without its name.
    std::fs::remove_file(own)?;
    mounted
}

fn raise_loopback() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: zero is a valid `ifreq`; the pointer is to a live one.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
        done(libc::ioctl(fd, libc::SIOCSIFFLAGS, &raw const request))
    }
}

/// Namespaces of users, mounts and networks, with the user as root of them.
fn enter_namespaces(user: &CStr, group: &CStr) -> io::Result<()> {
    let all = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET;
    // SAFETY: the call takes no pointers.
    done(unsafe { libc::unshare(all) })?;
    write_file(c"/proc/self/setgroups", c"deny")?;
    write_file(c"/proc/self/uid_map", user)?;
    write_file(c"/proc/self/gid_map", group)
}

fn write_file(path: &CStr, text: &CStr) -> io::Result<()> {
    let bytes = text.to_bytes();
    // SAFETY: path and bytes are there through the calls; the descriptor is closed at the exec at the latest.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        done(fd)?;
        let written = libc::write(fd, bytes.as_ptr().cast(), bytes.len());
        done(written as libc::c_int)
    }
}

fn done(result: libc::c_int) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
