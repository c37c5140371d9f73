//! As much of epoll as a loop needs.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: the call takes no pointers.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was just made, and nobody else has it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Has [`wait`](Epoll::wait) give `token` for as long as `source` is readable: level-triggered, for a turn of an
    /// event loop may leave some of the events for the next one.
    pub fn add(&self, source: &impl AsFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        let (epoll, fd) = (self.0.as_raw_fd(), source.as_fd().as_raw_fd());
        // SAFETY: both descriptors are open, and `event` lives through the call.
        check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) })?;
        Ok(())
    }

    /// The tokens of what is readable: at once, or in time, or none. `None` waits for as long as it takes.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<impl Iterator<Item = u64>> {
        // Rounded up: who wakes before it is time finds nothing to do, and waits for nothing again and again.
        let timeout = timeout.map(|timeout| timeout.as_nanos().div_ceil(1_000_000));
        let timeout = timeout.map_or(-1, |timeout| timeout.try_into().unwrap_or(i32::MAX));
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
        let (epoll, room) = (self.0.as_raw_fd(), events.len() as i32);
        // SAFETY: there is room for as many events as it says.
        let waited = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), room, timeout) };
        let count = match check(waited) {
            // A signal came. It may be for somebody else; to wake is never wrong.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        Ok(events
            .into_iter()
            .take(count as usize)
            .map(|event| event.u64))
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
