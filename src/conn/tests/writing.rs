//! Rules of writing: what `write` answers, the exact counts, `drain`, write callbacks, corks.

use super::*;

use WriteStatus::{Buffered, Flushed, Queued, Refused};

#[test]
fn answers_with_a_high_water_mark_of_zero() {
    let mut shell = Shell::open(limits(0, usize::MAX));
    assert_eq!(shell.write(b"1234", 4), Flushed);
    assert_eq!(shell.write(b"1234", 3), Queued, "one byte waits");
    assert_eq!(shell.write(b"1234", 4), Queued, "behind others");
    shell.flush(5);
    assert_eq!(shell.write(b"1234", 4), Flushed, "nothing waited any more");
}

#[test]
fn answers_with_a_high_water_mark() {
    let mut shell = Shell::open(limits(10, usize::MAX));
    assert_eq!(shell.write(b"1234", 4), Flushed);
    assert_eq!(shell.write(b"1234", 3), Buffered);
    assert_eq!(shell.write(b"12345678", 0), Buffered, "nine wait");
    assert!(!shell.conn.need_drain());
    assert_eq!(shell.write(b"1", 0), Queued, "ten wait");
    assert!(shell.conn.need_drain());
}

/// The mark is judged by what waits after the immediate send, not by the length of the write.
#[test]
fn a_large_write_that_left_at_once_is_flushed() {
    let mut shell = Shell::open(limits(10, usize::MAX));
    assert_eq!(shell.write(&[0; 1000], 1000), Flushed);
    assert_eq!(shell.write(&[0; 1000], 991), Buffered);
}

#[test]
fn answers_while_connecting() {
    let mut shell = Shell::connecting(limits(0, usize::MAX));
    assert_eq!(shell.write(b"1", 9), Queued);
    assert_eq!(shell.wire, b"");
    let mut shell = Shell::connecting(limits(3, usize::MAX));
    assert_eq!(shell.write(b"12", 9), Buffered);
    assert_eq!(shell.write(b"3", 9), Queued);
}

#[test]
fn answers_while_corked() {
    let mut shell = Shell::open(limits(0, usize::MAX));
    shell.conn.cork();
    assert_eq!(shell.write(b"1234", 4), Buffered);
    assert_eq!(shell.write(&[0; CORK_LIMIT - 5], 4), Buffered);
    assert!(!shell.conn.wants_flush());
    assert_eq!(shell.write(b"1", 4), Queued, "64 KiB wait");
    assert!(shell.conn.wants_flush());
    assert_eq!(shell.wire, b"", "it is the loop that sends them");
}

#[test]
fn a_cork_does_not_lower_the_high_water_mark() {
    let mut shell = Shell::open(limits(2 * CORK_LIMIT, usize::MAX));
    shell.conn.cork();
    assert_eq!(shell.write(&[0; CORK_LIMIT], 0), Buffered);
    assert!(shell.conn.wants_flush(), "but it lets them go");
}

#[test]
fn a_status_is_nodes_boolean() {
    let ok = [Flushed, Buffered, Queued, Refused].map(WriteStatus::is_ok);
    assert_eq!(ok, [true, true, false, false]);
}

#[test]
fn an_empty_write_has_a_callback_and_no_bytes() {
    let mut shell = Shell::open(Limits::default());
    assert_eq!(shell.write(b"", 0), Flushed);
    assert_eq!(shell.notices(), "wrote");

    let mut shell = Shell::connecting(Limits::default());
    assert_eq!(shell.write(b"", 0), Flushed);
    assert_eq!(shell.notices(), "", "not before it is connected");
    shell.conn.handle_connected();
    assert_eq!(shell.notices(), "wrote");

    let mut shell = Shell::open(Limits::default());
    shell.write(b"1234", 0);
    shell.write(b"", 0);
    shell.flush(3);
    assert_eq!(shell.notices(), "", "not before the bytes ahead of it");
    shell.flush(1);
    assert_eq!(shell.notices(), "drain wrote wrote");
    assert_eq!(shell.conn.bytes_written(), 4);
}

