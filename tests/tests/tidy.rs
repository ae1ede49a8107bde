//! Keeps the layers one-way and the budgets of style. A failure names file, line and rule.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
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
        // Plans that wait for their batch are in memory already.
        name: "what decides about events reads the store with all that is planned written",
        below: &["shared/server/src/objects/room/load", "shared/server/src/objects/room/dag"],
        // A join is written step by step, and before it nothing is planned.
        except: &[
            "shared/server/src/objects/room/dag/early.rs",
            "shared/server/src/objects/room/dag/join.rs",
            "shared/server/src/objects/room/dag/staging.rs",
        ],
        words: &["self.sql()"],
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
            "tests/edge-cost",
            "tests/simulation",
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

/// The crates in which no files may name each other in a circle.
const CRATES: &[&str] = &[
    "shared/core/src",
    "shared/server/src",
    "local/src",
    "worker/src",
    "tests/src",
    "tests/simulation/src",
];

/// The parts of a room, and the other parts that each of them may name.
const PARTS_OF_A_ROOM: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("loaded", &["limits"]),
    ("load", &["limits", "loaded"]),
    ("deliver", &["limits", "loaded"]),
    ("dag", &["limits", "loaded", "load"]),
    ("author", &["limits", "loaded", "load"]),
    ("read", &["limits", "loaded", "load", "fetch"]),
    ("sync", &["limits", "loaded", "load", "read"]),
    ("ephemeral", &["limits", "loaded", "load"]),
    ("fetch", &["limits", "loaded", "load"]),
    ("effects", &["limits", "loaded", "load"]),
];

/// Re-exports that are followed from one name to where it comes from.
const MAX_RE_EXPORTS: usize = 8;

/// A path of names: of a module from its crate's root, or as it stands in a file.
type Names = Vec<String>;

/// The modules of a crate, each with all paths that its file names.
struct Modules(BTreeMap<Names, Vec<Names>>);

impl Modules {
    /// Reads the crate in this folder.
    fn read(folder: &str) -> Self {
        let modules = rust_files(folder).into_iter().map(|file| {
            let text = fs::read_to_string(&file).expect("a readable file");
            let below = Path::new(ROOT).join(folder);
            let module = file.strip_prefix(below).expect("below the crate").with_extension("");
            let module: Names = module.iter().map(|it| it.to_string_lossy().into_owned()).collect();
            let is_root = module == ["lib"];
            (if is_root { Names::new() } else { module }, named_paths(&text))
        });
        Self(modules.collect())
    }

    /// The module that has what a path in a file of `module` leads to: re-exports are followed.
    /// None: it is of another crate.
    fn find(&self, module: &[String], path: &[String]) -> Option<Names> {
        self.follow(module, path, MAX_RE_EXPORTS)
    }

    fn follow(&self, module: &[String], path: &[String], re_exports: usize) -> Option<Names> {
        let mut at = match path.first()?.as_str() {
            "crate" => Names::new(),
            _ => module.to_vec(),
        };
        let mut rest = path.iter().skip_while(|it| matches!(it.as_str(), "crate" | "self"));
        let mut next = rest.next();
        while next.is_some_and(|it| it == "super") {
            at.pop();
            next = rest.next();
        }
        let is_relative = matches!(path.first()?.as_str(), "crate" | "self" | "super");
        let mut entered = is_relative;
        while let Some(name) = next {
            let inner: Names = at.iter().chain([name]).cloned().collect();
            if !self.0.contains_key(&inner) {
                break;
            }
            at = inner;
            entered = true;
            next = rest.next();
        }
        if !entered {
            return None;
        }
        // What a module only passes on is where it comes from.
        let passed_on = next.filter(|_| re_exports > 0).and_then(|name| {
            let uses = self.0.get(&at)?.iter();
            let mut sources = uses.filter(|it| it.len() > 1 && it.last() == Some(name));
            sources.find_map(|it| self.follow(&at, it, re_exports - 1).filter(|found| *found != at))
        });
        Some(passed_on.unwrap_or(at))
    }

    /// Which modules each module names. A module and what is inside it are one thing here.
    fn edges(&self) -> BTreeMap<&Names, BTreeSet<Names>> {
        let named = |(module, paths)| -> (&Names, BTreeSet<Names>) {
            let module: &Names = module;
            let paths: &Vec<Names> = paths;
            let found = paths.iter().filter_map(|it| self.find(module, it));
            let apart = |it: &Names| !it.starts_with(module) && !module.starts_with(it);
            (module, found.filter(apart).collect())
        };
        self.0.iter().map(named).collect()
    }
}

