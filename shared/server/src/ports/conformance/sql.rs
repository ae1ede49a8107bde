//! What every SQL adapter must keep. Each function begins with an empty store.

use super::{ensure, equal};
use crate::{
    Error, Result,
    ports::{
        Row, Sql, Stmt, Value,
        sql::{MAX_BOUND_VALUES, MAX_SAFE_INTEGER},
    },
};

/// What an adapter need not do.
#[derive(Clone, Copy, Debug)]
pub struct Without {
    /// Blobs: the global store has none, because D1 gives them back as arrays of numbers.
    pub blobs: bool,
}

/// Runs the whole suite; `fresh` gives a store in which the tables of the suite do not exist.
///
/// # Errors
///
/// The first promise that is broken.
pub async fn run(fresh: impl AsyncFn() -> Result<Box<dyn Sql>>, without: Without) -> Result<()> {
    let prepared = async || -> Result<Box<dyn Sql>> {
        let sql = fresh().await?;
        sql.batch(SCHEMA.iter().copied().map(Stmt::new).collect()).await?;
        Ok(sql)
    };
    a_batch_is_written_as_a_whole(&*prepared().await?).await?;
    a_failed_batch_leaves_nothing_behind(&*prepared().await?).await?;
    a_taken_key_is_a_conflict(&*prepared().await?).await?;
    other_failures_are_no_conflict(&*prepared().await?).await?;
    integers_keep_their_value_or_are_refused(&*prepared().await?).await?;
    a_bound_integer_is_an_integer(&*prepared().await?).await?;
    text_keeps_every_character(&*prepared().await?).await?;
    null_is_not_empty(&*prepared().await?).await?;
    if !without.blobs {
        blobs_keep_every_byte(&*prepared().await?).await?;
    }
    rows_and_columns_keep_their_order(&*prepared().await?).await?;
    returned_rows_belong_to_their_statement(&*prepared().await?).await?;
    a_hundred_values_pass_and_one_more_is_refused(&*prepared().await?).await?;
    a_wrong_number_of_values_is_refused(&*prepared().await?).await?;
    a_batch_may_be_long(&*prepared().await?).await
}

const SCHEMA: [&str; 3] = [
    "DROP TABLE IF EXISTS conformance",
    "CREATE TABLE conformance (id INTEGER PRIMARY KEY, number INTEGER, text TEXT, bytes BLOB) \
     STRICT",
    "CREATE UNIQUE INDEX conformance_by_text ON conformance (text)",
];

const INSERT: &str = "INSERT INTO conformance (id, number, text, bytes) VALUES (?, ?, ?, ?)";

fn insert(id: i64, number: impl Into<Option<i64>>, text: impl Into<Value>) -> Stmt {
    Stmt::new(INSERT).bind(id).bind(number.into()).bind(text).bind(Value::Null)
}

async fn count(sql: &dyn Sql) -> Result<i64> {
    let row = sql.row(Stmt::new("SELECT count(*) FROM conformance")).await?;
    row.ok_or_else(|| Error::internal("count(*) gives a row"))?.take(0)
}

/// One column of all rows, in the order of the key.
async fn column(sql: &dyn Sql, stmt: &'static str) -> Result<Vec<Value>> {
    let rows = sql.rows(Stmt::new(stmt)).await?;
    Ok(rows.into_iter().flat_map(|row| row.0).collect())
}

async fn a_batch_is_written_as_a_whole(sql: &dyn Sql) -> Result<()> {
    let results = sql.batch(vec![insert(1, 1, "a"), insert(2, 2, "b")]).await?;
    equal(&results, &vec![vec![], vec![]], "a statement that returns nothing gives no rows")?;
    equal(&count(sql).await?, &2, "an acknowledged batch is read by the next call")?;
    let nothing = sql.batch(Vec::new()).await?;
    equal(&nothing, &Vec::new(), "an empty batch does nothing")
}

async fn a_failed_batch_leaves_nothing_behind(sql: &dyn Sql) -> Result<()> {
    sql.batch(vec![insert(1, 1, "a")]).await?;
    let update =
        Stmt::new("UPDATE conformance SET number = ? WHERE id = ?").bind(7_i64).bind(1_i64);
    let failed = sql.batch(vec![insert(2, 2, "b"), update, insert(1, 3, "c")]).await;
    ensure(failed.is_err(), "a batch with a failing statement fails")?;
    equal(&count(sql).await?, &1, "a failed batch inserts nothing")?;
    let numbers = column(sql, "SELECT number FROM conformance ORDER BY id").await?;
    equal(&numbers, &vec![Value::Integer(1)], "a failed batch updates nothing")?;
    sql.batch(vec![insert(2, 2, "b")]).await?;
    equal(&count(sql).await?, &2, "a failed batch does not spoil the next one")
}

