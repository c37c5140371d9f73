//! Rules of the end: half-close, the order of errors and callbacks, a failed write.

use super::*;

/// One with a write under way and its callback.
fn with_a_write(flowing: bool) -> Shell {
    let mut shell = Shell::open(Limits::default());
    shell.conn.set_flowing(flowing);
    assert_eq!(shell.write(b"1234", 1), WriteStatus::Queued);
    shell
}

fn code_of_callbacks(shell: &Shell) -> String {
    shell.conn.abort_error("write").code().to_string()
}

#[test]
fn the_error_comes_before_the_callbacks_it_fails() {
    let mut destroyed = with_a_write(true);
    destroyed.destroy(Cause::Failed(reset_by_peer()));
    let mut unread = with_a_write(true);
    unread.read_error(reset_by_peer());
    for mut shell in [destroyed, unread] {
        assert_eq!(shell.notices(), "error abort");
        assert_eq!(shell.cause(), "ECONNRESET");
        assert_eq!(code_of_callbacks(&shell), "ECONNRESET");
    }
}

#[test]
fn a_failed_or_refused_write_has_its_callback_before_the_error() {
    let mut failed = with_a_write(false);
    failed.write_error(broken_pipe());
    assert_eq!(failed.notices(), "abort error");
    assert_eq!(failed.cause(), "EPIPE");

    let mut refused = with_a_write(false);
    refused.end();
    refused.write(b"late", 0);
    assert_eq!(refused.notices(), "abort error");
    assert_eq!(refused.cause(), "ERR_STREAM_WRITE_AFTER_END");
}

#[test]
fn callbacks_that_succeeded_come_before_those_that_fail() {
    let mut shell = with_a_write(false);
    shell.write(b"5678", 0);
    shell.flush(4);
    shell.destroy(Cause::Failed(reset_by_peer()));
    assert_eq!(shell.notices(), "wrote error abort");

    let mut shell = with_a_write(false);
    shell.write(b"5678", 0);
    shell.flush(4);
    shell.write_error(broken_pipe());
    assert_eq!(shell.notices(), "wrote abort error");
}

/// `drain` and `finish` would be lies then.
#[test]
fn destroy_takes_back_drain_and_finish() {
    let mut shell = with_a_write(false);
    shell.flush(3);
    shell.destroy(Cause::Destroyed);
    assert_eq!(shell.notices(), "wrote abort");

    let mut shell = Shell::open(Limits::default());
    shell.end();
    shell.shut();
    shell.destroy(Cause::Destroyed);
    assert_eq!(shell.notices(), "abort");
}

#[test]
fn a_failed_write_waits_for_what_is_readable_and_is_no_end() {
    for reader in ["eof", "nothing left", "read error"] {
        let mut shell = with_a_write(true);
        shell.write_error(broken_pipe());
        assert_eq!(
            (shell.cause().as_str(), shell.notices()),
            ("none", String::new())
        );
        assert!(shell.conn.wants_read());
        assert!(!shell.conn.writable());
        assert!(!shell.conn.wants_flush() && !shell.conn.wants_shutdown());
        assert_eq!(shell.conn.buffer_size(), 0);
        assert_eq!(shell.write(b"more", 4), WriteStatus::Refused);
        shell.end();
        assert!(
            !shell.conn.wants_shutdown(),
            "what was lost must not look like an end"
        );

        shell.conn.handle_read(100);
        match reader {
            "read error" => shell.read_error(reset_by_peer()),
            "eof" => {
                assert!(!shell.conn.handle_eof(), "never `end`");
                shell.conn.settle_write_error(&mut shell.released);
            }
            _ => assert!(shell.conn.settle_write_error(&mut shell.released)),
        }
        assert_eq!(shell.notices(), "abort error", "{reader}");
        assert_eq!(shell.cause(), "EPIPE", "{reader}");
        assert_eq!(code_of_callbacks(&shell), "EPIPE");
        assert_eq!(shell.conn.bytes_read(), 100);
        assert_eq!(shell.wire, b"1");
    }
}

#[test]
fn a_failed_write_is_told_at_once_when_nobody_reads() {
    let paused = with_a_write(false);
    let mut ended = with_a_write(true);
    ended.conn.handle_eof();
    let mut untouched = Shell::open(Limits::default());
    untouched.write(b"1234", 1);
    for mut shell in [paused, ended, untouched] {
        shell.write_error(broken_pipe());
        assert_eq!(shell.notices(), "abort error");
        assert!(!shell.conn.settle_write_error(&mut shell.released));
    }
}

