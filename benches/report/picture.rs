//! The picture: the rates of servers as ratios to raw epoll, a group of bars for each scenario.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::data::{Data, OUR_SERVERS};

/// Whose bars there are, if they were measured, under which names here and there, and in which colours.
const BARS: [(&str, &str, &str); 5] = [
    ("tidewheel", "tidewheel (pipe)", "#2f81f7"),
    ("raw_mio", "raw mio", "#8b949e"),
    ("tokio", "tokio", "#d29922"),
    ("libuv", "libuv", "#3fb950"),
    ("node", "node", "#f0883e"),
];

/// The groups: their label, the scenario of whole servers, and bench, case and metric where no server was measured.
const GROUPS: [(&str, &str, [&str; 3]); 8] = [
    (
        "1 x 64 B",
        "pingpong-1",
        ["ping_pong", "tcp 1 x 64 B", "msgs/s"],
    ),
    (
        "50 x 64 B",
        "pingpong-50",
        ["ping_pong", "tcp 50 x 64 B", "msgs/s"],
    ),
    (
        "1000 x 64 B",
        "pingpong-1000",
        ["ping_pong", "tcp 1000 x 64 B", "msgs/s"],
    ),
    (
        "50 x 4 KiB",
        "pingpong-50-4k",
        ["ping_pong", "tcp 50 x 4 KiB", "msgs/s"],
    ),
    ("pipelined", "pipeline-50x16", ["", "", ""]),
    ("1 stream", "stream-1", ["throughput", "tcp x 1", "MB/s"]),
    ("8 streams", "stream-8", ["throughput", "tcp x 8", "MB/s"]),
    (
        "connections",
        "churn",
        ["accept", "tcp, 32 at a time", "connections/s"],
    ),
];

const BAR: f64 = 13.0;
const GAP: f64 = 22.0;
const LEFT: f64 = 40.0;
const TOP: f64 = 54.0;
/// Of a ratio of 1.
const HEIGHT: f64 = 200.0;
/// No bar is higher.
const HIGHEST: f64 = 1.2;

/// None: nothing to draw.
pub fn draw(data: &Data) -> Option<String> {
    let shown: Vec<_> = BARS
        .iter()
        .filter(|bar| GROUPS.iter().any(|group| ratio(data, group, bar).is_some()))
        .collect();
    let groups: Vec<_> = GROUPS
        .iter()
        .filter(|group| shown.iter().any(|bar| ratio(data, group, bar).is_some()))
        .collect();
    if groups.is_empty() {
        return None;
    }
    let group_width = shown.len() as f64 * BAR + GAP;
    let width = LEFT + groups.len() as f64 * group_width + 10.0;
    let width = width.max(LEFT + shown.len() as f64 * 110.0);
    let bottom = TOP + HEIGHT * HIGHEST;
    let mut svg = frame(width, bottom);
    for (index, (name, _, colour)) in shown.iter().enumerate() {
        let x = LEFT + index as f64 * 105.0;
        let _ = writeln!(
            svg,
            r#"<rect x="{x}" y="28" width="11" height="11" fill="{colour}"/>"#
        );
        let name = name.replace('_', " ");
        let _ = writeln!(svg, r#"<text x="{}" y="38">{name}</text>"#, x + 16.0);
    }
    for (index, group) in groups.iter().enumerate() {
        let x = LEFT + index as f64 * group_width + GAP / 2.0;
        for (place, bar) in shown.iter().enumerate() {
            let Some(ratio) = ratio(data, group, bar) else {
                continue;
            };
            let (x, height) = (x + place as f64 * BAR, ratio.clamp(0.0, HIGHEST) * HEIGHT);
            let _ = writeln!(
                svg,
                r#"<rect x="{x:.1}" y="{:.1}" width="{:.1}" height="{height:.1}" fill="{}"><title>{}: {ratio:.2}</title></rect>"#,
                bottom - height,
                BAR - 2.0,
                bar.2,
                bar.0,
            );
        }
        let middle = x + shown.len() as f64 * BAR / 2.0;
        let (y, label) = (bottom + 18.0, group.0);
        let _ = writeln!(
            svg,
            r#"<text x="{middle:.1}" y="{y}" text-anchor="middle">{label}</text>"#
        );
    }
    Some(svg + "</svg>\n")
}

/// The servers of a bench, ours first.
pub fn server_names(summary: &Map<String, Value>) -> Vec<String> {
    let all = summary
        .values()
        .filter_map(Value::as_object)
        .flat_map(Map::keys);
    let mut names: Vec<String> = Vec::new();
    for name in OUR_SERVERS
        .iter()
        .map(|name| name.to_string())
        .chain(all.cloned())
    {
        let is_there = summary.values().any(|figures| figures[&name].is_object());
        if is_there && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Title, style and the lines of the scale. The colours of text and lines are legible on white and on black.
fn frame(width: f64, bottom: f64) -> String {
    let height = bottom + 30.0;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<title>Echo over TCP: rate as a ratio to hand-written epoll, higher is better</title>
<style>text {{ font: 11px sans-serif; fill: #57606a }} line {{ stroke: #8b949e }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #9da7b1 }} }}</style>
<text x="{LEFT}" y="16">Echo over TCP: rate as a ratio to hand-written epoll (the line at 1), higher is better</text>
"#
    );
    for ratio in [0.0, 0.5, 1.0] {
        let y = bottom - ratio * HEIGHT;
        let dashes = if ratio == 1.0 {
            ""
        } else {
            r#" stroke-opacity="0.35""#
        };
        let _ = writeln!(
            svg,
            r#"<line x1="{LEFT}" x2="{width}" y1="{y}" y2="{y}"{dashes}/>"#
        );
        let (x, y) = (LEFT - 6.0, y + 4.0);
        let _ = writeln!(
            svg,
            r#"<text x="{x}" y="{y}" text-anchor="end">{ratio:.1}</text>"#
        );
    }
    svg
}

fn ratio(data: &Data, group: &(&str, &str, [&str; 3]), bar: &(&str, &str, &str)) -> Option<f64> {
    let (_, scenario, [bench, case, metric]) = group;
    if data.tcp["summary"].is_object() {
        return data.tcp["summary"][*scenario][bar.0]["ratio"].as_f64();
    }
    Some(data.row(bench, case, bar.1, metric)?.ratio?.median)
}
