//! Nothing foreign is awaited under an object's lock: neither another object nor the global store
//! nor another server, nor a sleep. Who holds the lock of a room keeps all its members waiting.
//!
//! The sources of the objects are read for it, as words. What *goes out* is a function that uses
//! one of the ways out of its host, or calls a function that goes out. The lock is held where a
//! guard lives, and in the whole of a function that is given what only the lock gives. What a host
//! runs later (`defer`) is not under the lock of who hands it over. *Turns* (`self.outbox`,
//! `self.directory`) are no locks of an object: they are held by who goes out, and only their like
//! wait for them.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const OBJECTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/server/src/objects");

/// The ways out of a host, and what waits for time to pass.
const WAYS_OUT: &[&str] = &["objects", "global", "http", "dns", "sleep"];

/// Methods of an object that give its lock.
const LOCKS: &[&str] = &["lock", "read", "write", "lock_to_begin", "lock_in_use"];

/// Types that only the lock gives: who is given one, or is lent one, holds it.
const UNDER_LOCK: &[&str] =
    &["Loaded", "State", "RwLockReadGuard", "RwLockWriteGuard", "MappedMutexGuard"];

/// A function of an object.
struct Function<'a> {
    name: &'a str,
    parameters: &'a [String],
    body: &'a [String],
}

/// The words and signs of a source, without comments and texts, up to its tests.
fn words(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut words = Vec::new();
    for line in source.lines() {
        let line = line.split("//").next().unwrap_or_default();
        let mut word = String::new();
        let mut is_text = false;
        for sign in line.chars() {
            if sign == '"' {
                is_text = !is_text;
            }
            if !is_text && (sign.is_alphanumeric() || sign == '_') {
                word.push(sign);
                continue;
            }
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            if !is_text && !sign.is_whitespace() {
                words.push(sign.to_string());
            }
        }
        words.extend(Some(word).filter(|it| !it.is_empty()));
    }
    words
}

/// Where what begins at `from` with an opening sign is closed.
fn closing(words: &[String], from: usize) -> usize {
    let mut depth = 0_i32;
    for (at, word) in words.iter().enumerate().skip(from) {
        match word.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    words.len()
}

/// Where one of these signs stands first, outside of what is in brackets.
fn first_of(words: &[String], from: usize, signs: &[&str]) -> usize {
    let mut at = from;
    while let Some(word) = words.get(at) {
        if signs.contains(&word.as_str()) {
            return at;
        }
        at = match word.as_str() {
            "(" | "[" | "{" => closing(words, at) + 1,
            _ => at + 1,
        };
    }
    words.len()
}

fn part(words: &[String], from: usize, to: usize) -> &[String] {
    words.get(from..to).unwrap_or_default()
}

fn is(words: &[String], at: usize, expected: &[&str]) -> bool {
    part(words, at, at + expected.len()).iter().map(String::as_str).eq(expected.iter().copied())
}

fn functions(words: &[String]) -> Vec<Function<'_>> {
    let starts = (0..words.len()).filter(|at| is(words, *at, &["fn"]));
    let functions = starts.filter_map(|at| {
        let open = first_of(words, at, &["("]);
        let body = first_of(words, closing(words, open), &["{", ";"]);
        is(words, body, &["{"]).then(|| Function {
            name: words.get(at + 1).map_or("", String::as_str),
            parameters: part(words, open, closing(words, open)),
            body: part(words, body, closing(words, body) + 1),
        })
    });
    functions.collect()
}

/// The way out of the host that is used here.
fn way_out(words: &[String], at: usize) -> Option<&str> {
    let way = words.get(at).map(String::as_str)?;
    let is_used = at >= 2 && is(words, at - 2, &["host", "."]) && is(words, at + 1, &["("]);
    (is_used && WAYS_OUT.contains(&way)).then_some(way)
}

/// The function of the object itself that is called here.
fn called(words: &[String], at: usize) -> Option<&str> {
    let is_own = |of: &str| at >= 2 && is(words, at - 2, &[of, "."]);
    let is_called = is(words, at + 1, &["("])
        && (["self", "room", "user"].into_iter().any(is_own)
            || (at >= 3 && is(words, at - 3, &["Self", ":", ":"])));
    words.get(at).map(String::as_str).filter(|_| is_called)
}

fn is_deferred(words: &[String], at: usize) -> bool {
    at >= 1 && is(words, at - 1, &[".", "defer", "("])
}

fn goes_out(body: &[String], known: &BTreeSet<&str>) -> bool {
    let mut at = 0;
    while at < body.len() {
        if is_deferred(body, at) {
            at = closing(body, at + 1);
        }
        if way_out(body, at).is_some() || called(body, at).is_some_and(|it| known.contains(it)) {
            return true;
        }
        at += 1;
    }
    false
}

/// The names of all functions that go out.
fn going_out<'a>(functions: &[Function<'a>]) -> BTreeSet<&'a str> {
    let mut known = BTreeSet::new();
    loop {
        let all = functions.iter().filter(|it| goes_out(it.body, &known)).map(|it| it.name);
        let all: BTreeSet<_> = all.collect();
        if all == known {
            return known;
        }
        known = all;
    }
}

