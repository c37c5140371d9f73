//! The targets, each with what was measured of it and where.

use super::data::{Data, OURS, OUR_SERVERS};

/// One row of the table.
pub struct Target {
    pub what: &'static str,
    pub aim: Aim,
    /// Of `pipe` and of `on_data`, or one figure where these do not differ.
    pub measured: Vec<f64>,
    /// What else has to be said.
    pub note: String,
    pub from: &'static str,
}

#[derive(Clone, Copy)]
pub enum Aim {
    /// The target, and the bound that must be kept.
    AtLeast(f64, f64),
    AtMost(f64, f64),
}

impl Aim {
    pub fn verdict(self, measured: &[f64]) -> &'static str {
        let all = |is_so: &dyn Fn(f64) -> bool| measured.iter().all(|&value| is_so(value));
        let (met, kept) = match self {
            Aim::AtLeast(target, bound) => (all(&|it| it >= target), all(&|it| it >= bound)),
            Aim::AtMost(target, bound) => (all(&|it| it <= target), all(&|it| it <= bound)),
        };
        match (measured.is_empty(), met, kept) {
            (true, ..) => "not measured",
            (_, true, _) => "met",
            (_, _, true) => "within bounds",
            _ => "**missed**",
        }
    }
}

const SERVERS: &str = "whole servers";
const COUNTS: &str = "instructions";

/// Ratios to raw epoll: what and which way, where among whole servers, and else in which bench, case and metric.
const RATIOS: &[(&str, Aim, Place, [&str; 3])] = &[
    (
        "ping-pong, 1 connection",
        MESSAGES,
        (false, "pingpong-1", "ratio"),
        ["ping_pong", "tcp 1 x 64 B", "msgs/s"],
    ),
    (
        "ping-pong, 50",
        MESSAGES,
        (false, "pingpong-50", "ratio"),
        ["ping_pong", "tcp 50 x 64 B", "msgs/s"],
    ),
    (
        "ping-pong, 1000",
        MESSAGES,
        (false, "pingpong-1000", "ratio"),
        ["ping_pong", "tcp 1000 x 64 B", "msgs/s"],
    ),
    (
        "ping-pong, 50 x 4 KiB",
        MESSAGES,
        (false, "pingpong-50-4k", "ratio"),
        ["ping_pong", "tcp 50 x 4 KiB", "msgs/s"],
    ),
    (
        "pipeline, 50 x 16",
        MESSAGES,
        (false, "pipeline-50x16", "ratio"),
        ["", "", ""],
    ),
    (
        "1 stream",
        Aim::AtLeast(1.0, 0.95),
        (false, "stream-1", "ratio"),
        ["throughput", "tcp x 1", "MB/s"],
    ),
    (
        "8 streams",
        Aim::AtLeast(1.0, 0.92),
        (false, "stream-8", "ratio"),
        ["throughput", "tcp x 8", "MB/s"],
    ),
    (
        "churn: processor time of the server per connection",
        Aim::AtMost(1.0, 1.05),
        (false, "churn", "cpu_ratio"),
        ["accept", "tcp, 32 at a time", "server us/connection"],
    ),
    (
        "UNIX ping-pong, 50",
        MESSAGES,
        (true, "pingpong-50", "ratio"),
        ["ping_pong", "unix 50 x 64 B", "msgs/s"],
    ),
    (
        "UNIX churn",
        MESSAGES,
        (true, "churn", "ratio"),
        ["accept", "unix, 32 at a time", "connections/s"],
    ),
];

const MESSAGES: Aim = Aim::AtLeast(0.98, 0.95);

/// Over UNIX sockets, the scenario, and the figure.
type Place = (bool, &'static str, &'static str);

pub fn all(data: &Data) -> Vec<Target> {
    let ratios = RATIOS.iter();
    let mut all: Vec<Target> = ratios
        .map(|&(what, aim, place, fallback)| ratio(data, what, aim, place, fallback))
        .collect();
    all.push(mixed(data));
    all.push(system_calls(data));
    all.extend(costs(data));
    all.extend(memory(data));
    all.extend(flatness(data));
    all
}