/// It reads on when the destinations of its pipes can take more.
#[test]
fn a_failed_write_of_one_that_rests_waits_too() {
    let mut shell = with_a_write(true);
    shell.conn.rest();
    shell.write_error(broken_pipe());
    assert_eq!(shell.notices(), "");
    assert!(!shell.conn.wants_read() && shell.conn.will_read());
    shell.conn.wake();
    assert!(shell.conn.wants_read());
    assert!(shell.conn.has_write_error());
}

#[test]
fn the_first_failed_write_is_the_one_that_is_told() {
    let mut shell = with_a_write(true);
    shell.write_error(broken_pipe());
    shell.write_error(reset_by_peer());
    shell.conn.settle_write_error(&mut shell.released);
    assert_eq!(shell.cause(), "EPIPE");
}

#[test]
fn the_first_cause_wins() {
    let causes = || {
        [
            Cause::Finished,
            Cause::Destroyed,
            Cause::Failed(reset_by_peer()),
        ]
    };
    for first in causes() {
        let mut shell = Shell::open(Limits::default());
        assert!(shell.destroy(first));
        let told = shell.cause();
        shell.notices();
        for other in causes() {
            assert!(!shell.destroy(other));
        }
        shell.read_error(broken_pipe());
        shell.write_error(broken_pipe());
        assert_eq!((shell.cause(), shell.notices()), (told, String::new()));
    }
}

#[test]
fn failed_to_connect_is_an_error_while_connecting() {
    let failed = |mut shell: Shell, cause| {
        shell.destroy(cause);
        shell.conn.failed_to_connect()
    };
    let error = || Cause::Failed(reset_by_peer());
    assert!(failed(Shell::connecting(half_open()), error()));
    assert!(!failed(Shell::connecting(half_open()), Cause::Destroyed));
    assert!(!failed(Shell::idle(half_open()), error()));
    assert!(!failed(Shell::open(half_open()), error()));
}

#[test]
fn the_end_waits_for_what_is_queued_and_for_the_connection() {
    let mut shell = Shell::connecting(Limits::default());
    shell.write(b"12", 0);
    assert!(shell.end());
    assert!(!shell.end(), "a second one changes nothing");
    assert!(!shell.conn.wants_shutdown());
    shell.conn.handle_connected();
    assert!(!shell.conn.wants_shutdown());
    shell.conn.handle_shut();
    assert!(!shell.is_shut(), "bytes wait");
    shell.flush(2);
    assert!(shell.conn.wants_shutdown());
    shell.shut();
    assert!(shell.is_shut() && !shell.conn.wants_shutdown());
    assert_eq!(shell.notices(), "wrote finish");
}

#[test]
fn the_end_of_one_never_connected_closes_it() {
    let mut shell = Shell::idle(Limits::default());
    assert!(shell.end());
    assert_eq!(shell.cause(), "destroyed");
    assert_eq!(shell.notices(), "abort");
    assert!(!shell.end());
}

#[test]
fn our_side_ends_with_the_peers_unless_half_open() {
    for allow_half_open in [false, true] {
        let mut shell = Shell::open(Limits {
            allow_half_open,
            ..Limits::default()
        });
        shell.conn.set_flowing(true);
        assert!(shell.conn.handle_eof());
        assert!(shell.conn.writable(), "until the listeners have run");
        shell.write(b"reply", 2);
        shell.end_delivered();
        assert_eq!(shell.conn.writable(), allow_half_open);
        shell.shut();
        assert!(!shell.is_shut(), "the reply first");
        shell.flush(3);
        shell.shut();
        assert_eq!(shell.is_shut(), !allow_half_open);
        assert!(!shell.conn.readable());
    }
}

#[test]
fn one_half_open_lives_until_it_ends_itself() {
    let mut shell = Shell::open(half_open());
    shell.conn.handle_eof();
    shell.end_delivered();
    assert_eq!(shell.write(b"any time", 8), WriteStatus::Flushed);
    shell.end();
    shell.shut();
    assert_eq!(shell.notices(), "wrote finish");
    assert_eq!(shell.cause(), "none", "`finish` is not told yet");
    shell.finish_delivered();
    assert_eq!(shell.cause(), "finished");
}

