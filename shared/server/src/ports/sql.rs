//! The SQL port: SQLite's dialect, one atomic step a call.

use async_trait::async_trait;

use crate::{Error, Result};

/// Values that one statement may bind (D1's limit). Lists go in as one JSON array.
pub const MAX_BOUND_VALUES: usize = 100;

/// The largest integer a value may hold, either way: D1 and Durable Object numbers are IEEE
/// doubles, so adapters refuse what would be rounded.
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// A value that goes into or comes out of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// An integer within ±[`MAX_SAFE_INTEGER`].
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes. Kept out of the global store, where D1 makes arrays of numbers of them.
    Blob(Vec<u8>),
}

/// One statement with its values. The text is a constant: only values vary.
///
/// Parameters are anonymous (`?`), each used once, in order.
#[derive(Clone, Debug)]
pub struct Stmt {
    /// The text.
    pub sql: &'static str,
    /// The values, in the order of the parameters.
    pub values: Vec<Value>,
}

impl Stmt {
    /// A statement without values yet.
    pub fn new(sql: &'static str) -> Self {
        Self { sql, values: Vec::new() }
    }

    /// Binds the next parameter.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }
}

/// A row of a result: its values in the order of the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

/// A private store, or the global one.
#[async_trait]
pub trait Sql: Send + Sync {
    /// Reads. The statement does not write.
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>>;

    /// Writes all or nothing, in order, and gives the rows each statement returned (`RETURNING`).
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when a unique or primary key is violated.
    async fn batch(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>>;
}

impl dyn Sql + '_ {
    /// The first row, if any.
    pub async fn row(&self, stmt: Stmt) -> Result<Option<Row>> {
        Ok(self.rows(stmt).await?.into_iter().next())
    }
}

/// A type that a row's column can be read as.
pub trait FromRow: Sized {
    /// Reads it.
    fn from_value(value: Value) -> Option<Self>;
}

impl Row {
    /// Takes the value of column `index` out of the row.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when the column does not exist or is of another type: the schema and
    /// the statement disagree.
    pub fn take<T: FromRow>(&mut self, index: usize) -> Result<T> {
        let slot = self
            .0
            .get_mut(index)
            .ok_or_else(|| Error::internal(format!("the row has no column {index}")))?;
        let value = std::mem::replace(slot, Value::Null);
        T::from_value(value)
            .ok_or_else(|| Error::internal(format!("column {index} is of another type")))
    }
}

impl FromRow for i64 {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Integer(it) => Some(it),
            _ => None,
        }
    }
}

impl FromRow for u64 {
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromRow for bool {
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value).map(|it| it != 0)
    }
}

impl FromRow for String {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(it) => Some(it),
            _ => None,
        }
    }
}

impl FromRow for Vec<u8> {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Blob(it) => Some(it),
            _ => None,
        }
    }
}

impl<T: FromRow> FromRow for Option<T> {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}

impl From<i64> for Value {
    fn from(it: i64) -> Self {
        Self::Integer(it)
    }
}

impl From<u64> for Value {
    /// What does not fit becomes `i64::MAX`, which every adapter refuses.
    fn from(it: u64) -> Self {
        Self::Integer(i64::try_from(it).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(it: bool) -> Self {
        Self::Integer(i64::from(it))
    }
}

impl From<&str> for Value {
    fn from(it: &str) -> Self {
        Self::Text(it.to_owned())
    }
}

impl From<String> for Value {
    fn from(it: String) -> Self {
        Self::Text(it)
    }
}

impl From<Vec<u8>> for Value {
    fn from(it: Vec<u8>) -> Self {
        Self::Blob(it)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(it: Option<T>) -> Self {
        it.map_or(Self::Null, Into::into)
    }
}

/// Checks what every adapter must refuse before the engine sees it.
///
/// # Errors
///
/// [`Error::Internal`] when a statement binds too many values or an integer would be rounded.
pub fn check(stmt: &Stmt) -> Result<()> {
    if stmt.values.len() > MAX_BOUND_VALUES {
        return Err(Error::internal(format!("more than {MAX_BOUND_VALUES} bound values")));
    }
    let is_unsafe = |value: &Value| match value {
        Value::Integer(it) => it.unsigned_abs() > MAX_SAFE_INTEGER.unsigned_abs(),
        _ => false,
    };
    if stmt.values.iter().any(is_unsafe) {
        return Err(Error::internal("an integer is beyond 2^53 - 1"));
    }
    Ok(())
}