async fn a_taken_key_is_a_conflict(sql: &dyn Sql) -> Result<()> {
    sql.batch(vec![insert(1, 1, "a")]).await?;
    let primary = sql.batch(vec![insert(1, 1, "b")]).await;
    ensure(matches!(primary, Err(Error::Conflict)), "a taken primary key is a conflict")?;
    let unique = sql.batch(vec![insert(2, 1, "a")]).await;
    ensure(matches!(unique, Err(Error::Conflict)), "a taken unique key is a conflict")?;
    sql.batch(vec![Stmt::new(
        "CREATE TABLE IF NOT EXISTS conformance_pairs \
         (a INTEGER NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b)) STRICT, WITHOUT ROWID",
    )])
    .await?;
    let pair =
        || Stmt::new("INSERT INTO conformance_pairs (a, b) VALUES (?, ?)").bind(1_i64).bind("x");
    let doubled = sql.batch(vec![pair(), pair()]).await;
    sql.batch(vec![Stmt::new("DROP TABLE conformance_pairs")]).await?;
    ensure(
        matches!(doubled, Err(Error::Conflict)),
        "a taken composed key is a conflict, also within one batch",
    )
}

async fn other_failures_are_no_conflict(sql: &dyn Sql) -> Result<()> {
    let typed = Stmt::new(INSERT).bind(1_i64).bind("no number").bind("a").bind(Value::Null);
    let typed = sql.batch(vec![typed]).await;
    ensure(matches!(typed, Err(Error::Internal(_))), "a wrong type is our own fault")?;
    let missing = sql.batch(vec![Stmt::new("DELETE FROM no_such_table")]).await;
    ensure(matches!(missing, Err(Error::Internal(_))), "a missing table is our own fault")?;
    let read = sql.rows(Stmt::new("SELECT no_such_column FROM conformance")).await;
    ensure(matches!(read, Err(Error::Internal(_))), "a missing column is our own fault")
}

async fn integers_keep_their_value_or_are_refused(sql: &dyn Sql) -> Result<()> {
    let kept = [0, 1, -1, i64::from(i32::MAX) + 1, MAX_SAFE_INTEGER, -MAX_SAFE_INTEGER];
    for (id, number) in (1..).zip(kept) {
        sql.batch(vec![insert(id, number, Value::Null)]).await?;
    }
    let numbers = column(sql, "SELECT number FROM conformance ORDER BY id").await?;
    let expected: Vec<_> = kept.into_iter().map(Value::Integer).collect();
    equal(&numbers, &expected, "integers up to 2^53 - 1 keep their value")?;
    for number in [MAX_SAFE_INTEGER + 1, -MAX_SAFE_INTEGER - 1, i64::MAX, i64::MIN] {
        let refused = sql.batch(vec![insert(100, number, Value::Null)]).await;
        ensure(refused.is_err(), "an integer beyond 2^53 - 1 is refused, not rounded")?;
    }
    sql.batch(vec![Stmt::new("UPDATE conformance SET number = 9007199254740993 WHERE id = 1")])
        .await?;
    let read = sql.rows(Stmt::new("SELECT number FROM conformance WHERE id = 1")).await;
    ensure(read.is_err(), "an integer beyond 2^53 - 1 is not rounded when it is read")
}

/// At the edge every number arrives as a double: it takes the affinity of the column.
async fn a_bound_integer_is_an_integer(sql: &dyn Sql) -> Result<()> {
    sql.batch(vec![insert(1, 3, "3")]).await?;
    let found = sql
        .rows(
            Stmt::new("SELECT id, number / 2, typeof(number) FROM conformance WHERE number = ?")
                .bind(3_i64),
        )
        .await?;
    let expected = Row(vec![Value::Integer(1), Value::Integer(1), Value::Text("integer".into())]);
    equal(&found, &vec![expected], "a bound integer is stored and compared as an integer")?;
    let cast = sql.rows(Stmt::new("SELECT CAST(? AS INTEGER) / 2").bind(3_i64)).await?;
    equal(&cast, &vec![Row(vec![Value::Integer(1)])], "a cast parameter is an integer")
}

async fn text_keeps_every_character(sql: &dyn Sql) -> Result<()> {
    let texts = [
        String::new(),
        "nul \0 inside".to_owned(),
        "grüße 🦭 \u{10FFFF} \u{202E} \r\n".to_owned(),
        "'; DROP TABLE conformance; --".to_owned(),
        "ä".repeat(500_000),
    ];
    for (id, text) in (1..).zip(&texts) {
        sql.batch(vec![insert(id, None, text.as_str())]).await?;
    }
    let found = column(sql, "SELECT text FROM conformance ORDER BY id").await?;
    let expected: Vec<_> = texts.into_iter().map(Value::Text).collect();
    equal(&found, &expected, "text keeps every character")
}

async fn null_is_not_empty(sql: &dyn Sql) -> Result<()> {
    sql.batch(vec![insert(1, None, Value::Null), insert(2, 0, "")]).await?;
    let rows = sql.rows(Stmt::new("SELECT number, text FROM conformance ORDER BY id")).await?;
    let expected = vec![
        Row(vec![Value::Null, Value::Null]),
        Row(vec![Value::Integer(0), Value::Text(String::new())]),
    ];
    equal(&rows, &expected, "NULL is neither zero nor empty")
}

