//! Which context of a server is for the name that a client asks for.

use std::rc::Rc;

use super::context::ServerSide;

/// The contexts of one server: the one for everybody, and those for some names.
#[derive(Clone)]
pub(crate) struct Contexts {
    pub(crate) default: ServerSide,
    /// In the order they were added; the newest that fits is taken.
    named: Vec<(Pattern, ServerSide)>,
}

impl Contexts {
    pub(crate) fn new(default: ServerSide) -> Contexts {
        Contexts {
            default,
            named: Vec::new(),
        }
    }

    /// From now on `pattern` means `side`, in place of what the same text meant.
    pub(crate) fn add(&mut self, pattern: &str, side: ServerSide) {
        let pattern = Pattern::new(pattern);
        self.named.retain(|(known, _)| *known != pattern);
        self.named.push((pattern, side));
    }

    /// There is no other than the default.
    pub(crate) fn is_only_default(&self) -> bool {
        self.named.is_empty()
    }

    pub(crate) fn choose(&self, name: Option<&str>) -> &ServerSide {
        let fits = |name: &str| {
            let mut newest = self.named.iter().rev();
            newest
                .find(|(pattern, _)| pattern.fits(name))
                .map(|(_, side)| side)
        };
        name.and_then(fits).unwrap_or(&self.default)
    }
}

/// A host name whose first label may be, or hold, a `*` for any letters of that label.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Pattern(Rc<str>);

impl Pattern {
    fn new(text: &str) -> Pattern {
        Pattern(text.trim_end_matches('.').to_ascii_lowercase().into())
    }

    fn fits(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let (pattern, name) = (split(&self.0), split(&name));
        if pattern.1 != name.1 {
            return false;
        }
        match pattern.0.split_once('*') {
            Some((before, after)) => {
                name.0.len() >= before.len() + after.len()
                    && name.0.starts_with(before)
                    && name.0.ends_with(after)
                    && !name.0.is_empty()
            }
            None => pattern.0 == name.0,
        }
    }
}

/// The first label, and the others.
fn split(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or((name, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_names() {
        let fits = |pattern: &str, name: &str| Pattern::new(pattern).fits(name);
        assert!(fits("a.example.com", "A.example.com."));
        assert!(fits("*.example.com", "b.example.com"));
        assert!(fits("b*.example.com", "bc.example.com"));
        assert!(
            !fits("*.example.com", "c.b.example.com"),
            "a star is one label"
        );
        assert!(!fits("*.example.com", "example.com"));
        assert!(!fits("*.example.com", ".example.com"));
        assert!(!fits("a.example.com", "a.example.org"));
        assert!(!fits("a.*.com", "a.b.com"), "a star is in the first label");
    }
}
