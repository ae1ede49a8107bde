//! The schema: migrations, embedded, each a script that runs once in its store.
//!
//! At the edge every object has a database of its own, and `wrangler` (not this module) brings
//! the global store up to date. The native database holds the tables of all kinds. A script is
//! never changed after a release: what it did is recorded by its name.

use crate::{
    Error, Result,
    ports::{Row, Sql, Stmt},
};

/// One script.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its name: the file name without the ending. Scripts run in the order of their names.
    pub name: &'static str,
    /// Its statements.
    pub sql: &'static str,
}

macro_rules! script {
    ($kind:literal, $name:literal) => {
        Migration {
            name: $name,
            sql: include_str!(concat!("../../../../migrations/", $kind, "/", $name, ".sql")),
        }
    };
}

/// The global store.
pub const GLOBAL: &[Migration] = &[script!("global", "0001_global")];

/// The private store of a `Room`.
pub const ROOM: &[Migration] = &[
    script!("room", "0001_room"),
    script!("room", "0002_forks"),
    script!("room", "0003_pending_server"),
];

/// The private store of a `User`.
pub const USER: &[Migration] = &[script!("user", "0001_user")];

/// Makes the table that remembers which scripts ran, if there is none.
pub fn create_table() -> Stmt {
    Stmt::new(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
             kind TEXT NOT NULL,
             name TEXT NOT NULL,
             PRIMARY KEY (kind, name)
         ) STRICT, WITHOUT ROWID",
    )
}

/// Gives a row if any script ever ran in this store.
pub fn find_table() -> Stmt {
    Stmt::new("SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'")
}

/// Gives the names of the scripts of one kind that ran.
pub fn list(kind: &'static str) -> Stmt {
    Stmt::new("SELECT name FROM schema_migrations WHERE kind = ?").bind(kind)
}

/// What is left to run, one batch a script, when these ran already.
///
/// # Errors
///
/// When the store has seen a script that this program does not know: it belongs to a newer
/// version, which an older one could only damage.
pub fn pending(
    kind: &'static str,
    migrations: &[Migration],
    applied: Vec<Row>,
) -> Result<Vec<Vec<Stmt>>> {
    let names = applied.into_iter().map(|mut row| row.take::<String>(0));
    let applied = names.collect::<Result<Vec<_>>>()?;
    let is_known = |name: &&String| migrations.iter().any(|it| it.name == **name);
    if let Some(unknown) = applied.iter().find(|name| !is_known(name)) {
        return Err(Error::internal(format!(
            "the store belongs to a newer version: it has the {kind} migration {unknown}"
        )));
    }
    let left = migrations.iter().filter(|it| !applied.iter().any(|name| name == it.name));
    Ok(left.map(|it| script(kind, it)).collect())
}

/// A script and its record.
fn script(kind: &'static str, migration: &Migration) -> Vec<Stmt> {
    let record = Stmt::new("INSERT INTO schema_migrations (kind, name) VALUES (?, ?)")
        .bind(kind)
        .bind(migration.name);
    statements(migration.sql).into_iter().map(Stmt::new).chain([record]).collect()
}

/// Brings the tables of one kind up to date. Each script is one atomic step with its record.
pub async fn apply(sql: &dyn Sql, kind: &'static str, migrations: &[Migration]) -> Result<()> {
    sql.batch(vec![create_table()]).await?;
    let applied = sql.rows(list(kind)).await?;
    for script in pending(kind, migrations, applied)? {
        sql.batch(script).await?;
    }
    Ok(())
}

