//! The system calls that hand-written epoll and the client make, in safe dress: the only unsafe code of the benches.

use std::fs;
use std::io::Error;
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as unix;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Unix,
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Place {
    Tcp(SocketAddr),
    /// The name of an abstract address, which leaves no file behind.
    Unix(String),
}

impl Place {
    pub fn unix_address(name: &str) -> unix::SocketAddr {
        unix::SocketAddr::from_abstract_name(name).expect("a name that is short enough")
    }
}

/// A listener that does not block. What is accepted from it inherits TCP_NODELAY.
pub fn listen(transport: Transport) -> (OwnedFd, Place) {
    let (listener, place): (OwnedFd, Place) = match transport {
        Transport::Tcp => {
            let listener = TcpListener::bind(("127.0.0.1", 0)).expect("no port");
            let place = Place::Tcp(listener.local_addr().expect("no address"));
            (listener.into(), place)
        }
        Transport::Unix => {
            let name = unused_name();
            let listener = unix::UnixListener::bind_addr(&Place::unix_address(&name));
            (listener.expect("no name").into(), Place::Unix(name))
        }
    };
    if transport == Transport::Tcp {
        let one: libc::c_int = 1;
        set_option(&listener, libc::IPPROTO_TCP, libc::TCP_NODELAY, &one);
    }
    set_nonblocking(&listener);
    // SAFETY: only numbers are passed. It makes the queue longer than the standard library asks for.
    check(
        unsafe { libc::listen(listener.as_raw_fd(), 4096) },
        "listen",
    );
    (listener, place)
}

/// A name for an abstract address that no other process uses.
pub fn unused_name() -> String {
    static NAMES: AtomicU32 = AtomicU32::new(0);
    let number = NAMES.fetch_add(1, Ordering::Relaxed);
    format!("tidewheel-bench-{}-{number}", process::id())
}

/// A connection that does not block, has TCP_NODELAY and leaves nothing behind in the kernel when it is dropped.
pub fn connect(place: &Place) -> OwnedFd {
    // On loopback the handshake is done when the call returns.
    let stream: OwnedFd = match place {
        Place::Tcp(address) => {
            let stream = TcpStream::connect(address).expect("no connection");
            stream.set_nodelay(true).expect("no TCP_NODELAY");
            stream.into()
        }
        Place::Unix(name) => {
            let address = Place::unix_address(name);
            let stream = unix::UnixStream::connect_addr(&address).expect("no connection");
            stream.into()
        }
    };
    set_nonblocking(&stream);
    let reset = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    set_option(&stream, libc::SOL_SOCKET, libc::SO_LINGER, &reset);
    stream
}

/// The next connection in the queue of a listener, if any; it does not block.
pub fn accept(listener: RawFd) -> Option<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let none = std::ptr::null_mut();
    // SAFETY: no address is asked for.
    let fd = unsafe { libc::accept4(listener, none, none.cast(), flags) };
    // SAFETY: the descriptor is new and nobody else's.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What a read or a write came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// Zero: the peer has ended.
    Bytes(usize),
    WouldBlock,
    Failed,
}

pub fn recv(fd: RawFd, buffer: &mut [u8]) -> Moved {
    // SAFETY: the buffer is ours for the length of the call.
    moved(unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) })
}

/// What `recv` does, and whether the read stopped behind a message that carried descriptors, so that more may be waiting.
pub fn recv_message(fd: RawFd, buffer: &mut [u8]) -> (Moved, bool) {
    let mut slice = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: zero is valid for integers and pointers.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut slice;
    message.msg_iovlen = 1;
    // SAFETY: the message names one slice, of the buffer, which is ours for the length of the call.
    let moved = moved(unsafe { libc::recvmsg(fd, &mut message, 0) });
    (moved, message.msg_flags & libc::MSG_CTRUNC != 0)
}

pub fn send(fd: RawFd, data: &[u8]) -> Moved {
    // SAFETY: the data is only read, and lives as long as the call.
    moved(unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), libc::MSG_NOSIGNAL) })
}

fn moved(n: isize) -> Moved {
    if n >= 0 {
        Moved::Bytes(n as usize)
    } else if Error::last_os_error().raw_os_error() == Some(libc::EAGAIN) {
        Moved::WouldBlock
    } else {
        Moved::Failed
    }
}

/// An epoll instance and the batch it filled last.
pub struct Epoll {
    fd: OwnedFd,
    batch: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> Epoll {
        // SAFETY: only a number is passed.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }, "epoll");
        Epoll {
            // SAFETY: the descriptor is new and nobody else's.
            fd: unsafe { OwnedFd::from_raw_fd(fd) },
            batch: vec![libc::epoll_event { events: 0, u64: 0 }; 1024],
        }
    }

    pub fn add(&self, fd: RawFd, interest: i32, key: u64) {
        self.control(libc::EPOLL_CTL_ADD, fd, interest, key);
    }

    pub fn modify(&self, fd: RawFd, interest: i32, key: u64) {
        self.control(libc::EPOLL_CTL_MOD, fd, interest, key);
    }