/// Whether a value is what a lock gives.
fn gives_guard(value: &[String]) -> bool {
    let at = usize::from(is(value, 0, &["match"]));
    let at = if is(value, at, &["self", ".", "state"]) { at + 2 } else { at };
    let is_lock = is(value, at + 1, &["."])
        && (is(value, at, &["self"]) || is(value, at, &["state"]))
        && value.get(at + 2).is_some_and(|it| LOCKS.contains(&it.as_str()))
        && is(value, at + 3, &["("]);
    let rest = part(value, closing(value, at + 3) + 1, value.len());
    let end = first_of(rest, 0, &["{"]);
    is_lock && part(rest, 0, end).iter().all(|it| [".", "await", "?"].contains(&it.as_str()))
}

/// A guard that lives: its name, and in how many blocks it does.
type Guard = (String, usize);

/// Follows the guards through a function.
struct Follow<'a> {
    body: &'a [String],
    going_out: &'a BTreeSet<&'a str>,
    live: Vec<Guard>,
    /// Guards that were dropped or handed over in a block inside theirs, and in how many: after
    /// that block they may live.
    gone: Vec<(Guard, usize)>,
    /// Guards that begin to live at a word.
    coming: Vec<(usize, Guard)>,
    found: Vec<String>,
}

impl Follow<'_> {
    fn run(&mut self) {
        let mut depth = 0;
        let mut at = 0;
        while at < self.body.len() {
            if is_deferred(self.body, at) {
                at = closing(self.body, at + 1);
            }
            match self.body.get(at).map_or("", String::as_str) {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    self.live.retain(|(_, of)| *of <= depth);
                    let back = self.gone.extract_if(.., |(_, of)| *of > depth);
                    let back: Vec<_> = back.map(|(guard, _)| guard).collect();
                    self.live.extend(back.into_iter().filter(|(_, of)| *of <= depth));
                }
                "let" => self.binding(at, depth),
                "match" => self.scrutinee(at, depth),
                _ => {}
            }
            let coming = self.coming.extract_if(.., |(when, _)| *when == at);
            self.live.extend(coming.map(|(_, guard)| guard));
            self.call(at, depth);
            at += 1;
        }
    }

    /// What is bound lives from the end of the statement on; of `if let`, in the block.
    fn binding(&mut self, at: usize, depth: usize) {
        let is_condition =
            at >= 1 && (is(self.body, at - 1, &["if"]) || is(self.body, at - 1, &["&"]));
        let equals = first_of(self.body, at, &["="]);
        let (end, depth) = match is_condition {
            true => (first_of(self.body, equals, &["{", "&"]), depth + 1),
            false => (first_of(self.body, equals, &[";"]), depth),
        };
        let value = part(self.body, equals + 1, end);
        let names: Vec<_> = part(self.body, at + 1, equals)
            .iter()
            .filter(|it| it.starts_with(|it: char| it.is_lowercase() || it == '_'))
            .filter(|it| !["mut", "ref"].contains(&it.as_str()))
            .collect();
        let is_guard = names.iter().any(|it| it.trim_start_matches('_') == "guard");
        // What a `match` gives of what it looks at may be a part of it; of several parts none is.
        let is_whole = !is(value, 0, &["match"]) || names.len() == 1;
        if is_guard || (is_whole && gives_guard(value)) {
            let end = if is_condition { first_of(self.body, end, &["{"]) } else { end };
            self.coming.extend(names.into_iter().map(|it| (end, (it.clone(), depth))));
        }
    }

    /// What a `match` looks at lives as long as the `match`.
    fn scrutinee(&mut self, at: usize, depth: usize) {
        let open = first_of(self.body, at, &["{"]);
        if gives_guard(part(self.body, at + 1, open)) {
            self.coming.push((open, ("what `match` looks at".to_owned(), depth + 1)));
        }
    }

    fn call(&mut self, at: usize, depth: usize) {
        if !is(self.body, at + 1, &["("]) {
            return;
        }
        let arguments = part(self.body, at + 1, closing(self.body, at + 1) + 1);
        let is_bare = |name: &str| {
            (1..arguments.len()).any(|at| {
                is(arguments, at, &[name])
                    && (is(arguments, at - 1, &["("]) || is(arguments, at - 1, &[","]))
                    && (is(arguments, at + 1, &[")"]) || is(arguments, at + 1, &[","]))
            })
        };
        let handed = self.live.extract_if(.., |(name, _)| is_bare(name));
        let handed: Vec<_> = handed.map(|guard| (guard, depth)).collect();
        self.gone.extend(handed);
        let own = called(self.body, at).filter(|it| self.going_out.contains(it));
        if let Some(what) = way_out(self.body, at).or(own)
            && let Some((guard, _)) = self.live.first()
        {
            self.found.push(format!("`{what}` while `{guard}` lives"));
        }
    }
}

