//! How the database carries out every statement that there is: a file that is compared with what
//! SQLite says of the statements in the sources, on the migrated schema. A change of it is looked
//! at, and accepted with `SKERRY_ACCEPT=1`. What reads all rows of a table says why it may.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod query_plans {
    pub(crate) mod plans;
    pub(crate) mod sources;
    pub(crate) mod tokens;
    pub(crate) mod whole_reads;
}

use std::{collections::BTreeMap, env, fs, path::Path};

use query_plans::{
    plans::{self, Plan},
    sources::{Statement, statements, statements_of},
    whole_reads::WHOLE_READS,
};
use skerry::ports::{Sql, Stmt};
use skerry_local::{sqlite::Sqlite, store};
use tempfile::TempDir;

/// Where statements stand, and below which folder their modules are named.
const SOURCES: [(&str, &str); 3] = [
    ("../shared/server/src/store.rs", "../shared/server/src"),
    ("../shared/server/src/store", "../shared/server/src/store"),
    ("../local/src/store.rs", ".."),
];

/// What the test compares with.
const GOLDEN: &str = "tests/query_plans/plans.txt";

fn path(below: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

fn all_statements() -> Vec<Statement> {
    SOURCES.iter().flat_map(|(at, below)| statements_of(&path(at), &path(below))).collect()
}

/// A database with all tables, and their names.
async fn database(directory: &TempDir) -> (Sqlite, Vec<String>) {
    let sqlite = Sqlite::open(&directory.path().join("data")).await.unwrap();
    store::migrate(&sqlite).await.unwrap();
    let list = Stmt::new("SELECT name FROM sqlite_schema WHERE type = 'table'");
    let rows = sqlite.rows(list).await.unwrap();
    let tables = rows.into_iter().map(|mut it| it.take(0).unwrap());
    let tables = tables.chain(["sqlite_schema", "sqlite_master"].map(str::to_owned)).collect();
    (sqlite, tables)
}

async fn all_plans() -> Vec<(Statement, Plan)> {
    let directory = TempDir::new().unwrap();
    let (sqlite, tables) = database(&directory).await;
    let mut found = Vec::new();
    for statement in all_statements() {
        let plan = plans::explain(&sqlite, &statement.sql, &tables).await;
        found.push((statement, plan));
    }
    found
}

/// What the file has of each statement, by its name.
fn entries(text: &str) -> BTreeMap<&str, &str> {
    let entries = text.split("\n\n").map(str::trim_end).filter(|it| !it.is_empty());
    entries.map(|it| it.split_once('\n').unwrap_or((it, ""))).collect()
}

#[tokio::test]
async fn every_statement_is_carried_out_as_the_file_says() {
    let entry = |(statement, plan): &(Statement, Plan)| {
        let first = format!("{}\n  {}", statement.name, statement.sql);
        let lines: Vec<_> = [first].into_iter().chain(plan.lines.iter().cloned()).collect();
        lines.join("\n") + "\n"
    };
    let now: Vec<_> = all_plans().await.iter().map(entry).collect();
    let now = now.join("\n");
    if env::var("SKERRY_ACCEPT").is_ok_and(|it| it == "1") {
        fs::write(path(GOLDEN), &now).unwrap();
    }
    let golden = fs::read_to_string(path(GOLDEN)).unwrap_or_default();
    let (before, now) = (entries(&golden), entries(&now));
    let mut found = Vec::new();
    for (name, entry) in &now {
        match before.get(name) {
            Some(it) if it == entry => {}
            Some(it) => found.push(format!("{name}\nbefore:\n{it}\nnow:\n{entry}\n")),
            None => found.push(format!("{name}\nis new:\n{entry}\n")),
        }
    }
    let gone = before.keys().filter(|it| !now.contains_key(*it));
    found.extend(gone.map(|name| format!("{name}\nis gone\n")));
    let found = found.join("\n");
    assert!(found.is_empty(), "\n{found}\nSKERRY_ACCEPT=1 accepts this into {GOLDEN}");
}

#[tokio::test]
async fn what_reads_all_of_a_table_says_why_it_may() {
    let reading: Vec<_> = all_plans().await.into_iter().filter(|it| it.1.reads_whole).collect();
    // Without the number.
    let name = |it: &Statement| it.name.split(' ').next().unwrap_or_default().to_owned();
    let allowed: BTreeMap<_, _> = WHOLE_READS.iter().copied().collect();
    assert_eq!(allowed.len(), WHOLE_READS.len(), "each is named once");
    let unexplained = reading.iter().filter(|it| !allowed.contains_key(name(&it.0).as_str()));
    let unexplained: Vec<_> = unexplained
        .map(|(it, plan)| format!("{}\n  {}\n{}\n", it.name, it.sql, plan.lines.join("\n")))
        .collect();
    assert!(unexplained.is_empty(), "these read all:\n\n{}", unexplained.join("\n"));
    let needless = allowed.keys().filter(|it| !reading.iter().any(|read| name(&read.0) == **it));
    let needless: Vec<_> = needless.collect();
    assert!(needless.is_empty(), "these do not read all: {needless:?}");
}

#[test]
fn statements_are_found_however_they_are_written() {
    let events = r#"
        //! SELECT in words.
        macro_rules! columns { () => { "a, b" }; }
        macro_rules! page {
            ($order:literal) => { concat!("SELECT ", columns!(), " FROM e ORDER BY a ", $order) };
        }
        /// "SELECT doc"
        fn plain<'a>(at: &'a str, sign: char) { at == '"' || at == '\''; Stmt::new("DELETE FROM e \
            WHERE a = ?") }
        fn two(it: bool) { let text = if it { page!("DESC") } else { page!("ASC") }; }
        const ONE: &str = r"UPDATE e SET a = 1";
        fn raw() { ["INSERT INTO e VALUES (?)"].map(|sql| Stmt::new(sql)); "no statement" }
        #[cfg(test)]
        mod tests { fn test() { "SELECT test" } }
    "#;
    let state = r#"fn other() { Stmt::new(concat!("WITH x AS (1) SELECT ", events::columns!())) }"#;
    let sources = [("room::events", events), ("room::state", state)];
    let sources = sources.map(|(module, text)| (module.to_owned(), text.to_owned()));
    let found = statements(&sources);
    let found: Vec<_> = found.iter().map(|it| (it.name.as_str(), it.sql.as_str())).collect();
    let expected = [
        ("room::events::plain", "DELETE FROM e WHERE a = ?"),
        ("room::events::two 1", "SELECT a, b FROM e ORDER BY a DESC"),
        ("room::events::two 2", "SELECT a, b FROM e ORDER BY a ASC"),
        ("room::events::ONE", "UPDATE e SET a = 1"),
        ("room::events::raw", "INSERT INTO e VALUES (?)"),
        ("room::state::other", "WITH x AS (1) SELECT a, b"),
    ];
    assert_eq!(found, expected);
}

