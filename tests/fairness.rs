//! No socket starves the others: each reads at most its budget before the next has its turn.

mod common;
#[path = "common/flow.rs"]
mod flow;
#[path = "common/kernel.rs"]
mod kernel;
#[path = "common/place.rs"]
mod place;

use std::cell::RefCell;
use std::rc::Rc;

use common::{counter, each_case, each_case_on, EventLoop, Peer, Script, World};
use flow::pattern;
use kernel::wait_unread;
use place::long_turn;

const QUIET: usize = 5;
const HOT_BYTES: usize = 48 * 1024;

/// One socket with much to read and five with one byte, all readable in the same turn. Gives back the names of those
/// that had `data`, in order.
fn reads_in_order(world: &World) -> Vec<String> {
    let sockets = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&sockets);
    let watcher = world.watcher();
    let server = world.server(move |socket| {
        let name = match kept.borrow().len() {
            0 => "hot".to_string(),
            quiet => format!("quiet{quiet}"),
        };
        socket.pause();
        watcher.watch(socket, Script::new(&name));
        kept.borrow_mut().push(socket.clone());
        if kept.borrow().len() == 1 + QUIET {
            socket.server().unwrap().close();
            for (number, socket) in kept.take().iter().enumerate() {
                wait_unread(socket, if number == 0 { HOT_BYTES } else { 1 });
                socket.resume();
            }
        }
    });
    // All are accepted in one turn, and found readable in the next.
    long_turn(world);
    let mut peers: Vec<Peer> = (0..1 + QUIET).map(|_| world.peer(&server)).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.send(&pattern(if number == 0 { HOT_BYTES } else { 1 }));
    }
    for peer in &peers {
        peer.end();
    }
    world.run();
    world.assert_trace("hot", "data(49152) end finish close(false)");
    let log = world.log();
    log.iter()
        .filter_map(|line| line.split_once(":data("))
        .map(|(name, _)| name.to_string())
        .collect()
}

/// No more than `most` reads of the hot socket come before the last quiet one was heard.
fn expect_fair(world: &World, most: usize) {
    let order = reads_in_order(world);
    let last_quiet = order.iter().rposition(|name| name != "hot").unwrap();
    let ahead = order[..last_quiet]
        .iter()
        .filter(|name| *name == "hot")
        .count();
    assert!(ahead <= most, "{ahead} reads ahead of a quiet socket");
    assert_eq!(order.iter().filter(|name| *name != "hot").count(), QUIET);
    assert!(order.len() - QUIET > most, "the hot socket was not hot");
}

#[test]
fn a_hot_socket_reads_no_more_than_its_budget_of_bytes_before_the_others() {
    // Reads of 1 KiB, 8 of them in one turn.
    let builder = EventLoop::builder().read_buffer(1024).read_budget(8 * 1024);
    each_case_on(&builder, |world| expect_fair(world, 8));
}

#[test]
fn a_hot_socket_reads_no_more_than_its_budget_of_times_before_the_others() {
    // However small the reads, there are at most 64 of them in one turn.
    let builder = EventLoop::builder().read_buffer(100);
    each_case_on(&builder, |world| expect_fair(world, 64));
}

#[test]
fn a_server_accepts_no_more_than_its_budget_in_one_turn_though_more_come_meanwhile() {
    each_case(|world| {
        let accepted = counter();
        let count = accepted.clone();
        let server = world.server(move |socket| {
            count.set(count.get() + 1);
            socket.destroy();
        });
        long_turn(world);
        let mut peers = Vec::new();
        for turn in 1..=3 {
            // Some of the last are left, for which it stands on the ready list; and the poll finds the new ones.
            peers.extend((0..70).map(|_| world.peer(&server)));
            long_turn(world);
            assert_eq!(accepted.get(), 64 * turn);
        }
        server.close();
        world.run();
    });
}

#[test]
fn timers_and_immediates_go_on_beside_a_hot_socket() {
    let builder = EventLoop::builder().read_buffer(1024).read_budget(1024);
    each_case_on(&builder, |world| {
        let note = world.noter();
        let server = world.serve_one(move || {
            let note = note.clone();
            Script::new("S").on_data(move |socket, _| {
                let note = note.clone();
                socket.event_loop().set_immediate(move |_| note("S:turn"));
            })
        });
        let mut peer = world.peer(&server);
        peer.send(&pattern(HOT_BYTES));
        peer.end();
        world.run();
        let events = world.events("S");
        let reads: Vec<usize> = (0..events.len())
            .filter(|at| events[*at].starts_with("data("))
            .collect();
        assert!(reads.len() >= HOT_BYTES / 1024);
        // Each read is a turn of its own.
        assert!(
            reads.windows(2).all(|pair| pair[1] - pair[0] == 2),
            "{events:?}"
        );
    });
}
