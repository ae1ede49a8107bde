//! How SQLite carries out a statement, and whether it reads all rows of something for it.
//!
//! All tables of objects lead with `scope`, so what would be a scan of a table in an object's own
//! database is a search by `scope=?` here: it counts as what it is. So does a search by other
//! columns that do not tell rows apart ([`COARSE`]).

use std::collections::BTreeMap;

use skerry::ports::{Sql, Stmt, Value};

/// Columns by which many rows may be found, however many there are: of all tables, and of one.
const COARSE: [(&str, &str); 7] = [
    ("", "scope"),
    ("objects", "kind"),
    ("room_state_deltas", "chain"),
    ("room_state_deltas", "type"),
    ("room_members", "membership"),
    ("user_outbox", "kind"),
    ("registration_tokens", "makes_admin"),
];

/// A step of a plan.
#[derive(Debug)]
struct Step {
    id: i64,
    parent: i64,
    detail: String,
}

/// How a statement is carried out.
#[derive(Debug)]
pub(crate) struct Plan {
    /// A line for each step, indented by what it is a part of. Marked is what reads all rows of a
    /// table, or from somewhere on all.
    pub(crate) lines: Vec<String>,
    /// Whether anything does.
    pub(crate) reads_whole: bool,
}

/// Asks SQLite for the plan of a statement. `tables` are those of the schema.
pub(crate) async fn explain(sql: &dyn Sql, text: &str, tables: &[String]) -> Plan {
    let values = vec![Value::Null; text.matches('?').count()];
    let explained = format!("EXPLAIN QUERY PLAN {text}").leak();
    let rows = sql.rows(Stmt { sql: explained, values }).await;
    let rows = rows.unwrap_or_else(|error| panic!("{error}: {text}"));
    let steps: Vec<_> = rows
        .into_iter()
        .map(|mut row| Step {
            id: row.take(0).unwrap(),
            parent: row.take(1).unwrap(),
            detail: row.take(3).unwrap(),
        })
        .collect();
    let names = names(text, tables);
    let is_whole = |step: &Step| reads_whole(&step.detail, &names);
    Plan { reads_whole: steps.iter().any(is_whole), lines: lines(&steps, is_whole) }
}

fn lines(steps: &[Step], is_whole: impl Fn(&Step) -> bool) -> Vec<String> {
    let mut depths = BTreeMap::from([(0, 0)]);
    let line = |step: &Step| {
        let depth = depths.get(&step.parent).copied().unwrap_or_default();
        depths.insert(step.id, depth + 1);
        let mark = if is_whole(step) { '*' } else { ' ' };
        format!("{mark} {}{}", "  ".repeat(depth), step.detail)
    };
    steps.iter().map(line).collect()
}

/// The tables of a statement, by the names that it gives them.
fn names<'a>(text: &str, tables: &'a [String]) -> BTreeMap<String, &'a str> {
    let spaced = text.replace(['(', ')', ','], " , ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut names = BTreeMap::new();
    for (at, word) in words.iter().enumerate() {
        let Some(table) = tables.iter().find(|it| it == word) else { continue };
        names.insert(table.clone(), table.as_str());
        let next = words[at + 1..].iter().find(|it| **it != "AS");
        let is_name = |it: &&&str| it.starts_with(|it: char| it.is_ascii_lowercase());
        names.extend(next.filter(is_name).map(|it| ((*it).to_owned(), table.as_str())));
    }
    names
}

/// Whether a step reads all rows of a stored table, as far as its conditions tell.
fn reads_whole(detail: &str, names: &BTreeMap<String, &str>) -> bool {
    let (verb, rest) = detail.split_once(' ').unwrap_or_default();
    let name = rest.split(' ').next().unwrap_or_default();
    let Some(table) = names.get(name) else { return false };
    match verb {
        "SCAN" => true,
        // An index that is made for this one reading.
        "SEARCH" if rest.contains(" AUTOMATIC ") => true,
        "SEARCH" => {
            let conditions = rest.rsplit_once('(').map_or("", |it| it.1).trim_end_matches(')');
            let narrows = |it: &str| match it.split_once('=') {
                Some((column, _)) => !COARSE
                    .iter()
                    .any(|(of, coarse)| (of.is_empty() || of == table) && *coarse == column),
                None => false,
            };
            !conditions.split(" AND ").any(narrows)
        }
        _ => false,
    }
}
