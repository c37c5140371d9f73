//! A destination that can take no more: the source is unpiped and paused, lives on, and keeps what it has not read.

mod common;
#[path = "common/flow.rs"]
mod flow;

use std::rc::Rc;

use common::{counter, each_form_unix, Script, World};
use flow::{after_turns, pattern, until, Sink};
use tidewheel::net::{self, Socket, SocketOptions, WriteStatus};
use tidewheel::Error;

const TOTAL: usize = 150_000;

/// A source that is fed by its far side, and a destination whose far side does not read.
struct Pipeline {
    source: Socket,
    destination: Socket,
    far: Socket,
}

/// The source rests with bytes unread. Pairs are UNIX sockets, and what matters here is within the loop.
fn stalled(world: &World) -> Pipeline {
    let (source, feeder) = net::pair(&world.event_loop).unwrap();
    let (destination, far) = net::pair(&world.event_loop).unwrap();
    far.pause();
    let filling = pattern(64 * 1024);
    while destination.write(&filling) != WriteStatus::Queued {}
    feeder.end_with(pattern(TOTAL));
    // So that the feeder is no reader that could end its side early.
    feeder.resume();
    source.pipe(&destination);
    Pipeline {
        source,
        destination,
        far,
    }
}

/// The source is paused, alive, and has all but what went to the lost destination still to read.
fn expect_rest_of(source: &Socket) {
    let read = source.bytes_read() as usize;
    assert!((1..=64 * 1024).contains(&read), "read {read}");
    assert!(source.is_paused() && !source.destroyed() && source.readable());
    let sink = Sink::default();
    let got = sink.clone();
    source.on_data(move |_, data| sink.push(data));
    source.on_end(move |_| assert!(got.take() == pattern(TOTAL)[read..]));
    source.resume();
}

