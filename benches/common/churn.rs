//! Connections that live for one message: connect, ping, close.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use libc::EPOLLIN;

use super::client::{Count, Limit, Sample};
use super::machine::{processors, Processors};
use super::sys::{self, Epoll, Moved, Place};

const PING: [u8; 64] = [7; 64];

/// Several at a time; with [`Limit::Each`] so many in all.
pub struct Churn {
    place: Place,
    epoll: Epoll,
    slots: Vec<Option<OwnedFd>>,
}

impl Churn {
    pub fn new(place: &Place, slots: usize) -> Churn {
        Churn {
            place: place.clone(),
            epoll: Epoll::new(),
            slots: (0..slots).map(|_| None).collect(),
        }
    }

    pub fn run(&mut self, limit: Limit) -> Sample {
        let start = Instant::now();
        let (most, end) = match limit {
            Limit::Each(count) => (count, None),
            Limit::For(time) => (u64::MAX, Some(start + time)),
        };
        let (mut opened, mut closed) = (0, 0);
        for slot in 0..self.slots.len().min(most.try_into().unwrap_or(usize::MAX)) {
            self.open(slot);
            opened += 1;
        }
        while closed < most && end.is_none_or(|end| Instant::now() < end) {
            let is_alone = matches!(processors(), Processors::Two { .. });
            for index in 0..self.epoll.wait(if is_alone { 0 } else { 100 }) {
                let slot = self.epoll.event(index).0 as usize;
                self.close(slot);
                closed += 1;
                if opened < most {
                    self.open(slot);
                    opened += 1;
                }
            }
        }
        let time = start.elapsed();
        self.slots.fill_with(|| None);
        let count = Count {
            messages: closed,
            bulk: 0,
        };
        Sample {
            time,
            count,
            in_all: count,
        }
    }

    fn open(&mut self, slot: usize) {
        let stream = sys::connect(&self.place);
        let fd = stream.as_raw_fd();
        assert!(sys::send(fd, &PING) == Moved::Bytes(PING.len()), "no ping");
        self.epoll.add(fd, EPOLLIN, slot as u64);
        self.slots[slot] = Some(stream);
    }

    /// The ping has come back. Dropped, the connection is reset: it does not wait in the kernel for a last word.
    fn close(&mut self, slot: usize) {
        let mut reply = [0; 2 * PING.len()];
        let stream = self.slots[slot].take().expect("a connection");
        let is_whole = sys::recv(stream.as_raw_fd(), &mut reply) == Moved::Bytes(PING.len());
        assert!(is_whole && reply[..PING.len()] == PING, "a wrong reply");
    }
}
