//! The full state matrix. A state is written as five words, `phase read write flow out`, where `out` is what is on
//! its way out: `empty`, `waits` (bytes are queued) or `failed` (a failed write, not told yet). In a pattern `*`
//! stands for anything, `a|b` for either and, in a result, `=` for what it was.
//!
//! The tables say what happens. Whatever they do not name must be refused: no change, no event, and the answer is
//! nothing, `no` or `Refused`.

use super::*;

/// Every state there is.
const STATES: &[&str] = &[
    "idle       open open             *                 empty",
    "connecting open open|ending      *                 empty|waits",
    "open       *    open|ending      *                 empty|waits",
    "open       *    shut             *                 empty",
    "open       open open|ending      flowing|paused    failed",
    "closing    *    *                *                 empty",
    "closed     *    *                *                 empty",
];

const PHASES: [&str; 5] = ["idle", "connecting", "open", "closing", "closed"];
const READ: [&str; 2] = ["open", "ended"];
const WRITE: [&str; 3] = ["open", "ending", "shut"];
const FLOW: [&str; 3] = ["initial", "flowing", "paused"];
const OUT: [&str; 3] = ["empty", "waits", "failed"];

struct Row {
    input: &'static str,
    from: &'static str,
    to: &'static str,
    answer: &'static str,
    notices: &'static str,
}

macro_rules! rows {
    ($($input:literal, $from:literal => $to:literal, $answer:literal, $notices:literal;)*) => {
        &[$(Row { input: $input, from: $from, to: $to, answer: $answer, notices: $notices }),*]
    };
}

/// What the user's commands do. A write is of four bytes and has a callback; the high-water mark is 0.
const COMMANDS: &[Row] = rows! {
    "admit",           "idle * * * *"                          => "closing:ERR_SOCKET_CLOSED = = = empty",            "Refused", "abort error";
    "admit",           "connecting * open * *"                 => "= = = = =",                                        "Queue",   "";
    "admit",           "connecting * ending * *"               => "closing:ERR_STREAM_WRITE_AFTER_END = = = empty",   "Refused", "abort error";
    "admit",           "open * open * empty"                   => "= = = = =",                                        "Try",     "";
    "admit",           "open * open * waits"                   => "= = = = =",                                        "Queue",   "";
    "admit",           "open * ending|shut * empty|waits"      => "closing:ERR_STREAM_WRITE_AFTER_END = = = empty",   "Refused", "abort error";

    "write,*",         "idle * * * *"                          => "closing:ERR_SOCKET_CLOSED = = = empty",            "Refused", "abort error";
    "write,*",         "connecting * open * *"                 => "= = = = waits",                                    "Queued",  "";
    "write,*",         "connecting * ending * *"               => "closing:ERR_STREAM_WRITE_AFTER_END = = = empty",   "Refused", "abort error";
    "write,*",         "open * open * waits"                   => "= = = = =",                                        "Queued",  "";
    "write, no room",  "open * open * empty"                   => "= = = = waits",                                    "Queued",  "";
    "write, some room", "open * open * empty"                  => "= = = = waits",                                    "Queued",  "";
    "write, room",     "open * open * empty"                   => "= = = = =",                                        "Flushed", "wrote";
    "write,*",         "open * ending|shut * empty|waits"      => "closing:ERR_STREAM_WRITE_AFTER_END = = = empty",   "Refused", "abort error";
    "accept",          "connecting|open * open * *"            => "= = = = waits",                                    "Queued",  "";

    "end",             "idle * * * *"                          => "closing:destroyed = = = =",                        "yes",     "abort";
    "end",             "connecting|open * open * *"            => "= = ending = =",                                   "yes",     "";
    "destroy soon",    "idle * * * *"                          => "closing:destroyed = = = =",                        "",        "abort";
    "destroy soon",    "connecting|open * open * *"            => "= = ending = =",                                   "",        "";
    "destroy",         "idle|connecting|open * * * *"          => "closing:destroyed = = = empty",                    "yes",     "abort";
    "destroy, error",  "idle|connecting|open * * * *"          => "closing:ECONNRESET = = = empty",                   "yes",     "error abort";
    "destroy, done",   "idle|connecting|open * * * *"          => "closing:finished = = = empty",                     "yes",     "abort";
    "late callback",   "* * * * *"                             => "= = = = =",                                        "",        "abort";
    "attach reader",   "* * * initial *"                       => "= = = flowing =",                                  "",        "";
    "resume",          "* * * initial|paused *"                => "= = = flowing =",                                  "",        "";
    "pause",           "* * * initial|flowing *"               => "= = = paused =",                                   "",        "";
    "connect",         "idle * * * *"                          => "connecting = = = =",                               "yes",     "";
};