/// What one of something costs.
fn costs(data: &Data) -> Vec<Target> {
    let target = |what, aim, measured, from| Target {
        what,
        aim,
        measured,
        note: String::new(),
        from,
    };
    let instructions = ["echo, pipe, 50 x 64 B", "echo, listener, 50 x 64 B"];
    let corked = |case, metric| median(data, "pipelined_replies", case, OURS[1], metric);
    vec![
        target(
            "user-space instructions per message",
            Aim::AtMost(200.0, 300.0),
            instructions
                .iter()
                .filter_map(|case| data.count(case))
                .collect(),
            COUNTS,
        ),
        target(
            "idle timer re-armed per activity, ns",
            Aim::AtMost(1.0, 2.0),
            median(
                data,
                "timer_wheel",
                "idle activity 10 k",
                "tidewheel",
                "ns/op",
            ),
            "timer_wheel",
        ),
        target(
            "sends for 16 pipelined replies, corked",
            Aim::AtMost(1.0, 1.0),
            corked("tcp corked", "segments for 16 replies"),
            "pipelined_replies",
        ),
        target(
            "replies a second, corked to uncorked",
            Aim::AtLeast(3.0, 3.0),
            corked("tcp gain", "corked / uncorked"),
            "pipelined_replies",
        ),
    ]
}

fn memory(data: &Data) -> [Target; 2] {
    let (mut idle, mut growth) = (Vec::new(), Vec::new());
    let mut from = SERVERS;
    for server in OUR_SERVERS {
        let memory = &data.tcp["idle"][server];
        let (fresh, used) = (memory["rss_fresh"].as_f64(), memory["rss_used"].as_f64());
        idle.extend(fresh);
        growth.extend(fresh.zip(used).map(|(fresh, used)| (used - fresh).round()));
    }
    if idle.is_empty() {
        from = "idle_memory";
        for peer in OURS {
            idle.extend(median(data, from, "tcp 9000", peer, "bytes per connection"));
            growth.extend(median(data, from, "tcp 9000", peer, "growth after traffic"));
        }
    }
    let target = |what, aim, measured| Target {
        what,
        aim,
        measured,
        note: String::new(),
        from,
    };
    [
        target(
            "resident bytes per idle connection",
            Aim::AtMost(250.0, 400.0),
            idle,
        ),
        target(
            "growth of an idle connection after traffic, bytes",
            Aim::AtMost(0.0, 0.0),
            growth,
        ),
    ]
}

/// Of one row, or nothing.
fn median(data: &Data, bench: &str, case: &str, peer: &str, metric: &str) -> Vec<f64> {
    let row = data.row(bench, case, peer, metric);
    row.map(|row| row.value.median).into_iter().collect()
}

/// What must not grow with the number of connections or timers.
fn flatness(data: &Data) -> Vec<Target> {
    let between = |few: &str, many: &str| {
        let ratio = data
            .count(many)
            .zip(data.count(few))
            .map(|(many, few)| many / few);
        ratio.into_iter().collect::<Vec<f64>>()
    };
    let timers = |what: &str| {
        between(
            &format!("timer {what}, of 1 k"),
            &format!("timer {what}, of 1 M"),
        )
    };
    let target = |what, aim, measured| Target {
        what,
        aim,
        measured,
        note: String::new(),
        from: COUNTS,
    };
    let time = |peer| {
        let case = "1 k active of 9 k, to 1 k all active";
        let row = data.row("many_idle", case, peer, "processor time per message");
        row.map(|row| row.value.median)
    };
    vec![
        target(
            "instructions per message, 9 k connections of which 1 k active, to 1 k all active",
            Aim::AtMost(1.02, 1.02),
            between("echo, pipe, 1 k, all active", "echo, pipe, 9 k, 1 k active"),
        ),
        Target {
            note: time("raw mio").map_or(String::new(), |ratio| format!("raw mio: {ratio:.2}")),
            from: "many_idle",
            ..target(
                "processor time per message, the same",
                Aim::AtMost(1.10, 1.10),
                time(OURS[0]).into_iter().collect(),
            )
        },
        target(
            "instructions, a timer set again, of 1 M to of 1 k",
            Aim::AtMost(1.02, 1.02),
            timers("set again"),
        ),
        target(
            "instructions, a timer set and cleared, of 1 M to of 1 k",
            Aim::AtMost(1.02, 1.02),
            timers("set and cleared"),
        ),
    ]
}

