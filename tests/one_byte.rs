//! One byte at a time: what comes and goes in the smallest pieces there are is whole, in order, and ends as ever.

mod common;
#[path = "common/flow.rs"]
mod flow;
#[path = "common/sending.rs"]
mod sending;

use std::cell::RefCell;
use std::io::Read;
use std::rc::Rc;

use common::{each_case, each_case_on, Peer, Script, World};
use flow::{serve_then, Sink};
use sending::{pattern, shrink_send_buffer, twin};
use tidewheel::net::{Encoding, EventKind, ServerOptions, WriteStatus};
use tidewheel::EventLoop;

const BYTES: usize = 2_000;
/// More than the smallest send buffer takes at once.
const MANY: usize = 20_000;

fn send_by_bytes(peer: &mut Peer, bytes: &[u8]) {
    if let Peer::Tcp(stream) = peer {
        stream.set_nodelay(true).unwrap();
    }
    for byte in bytes {
        peer.send(&[*byte]);
    }
    peer.end();
}

fn read_by_bytes(peer: &mut Peer) -> Vec<u8> {
    let (mut all, mut byte) = (Vec::new(), [0]);
    while peer.read(&mut byte).unwrap() == 1 {
        all.push(byte[0]);
    }
    all
}

/// An echo whose peer writes and reads by single bytes.
fn echo_by_bytes(world: &World) {
    let server = world.serve_one(|| {
        Script::new("S").on_data(|socket, data| {
            socket.write(data);
        })
    });
    let mut peer = world.peer(&server);
    let mut reader = twin(&peer);
    let writer = std::thread::spawn(move || send_by_bytes(&mut peer, &pattern(0, BYTES)));
    let reader = std::thread::spawn(move || read_by_bytes(&mut reader));
    world.run();
    writer.join().unwrap();
    assert!(reader.join().unwrap() == pattern(0, BYTES));
    // The bytes that wait in between, and with them a `drain`, are the kernel's affair.
    assert!(world.trace("S").ends_with("end finish close(false)"));
}

#[test]
fn a_peer_that_writes_and_reads_by_single_bytes_gets_its_echo_whole() {
    each_case(echo_by_bytes);
}

#[test]
fn a_loop_that_reads_by_single_bytes_loses_none() {
    let builder = EventLoop::builder().read_buffer(1).read_budget(1);
    each_case_on(&builder, echo_by_bytes);
}

#[test]
fn single_bytes_through_the_smallest_send_buffer_arrive_in_order_and_each_need_is_drained_once() {
    each_case(|world| {
        let server = serve_then(
            world,
            ServerOptions::default(),
            || Script::new("S").no_reader().on(EventKind::Drain, |_, _| {}),
            |socket| {
                shrink_send_buffer(socket);
                let mut waiting = 0;
                for byte in pattern(0, MANY) {
                    if socket.write([byte]) == WriteStatus::Queued {
                        waiting += 1;
                    }
                }
                assert_eq!(waiting, socket.buffer_size());
                socket.end();
            },
        );
        let mut peer = world.peer(&server);
        let reader = std::thread::spawn(move || read_by_bytes(&mut peer));
        world.run();
        assert!(reader.join().unwrap() == pattern(0, MANY));
        let trace = world.trace("S");
        let (with, without) = ("drain finish end close(false)", "finish end close(false)");
        assert!([with, without].contains(&trace.as_str()), "{trace}");
    });
}

#[test]
fn characters_that_come_byte_by_byte_are_told_whole() {
    const TEXT: &str = "één – 你好 🦀 ";
    each_case(|world| {
        let (text, sink) = (Rc::new(RefCell::new(String::new())), Sink::default());
        let (told, raw) = (Rc::clone(&text), sink.clone());
        let server = world.serve_one(move || {
            let (told, raw) = (Rc::clone(&told), raw.clone());
            Script::new("S")
                .text(Encoding::Utf8)
                .on_data(move |_, data| raw.push(data))
                .on(EventKind::Text, move |_, seen| {
                    if let common::Seen::Text(piece) = seen {
                        told.borrow_mut().push_str(piece);
                    }
                })
        });
        let mut peer = world.peer(&server);
        let writer =
            std::thread::spawn(move || send_by_bytes(&mut peer, TEXT.repeat(20).as_bytes()));
        world.run();
        writer.join().unwrap();
        assert_eq!(*text.borrow(), TEXT.repeat(20));
        assert_eq!(sink.take(), TEXT.repeat(20).as_bytes());
    });
}