async fn blobs_keep_every_byte(sql: &dyn Sql) -> Result<()> {
    let blobs = [Vec::new(), (0..=255).collect(), b"text".to_vec(), vec![0xFF; 1_000_000]];
    for (id, blob) in (1_i64..).zip(&blobs) {
        let insert = Stmt::new(INSERT).bind(id).bind(Value::Null).bind(Value::Null);
        sql.batch(vec![insert.bind(blob.clone())]).await?;
    }
    let found = column(sql, "SELECT bytes FROM conformance ORDER BY id").await?;
    let expected: Vec<_> = blobs.into_iter().map(Value::Blob).collect();
    equal(&found, &expected, "blobs keep every byte")
}

async fn rows_and_columns_keep_their_order(sql: &dyn Sql) -> Result<()> {
    let inserts = (0..300).map(|id| insert(id, (id * 7) % 300, Value::Null)).collect();
    sql.batch(inserts).await?;
    let numbers = column(sql, "SELECT number FROM conformance ORDER BY number DESC").await?;
    let expected: Vec<_> = (0..300).rev().map(Value::Integer).collect();
    equal(&numbers, &expected, "rows keep the order of the statement")?;
    // Columns of the same name must not swallow each other, as they would in a JSON object.
    let row = sql.row(Stmt::new("SELECT 2 AS x, 1 AS x, 'z', 3 AS a")).await?;
    let expected =
        Row(vec![Value::Integer(2), Value::Integer(1), Value::Text("z".into()), Value::Integer(3)]);
    equal(&row, &Some(expected), "columns keep their order, also when names repeat")
}

async fn returned_rows_belong_to_their_statement(sql: &dyn Sql) -> Result<()> {
    let update = "UPDATE conformance SET number = number + ? WHERE id <= ? RETURNING number";
    let results = sql
        .batch(vec![
            insert(1, 10, "a"),
            Stmt::new(
                "INSERT INTO conformance (id, number) VALUES (?, ?), (?, ?) RETURNING id, number",
            )
            .bind(2_i64)
            .bind(20_i64)
            .bind(3_i64)
            .bind(30_i64),
            Stmt::new("DELETE FROM conformance WHERE id = ? RETURNING id").bind(99_i64),
            Stmt::new(update).bind(5_i64).bind(1_i64),
        ])
        .await?;
    let integers = |values: &[i64]| Row(values.iter().copied().map(Value::Integer).collect());
    let expected =
        vec![vec![], vec![integers(&[2, 20]), integers(&[3, 30])], vec![], vec![integers(&[15])]];
    equal(&results, &expected, "each statement of a batch gives the rows it returned")
}

async fn a_hundred_values_pass_and_one_more_is_refused(sql: &dyn Sql) -> Result<()> {
    let row = sql.row(with_values(MAX_BOUND_VALUES)).await?;
    ensure(row.is_some_and(|it| it.0.len() == MAX_BOUND_VALUES), "a hundred values pass")?;
    let one_more = with_values(MAX_BOUND_VALUES + 1);
    let refused = sql.rows(one_more.clone()).await;
    ensure(refused.is_err(), "more than a hundred values are refused")?;
    let refused = sql.batch(vec![one_more]).await;
    ensure(refused.is_err(), "more than a hundred values are refused in a batch")
}

/// A statement with so many parameters, each of which has its value. Statements are constants:
/// the text is leaked, once for each run of the suite.
fn with_values(count: usize) -> Stmt {
    let text = format!("SELECT {}", vec!["?"; count].join(", "));
    (0..count).fold(Stmt::new(text.leak()), |stmt, _| stmt.bind(1_i64))
}

async fn a_wrong_number_of_values_is_refused(sql: &dyn Sql) -> Result<()> {
    let few = Stmt::new("UPDATE conformance SET text = ? WHERE id = ?").bind("x");
    ensure(sql.batch(vec![few.clone()]).await.is_err(), "too few values are refused")?;
    let many = few.bind(1_i64).bind(2_i64);
    ensure(sql.batch(vec![many]).await.is_err(), "too many values are refused")?;
    // Within a batch, values must not slide from one statement into the next.
    let shifted = vec![Stmt::new(INSERT).bind(1_i64).bind(2_i64), insert(3, 4, "x")];
    ensure(sql.batch(shifted).await.is_err(), "values belong to their statement")
}

async fn a_batch_may_be_long(sql: &dyn Sql) -> Result<()> {
    let inserts: Vec<_> = (0..1_000).map(|id| insert(id, id, format!("{id}"))).collect();
    let results = sql.batch(inserts).await?;
    equal(&results.len(), &1_000, "every statement has its result")?;
    equal(&count(sql).await?, &1_000, "a batch may have a thousand statements")
}
