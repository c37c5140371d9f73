//! What a session takes in and holds back is bounded, and neither side waits for the other for ever.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{EventKind, Socket, WriteStatus};
use tidewheel::{tls, Code};

use crate::common::{counter, each_case, Script};
use crate::scene::{each_scene, Scene};

/// What is read at once, of ciphertext.
const READ: u64 = 64 * 1024;
/// More than both handshakes.
const HANDSHAKE: u64 = 16 * 1024;

#[test]
fn who_rests_holds_one_read_of_ciphertext_and_the_rest_stays_in_the_kernel() {
    each_scene(|scene| {
        let sender = Rc::new(RefCell::new(None::<Socket>));
        let told = Rc::clone(&sender);
        let server = scene.serve_one(scene.server_options(), move || {
            let told = Rc::clone(&told);
            Script::new("S").on(EventKind::SecureConnect, move |socket, _| {
                socket.pause();
                let sender = told.take().unwrap();
                sender.set_timeout(Duration::from_millis(50));
            })
        });
        let client = tls::connect(&scene.event_loop, scene.client_options(&server), |_| {});
        sender.replace(Some(client.clone()));
        let pump = |socket: &Socket| while socket.write(vec![1; 100_000]).is_ok() {};
        client.on_secure_connect(pump);
        client.on_drain(pump);
        client.on_timeout(|socket| {
            // Nothing moves any more: kernels are full, queues are full, and nobody reads.
            let taken = socket.event_loop().stats().bytes_in;
            assert!(taken <= READ + HANDSHAKE, "{taken} bytes were taken in");
            socket.destroy();
        });
        client.on_close(move |_, _| {
            for socket in server.sockets() {
                socket.destroy();
            }
        });
        scene.run();
        scene.assert_trace("S", "secure close(false)");
    });
}

#[test]
fn no_more_cleartext_is_delivered_at_once_than_the_buffer_holds_and_all_of_a_burst_is() {
    const MUCH: usize = 3_000_000;
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || {
            Script::new("S").on_data(|_, data| assert!(data.len() as u64 <= READ))
        });
        scene.client(
            &server,
            Script::new("C").on(EventKind::SecureConnect, |socket, _| {
                socket.end_with(vec![1; MUCH]);
            }),
        );
        scene.run();
        scene.assert_trace("S", &format!("secure data({MUCH}) end finish close(false)"));
    });
}

#[test]
fn what_is_in_records_counts_to_the_mark_and_to_the_limit() {
    const MARK: usize = 150_000;
    const LIMIT: usize = 300_000;
    const STEP: usize = 10_000;
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || {
            Script::new("S").on(EventKind::SecureConnect, |socket, _| {
                socket.pause();
            })
        });
        let options = scene.client_options(&server).high_water_mark(MARK);
        let client = tls::connect(&scene.event_loop, options, |_| {});
        client.set_max_queued(Some(LIMIT));
        let refused = counter();
        let count = Rc::clone(&refused);
        client.on_error(move |_, error| {
            assert_eq!(error.code(), Code::SocketQueueFull);
            count.set(count.get() + 1);
        });
        client.on_secure_connect(move |socket| {
            let (mut buffered, mut queued) = (0, 0);
            loop {
                let before = socket.buffer_size();
                let status = socket.write(vec![1; STEP]);
                let after = socket.buffer_size();
                match status {
                    WriteStatus::Flushed => assert_eq!(after, 0),
                    WriteStatus::Buffered => {
                        assert!(0 < after && after < MARK);
                        buffered += 1;
                    }
                    WriteStatus::Queued => {
                        assert!((MARK..=LIMIT).contains(&after));
                        queued += 1;
                    }
                    _ => {
                        assert!(before + STEP > LIMIT && before <= LIMIT);
                        break;
                    }
                }
            }
            assert!(buffered > 0 && queued > 0);
        });
        client.on_close(move |_, _| {
            for socket in server.sockets() {
                socket.destroy();
            }
        });
        scene.run();
        assert_eq!(refused.get(), 1);
    });
}

#[test]
fn two_who_send_much_at_once_come_to_an_end() {
    const MUCH: usize = 3_000_000;
    each_scene(|scene| {
        let say = |socket: &Socket| socket.end_with(vec![1; MUCH]);
        let got = Rc::new(Cell::new(0));
        let count = Rc::clone(&got);
        let read = move |socket: &Socket| count.set(count.get() + socket.bytes_read());
        let there = read.clone();
        let options = scene.server_options().allow_half_open(true);
        let server = scene.serve_one(options, move || {
            let there = there.clone();
            Script::new("S")
                .on(EventKind::SecureConnect, move |socket, _| say(socket))
                .on(EventKind::Close, move |socket, _| there(socket))
        });
        let options = scene.client_options(&server).allow_half_open(true);
        scene.client_with(
            options,
            Script::new("C")
                .on(EventKind::SecureConnect, move |socket, _| say(socket))
                .on(EventKind::Close, move |socket, _| read(socket)),
        );
        scene.run();
        assert_eq!(got.get(), 2 * MUCH as u64);
        for name in ["S", "C"] {
            let trace = scene.trace(name);
            assert!(trace.ends_with("close(false)"), "{name}: {trace}");
        }
    });
}

/// A message of 16 MiB is announced, and comes as fast as it is taken.
#[test]
fn a_handshake_without_end_is_refused_and_not_kept() {
    each_case(|world| {
        let scene = Scene::new(world, tls::TlsVersion::V1_3);
        let server = scene.listen(scene.server_options());
        let told = counter();
        let count = Rc::clone(&told);
        server.on_tls_client_error(move |server, _, socket| {
            count.set(count.get() + 1);
            let taken = socket.event_loop().stats().bytes_in;
            assert!(taken <= 4 * READ, "{taken} bytes were taken in");
            server.close();
        });
        server.on_secure_connection(|_| unreachable!());
        let mut peer = scene.peer(&server);
        let talker = std::thread::spawn(move || {
            let mut record = b"\x16\x03\x01\x40\x00\x01\xff\xff\xff".to_vec();
            record.resize(5 + 16 * 1024, 0);
            for _ in 0..64 {
                if peer.write_all(&record).is_err() {
                    // It was sent away.
                    break;
                }
                record[5..9].fill(0);
            }
        });
        scene.run();
        talker.join().unwrap();
        assert_eq!(told.get(), 1);
    });
}
