//! An echo server whose event loop lives inside one of the crate `calloop`, next to a timer of that one.

use std::time::Duration;

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{Interest, Mode, PostAction};
use tidewheel::net::{self, ListenOptions, Server, ServerOptions};
use tidewheel::{Error, EventLoop};

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/signals.rs"]
mod signals;

const USAGE: &str = "embed_calloop [PORT | HOST:PORT | PATH]";
const TICK: Duration = Duration::from_secs(1);

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let place: Option<ListenOptions> = match &words[..] {
        [] => arguments::place("8124"),
        [word] => arguments::place(word),
        _ => None,
    };
    let place = place.unwrap_or_else(|| arguments::refuse(USAGE));

    let event_loop = EventLoop::new()?;
    let options = ServerOptions::default().no_delay(true);
    let mut server = net::create_server_with(&event_loop, options, |socket| {
        socket.pipe(socket);
    });
    signals::shut_down_on_signal(&server)?;
    server.listen(place, |server| {
        println!("listening on {}", server.address().unwrap());
    })?;

    let mut other = other_loop(&event_loop).map_err(Error::other)?;
    // Before the first wait too: what was begun until now may have left work, and only a turn says that it is over.
    while event_loop.turn(Some(Duration::ZERO))? {
        let waited = other.dispatch(event_loop.next_timeout(), &mut server);
        waited.map_err(Error::other)?;
    }
    Ok(())
}

/// Its callbacks get the server, which they may use as ever; only `turn` runs what it calls back.
fn other_loop(event_loop: &EventLoop) -> calloop::Result<calloop::EventLoop<'_, Server>> {
    let other = calloop::EventLoop::try_new()?;
    // It only has to wake; the turn comes after. Level-triggered, for a turn may leave some of the events for the next.
    let ours = Generic::new(event_loop, Interest::READ, Mode::Level);
    other
        .handle()
        .insert_source(ours, |_, _, _| Ok(PostAction::Continue))?;
    other
        .handle()
        .insert_source(Timer::immediate(), |_, _, server: &mut Server| {
            let turns = server.event_loop().stats().turns;
            println!("{} connected, {turns} turns", server.connections());
            TimeoutAction::ToDuration(TICK)
        })?;
    Ok(other)
}
