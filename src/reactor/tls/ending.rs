//! The ends of a socket under TLS: the peer's, ours, and what is given back.

use super::*;

impl Reactor {
    pub(super) fn tls_at_end(&mut self, key: Key) -> Step {
        let now = self.now();
        let touched = self
            .socket_mut(key)
            .is_some_and(|socket| socket.conn.idle_mut().touch(now));
        self.eof(key, touched)
    }

    /// Our side ends: whether all is said that has to be said before the FIN.
    pub(in crate::reactor) fn tls_shut(&mut self, key: Key) -> bool {
        let Some(Source::Socket(socket)) = self.sources.get_mut(key) else {
            return true;
        };
        let (Some(stream), Some(layer)) = (&socket.stream, &mut socket.tls) else {
            return true;
        };
        match layer.close(stream) {
            Ok(None) => false,
            Ok(Some(written)) => {
                let done = !layer.wants_write();
                self.counters.bytes_out += written.bytes as u64;
                if written.blocked {
                    self.wait_writable(key);
                }
                done
            }
            Err(_) => {
                layer.give_up_sending();
                true
            }
        }
    }

    /// What is given back when a socket is destroyed.
    pub(in crate::reactor) fn tls_release(&mut self, key: Key) {
        let Some(layer) = self.socket_mut(key).and_then(|socket| socket.tls.as_mut()) else {
            return;
        };
        let (timer, server) = (layer.timer.take(), layer.server.take());
        if let Some(timer) = timer {
            self.wheel.cancel(timer);
        }
        let Some(server) = server else { return };
        if let Some(tls) = self
            .server_mut(server)
            .and_then(|server| server.tls.as_mut())
        {
            let was_full = tls.is_full();
            tls.handshakes -= 1;
            if was_full {
                self.schedule(server);
            }
        }
    }

    /// Whether `timer` is that of a handshake.
    pub(in crate::reactor) fn is_tls_timer(&self, key: Key, timer: crate::timer::TimerKey) -> bool {
        self.socket(key)
            .and_then(|socket| socket.tls.as_ref())
            .is_some_and(|layer| layer.timer == Some(timer))
    }

    /// The handshake took too long.
    pub(in crate::reactor) fn tls_overdue(&mut self, key: Key) {
        let error = Error::new(Code::TlsHandshakeTimeout, "TLS handshake timeout");
        self.with_conn(key, |conn, released| {
            conn.handle_read_error(error, released)
        });
    }
}