/// Node's rows of refused writes: the reason, and in which order it is told.
#[test]
fn refused_and_why() {
    let by_peer = |mut shell: Shell| {
        shell.conn.set_flowing(true);
        assert!(shell.conn.handle_eof());
        shell.end_delivered();
        shell
    };
    let ended = |mut shell: Shell| {
        shell.end();
        shell
    };
    let full = |mut shell: Shell| {
        shell.write(b"1234", 0);
        shell.notices();
        shell
    };
    let tight = limits(0, 7);
    let cases = [
        (Shell::idle(Limits::default()), "ERR_SOCKET_CLOSED"),
        (
            ended(Shell::connecting(Limits::default())),
            "ERR_STREAM_WRITE_AFTER_END",
        ),
        (
            ended(Shell::open(Limits::default())),
            "ERR_STREAM_WRITE_AFTER_END",
        ),
        (
            by_peer(ended(Shell::open(Limits::default()))),
            "ERR_STREAM_WRITE_AFTER_END",
        ),
        (by_peer(Shell::open(Limits::default())), "EPIPE"),
        (full(Shell::open(tight)), "ERR_SOCKET_QUEUE_FULL"),
        (full(Shell::connecting(tight)), "ERR_SOCKET_QUEUE_FULL"),
    ];
    for (mut shell, code) in cases {
        assert_eq!(shell.write(b"late", 4), Refused, "{code}");
        assert_eq!(shell.cause(), code);
        assert_eq!(shell.notices(), "abort error", "{code}");
        assert_eq!(shell.conn.abort_error("write").code().to_string(), code);
        assert_eq!(shell.conn.buffer_size(), 0, "{code}");
    }
}

#[test]
fn refused_because_it_has_ended_tells_nothing_more() {
    for cause in [Cause::Destroyed, Cause::Failed(reset_by_peer())] {
        let mut shell = Shell::open(Limits::default());
        shell.destroy(cause);
        shell.notices();
        let before = shell.cause();
        assert_eq!(shell.write(b"late", 4), Refused);
        shell.conn.handle_close_delivered();
        assert_eq!(shell.write(b"late", 4), Refused);
        assert_eq!((shell.cause(), shell.notices()), (before, String::new()));
    }
}

#[test]
fn the_peer_ended_it_says_so() {
    let mut shell = Shell::open(Limits::default());
    shell.conn.handle_eof();
    assert_eq!(shell.write(b"1", 1), Flushed, "in an `end` listener");
    shell.end_delivered();
    shell.write(b"2", 1);
    let error = shell.conn.failure().unwrap();
    let message = "This socket has been ended by the other party";
    assert_eq!(error.to_string(), message);
    assert_eq!(shell.wire, b"1");
}

#[test]
fn a_destroyed_connection_fails_callbacks_by_how_far_it_came() {
    let codes = [
        (
            Shell::connecting(half_open()),
            "ERR_SOCKET_CLOSED_BEFORE_CONNECTION",
        ),
        (Shell::open(half_open()), "ERR_STREAM_DESTROYED"),
    ];
    for (mut shell, code) in codes {
        shell.write(b"1", 0);
        shell.destroy(Cause::Destroyed);
        assert_eq!(shell.notices(), "abort");
        assert_eq!(shell.conn.abort_error("write").code().to_string(), code);
    }
}

#[test]
fn counts_are_exact_with_partial_sends() {
    let counts = |shell: &Shell| {
        let conn = &shell.conn;
        (conn.buffer_size(), conn.bytes_written(), shell.wire.len())
    };
    let mut shell = Shell::connecting(limits(0, usize::MAX));
    shell.write(b"12345", 9);
    shell.send(Payload::Owned(Bytes::from_static(b"678")), 9, false);
    assert_eq!(counts(&shell), (8, 8, 0));
    shell.conn.handle_connected();
    assert_eq!(counts(&shell), (8, 8, 0));
    for (sent, left) in [(1, 7), (3, 4), (2, 2)] {
        assert_eq!(shell.flush(sent), sent);
        assert_eq!(counts(&shell), (left, 8, 8 - left));
    }
    shell.write(b"9", 9);
    assert_eq!(counts(&shell), (3, 9, 6));
    shell.flush(9);
    assert_eq!(counts(&shell), (0, 9, 9));
    shell.send(Payload::Owned(Bytes::from_static(b"abcd")), 3, true);
    assert_eq!(counts(&shell), (1, 13, 12));
    shell.flush(9);
    assert_eq!(shell.wire, b"123456789abcd");
    assert_eq!(
        shell.released.concat(),
        b"678d",
        "what was owned is handed back"
    );
}

