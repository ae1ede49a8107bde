//! The schema: migrations, embedded, each a script that runs once in its store.
//!
//! At the edge every object has a database of its own, and `wrangler` (not this module) brings
//! the global store up to date. The native database holds the tables of all kinds. A script is
//! never changed after a release: what it did is recorded by its name.
//!
//! An object's script runs when the object is first read, in one step, however large the object
//! is. Hence it takes the same time for every object: it makes tables and indexes, adds columns,
//! and moves no rows. What moves rows is an entry in the object's agenda, a page at a time.

use crate::{
    Error, Result,
    ports::{Row, Sql, Stmt},
};

/// One script.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its name: the file name without the ending. Scripts run in the order of their names.
    pub name: &'static str,
    /// The oldest program that may work with a store in which the script has run, by the newest
    /// script which that program knows. A script that only adds what an older program can leave
    /// alone names an older one than itself: then a deployment may be rolled back.
    pub usable_since: &'static str,
    /// Its statements.
    pub sql: &'static str,
}

macro_rules! script {
    ($kind:literal, $name:literal, $usable_since:literal) => {
        Migration {
            name: $name,
            usable_since: $usable_since,
            sql: include_str!(concat!("../../../../migrations/", $kind, "/", $name, ".sql")),
        }
    };
}

/// The global store.
pub const GLOBAL: &[Migration] = &[script!("global", "0001_global", "0001_global")];

/// What the private store of every object has, of whatever kind.
pub const OBJECT: &[Migration] = &[script!("object", "0001_object", "0001_object")];

/// The private store of a `Room`.
pub const ROOM: &[Migration] = &[
    script!("room", "0001_room", "0001_room"),
    script!("room", "0002_missing", "0001_room"),
    script!("room", "0003_unverified", "0001_room"),
    // An older program would give the positions of its rows to events.
    script!("room", "0004_device_changes", "0004_device_changes"),
    script!("room", "0005_unverified_by_key", "0004_device_changes"),
];

/// The private store of a `User`.
pub const USER: &[Migration] = &[
    script!("user", "0001_user", "0001_user"),
    script!("user", "0002_remote_membership", "0001_user"),
    script!("user", "0003_openid_tokens", "0001_user"),
    script!("user", "0004_presence", "0001_user"),
    script!("user", "0005_keys", "0001_user"),
    script!("user", "0006_to_device", "0001_user"),
    script!("user", "0007_key_backup", "0001_user"),
    script!("user", "0008_dehydrated_device", "0001_user"),
    script!("user", "0009_dropped_messages", "0001_user"),
];

/// The private store of a `Destination`.
pub const DESTINATION: &[Migration] = &[
    script!("destination", "0001_destination", "0001_destination"),
    script!("destination", "0002_faults", "0001_destination"),
    script!("destination", "0003_edus", "0001_destination"),
    script!("destination", "0004_devices", "0001_destination"),
    // An older program would not change the lists when it is told that they have.
    script!("destination", "0005_device_lists", "0005_device_lists"),
];

/// Under which name [`OBJECT`] is recorded.
pub const OBJECT_KIND: &str = "object";

/// Makes the table that remembers which scripts ran, if there is none.
pub fn create_table() -> Stmt {
    Stmt::new(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
             kind TEXT NOT NULL,
             name TEXT NOT NULL,
             usable_since TEXT NOT NULL,
             PRIMARY KEY (kind, name)
         ) STRICT, WITHOUT ROWID",
    )
}

/// Gives a row if any script ever ran in this store.
pub fn find_table() -> Stmt {
    Stmt::new("SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'")
}

/// Gives the scripts of one kind that ran: name, and since which program the store is usable.
pub fn list(kind: &'static str) -> Stmt {
    Stmt::new("SELECT name, usable_since FROM schema_migrations WHERE kind = ?").bind(kind)
}

