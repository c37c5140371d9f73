//! Relays each connection to another server, both ways. Try it in front of `echo`:
//! `proxy 8125 8124`, then `nc 127.0.0.1 8125`.

use tidewheel::net::{self, ConnectOptions, ListenOptions, ServerOptions, Socket};
use tidewheel::EventLoop;

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/signals.rs"]
mod signals;

const USAGE: &str = "proxy LISTEN UPSTREAM (each PORT | HOST:PORT | PATH)";

fn main() -> Result<(), tidewheel::Error> {
    let (listen, upstream) = places().unwrap_or_else(|| arguments::refuse(USAGE));

    let event_loop = EventLoop::new()?;
    // Half open, so that one side may end its question and still hear the whole answer.
    let upstream = upstream.allow_half_open(true).no_delay(true);
    let options = ServerOptions::default()
        .allow_half_open(true)
        .no_delay(true);
    let server = net::create_server_with(&event_loop, options, move |client| {
        // No need to wait until it is connected: what is piped into it until then waits.
        let upstream = net::connect(client.event_loop(), upstream.clone(), |_| {});
        relay(client, &upstream);
        relay(&upstream, client);
    });
    signals::shut_down_on_signal(&server)?;
    server.listen(listen, |server| {
        println!("listening on {}", server.address().unwrap());
    })?;
    event_loop.run()
}

/// `pipe` carries data and end, at the pace of the slower. What it does not carry is a failure.
fn relay(from: &Socket, to: &Socket) {
    from.pipe(to);
    from.on_error(|_, error| eprintln!("{error}"));
    let to = to.clone();
    from.on_close(move |_, had_error| {
        // After a good end `to` may still have to send what `from` said. But when nobody is left to hear `to`, or what
        // `from` said is not whole, it goes too.
        if had_error || to.readable() {
            to.destroy();
        }
    });
}

fn places() -> Option<(ListenOptions, ConnectOptions)> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, upstream] = &words[..] else {
        return None;
    };
    Some((arguments::place(listen)?, arguments::place(upstream)?))
}
