//! The targets of TLS: level with tokio-rustls, and ahead of Node. Beside them, what tokio-rustls pays for tickets.

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
            let to_tokio = ratio(OURS);
            // Where sessions are kept makes a difference to handshakes only.
            let tickets = ratio(WITH_TICKETS).filter(|_| case.contains("handshake"));
            let to_node = to_tokio.zip(ratio("Node")).map(|(ours, node)| ours / node);
            Target {
                what,
                aim,
                measured: to_tokio.into_iter().chain(to_node).collect(),
                note: tickets.map_or(String::new(), |it| format!("{WITH_TICKETS}: {it:.2}")),
                from: BENCH,
            }
        })
        .collect()
}
