//! Looking names up without stopping the loop: a small pool of threads, for the system's resolver
//! has no way to answer later.
//!
//! The loop asks and gets a [`Ticket`]; it is woken when an answer is there, and takes it in its own
//! time. Nothing is ever run on its behalf in a thread of the pool but the look-up itself.
//!
//! - Who asks for what is being looked up already shares that look-up.
//! - Look-ups begin in the order they were asked for. A thread that hangs delays those that it would
//!   have served, and while another thread is left that is only its own.
//! - Threads are started when there is work for them, at most as many as the pool has. They are
//!   never joined: a resolver that is dropped leaves a look-up under way to itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::address::Family;
use crate::error::Code;

/// What a look-up came to: at least one address.
pub(crate) type Answer = Result<Arc<[SocketAddr]>, Code>;

/// How names are looked up: by the system, or by a function of a test.
pub(crate) trait LookUp: Send + Sync {
    fn look_up(&self, name: &str, family: Option<Family>) -> Result<Vec<SocketAddr>, Code>;
}

impl<F> LookUp for F
where
    F: Fn(&str, Option<Family>) -> Result<Vec<SocketAddr>, Code> + Send + Sync,
{
    fn look_up(&self, name: &str, family: Option<Family>) -> Result<Vec<SocketAddr>, Code> {
        self(name, family)
    }
}

/// How the loop is told, from another thread, that there are completions to take.
pub(crate) trait Wake: Send + Sync {
    fn wake(&self);
}

/// One who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    look_up: u64,
    asker: u64,
}

/// The pool, as the loop sees it.
pub(crate) struct Resolver {
    pool: Arc<Pool>,
}

impl Resolver {
    /// Starts no thread yet. At least one may be started, whatever `threads` says.
    pub(crate) fn new(threads: usize, look_up: Arc<dyn LookUp>, wake: Arc<dyn Wake>) -> Resolver {
        Resolver {
            pool: Arc::new(Pool {
                state: Mutex::new(State {
                    wake: Some(wake),
                    ..State::default()
                }),
                work: Condvar::new(),
                limit: threads.max(1),
                look_up,
            }),
        }
    }

    /// Asks for the addresses of a name. Each ticket is answered once, unless cancelled.
    pub(crate) fn ask(&self, name: &str, family: Option<Family>) -> Ticket {
        let question = Arc::new(Question {
            name: name.into(),
            family,
        });
        let mut state = self.pool.lock();
        let (ticket, is_new) = state.ask(question);
        if is_new {
            self.pool.employ(&mut state);
        }
        ticket
    }

    /// Forgets a ticket. A look-up that has not begun and that nobody waits for any more is not made.
    pub(crate) fn cancel(&self, ticket: Ticket) {
        self.pool.lock().cancel(ticket);
    }

    /// The answers that came since, in the order they came; those to one look-up in the order of
    /// asking. The loop is woken when the first of them is there.
    pub(crate) fn take_completions(&self) -> Vec<(Ticket, Answer)> {
        mem::take(&mut self.pool.lock().completions)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        *self.pool.lock() = State {
            closed: true,
            ..State::default()
        };
        self.pool.work.notify_all();
    }
}

/// What the loop and the threads share.
struct Pool {
    state: Mutex<State>,
    /// There is a look-up to make, or none will ever be.
    work: Condvar,
    limit: usize,
    look_up: Arc<dyn LookUp>,
}

impl Pool {
    /// Nothing that can panic is done under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a thread for what has just been queued.
    fn employ(self: &Arc<Pool>, state: &mut State) {
        if state.queue.len() <= state.free || state.threads == self.limit {
            self.work.notify_one();
            return;
        }
        let pool = Arc::clone(self);
        let thread = thread::Builder::new().name("tidewheel-names".into());
        match thread.spawn(move || pool.serve()) {
            Ok(_detached) => {
                state.threads += 1;
                state.free += 1;
            }
            Err(_) if state.threads > 0 => self.work.notify_one(),
            // Nobody would ever look the name up. The system is short of threads; later it may not be.
            Err(_) => {
                if let Some((only, _)) = state.start_next() {
                    state.finish(only, Err(Code::LookupTryAgain));
                }
            }
        }
    }