/// Splits a script at the semicolons that end a statement: not those in a string, a quoted name,
/// a comment or the body of a trigger.
pub fn statements(script: &'static str) -> Vec<&'static str> {
    let mut statements = Vec::new();
    let mut rest = script;
    while !rest.is_empty() {
        let (statement, after) = split_first(rest);
        if let Some(statement) = statement {
            statements.push(statement);
        }
        rest = after;
    }
    statements
}

/// The first statement, none when only blanks and comments are left, and what follows it.
fn split_first(script: &'static str) -> (Option<&'static str>, &'static str) {
    let mut words: Vec<&str> = Vec::new();
    let mut position = 0;
    while let Some((kind, length)) = script.get(position..).and_then(token) {
        let end = position + length;
        let text = script.get(position..end).unwrap_or_default();
        position = end;
        match kind {
            Token::Blank => {}
            Token::End if words.is_empty() => {}
            Token::End if !is_trigger(&words) || ends_trigger(&words) => break,
            Token::End | Token::Other => words.push(text),
        }
    }
    let (statement, after) = script.split_at_checked(position).unwrap_or((script, ""));
    let statement = statement.trim().trim_end_matches(';');
    ((!words.is_empty()).then_some(statement), after)
}

/// `CREATE [TEMP | TEMPORARY] TRIGGER …`
fn is_trigger(words: &[&str]) -> bool {
    words.first().is_some_and(|it| it.eq_ignore_ascii_case("create"))
        && words.iter().take(3).any(|it| it.eq_ignore_ascii_case("trigger"))
}

/// A trigger's body ends with `; END`: every other `END` closes a `CASE` inside a statement.
fn ends_trigger(words: &[&str]) -> bool {
    matches!(words, [.., ";", end] if end.eq_ignore_ascii_case("end"))
}

#[derive(Clone, Copy)]
enum Token {
    /// White space or a comment.
    Blank,
    /// A semicolon.
    End,
    /// A word, a string, a quoted name or a sign.
    Other,
}

/// The kind and the length of the first token.
fn token(text: &str) -> Option<(Token, usize)> {
    let first = text.chars().next()?;
    let until = |from: usize, end: &str| {
        let found = text.get(from..).and_then(|rest| rest.find(end));
        found.map_or(text.len(), |at| from + at + end.len())
    };
    let while_ = |accept: fn(char) -> bool| text.find(|it| !accept(it)).unwrap_or(text.len());
    Some(match first {
        ';' => (Token::End, 1),
        _ if text.starts_with("--") => (Token::Blank, until(2, "\n")),
        _ if text.starts_with("/*") => (Token::Blank, until(2, "*/")),
        _ if first.is_whitespace() => (Token::Blank, while_(char::is_whitespace)),
        // A doubled quote inside simply looks like two quoted tokens.
        '\'' => (Token::Other, until(1, "'")),
        '"' => (Token::Other, until(1, "\"")),
        '`' => (Token::Other, until(1, "`")),
        '[' => (Token::Other, until(1, "]")),
        _ if is_word(first) => (Token::Other, while_(is_word)),
        _ => (Token::Other, first.len_utf8()),
    })
}

fn is_word(it: char) -> bool {
    it.is_alphanumeric() || it == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_split_at_the_ends_of_its_statements() {
        let script = "-- first; comment\nCREATE TABLE a (b TEXT DEFAULT ';''x;');\n\n\
             /* second; */ CREATE TRIGGER t AFTER INSERT ON a BEGIN\n\
               UPDATE a SET b = CASE b WHEN 1 THEN 2 END;\n DELETE FROM a;\nEND;;\n\
             DROP TABLE [a;b] ; -- the end;";
        let starts: Vec<_> = statements(script)
            .into_iter()
            .map(|it| it.lines().last().unwrap().to_owned())
            .collect();
        assert_eq!(starts, ["CREATE TABLE a (b TEXT DEFAULT ';''x;')", "END", "DROP TABLE [a;b] "]);
    }

    #[test]
    fn every_script_of_the_directory_is_embedded() {
        for (kind, migrations) in [("global", GLOBAL), ("room", ROOM), ("user", USER)] {
            let directory = format!("{}/../../migrations/{kind}", env!("CARGO_MANIFEST_DIR"));
            let mut files: Vec<_> = std::fs::read_dir(directory)
                .unwrap()
                .map(|it| it.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let embedded: Vec<_> = migrations.iter().map(|it| format!("{}.sql", it.name)).collect();
            assert_eq!(files, embedded, "{kind}");
        }
    }
}
