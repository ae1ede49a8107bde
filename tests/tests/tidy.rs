//! Keeps the layers one-way and the budgets of style. A failure names file, line and rule.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Lines of a source file, and of a file of tests.
const MAX_LINES: usize = 400;
const MAX_TEST_LINES: usize = 1000;
/// Characters of a line.
const MAX_COLUMNS: usize = 100;

/// A rule: below these folders these words may not stand.
struct Ban {
    name: &'static str,
    below: &'static [&'static str],
    except: &'static [&'static str],
    words: &'static [&'static str],
}

const BANS: &[Ban] = &[
    Ban {
        name: "core is pure: no async, no I/O, no clock, no randomness, no SQL",
        below: &["shared/core/src"],
        except: &[],
        words: &[
            "async fn",
            ".await",
            "std::fs",
            "std::net",
            "SystemTime",
            "Instant::",
            "getrandom",
            "SELECT ",
            "INSERT ",
        ],
    },
    Ban {
        name: "shared knows no platform",
        below: &["shared"],
        except: &[],
        words: &[
            "cfg(target",
            "tokio::spawn",
            "tokio::time",
            "tokio::net",
            "sqlx",
            "worker::",
            "wasm_bindgen",
        ],
    },
    Ban {
        name: "SQL lives in the store",
        below: &["shared/server/src"],
        except: &["shared/server/src/store", "shared/server/src/ports"],
        words: &["Stmt::new(", "\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE "],
    },
    Ban {
        name: "messages name nothing above them",
        below: &["shared/server/src/messages", "shared/server/src/messages.rs"],
        except: &[],
        words: &["crate::ports", "crate::store", "crate::peers", "crate::objects", "crate::api"],
    },
    Ban {
        name: "ports name nothing above them",
        below: &["shared/server/src/ports", "shared/server/src/ports.rs"],
        except: &[],
        words: &["crate::store", "crate::peers", "crate::objects", "crate::api"],
    },
    Ban {
        name: "the store names nothing above it",
        below: &["shared/server/src/store", "shared/server/src/store.rs"],
        except: &[],
        words: &["crate::peers", "crate::objects", "crate::api"],
    },
    Ban {
        name: "peers name nothing above them",
        below: &["shared/server/src/peers", "shared/server/src/peers.rs"],
        except: &[],
        words: &["crate::objects", "crate::api"],
    },
    Ban {
        name: "objects name nothing above them",
        below: &["shared/server/src/objects", "shared/server/src/objects.rs"],
        except: &[],
        words: &["crate::api"],
    },
    Ban {
        name: "paths of the specification come from ruma",
        below: &[
            "shared/server/src/objects",
            "shared/server/src/peers",
            "shared/server/src/store",
            "shared/core/src",
        ],
        except: &[],
        words: &["\"/_matrix"],
    },
    Ban {
        name: "nothing is left for later, nothing is silenced without a reason",
        below: &[
            "shared",
            "local",
            "worker/src",
            "tests/src",
            "tests/tests/blackbox",
            "tests/load",
        ],
        except: &[],
        words: &[
            "todo!",
            "unimplemented!",
            "TODO",
            "FIXME",
            "XXX",
            "#[allow(",
            "#![allow(",
            "#[ignore",
        ],
    },
];

fn rust_files(below: &str) -> Vec<PathBuf> {
    let path = Path::new(ROOT).join(below);
    if path.is_file() {
        return vec![path];
    }
    let mut found = Vec::new();
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | "build" | "build-test" | "node_modules") {
                found.extend(rust_files(&below_root(&path)));
            }
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
    found
}

fn below_root(path: &Path) -> String {
    path.strip_prefix(ROOT).expect("below the root").to_string_lossy().into_owned()
}

fn report(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn layers_are_one_way_and_nothing_is_left_for_later() {
    let mut findings = Vec::new();
    for ban in BANS {
        for file in ban.below.iter().flat_map(|it| rust_files(it)) {
            let name = below_root(&file);
            if ban.except.iter().any(|it| name.starts_with(it)) {
                continue;
            }
            let text = fs::read_to_string(&file).expect("a readable file");
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                if let Some(word) = ban.words.iter().find(|it| code.contains(*it)) {
                    findings.push(format!("{name}:{}: `{word}`: {}", number + 1, ban.name));
                }
            }
        }
    }
    report(&findings);
}

#[test]
fn files_and_lines_keep_their_budget() {
    let mut findings = Vec::new();
    for file in ["shared", "local", "worker", "tests"].iter().flat_map(|it| rust_files(it)) {
        let name = below_root(&file);
        let text = fs::read_to_string(&file).expect("a readable file");
        let is_test = name.contains("/tests/") || name.ends_with("tests.rs");
        // Unit tests stand at the end of their file and do not count as the file's own lines.
        let own = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let budget = if is_test { MAX_TEST_LINES } else { MAX_LINES };
        if own.lines().count() > budget {
            findings.push(format!("{name}: {} lines, at most {budget}", own.lines().count()));
        }
        for (number, line) in text.lines().enumerate() {
            // Links and the text of messages cannot always be broken.
            let breakable = !line.contains("://") && !line.contains('"');
            if breakable && line.chars().count() > MAX_COLUMNS {
                findings.push(format!("{name}:{}: more than {MAX_COLUMNS} columns", number + 1));
            }
        }
    }
    report(&findings);
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut findings = Vec::new();
    for file in ["shared", "local", "worker", "tests"].iter().flat_map(|it| rust_files(it)) {
        let text = fs::read_to_string(&file).expect("a readable file");
        if !text.starts_with("//!") {
            findings.push(format!("{}: no `//!` header", below_root(&file)));
        }
        if file.file_name().is_some_and(|it| it == "mod.rs") {
            findings.push(format!("{}: `mod foo; foo/bar.rs`, no mod.rs", below_root(&file)));
        }
    }
    report(&findings);
}