/// What the kernel and the loop tell.
const INPUTS: &[Row] = rows! {
    "connected",         "connecting * * * *"                      => "open = = = =",                    "yes", "";
    "eof",               "open open * * empty|waits"               => "= ended = = =",                   "yes", "";
    "written, all",      "open * open * waits"                     => "= = = = empty",                   "",    "drain wrote";
    "written, all",      "open * ending * waits"                   => "= = = = empty",                   "",    "wrote";
    "shut",              "open * ending * empty"                   => "= = shut = =",                    "",    "finish";
    "read error",        "idle|connecting|open * * * empty|waits"  => "closing:ECONNRESET = = = empty",  "",    "error abort";
    "read error",        "open * * * failed"                       => "closing:EPIPE = = = empty",       "",    "abort error";
    "write error",       "open open * flowing *"                   => "= = = = failed",                  "",    "";
    "write error",       "open ended * flowing *"                  => "closing:EPIPE = = = empty",       "",    "abort error";
    "write error",       "open * * initial|paused *"               => "closing:EPIPE = = = empty",       "",    "abort error";
    "settle",            "open * * * failed"                       => "closing:EPIPE = = = empty",       "yes", "abort error";
    "end delivered",     "open * open * *"                         => "= = ending = =",                  "",    "";
    "close delivered",   "closing * * * *"                         => "closed:destroyed = = = =",        "",    "";
};

/// Inputs without any row: they are refused everywhere, or change nothing that the five words tell.
const NEUTRAL: &[&str] = &[
    "cork",
    "uncork",
    "wake",
    "read",
    "written, nothing",
    "end delivered, half-open",
    "finish begun",
    "finish delivered",
    "take drain",
];

/// Inputs that can come only there: an answer of the kernel needs a system call that asked for it. A connection may
/// end between the two halves of a write.
const COMES_ONLY: &[(&str, &str)] = &[
    ("accept", "connecting|open * open * empty|waits"),
    ("accept", "closing|closed * * * *"),
    ("written, all", "open * * * waits"),
    ("write error", "open * open|ending * empty|waits"),
    ("end delivered", "open|closing|closed ended * * *"),
    (
        "end delivered, half-open",
        "open|closing|closed ended * * *",
    ),
    ("finish begun", "open * shut * *"),
    ("finish delivered", "open|closing|closed * shut * *"),
];

type Getter = fn(&Conn) -> bool;

/// Where each output and getter says yes. Everywhere else it says no.
const OUTPUTS: &[(&str, Getter, &[&str])] = &[
    (
        "wants_read",
        Conn::wants_read,
        &["open open * flowing *", "open open shut initial *"],
    ),
    (
        "will_read",
        Conn::will_read,
        &["open open * flowing *", "open open shut initial *"],
    ),
    (
        "may_peek",
        Conn::may_peek,
        &["open open * paused *", "open open open|ending initial *"],
    ),
    ("wants_flush", Conn::wants_flush, &["open * * * waits"]),
    (
        "wants_shutdown",
        Conn::wants_shutdown,
        &["open * ending * empty"],
    ),
    (
        "has_write_error",
        |conn| conn.is_open() && conn.has_write_error(),
        &["open * * * failed"],
    ),
    ("readable", Conn::readable, &["connecting|open open * * *"]),
    (
        "writable",
        Conn::writable,
        &["connecting|open * open * empty|waits"],
    ),
    ("is_open", Conn::is_open, &["open * * * *"]),
    ("destroyed", Conn::destroyed, &["closing|closed * * * *"]),
    ("waits", |conn| conn.buffer_size() > 0, &["* * * * waits"]),
    (
        "cause",
        |conn| conn.cause().is_some(),
        &["closing|closed * * * *"],
    ),
];

#[test]
fn every_input_in_every_state() {
    let rows = || COMMANDS.iter().chain(INPUTS);
    let mut inputs: Vec<_> = rows().map(|row| row.input).collect();
    inputs.retain(|input| !input.ends_with('*'));
    inputs.dedup();
    inputs.extend(NEUTRAL);
    for from in all_states() {
        for &input in &inputs {
            if !may_come(input, &from) {
                continue;
            }
            let row: Vec<_> = rows()
                .filter(|row| is_input(row.input, input) && fits(row.from, &from))
                .collect();
            assert!(row.len() < 2, "two rows for {input} in {from:?}");

            let mut shell = build(&from);
            let answer = apply(&mut shell, input);
            let got = (describe(&shell), answer.as_str(), shell.notices());

            match row.first() {
                Some(row) => {
                    let to = result(row.to, &from);
                    let want = (to, row.answer, row.notices.to_string());
                    assert_eq!(got, want, "{input} in {from:?}");
                }
                None => {
                    let refusals = ["", "no", "Refused"];
                    assert!(refusals.contains(&got.1), "{input} in {from:?}: {answer}");
                    let want = (from.clone(), got.1, String::new());
                    assert_eq!(got, want, "{input} in {from:?}");
                }
            }
            let to = describe(&shell);
            assert!(exists(&to), "{input} in {from:?} leads to {to:?}");
            check_outputs(&shell, &to);
        }
    }
}

