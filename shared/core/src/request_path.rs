//! Whether the path of a request is what was asked for.
//!
//! URLs are parsed on their way: by clients, by proxies, by the platform at the edge. A parser
//! takes `/state/org.example.t/x/..` for `/state/org.example.t/` and a backslash for a slash
//! ([URL Standard]). Who takes such a path literally, or resolves it once more, acts on something
//! that others on the way have not seen. So no endpoint answers it.
//!
//! [URL Standard]: https://url.spec.whatwg.org/#path-state

/// Whether every URL parser leaves this path as it is: it has no segment that is `.` or `..`,
/// percent-encoded or not, and no backslash.
pub fn is_literal(path: &str) -> bool {
    // By bytes, because every request comes through here.
    let mut segments = path.as_bytes().split(|it| *it == b'/');
    !path.as_bytes().contains(&b'\\') && !segments.any(is_dot_segment)
}

fn is_dot_segment(segment: &[u8]) -> bool {
    const DOTS: [&[u8]; 3] = [b".", b"%2e", b"%2E"];
    let rest = DOTS.iter().find_map(|dot| segment.strip_prefix(*dot));
    rest.is_some_and(|it| it.is_empty() || DOTS.contains(&it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parser_would_resolve_is_not_literal() {
        for segment in [".", "..", "%2e", "%2E", ".%2e", "%2e.", "%2E%2e"] {
            for path in [
                format!("/a/{segment}"),
                format!("/a/{segment}/b"),
                format!("/{segment}/b"),
                format!("/a/{segment}/"),
            ] {
                assert!(!is_literal(&path), "{path}");
            }
        }
        assert!(!is_literal("/a\\b"));
    }

    #[test]
    fn everything_else_is() {
        for path in [
            "/",
            "//",
            "/a//b/",
            "/a/.b",
            "/a/b.",
            "/a/...",
            "/a/%2e%2e%2e",
            "/a/..%2f",
            "/a/%5c",
            "/a/%252e",
            "/a/org.example..x",
        ] {
            assert!(is_literal(path), "{path}");
        }
    }

    /// The library that stands for all parsers agrees.
    #[test]
    fn a_url_parser_leaves_a_literal_path_alone() {
        let segments =
            ["", "a", ".", "..", "%2e", "%2E.", "...", "%2e%2e%2e", "..%2f", "a\\b", "%5c"];
        for first in segments {
            for second in segments {
                let path = format!("/x/{first}/{second}");
                let url = url::Url::parse(&format!("https://example.org{path}")).unwrap();
                assert_eq!(url.path() == path, is_literal(&path), "{path} {url}");
            }
        }
    }
}
