//! A listener that is handed from one generation of a server to the next, by its descriptor: nobody who dials meanwhile
//! is refused, reset or left to wait.

mod common;
#[path = "common/faults.rs"]
mod faults;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use common::{each_form_tcp, Peer};
use faults::converse;
use tidewheel::net::{self, ListenOptions, Server};
use tidewheel::LoopHandle;

const VISITORS: usize = 300;

/// The next generation, which serves what the last one has not accepted. The old one keeps its connections.
fn succeed(handle: &LoopHandle, old: &Server) -> Server {
    let fd = old.try_clone_fd().unwrap();
    let new = net::create_server(handle, |socket| {
        socket.pipe(socket);
    });
    new.listen(ListenOptions::from(fd), |_| {}).unwrap();
    old.close();
    new
}

// A path goes with the server that made it: see the tests of paths for generations that swap theirs.
#[test]
fn nobody_who_dials_is_lost_from_one_generation_to_the_next() {
    each_form_tcp(|world| {
        let mut server = world.server(|socket| {
            socket.pipe(socket);
        });
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
        let (open, visits) = std::sync::mpsc::channel::<Peer>();
        let visitors = std::thread::spawn(move || {
            for mut peer in visits {
                assert!(converse(&mut peer, b"served?"));
                peer.end();
                assert_eq!(peer.read_all(), b"");
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        for number in 0..VISITORS {
            if number % 20 == 10 {
                // Some wait in the queue while it changes hands.
                server = succeed(&world.event_loop.handle(), &server);
            }
            open.send(world.peer(&server)).unwrap();
            world.event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        drop(open);
        let last = server.clone();
        let done = Arc::clone(&served);
        world
            .event_loop
            .set_interval(Duration::from_millis(1), move |timer| {
                if done.load(Ordering::Relaxed) == VISITORS {
                    last.close();
                    timer.clear();
                }
            });
        world.run();
        visitors.join().unwrap();
        assert_eq!(served.load(Ordering::Relaxed), VISITORS);
    });
}
