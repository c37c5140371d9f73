//! Big transfers: every byte arrives, once and in its place, and no side holds more than it must.

mod common;
#[path = "common/sending.rs"]
mod sending;

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;

use common::{each_case, Script};
use sending::{pattern, serve, serve_with, twin};
use tidewheel::net::{EventKind, ServerOptions, Socket};

const TOTAL: usize = 64 * 1024 * 1024;
/// No multiple of anything the transport cuts by, so that a block out of place shows.
const PERIOD: usize = 1_000_003;
const CHUNK: usize = 200_000;

/// The stream that is sent: a block of bytes over and over.
#[derive(Clone)]
struct Stream(Rc<[u8]>);

impl Stream {
    fn new() -> Stream {
        // Long enough to give any chunk in one piece.
        let mut block = pattern(0, PERIOD);
        block.extend_from_within(..CHUNK);
        Stream(block.into())
    }

    fn at(&self, position: usize, len: usize) -> &[u8] {
        let start = position % PERIOD;
        &self.0[start..start + len.min(CHUNK)]
    }

    #[track_caller]
    fn check(&self, position: usize, data: &[u8]) {
        let mut done = 0;
        for part in data.chunks(CHUNK) {
            assert!(
                part == self.at(position + done, part.len()),
                "near byte {position}"
            );
            done += part.len();
        }
    }

    /// Writes on until some waits, and ends after the last byte.
    fn pump(&self, socket: &Socket) {
        while (socket.bytes_written() as usize) < TOTAL {
            let position = socket.bytes_written() as usize;
            let status = socket.write(self.at(position, TOTAL - position));
            assert!(socket.buffer_size() <= CHUNK);
            if !status.is_ok() {
                return;
            }
        }
        socket.end();
    }
}

/// Writes and checks at once.
fn both_ways(name: &str, stream: &Stream) -> Script {
    let (reads, writes) = (stream.clone(), stream.clone());
    let position = Cell::new(0);
    Script::new(name)
        .on_data(move |_, data| {
            reads.check(position.get(), data);
            position.set(position.get() + data.len());
        })
        .on(EventKind::Drain, move |socket, _| writes.pump(socket))
        .on(EventKind::Close, |socket, _| {
            assert_eq!(socket.bytes_read() as usize, TOTAL);
            assert_eq!(socket.bytes_written() as usize, TOTAL);
        })
}

#[test]
fn sixty_four_mebibytes_go_both_ways_at_once_and_arrive_whole() {
    let stream = Stream::new();
    each_case(|world| {
        // Whoever is done first must not end the other.
        let starts = stream.clone();
        let options = ServerOptions::default().allow_half_open(true);
        let server = serve_with(world, options, both_ways("S", &stream), move |socket| {
            starts.pump(socket)
        });
        let options = world.connect_options(&server).allow_half_open(true);
        let client = world.client_with(options, both_ways("C", &stream));
        let starts = stream.clone();
        client.on_ready(move |socket| starts.pump(socket));
        world.run();
        for name in ["S", "C"] {
            let trace = world.trace(name);
            assert!(
                trace.contains("finish") && trace.ends_with("close(false)"),
                "{name}"
            );
        }
    });
}

#[test]
fn a_reader_that_rests_again_and_again_misses_nothing() {
    let stream = Stream::new();
    each_case(|world| {
        let (starts, goes_on) = (stream.clone(), stream.clone());
        let script = Script::new("S").on(EventKind::Drain, move |socket, _| goes_on.pump(socket));
        let server = serve(world, script, move |socket| starts.pump(socket));
        let (reads, position, next_rest) = (stream.clone(), Cell::new(0), Cell::new(0));
        let script = Script::new("C")
            .on_data(move |socket, data| {
                assert!(!socket.is_paused());
                reads.check(position.get(), data);
                position.set(position.get() + data.len());
                if position.get() >= next_rest.get() {
                    next_rest.set(position.get() + 500_000);
                    let event_loop = socket.event_loop().clone();
                    let socket = socket.pause().clone();
                    event_loop.set_immediate(move |_| {
                        socket.resume();
                    });
                }
            })
            .on(EventKind::Close, |socket, _| {
                assert_eq!(socket.bytes_read() as usize, TOTAL);
            });
        world.client(&server, script);
        world.run();
        let trace = world.trace("S");
        assert!(trace.starts_with("drain") && trace.ends_with("finish end close(false)"));
    });
}

#[test]
fn an_echo_of_a_stranger_comes_back_whole_after_its_fin() {
    const LEN: usize = 16 * 1024 * 1024;
    let stream = Stream::new();
    each_case(|world| {
        let options = ServerOptions::default().allow_half_open(true);
        let server = serve_with(world, options, Script::new("S"), |socket| {
            socket.pipe(socket);
        });
        let mut peer = world.peer(&server);
        let data: Vec<u8> = (0..LEN.div_ceil(CHUNK))
            .flat_map(|chunk| stream.at(chunk * CHUNK, CHUNK).to_vec())
            .take(LEN)
            .collect();
        let (mut reader, sent) = (twin(&peer), data.clone());
        let writer = std::thread::spawn(move || {
            peer.write_all(&sent).unwrap();
            peer.end();
            peer
        });
        let reading = std::thread::spawn(move || {
            let mut back = Vec::new();
            reader.read_to_end(&mut back).unwrap();
            back
        });
        world.run();
        let _peer = writer.join().unwrap();
        assert!(reading.join().unwrap() == data);
        let trace = world.trace("S");
        assert!(trace.ends_with("end finish close(false)"), "{trace}");
    });
}
