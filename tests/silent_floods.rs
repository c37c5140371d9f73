//! Crowds that connect and then do nothing: a limit, an idle timeout, or both keep the server for those who speak.

mod common;
#[path = "common/faults.rs"]
mod faults;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{run_on, Form, Peer, Transport, World};
use faults::{converse_at_last, echo_server};
use tidewheel::net::{Address, Server, ServerOptions};
use tidewheel::EventLoop;

const SILENT: usize = 300;
const HONEST: usize = 10;
/// How many the crowd dials in a millisecond.
const DIALS: usize = 10;
const PERIOD: Duration = Duration::from_millis(100);

/// The crowd knows no listeners of ours, so that one form will do.
fn each_transport(scenario: impl Fn(&World)) {
    for transport in [Transport::Tcp, Transport::Unix] {
        run_on(EventLoop::builder(), Form::Closures, transport, &scenario);
    }
}

/// An echo that throws out who is silent for a period.
fn strict_server(world: &World) -> Server {
    let server = echo_server(world, ServerOptions::default().timeout(PERIOD));
    let probe = world.probe();
    server.on_connection(move |socket| {
        let probe = probe.clone();
        socket.on_timeout(move |socket| {
            let _ = &probe;
            socket.destroy();
        });
    });
    server
}

/// Keeps `SILENT` connections open, dialling again for each that is thrown out, until it is told to stop; says when it
/// has dialled as often. Gives how often it dialled in all.
fn flood(address: Address, stop: Arc<AtomicBool>, here: Sender<()>) -> usize {
    let mut crowd: Vec<Peer> = Vec::new();
    let mut dialled = 0;
    while !stop.load(Ordering::Relaxed) {
        crowd.retain(is_there);
        for _ in 0..DIALS.min(SILENT - crowd.len()) {
            // The queue of a UNIX listener may be full.
            match Peer::try_connect(&address) {
                Ok(peer) => crowd.push(peer),
                Err(_) => break,
            }
            dialled += 1;
        }
        if dialled >= SILENT {
            // Nobody need listen any more.
            let _ = here.send(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    dialled
}

/// Whether the server has not thrown this one out.
fn is_there(peer: &Peer) -> bool {
    let mut byte = 0_u8;
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    // SAFETY: the pointer and the length are of one live byte.
    let result = unsafe { libc::recv(faults::fd_of(peer), (&raw mut byte).cast(), 1, flags) };
    result == -1 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock
}

/// Runs a flood beside those who behave, each of whom goes on until it was served. Gives the attempts that the worst of
/// them needed, and how often the flood dialled.
fn siege(world: &World, server: &Server) -> (usize, usize) {
    let address = server.address().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (here, arrived) = channel();
    let crowd = {
        let (address, stop) = (address.clone(), Arc::clone(&stop));
        std::thread::spawn(move || flood(address, stop, here))
    };
    let remote = world.event_loop.remote();
    let worst = Arc::new(AtomicUsize::new(0));
    let most = Arc::clone(&worst);
    let honest = std::thread::spawn(move || {
        arrived.recv().unwrap();
        for number in 0..HONEST {
            let question = format!("question {number}");
            most.fetch_max(
                converse_at_last(&address, question.as_bytes()),
                Ordering::Relaxed,
            );
            // While the flood goes on.
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        remote.post(|handle| handle.stop()).unwrap();
    });
    world.run();
    honest.join().unwrap();
    (worst.load(Ordering::Relaxed), crowd.join().unwrap())
}

/// The crowd has gone. Nobody is left, and the server as well as ever.
fn lift(world: &World, server: &Server) {
    let closing = server.clone();
    let handle = world.event_loop.handle();
    let probe = world.probe();
    handle.set_interval(Duration::from_millis(1), move |timer| {
        let _ = &probe;
        if closing.connections() == 0 {
            closing.close();
            timer.clear();
        }
    });
    world.run();
    assert_eq!(world.event_loop.stats().sockets_open, 0);
}

#[test]
fn an_idle_timeout_frees_a_server_from_the_silent_and_the_honest_never_wait() {
    each_transport(|world| {
        let server = strict_server(world);
        let (attempts, dialled) = siege(world, &server);
        assert_eq!(attempts, 1, "somebody who spoke was turned away");
        assert!(dialled >= SILENT, "{dialled}");
        lift(world, &server);
        assert_eq!(world.event_loop.stats().connections_dropped, 0);
    });
}

#[test]
fn behind_a_limit_and_an_idle_timeout_the_honest_have_their_turn() {
    each_transport(|world| {
        let server = strict_server(world);
        server.set_max_connections(Some(SILENT / 3));
        let start = Instant::now();
        let (attempts, dialled) = siege(world, &server);
        let dropped = world.event_loop.stats().connections_dropped as usize;
        assert!(dropped > 0, "the limit was never reached");
        println!(
            "{dropped} dropped; the crowd dialled {dialled} times; at most {attempts} attempts; {:?}",
            start.elapsed()
        );
        lift(world, &server);
    });
}
