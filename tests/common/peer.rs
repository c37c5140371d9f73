//! The other side of a connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use tidewheel::net::Address;

use super::STUCK;

/// A blocking socket of the standard library's, as the other side of a connection.
pub enum Peer {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Peer {
    #[track_caller]
    pub fn connect(address: &Address) -> Peer {
        Peer::try_connect(address).unwrap()
    }

    pub fn try_connect(address: &Address) -> io::Result<Peer> {
        let peer = match address {
            Address::Ip(address) => Peer::Tcp(TcpStream::connect(address)?),
            Address::Path(path) => Peer::Unix(UnixStream::connect(path)?),
            other => panic!("no peer for {other}"),
        };
        match &peer {
            Peer::Tcp(stream) => stream.set_read_timeout(Some(STUCK))?,
            Peer::Unix(stream) => stream.set_read_timeout(Some(STUCK))?,
        }
        Ok(peer)
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.write_all(bytes).unwrap();
    }

    /// Its FIN.
    #[track_caller]
    pub fn end(&self) {
        match self {
            Peer::Tcp(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Peer::Unix(stream) => stream.shutdown(Shutdown::Write).unwrap(),
        }
    }

    /// Reads to the end.
    #[track_caller]
    pub fn read_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Closes with a reset. Over UNIX sockets only unread data makes one; then `false` is returned.
    pub fn reset(self) -> bool {
        match self {
            Peer::Tcp(stream) => {
                let linger = libc::linger {
                    l_onoff: 1,
                    l_linger: 0,
                };
                // SAFETY: the pointer and the length are of one live `linger`.
                let result = unsafe {
                    libc::setsockopt(
                        stream.as_raw_fd(),
                        libc::SOL_SOCKET,
                        libc::SO_LINGER,
                        (&raw const linger).cast(),
                        size_of_val(&linger) as libc::socklen_t,
                    )
                };
                assert_eq!(result, 0);
                true
            }
            Peer::Unix(_) => false,
        }
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Peer::Tcp(stream) => stream.read(buffer),
            Peer::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Peer::Tcp(stream) => stream.write(bytes),
            Peer::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