/// From the bench of whole servers, or else from one of ours.
fn ratio(
    data: &Data,
    what: &'static str,
    aim: Aim,
    (unix, scenario, key): Place,
    [bench, case, metric]: [&'static str; 3],
) -> Target {
    let summary = &data.servers(unix)["summary"][scenario];
    let measured: Vec<f64> = OUR_SERVERS
        .iter()
        .filter_map(|server| summary[*server][key].as_f64())
        .collect();
    if !measured.is_empty() {
        // What the way to the kernel costs that we share with it, and how far a run is from another.
        let mio = summary["raw_mio"][key].as_f64();
        let mio = mio.map(|ratio| format!("raw mio: {ratio:.2}"));
        let message = data.row(bench, case, "raw epoll (recvmsg)", metric);
        let message = message.and_then(|row| row.ratio).map(|it| it.median);
        let message = message.map(|ratio| format!("raw epoll by recvmsg: {ratio:.2}"));
        let note = mio.or(message).unwrap_or_default();
        return Target {
            what,
            aim,
            measured,
            note,
            from: SERVERS,
        };
    }
    let of_peer = |peer: &&str| data.row(bench, case, peer, metric)?.ratio;
    let measured = OURS
        .iter()
        .filter_map(of_peer)
        .map(|it| it.median)
        .collect();
    Target {
        what,
        aim,
        measured,
        note: String::new(),
        from: bench,
    }
}

/// So many MB/s the greedy one of `mixed` is to have.
const ENOUGH: f64 = 500.0;

/// The others' wait counts only while the greedy one gets enough.
fn mixed(data: &Data) -> Target {
    let case = "tcp 100 x 64 B and a greedy one";
    let mut target = ratio(
        data,
        "99 % of 100 ping-pongs beside a greedy stream wait so long",
        Aim::AtMost(1.0, 1.5),
        (false, "mixed", "ratio"),
        ["fairness", case, "p99 us"],
    );
    let summary = &data.tcp["summary"]["mixed"];
    let mut greedy: Vec<f64> = OUR_SERVERS
        .iter()
        .filter_map(|it| summary[*it]["mb_per_s"].as_f64())
        .collect();
    if target.from != SERVERS {
        let rows = OURS
            .iter()
            .filter_map(|peer| data.row("fairness", case, peer, "greedy MB/s"));
        greedy = rows.map(|row| row.value.median).collect();
    }
    let rates: Vec<String> = greedy.iter().map(|rate| format!("{rate:.0}")).collect();
    if !rates.is_empty() {
        target.note = format!(
            "the greedy one at {} MB/s, where {ENOUGH:.0} are asked",
            rates.join(" / ")
        );
    }
    let counted = target.measured.len();
    let mut rates = greedy.iter();
    let enough = |_: &f64| rates.next().is_none_or(|&rate| rate >= ENOUGH);
    target.measured.retain(enough);
    if target.measured.len() < counted {
        target.note += ": with less the wait does not count";
    }
    target
}

fn system_calls(data: &Data) -> Target {
    let servers = &data.syscalls["per_message"];
    let of = |name: &str| -> Vec<f64> {
        OUR_SERVERS
            .iter()
            .filter_map(|server| servers[*server][name].as_f64())
            .collect()
    };
    let all = of("all");
    let note = match (all.is_empty(), of("epoll_ctl").is_empty()) {
        (true, _) => "",
        (_, true) => "no epoll_ctl",
        (_, false) => "epoll_ctl among them",
    };
    // How many events one wait brings depends on the machine, for all of them.
    let raw = servers["raw_epoll"]["all"].as_f64();
    let raw = raw.map_or(String::new(), |calls| format!("; raw epoll: {calls:.2}"));
    let mio = servers["raw_mio"]["all"].as_f64();
    let mio = mio.map_or(String::new(), |calls| format!(", raw mio: {calls:.2}"));
    Target {
        what: "system calls per message, 50 connections",
        aim: Aim::AtMost(2.04, 2.10),
        measured: all
            .iter()
            .map(|calls| (calls * 100.0).round() / 100.0)
            .collect(),
        note: note.to_owned() + &raw + &mio,
        from: SERVERS,
    }
}