/// What goes out under a lock, in all of these functions.
fn found_in(functions: &[Function<'_>]) -> Vec<String> {
    let going_out = going_out(functions);
    let mut found = Vec::new();
    for function in functions {
        let mut live = Vec::new();
        for parameter in split_by_comma(function.parameters) {
            let colon = first_of(parameter, 0, &[":"]);
            let types = part(parameter, colon, parameter.len());
            if types.iter().any(|it| UNDER_LOCK.contains(&it.as_str())) {
                live.extend(part(parameter, 0, colon).last().map(|it| (it.clone(), 0)));
            }
        }
        let mut follow = Follow {
            body: function.body,
            going_out: &going_out,
            live,
            gone: Vec::new(),
            coming: Vec::new(),
            found: Vec::new(),
        };
        follow.run();
        found.extend(follow.found.iter().map(|it| format!("{}: {it}", function.name)));
    }
    found
}

/// The parameters in brackets, each by itself.
fn split_by_comma(parameters: &[String]) -> Vec<&[String]> {
    let (mut split, mut from) = (Vec::new(), 1);
    while from < parameters.len() {
        let to = first_of(parameters, from, &[","]);
        split.push(part(parameters, from, to));
        from = to + 1;
    }
    split
}

fn sources(below: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => sources(&path, into),
            false => into.push(path),
        }
    }
}

/// The words of all sources of a kind of object.
fn words_of_kind(kind: &str) -> Vec<String> {
    let mut paths = vec![Path::new(OBJECTS).join(format!("{kind}.rs"))];
    sources(&Path::new(OBJECTS).join(kind), &mut paths);
    paths.iter().flat_map(|it| words(&fs::read_to_string(it).expect("a file"))).collect()
}

#[test]
fn nothing_foreign_is_awaited_under_the_lock_of_an_object() {
    for kind in ["room", "user"] {
        let words = words_of_kind(kind);
        let functions = functions(&words);
        let found = found_in(&functions);
        assert!(found.is_empty(), "{kind}: {found:#?}");
        let going_out = going_out(&functions);
        assert!(going_out.contains("ask"), "{kind}: somebody goes out: {going_out:?}");
    }
}

/// The reading finds what it is to find.
#[test]
fn what_goes_out_under_a_lock_is_found() {
    let bad = [
        "async fn f(&self) { let guard = self.write().await?; self.host.objects().ask(x).await; }",
        "async fn f(&self) { let room = self.read().await?; self.g().await; }",
        "async fn f(&self) { let mut state = self.lock_in_use().await?; self.g().await; }",
        "async fn f(&self) { let _g = self.state.write().await; self.host.sleep(x).await; }",
        "async fn f(&self, room: &mut Loaded) { self.g().await; }",
        "async fn f(&self, state: &State) { Self::g(self).await; }",
        "async fn f(&self, guard: RwLockWriteGuard<'_, X>) { self.g().await; drop(guard); }",
        "async fn f(&self) { match self.read().await { Ok(room) => self.g().await, _ => {} } }",
        "async fn f(&self) { if let Ok(room) = self.read().await { self.g().await; } }",
        "async fn f(&self) { let guard = self.write().await?; if x { drop(guard); } \
         self.g().await; }",
        "async fn f(&self) { let guard = self.write().await?; \
         stream.map(|it| async { self.g().await }).await; }",
        "async fn f(&self) { let guard = self.write().await?; self.h().await; }",
        "async fn f(&self) { let room = match self.read().await { Ok(it) => it, _ => return }; \
         self.g().await; }",
    ];
    for source in bad {
        assert_eq!(found_beside(source).len(), 1, "{source}");
    }
    let good = [
        "async fn f(&self) { { let room = self.read().await?; x(&room); } self.g().await; }",
        "async fn f(&self) { let guard = self.write().await?; drop(guard); self.g().await; }",
        "async fn f(&self) { let guard = self.write().await?; self.takes(guard).await; }",
        "async fn f(&self, guard: RwLockWriteGuard<'_, X>) { drop(guard); self.g().await; }",
        "async fn f(&self) { let guard = self.write().await?; \
         self.host.defer(Box::pin(async move { room.g().await })); }",
        "async fn f(&self) { let _turn = self.directory.lock().await; self.g().await; }",
        "async fn f(&self) { let at = self.lock().await?.at; self.g(at).await; }",
        "async fn f(&self) { let guard = self.write().await?; self.commit(x).await; }",
        "async fn f(&self) { let room = match self.read().await { Ok(it) => it, _ => return }; \
         drop(room); self.g().await; }",
    ];
    for source in good {
        assert_eq!(found_beside(source), Vec::<String>::new(), "{source}");
    }
}

/// What is found in a function beside some that go out and one that does not.
fn found_beside(source: &str) -> Vec<String> {
    let others = "async fn g(&self) { self.host.global().batch(x).await; }
        async fn h(&self) { self.g().await; }
        async fn takes(&self, guard: RwLockWriteGuard<'_, X>) { drop(guard); self.h().await; }
        async fn commit(&self, x: X) { self.host.commit(x).await; }";
    found_in(&functions(&words(&format!("impl Room {{ {others}\n{source} }}"))))
}
