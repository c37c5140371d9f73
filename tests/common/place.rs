//! Addresses of a certain kind: where nobody listens, what a descriptor says of itself.
#![allow(dead_code)]

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use tidewheel::net::{Address, ConnectOptions, ListenOptions};

use super::common::{Peer, Transport, World};

/// A place that refuses connections as long as this lives.
pub struct Nobody {
    pub address: Address,
    _reserved: Option<OwnedFd>,
}

impl Nobody {
    /// A port that is bound and not listened on, so that no other program gets it meanwhile; or the path of a
    /// listener that is gone.
    pub fn new(world: &World) -> Nobody {
        match world.transport {
            Transport::Tcp => {
                let reserved = bound_port();
                Nobody {
                    address: Address::Ip(local_port(&reserved)),
                    _reserved: Some(reserved),
                }
            }
            Transport::Unix => {
                let path = world.path("gone");
                if !path.exists() {
                    drop(UnixListener::bind(&path).unwrap());
                }
                Nobody {
                    address: Address::Path(path),
                    _reserved: None,
                }
            }
        }
    }

    pub fn to_connect(&self) -> ConnectOptions {
        self.address.clone().into()
    }

    pub fn to_listen(&self) -> ListenOptions {
        self.address.clone().into()
    }
}

/// A listener whose queue is full, as long as this lives.
pub struct FullQueue {
    pub address: Address,
    _listener: OwnedFd,
    _waiting: Peer,
}

impl FullQueue {
    pub fn new(world: &World) -> FullQueue {
        let (listener, address) = match world.transport {
            Transport::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = Address::Ip(listener.local_addr().unwrap());
                (OwnedFd::from(listener), address)
            }
            Transport::Unix => {
                let path = world.path("full");
                let listener = UnixListener::bind(&path).unwrap();
                (OwnedFd::from(listener), Address::Path(path))
            }
        };
        // SAFETY: the call takes no pointers.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        // A backlog of 0 has room for one.
        let waiting = Peer::connect(&address);
        FullQueue {
            address,
            _listener: listener,
            _waiting: waiting,
        }
    }
}

/// A TCP socket bound to some port of 127.0.0.1, not listening.
fn bound_port() -> OwnedFd {
    bound(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
}

/// A TCP socket bound to an IPv4 address, not listening.
pub fn bound(at: SocketAddr) -> io::Result<OwnedFd> {
    let SocketAddr::V4(at) = at else {
        panic!("{at} is not IPv4");
    };
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: at.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(at.ip().octets()),
        },
        sin_zero: [0; 8],
    };
    // SAFETY: the descriptor is new and owned by nobody else; the pointer and the length are of one live address.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        assert!(fd >= 0);
        let owned = OwnedFd::from_raw_fd(fd);
        let bound = libc::bind(
            fd,
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        );
        match bound {
            0 => Ok(owned),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn local_port(fd: &OwnedFd) -> SocketAddr {
    let socket = TcpListener::from(fd.try_clone().unwrap());
    socket.local_addr().unwrap()
}

/// A socket option of an integer.
pub fn option(fd: RawFd, level: i32, name: i32) -> i32 {
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointers are to a live integer and to its length.
    let result =
        unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut length) };
    assert_eq!(result, 0);
    value
}

/// How many connections a TCP listener lets wait: Linux keeps it in a field that has another meaning for connections.
pub fn listen_backlog(fd: RawFd) -> u32 {
    // SAFETY: the structure is plain integers, for which zero is valid; the pointers are to it and to its length.
    let info = unsafe {
        let mut info: libc::tcp_info = std::mem::zeroed();
        let mut length = size_of_val(&info) as libc::socklen_t;
        let result = libc::getsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        );
        assert_eq!(result, 0);
        info
    };
    info.tcpi_sacked
}

/// Whether this machine can listen on `::1`; says so if not.
pub fn has_ipv6() -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        println!("skipped: this machine has no IPv6");
    }
    has
}

/// Turns the loop until something is so.
#[track_caller]
pub fn turn_until(world: &World, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        world
            .event_loop
            .turn(Some(Duration::from_millis(100)))
            .unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "stuck:\n{}",
            world.log().join("\n")
        );
    }
}

/// A long turn. In the next all who wait for a server are accepted: after a short one each has a turn of its own.
pub fn long_turn(world: &World) {
    world.event_loop.set_immediate(|_| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1) {}
    });
    world.event_loop.turn(Some(Duration::ZERO)).unwrap();
}

/// The same descriptor under a number of 1,000 or more, out of the way of a low limit.
pub fn out_of_the_way(fd: OwnedFd) -> OwnedFd {
    // SAFETY: the descriptor that comes is new and owned by nobody else.
    unsafe {
        let high = libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 1000);
        assert!(high >= 1000, "{}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(high)
    }
}