#[test]
fn every_row_fits_a_state() {
    let states = all_states();
    assert_eq!(states.len(), 3 + 12 + 34 + 18 + 18);
    for row in COMMANDS.iter().chain(INPUTS) {
        let used = states.iter().any(|state| fits(row.from, state));
        assert!(used, "{} in {}", row.input, row.from);
    }
}

#[test]
fn outputs_and_getters_in_every_state() {
    for state in all_states() {
        let shell = build(&state);
        assert_eq!(describe(&shell), state);
        check_outputs(&shell, &state);
    }
}

/// A pipe's destination that asks for rest stops the reading, and nothing else.
#[test]
fn rest_stops_reading_only() {
    for state in all_states() {
        let mut shell = build(&state);
        let reads = shell.conn.wants_read();
        shell.conn.rest();
        shell.conn.rest();
        shell.conn.wake();
        assert_eq!(describe(&shell), state);
        assert!(!shell.conn.wants_read(), "{state:?}");
        assert_eq!(shell.conn.will_read(), reads, "{state:?}");
        let open = fits("open open * * *", &state);
        assert_eq!(shell.conn.may_peek(), open, "{state:?}");
        shell.conn.wake();
        shell.conn.wake();
        check_outputs(&shell, &state);
    }
}

/// The last of `end` and `finish` to be delivered finishes a connection, and only on an open one.
#[test]
fn finished_when_both_sides_are_told() {
    for order in [["end", "finish"], ["finish", "end"]] {
        for flow in FLOW {
            let mut shell = build(&["open", "ended", "shut", flow, "empty"].map(String::from));
            for (step, told) in order.into_iter().enumerate() {
                assert_eq!(shell.cause(), "none", "{order:?} before step {step}");
                apply(&mut shell, &format!("{told} delivered"));
            }
            assert_eq!(shell.cause(), "finished", "{order:?}");
            assert_eq!(shell.notices(), "abort");
        }
    }
    for half_told in ["end", "finish"] {
        let mut shell = build(&["open", "ended", "shut", "flowing", "empty"].map(String::from));
        apply(&mut shell, &format!("{half_told} delivered"));
        apply(&mut shell, &format!("{half_told} delivered"));
        assert_eq!(shell.cause(), "none", "only {half_told} was delivered");
    }
}

fn check_outputs(shell: &Shell, state: &State) {
    for (name, getter, patterns) in OUTPUTS {
        let want = patterns.iter().any(|pattern| fits(pattern, state));
        assert_eq!(getter(&shell.conn), want, "{name} in {state:?}");
    }
}

type State = [String; 5];

fn all_states() -> Vec<State> {
    let mut states = Vec::new();
    for phase in PHASES {
        for read in READ {
            for write in WRITE {
                for flow in FLOW {
                    for out in OUT {
                        let mut state = [phase, read, write, flow, out].map(String::from);
                        if exists(&state) {
                            if matches!(phase, "closing" | "closed") {
                                state[0] += ":destroyed";
                            }
                            states.push(state);
                        }
                    }
                }
            }
        }
    }
    states
}

fn exists(state: &State) -> bool {
    STATES.iter().any(|pattern| fits(pattern, state))
}

/// A phase may be followed by the cause of the end, which patterns do not name.
fn fits(pattern: &str, state: &State) -> bool {
    let words: Vec<_> = pattern.split_whitespace().collect();
    assert_eq!(words.len(), state.len(), "{pattern}");
    words.iter().zip(state).all(|(word, value)| {
        let value = value.split(':').next();
        *word == "*" || word.split('|').any(|choice| Some(choice) == value)
    })
}

fn result(to: &str, from: &State) -> State {
    let words: Vec<_> = to.split_whitespace().collect();
    assert_eq!(words.len(), from.len(), "{to}");
    std::array::from_fn(|i| match words[i] {
        "=" => from[i].clone(),
        word => word.to_string(),
    })
}

