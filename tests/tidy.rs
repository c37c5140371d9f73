//! The house rules, held by reading the source: layers that import downward only, what each layer may name, where
//! `unsafe` may be and what stands above it, and files and functions short enough to be read.
//!
//! Each rule is a function from one file to findings; below the rules, each is shown to find what it looks for.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/source.rs"]
mod source;

use source::{crate_paths, end_of_function, identifier, numbers, positions, Source};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

/// The parts of `src`, and what each may import. `error` and `address` serve all; `error` asks `sys` for the names of
/// error numbers, which is the one place where two parts know each other.
const LAYERS: &[(&str, &[&str])] = &[
    ("address", &[]),
    ("error", &["address", "sys"]),
    ("arena", &[]),
    ("timer", &["arena"]),
    ("conn", &["error", "address"]),
    ("connector", &["error", "address"]),
    ("encoding", &["error"]),
    ("resolver", &["sys", "error", "address"]),
    ("sys", &["error", "address"]),
    ("tls", &["encoding", "error"]),
    (
        "reactor",
        &[
            "tls",
            "conn",
            "timer",
            "connector",
            "resolver",
            "arena",
            "sys",
            "error",
            "address",
        ],
    ),
    // `sim` is what the crate root calls the simulated part of `sys`.
    (
        "net",
        &[
            "tls",
            "reactor",
            "conn",
            "connector",
            "resolver",
            "encoding",
            "arena",
            "sys",
            "sim",
            "error",
            "address",
        ],
    ),
];

/// Parts without system calls, clock, closures and sockets: they are told everything.
const PURE: &[&str] = &[
    "arena",
    "conn",
    "timer",
    "connector",
    "encoding",
    "address",
    "error",
];

/// Words, and the parts of `src` that may say them.
const WORDS: &[(&str, &[&str], &str)] = &[
    ("libc", &["sys"], "only src/sys names libc"),
    ("unsafe", &["sys"], "only src/sys says `unsafe`"),
    (
        "mio",
        &["sys", "reactor"],
        "only src/sys and src/reactor name mio",
    ),
    ("<dyn Fn", &["net"], "only src/net keeps closures"),
    ("<dyn FnMut", &["net"], "only src/net keeps closures"),
    ("<dyn FnOnce", &["net"], "only src/net keeps closures"),
];

/// What no pure part may say.
const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "ToSocketAddrs",
    "OwnedFd",
    "BorrowedFd",
    "RawFd",
    "thread",
];

/// What no file may leave behind, in code and in comments. A test that is ignored for a reason, its length, has a step
/// of its own in the CI.
const LEFT_OVERS: &[&str] = &["todo!", "unimplemented!", "dbg!", "#[ignore]"];
const NOTES: &[&str] = &["TODO", "FIXME", "XXX"];

/// One thing that is wrong: the line, counted from 1, and what it is.
type Finding = (usize, String);

