//! A file of Rust, with code and comments told apart, and what the rules look for in it.

/// A file, with its code and its comments apart, line by line.
pub struct Source {
    /// From the root of the crate: `src/conn/state.rs`.
    pub path: String,
    pub lines: Vec<String>,
    /// Without comments, and with strings and characters emptied.
    pub code: Vec<String>,
    pub comments: Vec<String>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let (code, comments) = split_comments(text);
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Source {
            path: path.to_owned(),
            lines: lines(text),
            code: lines(&code),
            comments: lines(&comments),
        }
    }

    /// The part of `src` it belongs to: `conn` for `src/conn/state.rs`, and for `src/conn.rs`, too.
    pub fn layer(&self) -> Option<&str> {
        let within = self.path.strip_prefix("src/")?;
        let first = within.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    pub fn lines_with(&self, word: &str) -> Vec<usize> {
        let has = |line: &String| positions(line, word).next().is_some();
        numbers(&self.code, has)
    }
}

/// The first name of each path that starts with `crate::`, with its line.
pub fn crate_paths(code: &[String]) -> Vec<(usize, String)> {
    let text = code.join("\n");
    let mut paths = Vec::new();
    for start in positions(&text, "crate::") {
        let line = text[..start].matches('\n').count() + 1;
        let rest = &text[start + "crate::".len()..];
        if !rest.starts_with('{') {
            paths.push((line, identifier(rest)));
            continue;
        }
        let mut depth = 0;
        for (at, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && (c == '{' || c == ',') {
                let name = identifier(rest[at + 1..].trim_start());
                if !name.is_empty() {
                    paths.push((line, name));
                }
            }
        }
    }
    paths
}

/// Where the body ends that begins after `start`; `None` for a declaration.
pub fn end_of_function(text: &str, start: usize) -> Option<usize> {
    let (mut braces, mut brackets) = (0, 0);
    for (at, c) in text[start..].char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 {
                    return Some(start + at);
                }
            }
            _ => {}
        }
    }
    None
}

pub fn numbers(lines: &[String], wanted: impl Fn(&String) -> bool) -> Vec<usize> {
    let numbered = lines.iter().enumerate();
    numbered
        .filter(|(_, line)| wanted(line))
        .map(|(at, _)| at + 1)
        .collect()
}

/// Where `word` stands in `text`, not as part of a longer one.
pub fn positions<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let joined = |next: Option<char>, own: Option<char>| {
                next.is_some_and(part_of_name) && own.is_some_and(part_of_name)
            };
            !joined(text[..*at].chars().next_back(), word.chars().next())
                && !joined(
                    text[at + word.len()..].chars().next(),
                    word.chars().next_back(),
                )
        })
}

pub fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The code and the comments of `text`, each with all its lines; what is the other's is blank.
fn split_comments(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (length, kind) = token(rest);
        let taken = &rest[..length];
        match kind {
            Token::Code => {
                code.push(c);
                comments.push(if c == '\n' { '\n' } else { ' ' });
            }
            Token::Comment => {
                comments.push_str(taken);
                code.extend(taken.chars().filter(|c| *c == '\n'));
            }
            Token::Literal => {
                code.push('"');
                code.extend(taken.chars().filter(|c| *c == '\n'));
                code.push('"');
                comments.extend(taken.chars().filter(|c| *c == '\n'));
            }
        }
        rest = &rest[length..];
    }
    (code, comments)
}

enum Token {
    /// One character.
    Code,
    Comment,
    Literal,
}

/// The length of what `rest` begins with, and what it is.
fn token(rest: &str) -> (usize, Token) {
    let until = |mark: &str, from: usize| rest[from..].find(mark).map(|at| from + at);
    if rest.starts_with("//") {
        return (until("\n", 0).unwrap_or(rest.len()), Token::Comment);
    }
    if rest.starts_with("/*") {
        return (
            until("*/", 2).map_or(rest.len(), |at| at + 2),
            Token::Comment,
        );
    }
    for prefix in ["r\"", "br\"", "r#\"", "br#\"", "r##\"", "br##\""] {
        if rest.starts_with(prefix) {
            let end = format!("\"{}", "#".repeat(prefix.matches('#').count()));
            let length = until(&end, prefix.len()).map_or(rest.len(), |at| at + end.len());
            return (length, Token::Literal);
        }
    }
    if rest.starts_with('"') {
        return (quoted(rest, '"'), Token::Literal);
    }
    // A lifetime has no second quote right after its first character.
    let mut chars = rest.chars().skip(1);
    let (second, third) = (chars.next(), chars.next());
    if rest.starts_with('\'') && (second == Some('\\') || third == Some('\'')) {
        return (quoted(rest, '\''), Token::Literal);
    }
    (rest.chars().next().map_or(0, char::len_utf8), Token::Code)
}

/// The length of a literal with its quotes, escapes minded.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}
