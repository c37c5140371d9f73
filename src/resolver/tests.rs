//! The pool with a name server that hangs as long as a test wants it to.

use super::*;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::ThreadId;
use std::time::Duration;

/// Far more than anything here takes: who waits so long waits in vain.
const LONG: Duration = Duration::from_secs(20);

struct Bell(Sender<()>);

impl Wake for Bell {
    fn wake(&self) {
        let _ = self.0.send(());
    }
}

/// A name server whose look-ups hang until they are released.
#[derive(Default)]
struct Gate {
    released: Mutex<HashSet<String>>,
    changed: Condvar,
}

impl Gate {
    fn release(&self, names: &[&str]) {
        let names = names.iter().map(|name| (*name).to_owned());
        self.released.lock().unwrap().extend(names);
        self.changed.notify_all();
    }

    fn pass(&self, name: &str) {
        let mut released = self.released.lock().unwrap();
        while !released.contains(name) {
            released = self.changed.wait(released).unwrap();
        }
    }
}

struct Fixture {
    resolver: Resolver,
    gate: Arc<Gate>,
    begun: Receiver<(String, ThreadId)>,
    bell: Receiver<()>,
}

impl Fixture {
    fn new(threads: usize) -> Fixture {
        let gate = Arc::new(Gate::default());
        let (report, begun) = mpsc::channel();
        let (ring, bell) = mpsc::channel();
        let at_gate = Arc::clone(&gate);
        let look_up = move |name: &str, family| {
            let _ = report.send((name.to_owned(), thread::current().id()));
            at_gate.pass(name);
            match (name, family) {
                ("panic", _) => panic!("asked to"),
                ("none", _) => Err(Code::HostNotFound),
                ("empty", _) => Ok(Vec::new()),
                (_, Some(Family::Ipv4)) => Ok(vec![at(4)]),
                _ => Ok(vec![at(1), at(2)]),
            }
        };
        Fixture {
            resolver: Resolver::new(threads, Arc::new(look_up), Arc::new(Bell(ring))),
            gate,
            begun,
            bell,
        }
    }

    fn ask(&self, name: &str) -> Ticket {
        self.resolver.ask(name, None)
    }

    /// Waits for the next look-up to begin.
    #[track_caller]
    fn begun(&self) -> String {
        self.begun.recv_timeout(LONG).expect("a look-up begins").0
    }

    /// Waits for as many completions.
    #[track_caller]
    fn completions(&self, count: usize) -> Vec<(Ticket, Answer)> {
        let mut taken = Vec::new();
        while taken.len() < count {
            self.bell.recv_timeout(LONG).expect("the loop is woken");
            taken.extend(self.resolver.take_completions());
        }
        assert_eq!(taken.len(), count);
        taken
    }

    /// Asks, and waits for the answer.
    #[track_caller]
    fn answer(&self, name: &str) -> Answer {
        let ticket = self.ask(name);
        self.gate.release(&[name]);
        let (answered, answer) = self.completions(1).remove(0);
        assert_eq!(answered, ticket);
        answer
    }

    fn threads(&self) -> usize {
        self.resolver.pool.lock().threads
    }
}

fn at(last: u8) -> SocketAddr {
    (Ipv4Addr::new(127, 0, 0, last), 0).into()
}

fn tickets(completions: &[(Ticket, Answer)]) -> Vec<Ticket> {
    completions.iter().map(|(ticket, _)| *ticket).collect()
}

#[test]
fn answers_are_addresses_or_codes() {
    let pool = Fixture::new(1);
    assert_eq!(*pool.answer("some").unwrap(), [at(1), at(2)]);
    assert_eq!(pool.answer("none"), Err(Code::HostNotFound));
    assert_eq!(pool.answer("empty"), Err(Code::HostNotFound));
}

