//! An echo server that hangs up on who says nothing for two seconds.

use std::time::Duration;

use tidewheel::net::{self, ListenOptions, ServerOptions};
use tidewheel::EventLoop;

#[path = "common/arguments.rs"]
mod arguments;
#[path = "common/signals.rs"]
mod signals;

const USAGE: &str = "timeout [PORT | HOST:PORT | PATH]";
const IDLE: Duration = Duration::from_secs(2);

fn main() -> Result<(), tidewheel::Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let place: Option<ListenOptions> = match &words[..] {
        [] => arguments::place("8124"),
        [word] => arguments::place(word),
        _ => None,
    };
    let place = place.unwrap_or_else(|| arguments::refuse(USAGE));

    let event_loop = EventLoop::new()?;
    let options = ServerOptions::default().no_delay(true).timeout(IDLE);
    let server = net::create_server_with(&event_loop, options, |socket| {
        // `timeout` only tells; what to do about it is up to the listener.
        socket.on_timeout(|socket| {
            if socket.writable() {
                socket.end_with("nothing for two seconds, goodbye\n");
            } else {
                // It was told, two seconds ago, and did not hang up.
                socket.destroy();
            }
        });
        socket.pipe(socket);
    });
    signals::shut_down_on_signal(&server)?;
    server.listen(place, |server| {
        println!("listening on {}", server.address().unwrap());
    })?;
    event_loop.run()
}
