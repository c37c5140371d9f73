//! A session between a stream and a connection, or between another session and a connection: TLS in TLS.

use std::io::{self, IoSlice, Write};

use crate::arena::Key;
use crate::sys::Stream;
use crate::timer::TimerKey;
use crate::tls::session::{Session, Wants, Written};

/// Ciphertext of an upper session that is read at once from the one below.
const INNER: usize = 32 * 1024;

pub(crate) struct Layer {
    pub(crate) session: Session,
    /// What it goes through; none: the stream.
    lower: Option<Box<Layer>>,
    /// Why the stream takes nothing any more, which whoever writes next is told.
    pub(super) broken: Option<io::Error>,
    /// The program was told what it is asked for, and has not answered.
    pub(super) asked: bool,
    /// For how long the handshake may take.
    pub(super) timer: Option<TimerKey>,
    /// The server among whose handshakes it counts.
    pub(super) server: Option<Key>,
}

/// What one reading brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulled {
    /// Cleartext, at the head of the buffer.
    pub(super) plain: usize,
    /// Ciphertext from the stream.
    pub(super) wire: usize,
    /// The stream may have more.
    pub(super) more: bool,
    /// The stream has ended.
    pub(super) end: bool,
}

impl Layer {
    pub(super) fn new(session: Session, mut lower: Option<Box<Layer>>) -> Layer {
        if let Some(lower) = &mut lower {
            lower.session.tell_no_sessions();
        }
        let mut layer = Layer {
            session,
            lower,
            broken: None,
            asked: false,
            timer: None,
            server: None,
        };
        // It may have failed behind the word to go over.
        layer.fail_with_lower();
        layer
    }

    /// What has ended the session below has ended this one.
    fn fail_with_lower(&mut self) {
        let Some(lower) = &mut self.lower else { return };
        if let Some(Wants::Failed) = lower.session.wants() {
            if let Some(error) = lower.session.take_failure() {
                self.session.fail(error);
            }
        }
    }

    /// Reads once, unless something is held: first that.
    pub(super) fn pull(
        &mut self,
        stream: &Stream,
        wire: &mut [u8],
        plain: &mut [u8],
    ) -> io::Result<Pulled> {
        if self.session.has_more() {
            return Ok(Pulled {
                plain: self.session.feed(&[], plain),
                more: true,
                ..Pulled::default()
            });
        }
        let Some(lower) = &mut self.lower else {
            let read = stream.read(wire)?;
            if read.len() == 0 {
                self.session.feed_end();
                return Ok(Pulled {
                    end: true,
                    ..Pulled::default()
                });
            }
            return Ok(Pulled {
                plain: self.session.feed(&wire[..read.len()], plain),
                wire: read.len(),
                more: !read.is_all(wire.len()),
                end: false,
            });
        };
        let mut inner = vec![0; INNER];
        let mut pulled = lower.pull(stream, wire, &mut inner)?;
        let bytes = std::mem::take(&mut pulled.plain);
        pulled.more |= lower.session.has_more();
        if bytes > 0 {
            pulled.plain = self.session.feed(&inner[..bytes], plain);
        }
        if lower.session.is_at_end() {
            self.session.feed_end();
        }
        self.fail_with_lower();
        Ok(pulled)
    }

    /// The stream takes nothing any more.
    pub(super) fn give_up_sending(&mut self) {
        self.session.give_up_sending();
        if let Some(lower) = &mut self.lower {
            lower.give_up_sending();
        }
    }

    /// A session below holds bytes that this one could use.
    pub(super) fn lower_has_more(&self) -> bool {
        self.lower
            .as_ref()
            .is_some_and(|lower| lower.session.has_more() || lower.lower_has_more())
    }

    /// There may be something to do without any byte from the stream.
    pub(in crate::reactor) fn may_go_on(&self) -> bool {
        self.session.has_plain()
            || self.session.has_heard_end()
            || self.session.wants().is_some()
            || self.lower_has_more()
            || self.wants_write()
    }

    /// There is something to send, here or below.
    pub(super) fn wants_write(&self) -> bool {
        let wants = self.session.wants_write();
        match &self.lower {
            // One that has failed, or has said goodbye, takes nothing more from above.
            Some(lower) => wants && lower.session.may_write() || lower.wants_write(),
            None => wants,
        }
    }

    /// Sends records, as many as the stream takes.
    pub(super) fn push(&mut self, stream: &Stream) -> io::Result<Written> {
        let Some(lower) = &mut self.lower else {
            return self.session.write_to(&mut Direct(stream));
        };
        let mut total = Written::default();
        loop {
            let handed = self.session.hand_over(&mut Through(lower))?;
            let sent = lower.push(stream)?;
            // The cleartext of the session below is the ciphertext of this one.
            total.plain += self.session.sent(sent.plain);
            total.bytes += sent.bytes;
            total.blocked = sent.blocked;
            // One that takes nothing more does not, however often it is asked.
            let stuck = handed.bytes + sent.bytes == 0;
            if sent.blocked || !handed.blocked || stuck {
                break;
            }
        }
        Ok(total)
    }

    /// Says goodbye, from the uppermost session down. False: not yet.
    pub(super) fn close(&mut self, stream: &Stream) -> io::Result<Option<Written>> {
        if !self.session.close() {
            return Ok(None);
        }
        let mut written = self.push(stream)?;
        if let (Some(lower), false) = (&mut self.lower, self.session.wants_write()) {
            if let Some(sent) = lower.close(stream)? {
                written.bytes += sent.bytes;
            }
        }
        Ok(Some(written))
    }
}

/// The stream as somewhere to write.
struct Direct<'a>(&'a Stream);

impl Write for Direct<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => self.0.write(one),
            many => self.0.write_vectored(many),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The session below as somewhere to write.
struct Through<'a>(&'a mut Layer);

impl Write for Through<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.session.seal(bytes) {
            0 if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