/// The paths that a file names: what it imports, and what it names in its code by `crate::`,
/// `self::` or `super::`. Unit tests are left out.
fn named_paths(text: &str) -> Vec<Names> {
    let own = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: String =
        own.lines().map(|it| it.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    let mut paths = Vec::new();
    for statement in code.split(';') {
        let imported = statement.rsplit_once("use ").filter(|(before, _)| {
            let before = before.rsplit('\n').next().unwrap_or_default().trim();
            before.is_empty() || before.starts_with("pub")
        });
        let (rest, tree) = imported.unwrap_or((statement, ""));
        let is_name = |it: char| it.is_alphanumeric() || it == '_' || it == ':';
        for word in rest.split(|it| !is_name(it)) {
            if ["crate::", "self::", "super::"].iter().any(|it| word.starts_with(it)) {
                paths.push(word.split("::").map(str::to_owned).collect());
            }
        }
        expand(&mut paths, &[], tree);
    }
    paths
}

/// Takes apart `a::{b, c::{d, e}}`.
fn expand(paths: &mut Vec<Names>, before: &[String], tree: &str) {
    let (mut depth, mut first) = (0_usize, 0);
    let mut branches = Vec::new();
    for (at, letter) in tree.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(&tree[first..at]);
                first = at + 1;
            }
            _ => {}
        }
    }
    branches.push(&tree[first..]);
    for branch in branches.into_iter().map(str::trim).filter(|it| !it.is_empty()) {
        let (path, inner) = branch
            .split_once('{')
            .map_or((branch, None), |(path, inner)| (path, inner.trim_end().strip_suffix('}')));
        let path = path.split(" as ").next().unwrap_or_default();
        let names = path.split("::").map(str::trim).filter(|it| !it.is_empty());
        let mut whole = before.to_vec();
        // `a::{self}` is `a`.
        whole.extend(names.filter(|it| before.is_empty() || *it != "self").map(str::to_owned));
        match inner {
            Some(inner) => expand(paths, &whole, inner),
            None => paths.push(whole),
        }
    }
}

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

#[test]
fn the_parts_of_a_room_name_only_what_they_may() {
    let modules = Modules::read("shared/server/src");
    let room = ["objects", "room"].map(str::to_owned);
    let part = |module: &[String]| -> Option<String> {
        module.strip_prefix(room.as_slice())?.first().cloned()
    };
    let mut findings = Vec::new();
    let mut arrows = 0;
    for (module, named) in modules.edges() {
        let Some(own) = part(module) else { continue };
        let Some((_, may)) = PARTS_OF_A_ROOM.iter().find(|it| it.0 == own) else {
            findings.push(format!("{}: not among the parts of a room", module.join("::")));
            continue;
        };
        for other in named.iter().filter_map(|it| part(it)).filter(|it| *it != own) {
            arrows += 1;
            if !may.contains(&other.as_str()) {
                findings.push(format!("{}: `{own}` may not name `{other}`", module.join("::")));
            }
        }
    }
    assert!(arrows > 20, "the arrows of a room were not found");
    report(&findings);
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let mut findings = BTreeSet::new();
    for folder in CRATES {
        let modules = Modules::read(folder);
        let edges = modules.edges();
        for module in edges.keys() {
            // The shortest way back.
            let mut came_from: BTreeMap<&Names, &Names> = BTreeMap::new();
            let mut queue = VecDeque::from([*module]);
            while let Some(at) = queue.pop_front() {
                for next in edges.get(at).into_iter().flatten() {
                    if came_from.contains_key(next) {
                        continue;
                    }
                    came_from.insert(next, at);
                    queue.push_back(next);
                }
            }
            let mut circle = BTreeSet::new();
            let mut at = came_from.get(module).copied();
            while let Some(it) = at.filter(|it| circle.insert(it.join("::"))) {
                at = came_from.get(it).copied();
            }
            if !circle.is_empty() {
                let circle: Vec<_> = circle.into_iter().collect();
                findings.insert(format!("{folder}: these form a circle: {}", circle.join(", ")));
            }
        }
    }
    report(&findings.into_iter().collect::<Vec<_>>());
}

#[test]
fn what_a_file_names_is_found() {
    let text = "pub(crate) use super::a::{self, B, c::{D as E, f}};\nuse std::fs;\n\
                fn g() { crate::h::i(); } // crate::not::this\n";
    let named: Vec<_> = named_paths(text).iter().map(|it| it.join("::")).collect();
    let expected =
        ["super::a", "super::a::B", "super::a::c::D", "super::a::c::f", "std::fs", "crate::h::i"];
    assert_eq!(named, expected);
    let module = |name: &str, paths: &[&str]| {
        let names = |it: &str| -> Names {
            it.split("::").filter(|it| !it.is_empty()).map(str::to_owned).collect()
        };
        (names(name), paths.iter().map(|it| names(it)).collect::<Vec<_>>())
    };
    let modules = Modules(BTreeMap::from([
        module("", &[]),
        module("a", &["self::b::B", "serde::Serialize"]),
        module("a::b", &["super::c::C"]),
        module("a::c", &["super::B", "crate::d"]),
        module("d", &[]),
    ]));
    let edges: Vec<_> = modules
        .edges()
        .into_iter()
        .flat_map(|(from, to)| to.into_iter().map(move |it| (from.join("::"), it.join("::"))))
        .collect();
    let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(edges, [edge("a::b", "a::c"), edge("a::c", "a::b"), edge("a::c", "d")]);
}