#[test]
#[should_panic(expected = "neither a statement nor none")]
fn a_part_of_a_statement_that_nobody_puts_together_is_found() {
    let source = r#"fn f(g: &str) { h(g, "a FROM b WHERE c = ?") }"#.to_owned();
    statements(&[("m".to_owned(), source)]);
}

#[tokio::test]
async fn what_reads_all_of_a_table_is_found() {
    let directory = TempDir::new().unwrap();
    let (sqlite, tables) = database(&directory).await;
    let cases = [
        ("SELECT json FROM room_events WHERE scope = ? AND num = ?", false),
        ("SELECT json FROM room_events WHERE sender = ?", true),
        ("SELECT json FROM room_events WHERE scope = ? AND sender = ?", true),
        ("SELECT e.json FROM room_events e WHERE e.scope = ? AND e.sender = ?", true),
        ("SELECT e.json FROM json_each(?) j CROSS JOIN room_events AS e ON e.scope = ?", true),
        ("SELECT num FROM room_events WHERE scope = ? AND num > ?", true),
        ("SELECT max(num) FROM room_events WHERE scope = ?", true),
        ("SELECT event FROM room_state_deltas WHERE scope = ? AND chain = ? AND type = ?", true),
        (
            "SELECT event FROM room_state_deltas \
             WHERE scope = ? AND chain = ? AND type = ? AND state_key = ?",
            false,
        ),
        ("SELECT user_id FROM room_members WHERE scope = ? AND membership = ?", true),
        ("UPDATE alarms SET at_ms = 1", true),
        ("UPDATE alarms SET at_ms = 1 WHERE scope = ?", false),
        ("SELECT a.kind FROM accounts b CROSS JOIN objects a ON a.name = b.user_id", true),
        ("INSERT INTO alarms SELECT scope, 1 FROM objects WHERE kind = ?", true),
        ("SELECT value FROM json_each(?)", false),
    ];
    for (sql, expected) in cases {
        let plan = plans::explain(&sqlite, sql, &tables).await;
        assert_eq!(plan.reads_whole, expected, "{sql}: {:#?}", plan.lines);
    }
}
