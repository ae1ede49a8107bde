//! The list of a user's notifications ([spec]): what of all rooms' makes a page.
//!
//! Nothing is kept of a notification. Each room looks back over its events, so far, and says how
//! far; a page goes back to where all of them have looked.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#listing-notifications

use std::cmp::Reverse;

/// Notifications on a page that asks for no number.
pub const DEFAULT_LIMIT: u64 = 20;

/// Notifications on a page.
pub const MAX_LIMIT: u64 = 100;

/// What one room has for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomPage<T> {
    /// Its notifications, each with the instant at which it was stored.
    pub notifications: Vec<(u64, T)>,
    /// The instant back to which the room has looked, that instant with all that was stored at it;
    /// none: it has nothing before.
    pub looked_back_to_us: Option<u64>,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Its notifications, the newest first.
    pub notifications: Vec<(u64, T)>,
    /// The next page has what was stored before this instant; none: there is no next page.
    pub next_before_us: Option<u64>,
}

/// Makes a page of at least one notification, where there is one, and of about as many as wanted:
/// those of one instant stay together.
pub fn page<T>(rooms: Vec<RoomPage<T>>, limit: u64) -> Page<T> {
    let mut next = rooms.iter().filter_map(|it| it.looked_back_to_us).max();
    let from_us = next.unwrap_or(0);
    let mut notifications: Vec<_> = rooms.into_iter().flat_map(|it| it.notifications).collect();
    notifications.retain(|(at_us, _)| *at_us >= from_us);
    notifications.sort_by_key(|(at_us, _)| Reverse(*at_us));
    let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
    if let Some((last_us, _)) = notifications.get(limit - 1) {
        let last_us = *last_us;
        let length = notifications.partition_point(|(at_us, _)| *at_us >= last_us);
        if length < notifications.len() {
            notifications.truncate(length);
            next = Some(last_us);
        }
    }
    Page { notifications, next_before_us: next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(found: &[u64], looked_back_to_us: Option<u64>) -> RoomPage<()> {
        let notifications = found.iter().map(|at_us| (*at_us, ())).collect();
        RoomPage { notifications, looked_back_to_us }
    }

    #[test]
    fn what_is_on_a_page() {
        let cases = [
            ("nothing", vec![room(&[], None)], vec![], None),
            ("all", vec![room(&[5, 3], None), room(&[4], None)], vec![5, 4, 3], None),
            ("as many as wanted", vec![room(&[9, 8, 7, 6], None)], vec![9, 8, 7], Some(7)),
            (
                "as far as all have looked",
                vec![room(&[9, 2], None), room(&[8], Some(5))],
                vec![9, 8],
                Some(5),
            ),
            ("nothing so far", vec![room(&[2], None), room(&[], Some(5))], vec![], Some(5)),
            (
                "what was stored at once",
                vec![room(&[9, 7, 7], None), room(&[7, 6], None)],
                vec![9, 7, 7, 7],
                Some(7),
            ),
            ("all, and just as many", vec![room(&[3, 2, 1], None)], vec![3, 2, 1], None),
            ("the end of one", vec![room(&[5], Some(5)), room(&[4], None)], vec![5], Some(5)),
        ];
        for (name, rooms, expected, next) in cases {
            let page = page(rooms, 3);
            let found: Vec<_> = page.notifications.iter().map(|(at_us, ())| *at_us).collect();
            assert_eq!((found, page.next_before_us), (expected, next), "{name}");
        }
    }
}
