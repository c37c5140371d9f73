//! tokio's current-thread runtime: a task and a buffer for each connection, as its own echo example has it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Builder;

use super::peers::{work, Job, READ, REPLY};
use super::sys::{self, Place, Transport};

pub fn serve(job: Job, transport: Transport, ready: impl FnOnce(Place)) {
    let (listener, place) = sys::listen(transport);
    let runtime = Builder::new_current_thread().enable_io().build();
    let accepting = async move {
        match transport {
            Transport::Tcp => {
                let listener = TcpListener::from_std(listener.into()).expect("no listener");
                ready(place);
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(answer(stream, job.clone()));
                }
            }
            Transport::Unix => {
                let listener = UnixListener::from_std(listener.into()).expect("no listener");
                ready(place);
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(answer(stream, job.clone()));
                }
            }
        }
    };
    runtime.expect("no runtime").block_on(accepting);
}

async fn answer(stream: impl Stream, job: Job) {
    // How a connection ends is no concern of a bench.
    let _ = match job {
        Job::Relay(Place::Tcp(address)) => match TcpStream::connect(address).await {
            Ok(upstream) => {
                let _ = upstream.set_nodelay(true);
                relay(stream, upstream).await
            }
            Err(error) => Err(error),
        },
        Job::Relay(Place::Unix(name)) => {
            // As in tokio's own `connect`, an abstract name begins with a zero byte.
            match UnixStream::connect(format!("\0{name}")).await {
                Ok(upstream) => relay(stream, upstream).await,
                Err(error) => Err(error),
            }
        }
        Job::Replies { corked: true } => reply_at_once(stream).await,
        Job::Replies { corked: false } => reply_one_by_one(stream).await,
        Job::Work => echo(stream, work).await,
        Job::Echo | Job::Laden => echo(stream, || ()).await,
    };
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl Stream for TcpStream {}
impl Stream for UnixStream {}

async fn echo(mut stream: impl Stream, first: fn()) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        first();
        stream.write_all(&buffer[..n]).await?;
    }
}

async fn reply_one_by_one(mut stream: impl Stream) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        for request in buffer[..n].chunks(REPLY) {
            stream.write_all(request).await?;
        }
    }
}

async fn reply_at_once(mut stream: impl Stream) -> io::Result<()> {
    let (mut buffer, mut corked) = (vec![0; READ], Vec::new());
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        corked.clear();
        for request in buffer[..n].chunks(REPLY) {
            corked.extend_from_slice(request);
        }
        stream.write_all(&corked).await?;
    }
}

async fn relay(mut client: impl Stream, mut upstream: impl Stream) -> io::Result<()> {
    let (there, back) = (&mut client, &mut upstream);
    tokio::io::copy_bidirectional_with_sizes(there, back, READ, READ).await?;
    Ok(())
}
