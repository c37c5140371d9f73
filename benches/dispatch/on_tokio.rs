//! Events on tokio's current-thread runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::{sleep_until, Instant};

use crate::sampled::{time, Routine};
use crate::{Far, BATCH, SOCKETS};

pub fn data() -> Routine {
    let runtime = runtime();
    let (mut far, near) = Far::pairs();
    let seen = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        for stream in near {
            let mut stream = UnixStream::from_std(stream).unwrap();
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    seen.fetch_add(read, Ordering::Relaxed);
                }
            });
        }
        yield_now().await;
    });
    Box::new(move || {
        seen.store(0, Ordering::Relaxed);
        time(|| {
            far.send();
            runtime.block_on(until(&seen, SOCKETS));
        })
    })
}

pub fn spawns() -> Routine {
    let runtime = runtime();
    let seen = Arc::new(AtomicUsize::new(0));
    Box::new(move || {
        seen.store(0, Ordering::Relaxed);
        time(|| {
            runtime.block_on(async {
                for _ in 0..BATCH {
                    let seen = Arc::clone(&seen);
                    tokio::spawn(async move { seen.fetch_add(1, Ordering::Relaxed) });
                }
                until(&seen, BATCH).await;
            });
        })
    })
}

/// Each polled once, as a task that waits does.
pub fn timers() -> Routine {
    let runtime = runtime();
    Box::new(move || {
        let _guard = runtime.enter();
        time(|| {
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..BATCH {
                let deadline = Instant::now() + Duration::from_secs(120);
                let sleep = pin!(sleep_until(deadline));
                assert!(sleep.poll(&mut context).is_pending());
            }
        })
    })
}

pub fn turns() -> Routine {
    let runtime = runtime();
    Box::new(move || {
        time(|| {
            runtime.block_on(async {
                for _ in 0..BATCH {
                    yield_now().await;
                }
            });
        })
    })
}

async fn until(seen: &AtomicUsize, count: usize) {
    while seen.load(Ordering::Relaxed) < count {
        yield_now().await;
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