#[test]
fn our_end_does_not_stop_reading() {
    let mut shell = Shell::open(Limits::default());
    shell.conn.set_flowing(true);
    shell.end();
    shell.shut();
    shell.finish_delivered();
    assert!(shell.conn.wants_read() && shell.conn.readable());
    assert!(shell.conn.handle_eof());
    assert!(!shell.conn.handle_eof(), "`end` comes once");
    shell.end_delivered();
    assert_eq!(shell.cause(), "finished");
}

/// An `end_then` of a `finish` listener is resolved before `close`.
#[test]
fn a_callback_that_came_while_finish_was_told_is_not_lost() {
    let mut shell = Shell::open(Limits::default());
    shell.conn.handle_eof();
    shell.end_delivered();
    shell.shut();
    assert_eq!(shell.notices(), "finish");
    shell.finish_delivered();
    assert_eq!(shell.notices(), "abort");
}

/// From then on a callback of `end` is too late, though `finish` is not delivered yet.
#[test]
fn finish_has_begun_when_the_shell_says_so() {
    let mut shell = Shell::open(Limits::default());
    shell.end();
    shell.shut();
    assert!(!shell.conn.finish_begun());
    shell.conn.handle_finish_begun();
    assert!(shell.conn.finish_begun());
    assert_eq!(shell.cause(), "none");
}

#[test]
fn destroy_soon_sends_what_waits_and_no_more_is_read() {
    let mut shell = with_a_write(true);
    shell.conn.destroy_soon(&mut shell.released);
    assert!(!shell.conn.writable() && shell.conn.wants_read());
    shell.flush(3);
    shell.shut();
    assert_eq!(shell.notices(), "wrote finish");
    assert_eq!(shell.cause(), "none");
    shell.finish_delivered();
    assert_eq!(shell.cause(), "destroyed", "the peer has not ended");
    assert_eq!(shell.notices(), "abort");
    assert_eq!(shell.wire, b"1234");

    let mut shell = Shell::open(Limits::default());
    shell.end();
    shell.shut();
    shell.finish_delivered();
    assert_eq!(shell.cause(), "none");
    shell.conn.destroy_soon(&mut shell.released);
    assert_eq!(shell.cause(), "destroyed", "`finish` was delivered before");
}

#[test]
fn of_a_side_that_is_not_wanted_nothing_is_waited_for() {
    let adopted = |readable, writable| {
        let mut shell = Shell::open(Limits::default());
        shell.conn = Conn::adopted_sides(Limits::default(), readable, writable);
        assert_eq!(shell.conn.readable(), readable);
        assert_eq!(shell.conn.writable(), writable);
        assert!(!shell.conn.wants_shutdown());
        assert_eq!(shell.notices(), "");
        assert_eq!(shell.cause(), "none");
        shell
    };
    adopted(true, true);

    let mut writer = adopted(false, true);
    assert!(!writer.conn.handle_eof() && !writer.conn.may_peek());
    writer.write(b"1", 1);
    writer.end();
    writer.shut();
    writer.finish_delivered();
    assert_eq!(writer.cause(), "finished");

    let mut reader = adopted(true, false);
    assert!(reader.conn.handle_eof());
    reader.end_delivered();
    assert_eq!(reader.cause(), "finished");
    assert_eq!(adopted(true, false).write(b"1", 1), WriteStatus::Refused);
}

/// A server that only says goodbye must not keep a connection whose peer goes on talking.
#[test]
fn with_no_reader_what_comes_after_our_fin_is_discarded() {
    let mut shell = Shell::open(Limits::default());
    assert!(!shell.conn.wants_read() && shell.conn.may_peek());
    shell.end();
    assert!(!shell.conn.wants_read() && shell.conn.may_peek());
    shell.shut();
    assert!(shell.conn.wants_read() && !shell.conn.may_peek());
    shell.conn.set_flowing(false);
    assert!(!shell.conn.wants_read(), "unless `pause()` was called");
    assert!(shell.conn.may_peek());
}

#[test]
fn pause_wins_over_a_reader() {
    let mut shell = Shell::open(Limits::default());
    shell.conn.reader_attached();
    assert_eq!(shell.conn.flow(), Flow::Flowing);
    shell.conn.set_flowing(false);
    shell.conn.reader_attached();
    assert_eq!(shell.conn.flow(), Flow::Paused);
    shell.conn.set_flowing(true);
    assert_eq!(shell.conn.flow(), Flow::Flowing);
}
