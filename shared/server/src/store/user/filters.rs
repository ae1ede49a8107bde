//! Stored filters: `user_filters`.

use crate::{
    Result,
    ports::{Row, Sql, Stmt},
};

/// A filter, JSON.
pub async fn find(sql: &dyn Sql, scope: i64, filter_id: u64) -> Result<Option<String>> {
    let stmt = Stmt::new("SELECT json FROM user_filters WHERE scope = ? AND filter_id = ?")
        .bind(scope)
        .bind(filter_id);
    sql.row(stmt).await?.map(|mut row| row.take(0)).transpose()
}

/// The ID of the filter with this JSON. They are few: no index.
pub async fn find_by_json(sql: &dyn Sql, scope: i64, json: &str) -> Result<Option<u64>> {
    let stmt = Stmt::new("SELECT filter_id FROM user_filters WHERE scope = ? AND json = ?")
        .bind(scope)
        .bind(json);
    sql.row(stmt).await?.map(|mut row| row.take(0)).transpose()
}

/// The IDs, the newest first, and how many bytes each filter has.
pub async fn list_sizes(sql: &dyn Sql, scope: i64) -> Result<Vec<(u64, usize)>> {
    let stmt = Stmt::new(
        "SELECT filter_id, length(CAST(json AS BLOB)) FROM user_filters WHERE scope = ? \
         ORDER BY filter_id DESC",
    )
    .bind(scope);
    let size = |mut row: Row| {
        let bytes: u64 = row.take(1)?;
        Ok((row.take(0)?, usize::try_from(bytes).unwrap_or(usize::MAX)))
    };
    sql.rows(stmt).await?.into_iter().map(size).collect()
}

/// Stores a filter.
pub fn insert(scope: i64, filter_id: u64, json: &str) -> Stmt {
    Stmt::new("INSERT INTO user_filters (scope, filter_id, json) VALUES (?, ?, ?)")
        .bind(scope)
        .bind(filter_id)
        .bind(json)
}

/// Removes the filters up to an ID.
pub fn remove_until(scope: i64, filter_id: u64) -> Stmt {
    Stmt::new("DELETE FROM user_filters WHERE scope = ? AND filter_id <= ?")
        .bind(scope)
        .bind(filter_id)
}

/// Removes all filters.
pub fn remove_all(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_filters WHERE scope = ?").bind(scope)
}