#[test]
fn who_asks_for_the_same_shares_the_look_up() {
    let pool = Fixture::new(4);
    let first = pool.ask("a");
    assert_eq!(pool.begun(), "a");
    let second = pool.ask("a");
    let other = pool.resolver.ask("a", Some(Family::Ipv4));
    assert_eq!(pool.begun(), "a");
    let third = pool.ask("a");
    assert_eq!(pool.threads(), 2);

    pool.gate.release(&["a"]);
    let mut completions = pool.completions(4);
    let position = completions.iter().position(|(ticket, _)| *ticket == other);
    let (_, answer) = completions.remove(position.unwrap());
    assert_eq!(*answer.unwrap(), [at(4)]);
    assert_eq!(tickets(&completions), [first, second, third]);
    let addresses: Vec<_> = completions.into_iter().map(|it| it.1.unwrap()).collect();
    assert_eq!(*addresses[0], [at(1), at(2)]);
    assert!(addresses.iter().all(|it| Arc::ptr_eq(it, &addresses[0])));

    let again = pool.ask("a");
    assert_eq!(pool.begun(), "a", "an answer is not kept");
    assert_eq!(tickets(&pool.completions(1)), [again]);
    assert!(pool.begun.try_recv().is_err());
}

#[test]
fn look_ups_begin_in_the_order_of_asking() {
    let pool = Fixture::new(1);
    let asked: Vec<_> = ["c", "a", "b"].map(|name| pool.ask(name)).into();
    pool.gate.release(&["a", "b", "c"]);
    assert_eq!([pool.begun(), pool.begun(), pool.begun()], ["c", "a", "b"]);
    assert_eq!(tickets(&pool.completions(3)), asked);
}

#[test]
fn a_hung_look_up_delays_no_other_name() {
    let pool = Fixture::new(2);
    let hung = pool.ask("hung");
    assert_eq!(pool.begun(), "hung");
    for name in ["a", "b", "c"] {
        assert!(pool.answer(name).is_ok());
    }
    pool.gate.release(&["hung"]);
    assert_eq!(tickets(&pool.completions(1)), [hung]);
}

#[test]
fn threads_are_started_when_all_are_busy_up_to_the_limit() {
    let pool = Fixture::new(2);
    assert_eq!(pool.threads(), 0);
    for (name, threads) in [("a", 1), ("b", 2), ("c", 2), ("d", 2)] {
        pool.ask(name);
        assert_eq!(pool.threads(), threads, "{name}");
    }
    pool.gate.release(&["a", "b", "c", "d"]);
    assert_eq!(pool.completions(4).len(), 4);
    let threads: HashSet<_> = pool.begun.try_iter().map(|(_, thread)| thread).collect();
    assert!(threads.len() <= 2);
    assert!(!threads.contains(&thread::current().id()));
}

#[test]
fn a_free_thread_is_used_again() {
    let pool = Fixture::new(4);
    for name in ["a", "b", "c"] {
        assert!(pool.answer(name).is_ok());
    }
    assert_eq!(pool.threads(), 1);
    let none = Fixture::new(0);
    assert!(none.answer("a").is_ok());
}

#[test]
fn a_cancelled_ticket_is_not_answered() {
    let pool = Fixture::new(1);
    let under_way = pool.ask("a");
    assert_eq!(pool.begun(), "a");
    let [shared, stays, alone, last] = ["b", "b", "c", "d"].map(|name| pool.ask(name));
    for ticket in [under_way, shared, alone] {
        pool.resolver.cancel(ticket);
    }
    pool.gate.release(&["a", "b", "c", "d"]);
    assert_eq!(tickets(&pool.completions(2)), [stays, last]);
    assert_eq!([pool.begun(), pool.begun()], ["b", "d"]);
    assert!(pool.begun.try_recv().is_err(), "nobody waited for c");

    let late = pool.ask("a");
    pool.bell.recv_timeout(LONG).unwrap();
    pool.resolver.cancel(late);
    assert!(pool.resolver.take_completions().is_empty());
    pool.resolver.cancel(late);

    let state = pool.resolver.pool.lock();
    assert!(state.jobs.is_empty() && state.by_question.is_empty() && state.queue.is_empty());
}

