//! What the tests of reading share: bytes to send, a place to put them, and turns that pass.
#![allow(dead_code)]

use std::cell::RefCell;
use std::rc::Rc;
use std::thread::JoinHandle;

use tidewheel::net::{Server, ServerOptions, Socket};
use tidewheel::LoopHandle;

use crate::common::{Peer, Script, World};

/// Bytes in which a gap, a repetition or a swap shows.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i % 251) as u8 ^ (i >> 13) as u8)
        .collect()
}

/// Where a test puts what it has read.
#[derive(Clone, Default)]
pub struct Sink(Rc<RefCell<Vec<u8>>>);

impl Sink {
    pub fn push(&self, data: &[u8]) {
        self.0.borrow_mut().extend_from_slice(data);
    }

    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// All that came, and makes room for the next scenario.
    pub fn take(&self) -> Vec<u8> {
        self.0.take()
    }
}

/// Calls `call` when the loop has been to the kernel `turns` times.
pub fn after_turns(handle: &LoopHandle, turns: usize, call: impl FnOnce(&LoopHandle) + 'static) {
    handle.set_immediate(move |handle| match turns {
        0 => call(handle),
        _ => after_turns(handle, turns - 1, call),
    });
}

/// Calls `call` in the turn in which `condition` has come true.
pub fn until(
    handle: &LoopHandle,
    condition: impl Fn() -> bool + 'static,
    call: impl FnOnce(&LoopHandle) + 'static,
) {
    handle.set_immediate(move |handle| match condition() {
        true => call(handle),
        false => until(handle, condition, call),
    });
}

/// A server for one connection, which is watched and then handed to `then`.
#[track_caller]
pub fn serve_then(
    world: &World,
    options: ServerOptions,
    script: impl Fn() -> Script + 'static,
    then: impl Fn(&Socket) + 'static,
) -> Server {
    let watcher = world.watcher();
    world.server_with(options, move |socket| {
        watcher.watch(socket, script());
        socket.server().unwrap().close();
        then(socket);
    })
}

/// Lets a peer talk on a thread of its own, because it blocks.
pub fn talk(mut peer: Peer, talk: impl FnOnce(&mut Peer) + Send + 'static) -> JoinHandle<Peer> {
    std::thread::spawn(move || {
        talk(&mut peer);
        peer
    })
}