    fn control(&self, operation: i32, fd: RawFd, interest: i32, key: u64) {
        let mut event = libc::epoll_event {
            events: interest as u32,
            u64: key,
        };
        // SAFETY: the event lives as long as the call, which copies it.
        let result = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &mut event) };
        check(result, "epoll_ctl");
    }

    /// How many events came; they are asked for by [`Epoll::event`].
    pub fn wait(&mut self, milliseconds: i32) -> usize {
        let (batch, room) = (self.batch.as_mut_ptr(), self.batch.len() as i32);
        // SAFETY: the kernel writes at most as many events as there is room for.
        let n = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), batch, room, milliseconds) };
        n.max(0) as usize
    }

    /// The key and the readiness of an event of the last batch.
    pub fn event(&self, index: usize) -> (u64, i32) {
        let event = self.batch[index];
        (event.u64, event.events as i32)
    }
}

/// Segments with data that a TCP connection has received; nothing where the kernel does not tell.
pub fn data_segments_received(fd: RawFd) -> Option<u32> {
    // Where `tcpi_data_segs_in` stands in `tcp_info`; not every version of libc names it.
    const AT: usize = 152;
    let mut info = [0u8; 256];
    let mut length = info.len() as libc::socklen_t;
    let at = info.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `length` bytes, and says how many.
    let result =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, at, &mut length) };
    let field = info[AT..AT + 4].try_into().expect("four bytes");
    (result == 0 && length as usize >= AT + 4).then(|| u32::from_ne_bytes(field))
}

/// The processors this process may run on.
pub fn allowed_processors() -> Vec<usize> {
    // SAFETY: a set of zeros is an empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes no more than the size it is told.
    let result = unsafe { libc::sched_getaffinity(0, mem::size_of_val(&set), &mut set) };
    check(result, "sched_getaffinity");
    let allowed = |&cpu: &usize| {
        // SAFETY: the number is within the set.
        unsafe { libc::CPU_ISSET(cpu, &set) }
    };
    (0..libc::CPU_SETSIZE as usize).filter(allowed).collect()
}

/// Keeps the calling thread on one processor.
pub fn pin(processor: usize) {
    // SAFETY: a set of zeros is an empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the processor is one of those the kernel named, so it is within the set.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: the set is only read.
    let result = unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &set) };
    check(result, "sched_setaffinity");
}

/// The processor time of one thread, to be read by others.
#[derive(Clone, Copy)]
pub struct ThreadClock {
    clock: libc::clockid_t,
    thread: libc::pid_t,
}

impl ThreadClock {
    pub fn of_this_thread() -> ThreadClock {
        let mut clock = 0;
        // SAFETY: the thread is the one that calls, and the number is written to a variable of ours.
        let result = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
        assert_eq!(result, 0, "no clock of a thread");
        // SAFETY: nothing is passed.
        let thread = unsafe { libc::gettid() };
        ThreadClock { clock, thread }
    }

    pub fn read(self) -> Duration {
        read_clock(self.clock)
    }

    /// Ticks of the system that were spent in the program and in the kernel.
    pub fn ticks(self) -> (u64, u64) {
        let path = format!("/proc/self/task/{}/stat", self.thread);
        let text = fs::read_to_string(path).unwrap_or_default();
        // The name of the thread, in parentheses, may have spaces in it.
        let fields = text.rsplit(')').next().unwrap_or_default();
        let mut times = fields
            .split_whitespace()
            .skip(11)
            .map(|it| it.parse().unwrap_or(0));
        (times.next().unwrap_or(0), times.next().unwrap_or(0))
    }
}

/// The processor time of another process, all its threads together.
#[derive(Clone, Copy)]
pub struct ProcessClock(libc::clockid_t);

impl ProcessClock {
    pub fn of(process: u32) -> ProcessClock {
        let mut clock = 0;
        // SAFETY: the number is written to a variable of ours.
        let result = unsafe { libc::clock_getcpuclockid(process as libc::pid_t, &mut clock) };
        assert_eq!(result, 0, "no clock of a process");
        ProcessClock(clock)
    }

    pub fn read(self) -> Duration {
        read_clock(self.0)
    }
}

fn read_clock(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time is written to a variable of ours. What the clock is of lives: servers run until they are ended.
    check(unsafe { libc::clock_gettime(clock, &mut time) }, "clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Bytes of memory that a process has, counted by pages and not estimated.
pub fn resident(process: u32) -> u64 {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(path).expect("memory of the process");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    1024 * kib
        .and_then(|kib| kib.parse::<u64>().ok())
        .expect("a figure")
}

/// Raises the limit of open descriptors as far as one may, and tells it.
pub fn descriptors() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is written to a variable of ours.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    check(result, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the limit is only read.
    check(
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) },
        "setrlimit",
    );
    limit.rlim_cur.try_into().unwrap_or(usize::MAX)
}

fn set_nonblocking(fd: &OwnedFd) {
    // SAFETY: only numbers are passed.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    check(result, "fcntl");
}

fn set_option<T>(fd: &OwnedFd, level: i32, name: i32, value: &T) {
    let (at, size) = (std::ptr::from_ref(value), mem::size_of_val(value));
    // SAFETY: the value is only read, and its size is the true one.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            at.cast(),
            size as libc::socklen_t,
        )
    };
    check(result, "setsockopt");
}

#[track_caller]
fn check(result: i32, what: &str) -> i32 {
    assert!(result >= 0, "{what}: {}", Error::last_os_error());
    result
}
