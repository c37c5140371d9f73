//! Thousands of connections that are reset, beside clients that behave: those are served all the time, and nothing is
//! left of the others.

mod common;
#[path = "common/faults.rs"]
mod faults;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{run_on, Form, Peer, Transport, World};
use faults::{converse, echo_server};
use tidewheel::net::{Address, ServerOptions};
use tidewheel::EventLoop;

const HONEST: usize = 4;
const PLAIN_RESETS: usize = 4_000;

const LONG: Duration = Duration::from_secs(10);
const RATE: usize = 10_000;

/// The three moments of a reset: before a word, with words unread, and over an answer that may be on its way.
fn reset_one(address: &Address, kind: usize) {
    // Over UNIX sockets the queue of the listener may be full, which is not the server's fault.
    let Ok(mut peer) = Peer::try_connect(address) else {
        return std::thread::yield_now();
    };
    if kind % 3 > 0 {
        let _ = std::io::Write::write_all(&mut peer, b"nobody will read the answer");
    }
    if kind % 3 == 2 {
        let _ = std::io::Read::read(&mut peer, &mut [0; 4]);
    }
    peer.reset();
}

/// Resets connections as long as `go_on` says so, which is told how many there were.
fn storm(
    address: Address,
    made: Arc<AtomicUsize>,
    go_on: impl Fn(usize) -> bool + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || loop {
        let number = made.fetch_add(1, Ordering::Relaxed);
        if !go_on(number) {
            return;
        }
        reset_one(&address, number);
    })
}

/// Asks and is answered until the storm is over. Gives the number of answers and the longest wait for one.
fn honest(address: Address, over: Arc<AtomicBool>) -> JoinHandle<(usize, Duration)> {
    std::thread::spawn(move || {
        let (mut answers, mut longest) = (0, Duration::ZERO);
        let mut peer = Peer::connect(&address);
        while !over.load(Ordering::Relaxed) {
            let start = Instant::now();
            let question = format!("question {answers}");
            assert!(converse(&mut peer, question.as_bytes()), "not served");
            longest = longest.max(start.elapsed());
            answers += 1;
        }
        peer.end();
        assert_eq!(peer.read_all(), b"");
        (answers, longest)
    })
}

/// Runs a storm beside honest clients. Gives how many were reset and what the honest met.
fn weather(
    world: &World,
    threads: usize,
    go_on: impl Fn(usize) -> bool + Clone + Send + 'static,
) -> (usize, usize, Duration) {
    let server = echo_server(world, ServerOptions::default());
    let address = server.address().unwrap();
    let (made, over) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let honest: Vec<_> = (0..HONEST)
        .map(|_| honest(address.clone(), Arc::clone(&over)))
        .collect();
    let storms: Vec<_> = (0..threads)
        .map(|_| storm(address.clone(), Arc::clone(&made), go_on.clone()))
        .collect();
    let remote = world.event_loop.remote();
    let closing = server.id();
    let end = std::thread::spawn(move || {
        for storm in storms {
            storm.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        let served: Vec<_> = honest.into_iter().map(|h| h.join().unwrap()).collect();
        remote
            .post(move |handle| handle.server(closing).unwrap().close())
            .unwrap();
        served
    });
    world.run();
    let served = end.join().unwrap();
    let stats = world.event_loop.stats();
    assert_eq!((stats.sockets_open, stats.connections_dropped), (0, 0));
    assert!(stats.unhandled_errors > 0, "nobody listens to a reset");
    // Each who behaves is served, and none of them only at the end.
    let answers = served.iter().map(|(answers, _)| *answers).min().unwrap();
    let longest = served.iter().map(|(_, longest)| *longest).max().unwrap();
    (made.load(Ordering::Relaxed) - threads, answers, longest)
}

#[test]
fn four_thousand_resets_harm_nobody_who_behaves() {
    for transport in [Transport::Tcp, Transport::Unix] {
        run_on(EventLoop::builder(), Form::Closures, transport, &|world| {
            let (resets, answers, longest) = weather(world, 1, |made| made < PLAIN_RESETS);
            println!(
                "{resets} resets; each had {answers} answers and more, the last after {longest:?}"
            );
            assert_eq!(resets, PLAIN_RESETS);
            assert!(answers > 10, "{answers}");
            assert!(longest < Duration::from_secs(5), "{longest:?}");
        });
    }
}

#[test]
#[ignore = "long: ten seconds of both cores"]
fn ten_thousand_resets_a_second_harm_nobody_who_behaves() {
    run_on(
        EventLoop::builder(),
        Form::Closures,
        Transport::Tcp,
        &|world| {
            let start = Instant::now();
            let due = move || (start.elapsed().as_secs_f64() * RATE as f64) as usize;
            let (resets, answers, longest) = weather(world, 2, move |made| {
                // As many as are due, and no more.
                while made > due() && start.elapsed() < LONG {
                    std::thread::sleep(Duration::from_micros(200));
                }
                start.elapsed() < LONG
            });
            let rate = resets as f64 / start.elapsed().as_secs_f64();
            println!("{resets} resets, {rate:.0}/s; each had {answers} answers and more, the last after {longest:?}");
            assert!(answers > 1_000, "{answers}");
            assert!(longest < Duration::from_secs(2), "{longest:?}");
            if rate < RATE as f64 * 0.9 {
                println!("skipped: this machine makes no {RATE} resets a second, but {rate:.0}");
            }
            assert!(resets > 10_000, "{resets}");
        },
    );
}
