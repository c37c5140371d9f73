//! What a closed socket leaves behind, a descriptor's number and a slot, never brings its events to the next owner.

mod common;
#[path = "common/place.rs"]
mod place;

use std::cell::RefCell;
use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use common::{each_case, Script, Transport};
use place::turn_until;
use tidewheel::net::{self, ServerOptions, Socket};

#[test]
fn an_event_of_a_closed_socket_does_not_reach_the_one_that_got_its_number() {
    each_case(|world| {
        let accepted: Rc<RefCell<Vec<Socket>>> = Rc::default();
        let (all, watcher) = (Rc::clone(&accepted), world.watcher());
        let server = world.server(move |socket| all.borrow_mut().push(socket.clone()));
        let mut peers = [world.peer(&server), world.peer(&server)];
        turn_until(world, || accepted.borrow().len() == 2);
        server.close();
        let [a, b] = [0, 1].map(|index| accepted.borrow()[index].clone());
        let heirs: Rc<RefCell<Vec<Socket>>> = Rc::default();
        // Whichever is told first closes the other one, and takes its number for a new socket.
        for (this, other) in [(&a, &b), (&b, &a)] {
            let (other, heirs, watcher) = (other.clone(), Rc::clone(&heirs), watcher.clone());
            this.on_data(move |this, _| {
                let number = other.raw_fd().expect("told twice");
                other.destroy();
                let (near, far) = net::pair(this.event_loop()).unwrap();
                let numbers = [near.raw_fd(), far.raw_fd()];
                assert!(numbers.contains(&Some(number)), "{numbers:?} {number}");
                watcher.watch(&near, Script::new("near"));
                watcher.watch(&far, Script::new("far"));
                this.destroy();
                heirs.borrow_mut().push(near);
            });
        }
        // Both events, and hang-ups, are in one poll.
        for peer in &mut peers {
            peer.send(b"!");
            peer.end();
        }
        turn_until(world, || !heirs.borrow().is_empty());
        world
            .event_loop
            .turn(Some(std::time::Duration::ZERO))
            .unwrap();
        assert_eq!(world.log(), Vec::<String>::new());
        heirs.borrow()[0].end_with("mine");
        world.run();
        world.assert_trace("far", "data(4) end finish close(false)");
        world.assert_trace("near", "finish end close(false)");
    });
}

// With a second descriptor the closed socket lives on in the kernel, and the poll would go on to tell of it.
#[test]
fn an_event_of_a_duplicated_descriptor_does_not_reach_the_one_in_its_slot() {
    each_case(|world| {
        let accepted: Rc<RefCell<Vec<Socket>>> = Rc::default();
        let all = Rc::clone(&accepted);
        let server = world.server(move |socket| all.borrow_mut().push(socket.clone()));
        let mut peers = [world.peer(&server), world.peer(&server)];
        turn_until(world, || accepted.borrow().len() == 2);
        server.close();
        let [a, b] = [0, 1].map(|index| accepted.borrow()[index].clone());
        let heirs: Rc<RefCell<Vec<Socket>>> = Rc::default();
        let watcher = world.watcher();
        // SAFETY: both sockets are open.
        let copies = [&a, &b].map(|socket| unsafe {
            let fd = BorrowedFd::borrow_raw(socket.raw_fd().unwrap());
            fd.try_clone_to_owned().unwrap()
        });
        for (this, other) in [(&a, &b), (&b, &a)] {
            let (other, heirs, watcher) = (other.clone(), Rc::clone(&heirs), watcher.clone());
            this.on_data(move |this, _| {
                other.destroy();
                this.destroy();
                let (near, far) = net::pair(this.event_loop()).unwrap();
                watcher.watch(&near, Script::new("near"));
                watcher.watch(&far, Script::new("far"));
                heirs.borrow_mut().push(near);
            });
        }
        // Both events are in one poll; the second is stale by the time it would be served.
        for peer in &mut peers {
            peer.send(b"!");
        }
        turn_until(world, || !heirs.borrow().is_empty());
        // And what comes to the copies later is told to nobody.
        for peer in &mut peers {
            peer.send(b"more");
            peer.end();
        }
        let read = world.event_loop.stats().bytes_in;
        for _ in 0..5 {
            world
                .event_loop
                .turn(Some(std::time::Duration::ZERO))
                .unwrap();
        }
        assert_eq!(heirs.borrow().len(), 1);
        assert_eq!(world.log(), Vec::<String>::new());
        assert_eq!(world.event_loop.stats().bytes_in, read);
        drop(copies);
        heirs.borrow()[0].end_with("mine");
        world.run();
        world.assert_trace("far", "data(4) end finish close(false)");
        world.assert_trace("near", "finish end close(false)");
    });
}

#[test]
fn an_id_is_never_given_again() {
    each_case(|world| {
        let rounds = if world.transport == Transport::Tcp {
            50
        } else {
            500
        };
        let server = world.server_for(rounds, ServerOptions::default(), || Script::new("S"));
        let seen: Rc<RefCell<HashSet<_>>> = Rc::default();
        let ids = Rc::clone(&seen);
        server.on_connection(move |socket| {
            assert!(ids.borrow_mut().insert(socket.id()));
            socket.end();
        });
        for _ in 0..rounds {
            let client = world.client(&server, Script::new("C"));
            assert!(seen.borrow_mut().insert(client.id()));
            assert_eq!(world.event_loop.socket(client.id()), Some(client.clone()));
            turn_until(world, || client.destroyed());
            assert_eq!(world.event_loop.socket(client.id()), None);
        }
        world.run();
        let seen = seen.borrow();
        assert_eq!(seen.len(), 2 * rounds);
        assert!(seen.iter().all(|id| world.event_loop.socket(*id).is_none()));
    });
}

#[test]
fn a_handle_of_a_closed_socket_does_nothing_to_the_one_in_its_slot() {
    each_case(|world| {
        let server = world.server_for(2, ServerOptions::default(), || Script::new("S"));
        let old = world.client(&server, Script::new("old"));
        old.on_connect(|socket| socket.end());
        turn_until(world, || world.event_loop.stats().sockets_open == 0);
        let new = world.client(&server, Script::new("new"));
        assert_ne!(old, new);
        old.write("x");
        old.end();
        old.pause();
        old.destroy();
        let after = world.noter();
        old.on_close(move |_, _| after("close of the wrong one"));
        assert!(old.destroyed() && !new.destroyed() && !new.is_paused());
        assert_eq!((old.bytes_written(), new.bytes_written()), (0, 0));
        new.on_connect(|socket| socket.end());
        world.run();
        world.assert_trace("new", "connect ready finish end close(false)");
    });
}