/// What is left to run, one batch a script, when these ran already.
///
/// # Errors
///
/// When the store has seen a script that this program does not know and that says that an older
/// program could only damage the store.
pub fn pending(
    kind: &'static str,
    migrations: &[Migration],
    applied: Vec<Row>,
) -> Result<Vec<Vec<Stmt>>> {
    let mut names = Vec::with_capacity(applied.len());
    let newest = migrations.last().map_or("", |it| it.name);
    for mut row in applied {
        let (name, usable_since) = (row.take::<String>(0)?, row.take::<String>(1)?);
        let is_known = migrations.iter().any(|it| it.name == name);
        if !is_known && usable_since.as_str() > newest {
            return Err(Error::internal(format!(
                "the store belongs to a newer version: it has the {kind} migration {name}"
            )));
        }
        names.push(name);
    }
    let left = migrations.iter().filter(|it| !names.iter().any(|name| name == it.name));
    Ok(left.map(|it| script(kind, it)).collect())
}

/// A script and its record.
fn script(kind: &'static str, migration: &Migration) -> Vec<Stmt> {
    let record =
        Stmt::new("INSERT INTO schema_migrations (kind, name, usable_since) VALUES (?, ?, ?)")
            .bind(kind)
            .bind(migration.name)
            .bind(migration.usable_since);
    statements(migration.sql).map(Stmt::new).chain([record]).collect()
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

/// The statements of a script. Each ends with a semicolon at the end of a line, and no other line
/// ends with one: there are no triggers.
pub fn statements(script: &'static str) -> impl Iterator<Item = &'static str> {
    script.split(";\n").map(str::trim).filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Value;

    const ALL: [(&str, &[Migration]); 5] = [
        ("global", GLOBAL),
        ("object", OBJECT),
        ("room", ROOM),
        ("user", USER),
        ("destination", DESTINATION),
    ];

    #[test]
    fn a_script_is_split_at_the_ends_of_its_statements() {
        for (kind, migrations) in ALL {
            for statement in migrations.iter().flat_map(|it| statements(it.sql)) {
                let is_code = |it: &&str| !it.is_empty() && !it.trim_start().starts_with("--");
                let mut code = statement.lines().filter(is_code);
                let first = code.next().unwrap_or_default();
                let begins = ["CREATE ", "ALTER ", "DROP INDEX "];
                assert!(begins.iter().any(|it| first.starts_with(it)), "{kind}");
                assert!(code.all(|it| !it.starts_with("CREATE ")), "{kind}: {statement}");
            }
        }
    }

    #[test]
    fn every_script_of_the_directory_is_embedded() {
        for (kind, migrations) in ALL {
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

    /// A script that moves rows could take longer than an object may, and again at each start.
    #[test]
    fn no_script_moves_rows() {
        for (kind, migrations) in ALL {
            for statement in migrations.iter().flat_map(|it| statements(it.sql)) {
                for word in ["INSERT ", "UPDATE ", "DELETE ", " AS SELECT "] {
                    assert!(!statement.contains(word), "{kind}: {statement}");
                }
            }
        }
    }

    #[test]
    fn what_an_older_program_makes_of_a_newer_store() {
        let migration = |name| Migration { name, usable_since: name, sql: "" };
        let known = [migration("0001_a"), migration("0002_b")];
        let row = |name: &str, usable_since: &str| {
            Row(vec![Value::Text(name.to_owned()), Value::Text(usable_since.to_owned())])
        };
        let applied = |newer: Row| vec![row("0001_a", "0001_a"), row("0002_b", "0002_b"), newer];
        let left = pending("a", &known, applied(row("0003_c", "0002_b"))).unwrap();
        assert!(left.is_empty(), "an addition is left alone");
        pending("a", &known, applied(row("0003_c", "0003_c"))).unwrap_err();
        let left = pending("a", &known, vec![row("0001_a", "0001_a")]).unwrap();
        assert_eq!(left.len(), 1);
    }
}