#[test]
fn counts_after_the_end() {
    let mut shell = Shell::open(Limits::default());
    shell.write(b"1234", 1);
    shell.conn.handle_read(7);
    shell.destroy(Cause::Destroyed);
    assert_eq!(shell.conn.buffer_size(), 0, "what waits is given up");
    assert_eq!(shell.conn.bytes_written(), 4);
    assert_eq!(shell.conn.bytes_read(), 7);
    assert!(!shell.conn.need_drain());
}

#[test]
fn max_queued_is_exact() {
    let mut shell = Shell::open(limits(0, 10));
    assert_eq!(shell.write(&[0; 11], 1), Queued, "ten wait");
    assert_eq!(shell.write(b"", 0), Queued, "and nothing more");
    assert_eq!(shell.write(b"1", 0), Refused);
    assert_eq!(shell.cause(), "ERR_SOCKET_QUEUE_FULL");

    let mut shell = Shell::open(limits(0, 10));
    assert_eq!(shell.write(&[0; 11], 0), Refused, "all eleven would wait");
    assert_eq!(shell.conn.bytes_written(), 0);

    let mut shell = Shell::open(limits(0, 10));
    assert_eq!(shell.write(&[0; 20], 9), Refused, "eleven would wait");
    assert_eq!(shell.conn.bytes_written(), 9, "the kernel has nine");

    let mut shell = Shell::connecting(limits(0, 10));
    assert_eq!(shell.write(&[0; 10], 0), Queued);
    assert_eq!(shell.write(b"1", 0), Refused);

    let mut shell = Shell::open(limits(0, 10));
    shell.conn.cork();
    assert_eq!(shell.write(&[0; 11], 11), Refused, "a cork is a queue, too");
}

#[test]
fn an_owned_chunk_that_is_refused_is_handed_back() {
    let chunk = || Payload::Owned(Bytes::from_static(b"12345"));
    let mut shell = Shell::open(limits(0, 4));
    assert_eq!(shell.send(chunk(), 0, false), Refused);
    assert_eq!(shell.released, [&b"12345"[..]]);

    let mut shell = Shell::connecting(Limits::default());
    shell.send(chunk(), 0, false);
    assert!(shell.released.is_empty());
    shell.destroy(Cause::Destroyed);
    assert_eq!(shell.released, [&b"12345"[..]]);
}

/// Between being admitted and being booked the connection may end, as when the poll refuses to watch it.
#[test]
fn a_connection_that_ended_meanwhile_takes_nothing() {
    let mut shell = Shell::open(Limits::default());
    assert_eq!(shell.conn.admit(4, &mut shell.released), Admission::Try);
    shell.read_error(reset_by_peer());
    let payload = Payload::Owned(Bytes::from_static(b"1234"));
    let status = shell.conn.accept(payload, 0, true, &mut shell.released);
    assert_eq!(status, Refused);
    assert_eq!(shell.conn.buffer_size(), 0);
    assert_eq!(shell.released, [&b"1234"[..]]);
}

#[test]
fn drain_comes_once_per_need_when_all_is_sent() {
    let mut shell = Shell::open(Limits::default());
    for _ in 0..2 {
        shell.write(b"12", 0);
        shell.write(b"34", 0);
        shell.notices();
        shell.flush(3);
        assert_eq!(shell.notices(), "wrote", "a byte waits still");
        shell.flush(1);
        assert_eq!(shell.notices(), "drain wrote");
        assert!(shell.conn.need_drain());
        assert!(shell.conn.take_drain());
        assert!(!shell.conn.need_drain(), "cleared before it is told");
        assert!(!shell.conn.take_drain(), "and told once");
        shell.write(b"56", 2);
        assert_eq!(shell.notices(), "wrote", "none is owed");
    }
}

#[test]
fn drain_is_not_owed_below_the_high_water_mark() {
    let mut shell = Shell::open(limits(4, usize::MAX));
    shell.write(b"123", 0);
    shell.flush(3);
    assert_eq!(shell.notices(), "wrote");
    assert!(!shell.conn.take_drain());
}

/// Between the moment the queue is empty and the moment `drain` is told, a write may fill it again.
#[test]
fn drain_that_is_no_longer_true_comes_later() {
    let mut shell = Shell::open(Limits::default());
    shell.write(b"12", 0);
    shell.flush(2);
    assert_eq!(shell.notices(), "drain wrote");
    assert_eq!(shell.write(b"34", 1), Queued);
    assert!(!shell.conn.take_drain(), "a byte waits");
    shell.flush(1);
    assert_eq!(shell.notices(), "drain wrote");
    assert!(shell.conn.take_drain());
}

