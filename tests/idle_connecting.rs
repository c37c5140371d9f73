//! The idle timeout of real sockets: while connecting, and from the options of a server or of a connect.

mod common;
#[path = "common/place.rs"]
mod place;

use std::time::{Duration, Instant};

use common::{each_case, each_form_tcp, Script};
use place::FullQueue;
use tidewheel::net::{EventKind, ServerOptions};

const PERIOD: Duration = Duration::from_millis(15);

#[test]
fn it_fires_while_connecting_and_the_attempt_goes_on_until_destroyed() {
    // A UNIX socket never waits to be connected: a full queue is an error there.
    each_form_tcp(|world| {
        let nowhere = FullQueue::new(world);
        let start = Instant::now();
        let client = world.client_with(
            nowhere.address.clone().into(),
            Script::new("C").on(EventKind::Timeout, |socket, _| {
                assert!(socket.connecting() && !socket.destroyed());
                let later = socket.clone();
                let handle = socket.event_loop().clone();
                handle.set_timeout(PERIOD, move |_| {
                    assert!(later.connecting(), "nothing touched it");
                    later.destroy();
                });
            }),
        );
        client.set_timeout(PERIOD);
        assert!(client.connecting());
        world.run();
        assert!(start.elapsed() >= PERIOD);
        world.assert_trace("C", "timeout close(false)");
    });
}

#[test]
fn a_server_gives_its_sockets_a_timeout() {
    each_case(|world| {
        let server = world.server_for(1, ServerOptions::default().timeout(PERIOD), || {
            Script::new("S").on(EventKind::Timeout, |socket, _| socket.end())
        });
        world.client(&server, Script::new("C"));
        world.run();
        world.assert_trace("S", "timeout finish end close(false)");
    });
}

#[test]
fn the_timeout_of_a_connect_counts_from_the_start() {
    each_case(|world| {
        let server = world.serve_one(|| Script::new("S"));
        let options = world.connect_options(&server).timeout(PERIOD);
        let client = world.client_with(
            options,
            Script::new("C").on(EventKind::Timeout, |socket, _| socket.end()),
        );
        assert_eq!(client.timeout(), Some(PERIOD));
        world.run();
        let trace = world.trace("C");
        assert!(
            trace.ends_with("timeout finish end close(false)"),
            "{trace}"
        );
    });
}
