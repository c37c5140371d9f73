//! Many at once, much at once, and those who hold everything up.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::EventKind;
use tidewheel::tls::{self, ContextOptions, SecureContext, TlsConnectOptions};

use crate::common::{counter, Script};
use crate::scene::{over_tcp, VERSIONS};

#[test]
fn a_thousand_handshakes_at_once() {
    const MANY: usize = 1000;
    // Both ends are in this process: as many as it may have descriptors for.
    let many = MANY.min(descriptors() / 2 - 50);
    for version in VERSIONS {
        over_tcp(version, |scene| {
            let server = scene.listen(scene.server_options());
            let (done, closed) = (counter(), counter());
            let count = Rc::clone(&done);
            server.on_secure_connection(move |socket| {
                socket.pipe(socket);
                count.set(count.get() + 1);
                if count.get() == many {
                    socket.server().unwrap().close();
                }
            });
            let context = ContextOptions::default()
                .ca(scene.ca.pem())
                .min_version(version)
                .max_version(version);
            let context = SecureContext::new(context).unwrap();
            let port = server.address().unwrap().port().unwrap();
            for _ in 0..many {
                let options = TlsConnectOptions::from(("127.0.0.1", port)).secure_context(&context);
                let client = tls::connect(&scene.event_loop, options, |socket| {
                    socket.write("hello");
                });
                client.on_data(|socket, data| {
                    assert_eq!(data, b"hello");
                    socket.end();
                });
                let closed = Rc::clone(&closed);
                client.on_close(move |_, had_error| {
                    assert!(!had_error);
                    closed.set(closed.get() + 1);
                });
            }
            scene.run();
            assert_eq!((done.get(), closed.get()), (many, many));
        });
    }
}

#[test]
fn much_goes_both_ways_and_stays_what_it_was() {
    there_and_back(16);
}

#[test]
#[ignore = "seconds when optimised, minutes when not"]
fn a_gibibyte_goes_both_ways_and_stays_what_it_was() {
    there_and_back(1024);
}

/// So much to an echo and back, with either version; no more waits meanwhile than one write.
fn there_and_back(mib: usize) {
    for version in VERSIONS {
        over_tcp(version, |scene| {
            let server = scene.serve_one(scene.server_options(), || Script::new("S").no_reader());
            server.on_secure_connection(|socket| {
                socket.pipe(socket);
            });
            let options = scene.client_options(&server);
            let client = tls::connect(&scene.event_loop, options, |_| {});
            let total = mib * 1024 * 1024;
            let (sent, got) = (Rc::new(Cell::new(0_usize)), Cell::new(0_usize));
            let chunk: Rc<Vec<u8>> =
                Rc::new((0..65521 * 2).map(|n| (n % 65521 % 251) as u8).collect());
            let say = {
                let (sent, chunk) = (Rc::clone(&sent), Rc::clone(&chunk));
                move |socket: &tidewheel::net::Socket| {
                    while sent.get() < total {
                        let from = sent.get() % 65521;
                        let bytes = &chunk[from..from + 65521.min(total - sent.get())];
                        sent.set(sent.get() + bytes.len());
                        if !socket.write(bytes).is_ok() {
                            return;
                        }
                    }
                    socket.end();
                }
            };
            client.on_secure_connect(say.clone());
            client.on_drain(say);
            client.on_data(move |socket, data| {
                let at = got.get();
                for (offset, byte) in data.iter().enumerate() {
                    assert_eq!(*byte, ((at + offset) % 65521 % 251) as u8);
                }
                got.set(at + data.len());
                assert!(socket.buffer_size() <= 65521);
            });
            let read = Rc::new(Cell::new(0));
            let count = Rc::clone(&read);
            client.on_close(move |socket, had_error| {
                assert!(!had_error);
                count.set(socket.bytes_read());
            });
            scene.run();
            assert_eq!(read.get(), total as u64);
        });
    }
}

#[test]
fn who_does_not_read_is_not_read_for() {
    for version in VERSIONS {
        over_tcp(version, |scene| {
            let server = scene.serve_one(scene.server_options(), || {
                Script::new("S").on(EventKind::SecureConnect, |socket, _| {
                    socket.pause();
                })
            });
            let options = scene.client_options(&server);
            let client = tls::connect(&scene.event_loop, options, |_| {});
            let chunk = vec![1; 100_000];
            let say = move |socket: &tidewheel::net::Socket| while socket.write(&chunk).is_ok() {};
            client.on_secure_connect(say.clone());
            client.on_drain(say);
            let idle = counter();
            let count = Rc::clone(&idle);
            client.set_timeout(Duration::from_millis(100));
            client.on_timeout(move |socket| {
                count.set(1);
                assert!(socket.buffer_size() > 0 && socket.need_drain());
                socket.destroy();
                let server = socket.event_loop().clone();
                server.stop();
            });
            scene.run();
            assert_eq!(idle.get(), 1);
            assert_eq!(scene.trace("S"), "secure");
            let sockets = server.sockets();
            sockets.iter().for_each(|socket| {
                socket.resume();
            });
            scene.run();
            assert!(
                scene.trace("S").ends_with("close(false)")
                    || scene.trace("S").ends_with("close(true)")
            );
        });
    }
}

fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    line.split_whitespace()
        .nth(3)
        .unwrap()
        .parse()
        .unwrap_or(4096)
}