#[test]
fn no_drain_once_the_end_has_begun() {
    let mut shell = Shell::open(Limits::default());
    shell.write(b"12", 0);
    shell.end();
    shell.flush(2);
    assert_eq!(shell.notices(), "wrote");

    let mut shell = Shell::open(Limits::default());
    shell.write(b"12", 0);
    shell.flush(2);
    assert_eq!(shell.notices(), "drain wrote");
    shell.end();
    assert!(!shell.conn.take_drain(), "`end` was called in between");

    let mut shell = Shell::open(Limits::default());
    shell.conn.set_flowing(true);
    shell.write(b"12", 0);
    shell.flush(2);
    assert_eq!(shell.notices(), "drain wrote");
    shell.write_error(broken_pipe());
    assert!(!shell.conn.take_drain(), "a write has failed in between");
}

#[test]
fn callbacks_are_counted_in_order() {
    let mut shell = Shell::open(Limits::default());
    shell.write(b"a", 1);
    shell.write(b"b", 1);
    assert_eq!(shell.notices(), "wrote wrote");
    shell.write(b"1234", 0);
    shell.send(Payload::Borrowed(b"no callback"), 0, false);
    shell.write(b"5", 0);
    for (sent, told) in [(3, ""), (1, "wrote"), (11, ""), (1, "drain wrote")] {
        shell.flush(sent);
        assert_eq!(shell.notices(), told, "after {sent} more");
    }
}

#[test]
fn drain_then_callbacks_then_finish() {
    let mut shell = Shell::open(Limits::default());
    shell.write(b"1", 0);
    shell.write(b"2", 0);
    shell.flush(2);
    shell.end();
    shell.shut();
    assert_eq!(shell.notices(), "drain wrote wrote finish");
}

#[test]
fn a_cork_holds_and_an_uncork_lets_go() {
    let mut shell = Shell::open(Limits::default());
    shell.conn.cork();
    shell.conn.cork();
    shell.write(b"one", 3);
    shell.write(b"two", 3);
    assert_eq!(
        (shell.conn.buffer_size(), shell.conn.bytes_written()),
        (6, 6)
    );
    shell.conn.uncork();
    assert_eq!(shell.flush(9), 0, "corked twice");
    shell.conn.uncork();
    shell.conn.uncork();
    assert_eq!(shell.flush(9), 6);
    assert_eq!(shell.notices(), "wrote wrote", "and no `drain`");
    shell.conn.cork();
    assert_eq!(
        shell.write(b"1", 1),
        Buffered,
        "one uncork too many changes nothing"
    );
}

#[test]
fn the_end_uncorks() {
    let mut shell = Shell::open(Limits::default());
    shell.conn.cork();
    shell.conn.cork();
    shell.write(b"1", 1);
    shell.end();
    assert_eq!(shell.flush(1), 1);

    let mut shell = Shell::open(limits(2, usize::MAX));
    assert_eq!(shell.write(b"1", 0), Buffered);
    shell.end();
    shell.conn.cork();
    assert_eq!(shell.flush(1), 1, "a cork comes too late to hold our FIN");
}

/// Who was answered `Queued` waits for `drain`, perhaps without uncorking.
#[test]
fn a_cork_does_not_hold_what_a_drain_is_owed_for() {
    let mut shell = Shell::open(Limits::default());
    shell.conn.cork();
    assert_eq!(shell.write(&[0; CORK_LIMIT], 0), Queued);
    assert_eq!(shell.flush(CORK_LIMIT - 1), CORK_LIMIT - 1);
    assert_eq!(shell.flush(1), 1, "the last byte of it, too");
    assert_eq!(shell.notices(), "drain wrote");
    assert!(shell.conn.take_drain());
    assert_eq!(shell.write(b"1", 0), Buffered);
    assert_eq!(shell.flush(1), 0, "the cork holds again");
}

#[test]
fn what_was_written_while_connecting_leaves_first() {
    let mut shell = Shell::connecting(limits(100, usize::MAX));
    shell.write(b"before ", 99);
    shell.conn.handle_connected();
    shell.write(b"after", 99);
    assert_eq!(shell.wire, b"", "not past those that wait");
    shell.flush(99);
    assert_eq!(shell.wire, b"before after");
    assert_eq!(shell.notices(), "wrote wrote");
}