fn may_come(input: &str, state: &State) -> bool {
    let mut places = COMES_ONLY
        .iter()
        .filter(|(name, _)| *name == input)
        .peekable();
    places.peek().is_none() || places.any(|(_, pattern)| fits(pattern, state))
}

fn is_input(pattern: &str, input: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => input.starts_with(start),
        None => input == pattern,
    }
}

/// Brings a connection into `state` by the inputs that lead there.
fn build(state: &State) -> Shell {
    let [phase, read, write, flow, out] = state.each_ref().map(|word| word.as_str());
    let mut shell = match phase {
        "idle" => Shell::idle(half_open()),
        "connecting" => Shell::connecting(half_open()),
        _ => Shell::open(half_open()),
    };
    if out == "waits" {
        assert_eq!(shell.write(b"wait", 0), WriteStatus::Queued);
    }
    if write != "open" {
        assert!(shell.end());
    }
    if write == "shut" {
        shell.shut();
    }
    if read == "ended" {
        assert!(shell.conn.handle_eof());
    }
    if out == "failed" {
        shell.conn.set_flowing(true);
        shell.write_error(broken_pipe());
    }
    if flow != "initial" {
        shell.conn.set_flowing(flow == "flowing");
    }
    if phase.starts_with("clos") {
        assert!(shell.destroy(Cause::Destroyed));
    }
    if phase.starts_with("closed") {
        shell.conn.handle_close_delivered();
    }
    shell.notices();
    shell
}

fn describe(shell: &Shell) -> State {
    let conn = &shell.conn;
    let phase = match conn.phase() {
        Phase::Closing => format!("closing:{}", shell.cause()),
        Phase::Closed => format!("closed:{}", shell.cause()),
        phase => format!("{phase:?}").to_lowercase(),
    };
    let out = match (conn.buffer_size(), conn.is_open() && conn.has_write_error()) {
        (0, false) => "empty",
        (0, true) => "failed",
        (_, false) => "waits",
        (_, true) => "waits and failed",
    };
    [
        phase,
        format!("{:?}", conn.state.read()).to_lowercase(),
        format!("{:?}", conn.state.write()).to_lowercase(),
        format!("{:?}", conn.flow()).to_lowercase(),
        out.into(),
    ]
}

/// Applies one input, and says what it answered.
fn apply(shell: &mut Shell, input: &str) -> String {
    let yes = |answer: bool| if answer { "yes" } else { "no" }.to_string();
    let Shell { conn, released, .. } = shell;
    match input {
        "admit" => return format!("{:?}", conn.admit(4, released)),
        "write, no room" => return format!("{:?}", shell.write(b"data", 0)),
        "write, some room" => return format!("{:?}", shell.write(b"data", 3)),
        "write, room" => return format!("{:?}", shell.write(b"data", 4)),
        "accept" => {
            let payload = Payload::Owned(Bytes::from_static(b"data"));
            return format!("{:?}", conn.accept(payload, 0, false, released));
        }
        "end" => return yes(conn.end(released)),
        "destroy" => return yes(conn.destroy(Cause::Destroyed, released)),
        "destroy, error" => return yes(conn.destroy(Cause::Failed(reset_by_peer()), released)),
        "destroy, done" => return yes(conn.destroy(Cause::Finished, released)),
        "connect" => return yes(conn.connect_started()),
        "connected" => return yes(conn.handle_connected()),
        "eof" => return yes(conn.handle_eof()),
        "settle" => return yes(conn.settle_write_error(released)),
        "take drain" => return yes(conn.take_drain()),
        "destroy soon" => conn.destroy_soon(released),
        "late callback" => conn.abort_late_callback(),
        "attach reader" => conn.reader_attached(),
        "resume" => conn.set_flowing(true),
        "pause" => conn.set_flowing(false),
        "cork" => conn.cork(),
        "uncork" => conn.uncork(),
        "wake" => conn.wake(),
        "read" => conn.handle_read(4),
        "written, all" => conn.handle_written(conn.buffer_size(), released),
        "written, nothing" => conn.handle_written(0, released),
        "shut" => conn.handle_shut(),
        "read error" => conn.handle_read_error(reset_by_peer(), released),
        "write error" => conn.handle_write_error(broken_pipe(), released),
        "end delivered" => {
            conn.limits_mut().allow_half_open = false;
            conn.handle_end_delivered(released);
        }
        "end delivered, half-open" => conn.handle_end_delivered(released),
        "finish begun" => conn.handle_finish_begun(),
        "finish delivered" => conn.handle_finish_delivered(released),
        "close delivered" => conn.handle_close_delivered(),
        _ => panic!("no such input: {input}"),
    }
    String::new()
}