#[test]
fn the_source_keeps_the_house_rules() {
    let rules: &[fn(&Source) -> Vec<Finding>] = &[
        imports_go_down,
        words_stay_in_their_layer,
        pure_parts_are_pure,
        unsafe_says_why,
        modules_have_docs,
        files_are_short,
        functions_are_short,
        nothing_is_left_over,
    ];
    let mut report = String::new();
    for source in tree() {
        for rule in rules {
            for (line, what) in rule(&source) {
                report += &format!("{}:{line}: {what}\n", source.path);
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// All files of the crate that hold Rust.
fn tree() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for directory in ["src", "tests", "examples", "benches", "fuzz/src"] {
        collect(&root.join(directory), &mut files);
    }
    assert!(files.len() > 20, "the tree was not found");
    files.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let path = path.strip_prefix(root).unwrap();
        Source::new(path.to_str().unwrap(), &text)
    };
    files.iter().map(read).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    // A published crate comes without some of them.
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // What cargo builds in a package of its own is nobody's source.
            if !path.ends_with("target") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn imports_go_down(source: &Source) -> Vec<Finding> {
    // As the crate's own front, that of `tls` shows what other parts have.
    let is_front = source.path == "src/tls/mod.rs";
    let Some(layer) = source.layer().filter(|layer| *layer != "lib" && !is_front) else {
        return Vec::new();
    };
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return vec![(1, format!("`{layer}` is new: give it a place in LAYERS"))];
    };
    let mut found = Vec::new();
    for (line, name) in crate_paths(&source.code) {
        // The face may use what the crate shows at its root; that is its own.
        let is_own = name == layer || (layer == "net" && name.starts_with(char::is_uppercase));
        if !is_own && !below.contains(&name.as_str()) {
            found.push((line, format!("`{layer}` may not import `crate::{name}`")));
        }
    }
    let depth = source.path.matches('/').count() - usize::from(source.path.ends_with("/mod.rs"));
    for line in source.lines_with(&vec!["super"; depth + 1].join("::")) {
        found.push((
            line,
            "reach other parts by `crate::`, not by `super::`".into(),
        ));
    }
    found
}

fn words_stay_in_their_layer(source: &Source) -> Vec<Finding> {
    let Some(layer) = source.layer() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (word, allowed, rule) in WORDS {
        if !allowed.contains(&layer) {
            found.extend(
                source
                    .lines_with(word)
                    .into_iter()
                    .map(|at| (at, (*rule).into())),
            );
        }
    }
    found
}

fn pure_parts_are_pure(source: &Source) -> Vec<Finding> {
    if !source.layer().is_some_and(|layer| PURE.contains(&layer)) {
        return Vec::new();
    }
    let find = |word: &&str| {
        let what = format!("a pure part knows no `{word}`");
        let lines = source.lines_with(word);
        lines.into_iter().map(move |line| (line, what.clone()))
    };
    IMPURE.iter().flat_map(find).collect()
}

/// Above the statement that has the `unsafe`, or above the item, a comment says why it is sound.
fn unsafe_says_why(source: &Source) -> Vec<Finding> {
    let explained = |line: usize| {
        for above in (0..line - 1).rev() {
            if source.comments[above].contains("SAFETY:") {
                return true;
            }
            let code = source.code[above].trim();
            let is_another = code.ends_with([';', '{', '}', ',']);
            if is_another || (code.is_empty() && source.comments[above].trim().is_empty()) {
                return false;
            }
        }
        false
    };
    let lines = source.lines_with("unsafe").into_iter();
    lines
        .filter(|line| !explained(*line))
        .map(|line| (line, "`unsafe` without a `// SAFETY:` comment above".into()))
        .collect()
}

fn modules_have_docs(source: &Source) -> Vec<Finding> {
    let first = source.lines.iter().position(|line| !line.trim().is_empty());
    if first.is_some_and(|line| source.lines[line].starts_with("//!")) {
        return Vec::new();
    }
    vec![(1, "a file begins with `//!` docs".into())]
}

fn files_are_short(source: &Source) -> Vec<Finding> {
    let lines = source.lines.len();
    if lines <= FILE_LINES {
        return Vec::new();
    }
    vec![(
        lines,
        format!("a file of {lines} lines; the limit is {FILE_LINES}"),
    )]
}

fn functions_are_short(source: &Source) -> Vec<Finding> {
    let text = source.code.join("\n");
    let mut found = Vec::new();
    for start in positions(&text, "fn") {
        let name = identifier(text[start + 2..].trim_start());
        let Some(end) = end_of_function(&text, start).filter(|_| !name.is_empty()) else {
            continue;
        };
        let lines = text[start..end].matches('\n').count() + 1;
        if lines > FUNCTION_LINES {
            let line = text[..start].matches('\n').count() + 1;
            found.push((
                line,
                format!("`{name}` has {lines} lines; the limit is {FUNCTION_LINES}"),
            ));
        }
    }
    found
}

fn nothing_is_left_over(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for word in LEFT_OVERS {
        let lines = numbers(&source.code, |line| line.contains(word));
        found.extend(
            lines
                .into_iter()
                .map(|line| (line, format!("`{word}` is left over"))),
        );
    }
    for word in NOTES {
        let lines = numbers(&source.comments, |line| {
            positions(line, word).next().is_some()
        });
        found.extend(
            lines
                .into_iter()
                .map(|line| (line, format!("a note `{word}` is left over"))),
        );
    }
    found
}

mod each_rule_finds_what_it_looks_for {
    use super::*;

    #[track_caller]
    fn check(rule: fn(&Source) -> Vec<Finding>, path: &str, text: &str, lines: &[usize]) {
        let found = rule(&Source::new(path, text));
        let at: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(at, lines, "{found:?}");
    }

    #[test]
    fn an_import_upward_or_sideways() {
        let rule = imports_go_down;
        let upward = "use crate::error::Error;\nuse crate::net::Socket;\n";
        check(rule, "src/reactor/mod.rs", upward, &[2]);
        check(rule, "src/net/pipe.rs", upward, &[]);
        check(rule, "src/lib.rs", upward, &[]);
        check(rule, "tests/x.rs", upward, &[]);
        check(rule, "src/conn/mod.rs", "use crate::timer::Wheel;", &[1]);
        let group = "use crate::{\n    error::{Code, Error},\n    arena::Key,\n};";
        check(rule, "src/conn/state.rs", group, &[1]);
        check(rule, "src/arena.rs", "fn f(x: crate::Socket) {}", &[1]);
        check(rule, "src/net/x.rs", "fn f(x: crate::EventLoop) {}", &[]);
        check(rule, "src/arena.rs", "/// [x](crate::net)\nstruct S;", &[]);
        check(rule, "src/fresh.rs", "struct S;", &[1]);
        let climbing = "use super::super::super::net;";
        check(rule, "src/conn/state.rs", climbing, &[1]);
        check(rule, "src/net/socket/mod.rs", climbing, &[1]);
        check(rule, "src/net/socket/events.rs", climbing, &[]);
    }

    #[test]
    fn a_word_out_of_its_layer() {
        let rule = words_stay_in_their_layer;
        check(
            rule,
            "src/net/x.rs",
            "use libc::c_int;\nuse mio::Poll;",
            &[1, 2],
        );
        check(
            rule,
            "src/reactor/x.rs",
            "use libc::c_int;\nuse mio::Poll;",
            &[1],
        );
        check(
            rule,
            "src/sys/x.rs",
            "use libc::c_int;\nuse mio::Poll;",
            &[],
        );
        check(
            rule,
            "src/arena.rs",
            "fn f() {\n    unsafe { g() }\n}",
            &[2],
        );
        let closure = "struct S(Box<dyn FnMut(u8)>);";
        check(rule, "src/reactor/mod.rs", closure, &[1]);
        check(rule, "src/net/face.rs", closure, &[]);
        check(rule, "src/conn/mod.rs", "fn f(g: &dyn Fn()) {}", &[]);
        check(rule, "src/net/x.rs", "#![deny(unsafe_code)] // unsafe", &[]);
    }

    #[test]
    fn a_clock_or_a_socket_in_a_pure_part() {
        let rule = pure_parts_are_pure;
        let text = "fn f() {\n    let now = Instant::now();\n    TcpStream::connect(x);\n}";
        check(rule, "src/conn/idle.rs", text, &[2, 3]);
        check(rule, "src/timer/wheel.rs", text, &[2, 3]);
        check(rule, "src/reactor/clock.rs", text, &[]);
        check(rule, "src/connector.rs", "use std::net::SocketAddr;", &[]);
    }

    #[test]
    fn an_unsafe_that_is_not_explained() {
        let rule = unsafe_says_why;
        let path = "src/sys/x.rs";
        check(rule, path, "fn f() {\n    unsafe { g() }\n}", &[2]);
        let explained = "fn f() {\n    // SAFETY: g asks for nothing.\n    unsafe { g() }\n}";
        check(rule, path, explained, &[]);
        let split = "// SAFETY: a reason,\n// and more.\nlet x =\n    retry(|| unsafe { g() });";
        check(rule, path, split, &[]);
        let anothers = "// SAFETY: a reason.\nunsafe { g() };\nunsafe { h() };";
        check(rule, path, anothers, &[3]);
        let apart = "// SAFETY: a reason.\n\nunsafe { g() };";
        check(rule, path, apart, &[3]);
        check(rule, path, "let x = \"unsafe\"; // unsafe", &[]);
    }

    #[test]
    fn a_file_without_docs_or_too_long() {
        check(modules_have_docs, "src/x.rs", "use a::B;", &[1]);
        check(modules_have_docs, "src/x.rs", "// no doc\n", &[1]);
        check(modules_have_docs, "src/x.rs", "", &[1]);
        check(modules_have_docs, "src/x.rs", "//! What it is for.\n", &[]);
        check(files_are_short, "src/x.rs", &"\n".repeat(500), &[]);
        check(files_are_short, "src/x.rs", &"\n".repeat(501), &[501]);
    }

    #[test]
    fn a_function_that_is_too_long() {
        let rule = functions_are_short;
        let body = |lines| format!("struct S;\nfn f(x: [u8; 2]) {{{}}}\n", "\n".repeat(lines));
        check(rule, "src/x.rs", &body(69), &[]);
        check(rule, "src/x.rs", &body(70), &[2]);
        let inner = format!(
            "impl S {{\n    fn f() {{\n {{}}\n{}}}\n}}",
            "x;\n".repeat(70)
        );
        check(rule, "src/x.rs", &inner, &[2]);
        let declared = format!("trait T {{\n fn f(&self);\n{}}}", "\n".repeat(80));
        check(rule, "src/x.rs", &declared, &[]);
        let pointer = format!("type F = fn(u8);\nmod m {{{}}}", "\n".repeat(80));
        check(rule, "src/x.rs", &pointer, &[]);
        let quoted =
            "fn f() {\n    g(\"{\", '{', r#\"\"{\"#); // {\n}\n".to_owned() + &"\n".repeat(80);
        check(rule, "src/x.rs", &quoted, &[]);
    }

    #[test]
    fn what_was_left_over() {
        let rule = nothing_is_left_over;
        check(rule, "src/x.rs", "fn f() {\n    todo!()\n}", &[2]);
        check(rule, "src/x.rs", "fn f() {\n    unimplemented!()\n}", &[2]);
        check(rule, "tests/x.rs", "#[test]\n#[ignore]\nfn f() {}", &[2]);
        check(rule, "tests/x.rs", "#[ignore = \"long\"]\nfn f() {}", &[]);
        check(rule, "src/x.rs", "// TODO: more\n/* a\nFIXME */", &[1, 3]);
        check(rule, "src/x.rs", "let x = \"TODO, todo!()\";", &[]);
    }
}
