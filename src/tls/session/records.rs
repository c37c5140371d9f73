//! Records on their way out, and how much cleartext is in those that the transport has not wholly taken.

use std::collections::VecDeque;
use std::io::Write;

use rustls::{ConnectionCommon, SideData};

/// No further cleartext is encrypted while as much ciphertext waits.
const LIMIT: usize = 64 * 1024;

/// Cleartext in one record.
const RECORD: usize = 16 * 1024;

#[derive(Default)]
pub(super) struct Records {
    /// For each record: where in the stream of ciphertext it ends, and the cleartext in it.
    ends: VecDeque<(u64, usize)>,
    /// Of that stream, what rustls does not have any more.
    handed_over: u64,
    /// Of that, what is sent.
    sent: u64,
    /// Cleartext in all of them.
    pub(super) in_flight: usize,
    /// The peer was told that nothing more will come.
    pub(super) closed: bool,
}

impl Records {
    /// Makes records of as much of `data` as may wait.
    pub(super) fn seal<S: SideData>(
        &mut self,
        connection: &mut ConnectionCommon<S>,
        data: &[u8],
    ) -> usize {
        let mut taken = 0;
        let mut waiting = match connection.wants_write() {
            true => waiting(connection),
            false => 0,
        };
        while taken < data.len() && waiting < LIMIT {
            let end = data.len().min(taken + RECORD);
            let Ok(bytes) = connection.writer().write(&data[taken..end]) else {
                break;
            };
            if bytes == 0 {
                break;
            }
            waiting = self::waiting(connection);
            let end = self.handed_over + waiting as u64;
            self.ends.push_back((end, bytes));
            self.in_flight += bytes;
            taken += bytes;
        }
        taken
    }

    /// A transport took `bytes` of ciphertext.
    pub(super) fn handed_over(&mut self, bytes: usize) {
        self.handed_over += bytes as u64;
    }

    /// It has sent `bytes` of them; says how much cleartext is wholly with it now that was not before.
    pub(super) fn sent(&mut self, bytes: usize) -> usize {
        self.sent += bytes as u64;
        let mut plain = 0;
        while let Some((_, bytes)) = self.ends.front().filter(|(end, _)| *end <= self.sent) {
            plain += bytes;
            self.ends.pop_front();
        }
        self.in_flight -= plain;
        if self.ends.is_empty() && self.ends.capacity() > 8 {
            self.ends = VecDeque::new();
        }
        plain
    }
}

/// Ciphertext that waits. Only this call tells, and with nothing to read it does nothing else.
fn waiting<S: SideData>(connection: &mut ConnectionCommon<S>) -> usize {
    let state = connection.process_new_packets();
    state.map_or(LIMIT, |state| state.tls_bytes_to_write())
}