/// What happens to the destination while its source rests.
fn the_source_survives(lose: impl Fn(&Pipeline) + Clone + 'static) {
    each_form_unix(|world| {
        let pipeline = stalled(world);
        world.watch(&pipeline.source, Script::new("S").no_reader());
        world.watch(&pipeline.destination, Script::new("D").no_reader());
        world.event_loop.on_unhandled_error(|_, _| {});
        let rests = pipeline.source.clone();
        let lose = lose.clone();
        until(
            &world.event_loop.handle(),
            move || rests.bytes_read() > 0,
            move |handle| {
                lose(&pipeline);
                after_turns(handle, 20, move |_| {
                    expect_rest_of(&pipeline.source);
                    pipeline.far.destroy();
                });
            },
        );
        world.run();
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn a_destroyed_destination_leaves_its_source_paused_and_whole() {
    the_source_survives(|pipeline| pipeline.destination.destroy());
}

#[test]
fn a_failed_destination_leaves_its_source_paused_and_whole() {
    the_source_survives(|pipeline| pipeline.destination.destroy_with(Error::other("lost")));
}

#[test]
fn a_destination_whose_peer_is_gone_leaves_its_source_paused_and_whole() {
    the_source_survives(|pipeline| pipeline.far.destroy());
}

#[test]
fn a_destination_that_was_ended_leaves_its_source_paused_and_whole() {
    the_source_survives(|pipeline| {
        pipeline.destination.end();
        pipeline.far.resume();
    });
}

#[test]
fn data_for_a_destination_that_is_ending_fails_the_destination_and_not_the_source() {
    each_form_unix(|world| {
        let (source, feeder) = net::pair(&world.event_loop).unwrap();
        let (destination, far) = net::pair(&world.event_loop).unwrap();
        world.watch(&source, Script::new("S").no_reader());
        world.watch(&destination, Script::new("D").no_reader());
        // Bytes wait, so that our FIN waits too; the mark is high, so that the source does not rest.
        far.pause();
        destination.set_high_water_mark(usize::MAX);
        destination.write(pattern(1 << 20));
        source.pipe(&destination);
        destination.end();
        feeder.write("too late");
        after_turns(&world.event_loop.handle(), 20, move |_| {
            assert!(source.is_paused() && !source.destroyed());
            source.resume();
            feeder.end();
            far.destroy();
        });
        world.run();
        world.assert_trace("S", "end finish close(false)");
        world.assert_trace("D", "error(ERR_STREAM_WRITE_AFTER_END) close(true)");
    });
}

#[test]
fn the_other_destinations_go_on_when_one_is_lost() {
    each_form_unix(|world| {
        let (source, feeder) = net::pair(&world.event_loop).unwrap();
        let (lost, lost_far) = net::pair(&world.event_loop).unwrap();
        let (kept, kept_far) = net::pair(&world.event_loop).unwrap();
        world.watch(&source, Script::new("S").no_reader());
        let sink = Sink::default();
        let got = sink.clone();
        kept_far.on_data(move |_, data| sink.push(data));
        // Nobody reads there: the source rests for it when it is lost.
        lost_far.pause();
        let filling = pattern(64 * 1024);
        while lost.write(&filling) != WriteStatus::Queued {}
        source.pipe(&lost);
        source.pipe(&kept);
        feeder.end_with(pattern(TOTAL));
        feeder.resume();
        let rests = source.clone();
        until(
            &world.event_loop.handle(),
            move || rests.bytes_read() > 0,
            move |_| {
                lost.destroy();
                lost_far.destroy();
                assert!(!source.is_paused());
            },
        );
        world.run();
        assert!(got.take() == pattern(TOTAL));
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn piping_to_a_dead_socket_pauses_the_source() {
    each_form_unix(|world| {
        let (source, feeder) = net::pair(&world.event_loop).unwrap();
        world.watch(&source, Script::new("S").no_reader());
        let dead = Socket::new(&world.event_loop, SocketOptions::default());
        dead.destroy();
        source.pipe(&dead);
        assert!(source.is_paused());
        feeder.end_with("kept");
        feeder.resume();
        after_turns(&world.event_loop.handle(), 20, move |_| {
            assert_eq!(source.bytes_read(), 0);
            source.resume();
        });
        world.run();
        world.assert_trace("S", "end finish close(false)");
    });
}

#[test]
fn piping_to_a_dead_socket_does_not_stop_a_pipe_that_lives() {
    each_form_unix(|world| {
        let (source, feeder) = net::pair(&world.event_loop).unwrap();
        let (near, far) = net::pair(&world.event_loop).unwrap();
        world.watch(&source, Script::new("S").no_reader());
        let sink = Sink::default();
        let got = sink.clone();
        far.on_data(move |_, data| sink.push(data));
        let dead = Socket::new(&world.event_loop, SocketOptions::default());
        dead.destroy();
        source.pipe(&near);
        source.pipe(&dead);
        assert!(!source.is_paused());
        feeder.end_with("goes on");
        feeder.resume();
        world.run();
        assert_eq!(got.take(), b"goes on");
    });
}

#[test]
fn unpipe_of_one_destination_leaves_the_other_and_of_none_leaves_all() {
    each_form_unix(|world| {
        let (source, feeder) = net::pair(&world.event_loop).unwrap();
        let (one, one_far) = net::pair(&world.event_loop).unwrap();
        let (two, two_far) = net::pair(&world.event_loop).unwrap();
        let total = counter();
        for far in [&one_far, &two_far] {
            let total = Rc::clone(&total);
            far.on_data(move |_, data| total.set(total.get() + data.len()));
        }
        world.watch(&source, Script::new("S").no_reader());
        source.pipe(&one);
        source.pipe(&two);
        source.unpipe(Some(&feeder));
        assert!(!source.is_paused(), "nothing was piped there");
        source.unpipe(Some(&one));
        assert!(!source.is_paused());
        feeder.write("to two");
        let count = Rc::clone(&total);
        until(
            &world.event_loop.handle(),
            move || count.get() == 6,
            move |_| {
                source.unpipe(None);
                assert!(source.is_paused());
                for socket in [&source, &one, &two] {
                    socket.destroy();
                }
            },
        );
        world.run();
        assert_eq!(total.get(), 6);
    });
}

#[test]
fn a_source_that_fails_leaves_its_destination_open() {
    each_form_unix(|world| {
        let (source, _feeder) = net::pair(&world.event_loop).unwrap();
        let (near, far) = net::pair(&world.event_loop).unwrap();
        world.watch(&source, Script::new("S").no_reader());
        world.watch(&near, Script::new("D").no_reader());
        far.resume();
        source.pipe(&near);
        source.destroy_with(Error::other("lost"));
        after_turns(&world.event_loop.handle(), 10, move |_| {
            assert!(near.writable());
            near.end_with("bye");
        });
        world.run();
        assert!(world.trace("S").ends_with("close(true)"));
        world.assert_trace("D", "finish end close(false)");
    });
}

/// Its key may be that of the source itself, or of anybody.
#[test]
fn a_destination_of_another_loop_is_as_good_as_gone() {
    each_form_unix(|world| {
        let (source, feeder) = net::pair(&world.event_loop).unwrap();
        let other = tidewheel::EventLoop::new().unwrap();
        let (near, _far) = net::pair(&other).unwrap();
        world.watch(&source, Script::new("S").no_reader());
        feeder.on_data(|_, _| panic!("it came back"));
        feeder.write("abc");
        source.pipe(&near);
        assert!(source.is_paused());
        source.unpipe(Some(&near));
        source.resume();
        after_turns(&world.event_loop.handle(), 5, move |_| {
            assert_eq!((source.bytes_read(), source.bytes_written()), (3, 0));
            source.destroy();
            feeder.destroy();
        });
        world.run();
    });
}
