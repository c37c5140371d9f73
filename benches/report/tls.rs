//! The targets of TLS: level with tokio-rustls, and ahead of Node. Sessions that are taken up are compared with those of a
//! tokio-rustls that gives tickets, too; what it is to one that keeps them in its memory, its default, is said beside.

use super::data::Data;
use super::targets::{Aim, Target};

const BENCH: &str = "tls";
const OURS: &str = "tidewheel";
const WITH_TICKETS: &str = "tokio-rustls, tickets";

/// What is as good as level, for the noise of a machine.
const MORE: Aim = Aim::AtLeast(1.0, 0.95);
const LESS: Aim = Aim::AtMost(1.0, 1.05);

/// What, and of which case which metric.
const ALL: &[(&str, Aim, &str, &str)] = &[
    (
        "TLS 1.3 handshake: processor time of the server",
        LESS,
        "TLS 1.3 handshake, full",
        "server us/handshake",
    ),
    (
        "TLS 1.3 handshake, resumed: the same",
        LESS,
        "TLS 1.3 handshake, resumed",
        "server us/handshake",
    ),
    (
        "TLS 1.2 handshake: the same",
        LESS,
        "TLS 1.2 handshake, full",
        "server us/handshake",
    ),
    (
        "TLS 1.2 handshake, resumed: the same",
        LESS,
        "TLS 1.2 handshake, resumed",
        "server us/handshake",
    ),
    (
        "TLS 1.3 handshakes a second",
        MORE,
        "TLS 1.3 handshake, full",
        "handshakes/s",
    ),
    (
        "TLS 1.3 handshakes a second, resumed",
        MORE,
        "TLS 1.3 handshake, resumed",
        "handshakes/s",
    ),
    ("stream sent, MB/s", MORE, "TLS 1.3 stream, sent", "MB/s"),
    (
        "stream received, MB/s",
        MORE,
        "TLS 1.3 stream, received",
        "MB/s",
    ),
    (
        "stream sent: processor time of the server",
        LESS,
        "TLS 1.3 stream, sent",
        "server us/MB",
    ),
    (
        "stream received: the same",
        LESS,
        "TLS 1.3 stream, received",
        "server us/MB",
    ),
    (
        "resident bytes per idle connection",
        LESS,
        "idle connection after one message",
        "bytes",
    ),
];

pub fn targets(data: &Data) -> Vec<Target> {
    ALL.iter()
        .map(|&(what, aim, case, metric)| {
            let ratio = |peer| Some(data.row(BENCH, case, peer, metric)?.ratio?.median);
            let to_default = ratio(OURS);
            // Where sessions are kept makes a difference to handshakes only.
            let tickets = ratio(WITH_TICKETS).filter(|_| case.contains("handshake"));
            let like_ours = tickets.filter(|_| case.contains("resumed"));
            let to_tokio = to_default.map(|ours| ours / like_ours.unwrap_or(1.0));
            let to_node = to_default
                .zip(ratio("Node"))
                .map(|(ours, node)| ours / node);
            let note = match (like_ours.and(to_default), tickets) {
                (Some(ours), _) => format!("to its sessions in memory: {ours:.2}"),
                (None, Some(tickets)) => format!("{WITH_TICKETS}: {tickets:.2}"),
                (None, None) => String::new(),
            };
            Target {
                what,
                aim,
                measured: to_tokio.into_iter().chain(to_node).collect(),
                note,
                from: BENCH,
            }
        })
        .collect()
}
