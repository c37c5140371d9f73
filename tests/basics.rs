//! The harness itself, by the plainest conversation.

mod common;

use common::{each_case, Script};
use tidewheel::net::EventKind;

#[test]
fn a_client_and_a_server_talk_and_part() {
    each_case(|world| {
        let server = world.serve_one(|| {
            Script::new("S").on_data(|socket, data| {
                socket.write(data);
            })
        });
        world.client(
            &server,
            Script::new("C")
                .on(EventKind::Connect, |socket, _| {
                    socket.write("hello");
                })
                .on_data(|socket, _| socket.end()),
        );
        world.run();
        world.assert_trace("C", "connect ready data(5) finish end close(false)");
        world.assert_trace("S", "data(5) end finish close(false)");
    });
}