    /// What a thread does.
    fn serve(&self) {
        while let Some((look_up, question)) = self.next() {
            let answer = self.answer(&question);
            let mut state = self.lock();
            state.free += 1;
            state.finish(look_up, answer);
        }
    }

    /// Waits for a look-up to make; `None` when the resolver is gone.
    fn next(&self) -> Option<(u64, Arc<Question>)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(next) = state.start_next() {
                state.free -= 1;
                return Some(next);
            }
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A look-up that panics has failed; its thread goes on.
    fn answer(&self, question: &Question) -> Answer {
        let look_up = || self.look_up.look_up(&question.name, question.family);
        let found = panic::catch_unwind(AssertUnwindSafe(look_up));
        match found.unwrap_or(Err(Code::LookupFailed))? {
            none if none.is_empty() => Err(Code::HostNotFound),
            addresses => Ok(addresses.into()),
        }
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Question {
    name: Box<str>,
    family: Option<Family>,
}

/// A look-up that is queued or under way.
struct Job {
    question: Arc<Question>,
    askers: BTreeSet<u64>,
}

#[derive(Default)]
struct State {
    /// Counts look-ups and askers; numbers are never used again.
    last_number: u64,
    jobs: HashMap<u64, Job>,
    by_question: HashMap<Arc<Question>, u64>,
    /// The look-ups that have not begun. Their numbers grow, so the least has waited longest.
    queue: BTreeMap<u64, Arc<Question>>,
    completions: Vec<(Ticket, Answer)>,
    threads: usize,
    /// Threads that look nothing up, also those that are about to take the next look-up.
    free: usize,
    closed: bool,
    /// It goes with the resolver, because it holds a descriptor, and a thread may hang for long.
    wake: Option<Arc<dyn Wake>>,
}

impl State {
    /// True: the look-up is new.
    fn ask(&mut self, question: Arc<Question>) -> (Ticket, bool) {
        let asker = self.number();
        let known = self.by_question.get(&question).copied();
        let look_up = known.unwrap_or_else(|| {
            let look_up = self.number();
            self.by_question.insert(Arc::clone(&question), look_up);
            self.queue.insert(look_up, Arc::clone(&question));
            look_up
        });
        let job = self.jobs.entry(look_up).or_insert_with(|| Job {
            question,
            askers: BTreeSet::new(),
        });
        job.askers.insert(asker);
        (Ticket { look_up, asker }, known.is_none())
    }

    fn cancel(&mut self, ticket: Ticket) {
        let Some(job) = self.jobs.get_mut(&ticket.look_up) else {
            self.completions.retain(|(other, _)| *other != ticket);
            return;
        };
        job.askers.remove(&ticket.asker);
        // One under way stays, so that asking again for a name that hangs takes no other thread.
        if job.askers.is_empty() && self.queue.remove(&ticket.look_up).is_some() {
            self.by_question.remove(&job.question);
            self.jobs.remove(&ticket.look_up);
        }
    }

    fn start_next(&mut self) -> Option<(u64, Arc<Question>)> {
        self.queue.pop_first()
    }

    /// Keeps the answer for those who asked. The loop is woken by the first that it has not taken.
    fn finish(&mut self, look_up: u64, answer: Answer) {
        let was_empty = self.completions.is_empty();
        if let Some(job) = self.jobs.remove(&look_up) {
            self.by_question.remove(&job.question);
            for asker in job.askers {
                let ticket = Ticket { look_up, asker };
                self.completions.push((ticket, answer.clone()));
            }
        }
        if let (true, false, Some(wake)) = (was_empty, self.completions.is_empty(), &self.wake) {
            wake.wake();
        }
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

#[cfg(test)]
mod tests;