#[test]
fn a_name_that_hangs_takes_one_thread_however_often_it_is_asked_for() {
    let pool = Fixture::new(2);
    let first = pool.ask("hung");
    assert_eq!(pool.begun(), "hung");
    pool.resolver.cancel(first);
    for _ in 0..3 {
        pool.resolver.cancel(pool.ask("hung"));
    }
    let waiting = pool.ask("hung");
    assert!(pool.answer("a").is_ok());
    assert_eq!(pool.begun(), "a");
    pool.gate.release(&["hung"]);
    assert_eq!(tickets(&pool.completions(1)), [waiting]);
}

#[test]
fn the_loop_is_woken_once_until_it_takes() {
    let pool = Fixture::new(1);
    let asked: Vec<_> = ["a", "b", "c"].map(|name| pool.ask(name)).into();
    pool.gate.release(&["a", "b"]);
    assert_eq!([pool.begun(), pool.begun(), pool.begun()], ["a", "b", "c"]);
    assert_eq!(pool.bell.try_iter().count(), 1);
    assert_eq!(tickets(&pool.resolver.take_completions()), asked[..2]);
    pool.gate.release(&["c"]);
    assert_eq!(tickets(&pool.completions(1)), asked[2..]);
}

#[test]
fn a_look_up_that_panics_has_failed() {
    let pool = Fixture::new(1);
    assert_eq!(pool.answer("panic"), Err(Code::LookupFailed));
    assert!(pool.answer("a").is_ok());
    assert_eq!(pool.threads(), 1);
}

/// A drop that waited would wait for ever: the look-up is released only afterwards.
#[test]
fn a_resolver_dropped_while_busy_waits_for_nothing() {
    let pool = Fixture::new(2);
    pool.ask("idle");
    pool.gate.release(&["idle"]);
    pool.completions(1);
    for name in ["hung", "waiting", "queued"] {
        pool.ask(name);
    }
    let Fixture {
        resolver,
        gate,
        begun,
        bell,
    } = pool;
    assert_eq!(begun.recv_timeout(LONG).unwrap().0, "idle");
    begun.recv_timeout(LONG).unwrap();
    begun.recv_timeout(LONG).unwrap();
    drop(resolver);
    // What wakes the loop went with the resolver, though its threads still hang.
    assert_eq!(
        bell.recv_timeout(Duration::ZERO),
        Err(RecvTimeoutError::Disconnected)
    );
    gate.release(&["hung", "waiting", "queued"]);
    assert_all_threads_end(&begun);
    assert!(bell.try_recv().is_err(), "nobody is there to be woken");
}

#[test]
fn idle_threads_end_with_the_resolver() {
    let pool = Fixture::new(2);
    pool.ask("a");
    pool.ask("b");
    pool.gate.release(&["a", "b"]);
    pool.completions(2);
    assert_eq!(pool.threads(), 2);
    let Fixture {
        resolver, begun, ..
    } = pool;
    begun.try_iter().for_each(drop);
    drop(resolver);
    assert_all_threads_end(&begun);
}

/// The last thread takes the look-up function with it, and so the other end of the channel.
#[track_caller]
fn assert_all_threads_end(begun: &Receiver<(String, ThreadId)>) {
    let nothing = begun.recv_timeout(LONG);
    assert_eq!(nothing.err(), Some(RecvTimeoutError::Disconnected));
}

#[test]
fn names_of_this_machine_are_found_by_the_system() {
    let (ring, bell) = mpsc::channel();
    let resolver = Resolver::new(1, Arc::new(crate::sys::resolve), Arc::new(Bell(ring)));
    let ticket = resolver.ask("localhost", Some(Family::Ipv4));
    bell.recv_timeout(LONG).unwrap();
    let (answered, answer) = resolver.take_completions().remove(0);
    assert_eq!(answered, ticket);
    assert!(answer.unwrap().iter().all(|at| at.ip().is_loopback()));
}
