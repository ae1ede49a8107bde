//! When events were stored, and so where the room was at a time: `stored_us` of `room_events`.

use crate::{
    Result,
    messages::room::Position,
    ports::{Sql, Stmt},
};

/// When the event with the highest number was stored; zero in an empty room.
pub async fn find_newest(sql: &dyn Sql, scope: i64) -> Result<u64> {
    let stmt =
        Stmt::new("SELECT stored_us FROM room_events WHERE scope = ? ORDER BY num DESC LIMIT 1")
            .bind(scope);
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// The highest number that was stored before an instant, zero where there was none: the room's
/// position then. Found by halving: times follow numbers. What was an outlier then and has moved
/// since to a later position may be left out.
pub async fn find_position_before(sql: &dyn Sql, scope: i64, instant_us: u64) -> Result<Position> {
    let stmt = Stmt::new(
        "WITH RECURSIVE halves (low, high) AS (\
         SELECT 0, coalesce((SELECT num FROM room_events WHERE scope = ? \
         ORDER BY num DESC LIMIT 1), 0) UNION ALL \
         SELECT iif(coalesce(e.stored_us, 0) < ?, (h.low + h.high + 1) / 2, h.low), \
         iif(coalesce(e.stored_us, 0) < ?, h.high, e.num - 1) \
         FROM halves h LEFT JOIN room_events e ON e.scope = ? AND e.num = (\
         SELECT num FROM room_events WHERE scope = ? AND num <= (h.low + h.high + 1) / 2 \
         ORDER BY num DESC LIMIT 1) WHERE h.low < h.high) \
         SELECT coalesce((SELECT num FROM room_events WHERE scope = ? AND num <= low \
         ORDER BY num DESC LIMIT 1), 0) FROM halves WHERE low >= high LIMIT 1",
    );
    let stmt = stmt.bind(scope).bind(instant_us).bind(instant_us).bind(scope).bind(scope);
    sql.row(stmt.bind(scope)).await?.map_or(Ok(0), |mut row| row.take(0))
}
