//! Stored filters: `user_filters`.

use crate::{
    Result,
    ports::{Sql, Stmt},
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

/// The highest ID.
pub async fn find_last(sql: &dyn Sql, scope: i64) -> Result<Option<u64>> {
    let stmt = Stmt::new("SELECT MAX(filter_id) FROM user_filters WHERE scope = ?").bind(scope);
    match sql.row(stmt).await? {
        Some(mut row) => row.take(0),
        None => Ok(None),
    }
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
