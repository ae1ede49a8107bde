//! Which event is nearest to a time ([spec]).
//!
//! Events stand in the order in which they came to a room, and their timestamps follow it mostly:
//! what a server says of its time is its own affair. So the place of a time is found by halving,
//! where each probe is the median of some neighbours, which a few wrong timestamps do not move; and
//! what is there is looked at more closely.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event

/// The time that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// In milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// The first event at or after it; else the last one at or before it.
    pub is_forward: bool,
}

impl Wanted {
    /// Whether events of this time stand before the place that is looked for.
    pub fn is_behind(self, timestamp_ms: u64) -> bool {
        match self.is_forward {
            true => timestamp_ms < self.timestamp_ms,
            false => timestamp_ms <= self.timestamp_ms,
        }
    }

    /// How far an event of this time is away; none: it is on the other side.
    pub fn distance(self, timestamp_ms: u64) -> Option<u64> {
        match self.is_forward {
            true => timestamp_ms.checked_sub(self.timestamp_ms),
            false => self.timestamp_ms.checked_sub(timestamp_ms),
        }
    }

    /// The nearest of these, which stand in the direction of looking: of those that are as near as
    /// each other the first.
    pub fn nearest(self, timestamps_ms: impl IntoIterator<Item = u64>) -> Option<usize> {
        let distances = timestamps_ms.into_iter().map(|it| self.distance(it)).enumerate();
        let distances = distances.filter_map(|(index, distance)| Some((distance?, index)));
        distances.min().map(|(_, index)| index)
    }

    /// Whether an event of one time is nearer than one of another, where there is one.
    pub fn is_nearer(self, timestamp_ms: u64, than_ms: Option<u64>) -> bool {
        let than = than_ms.and_then(|it| self.distance(it));
        let distance = self.distance(timestamp_ms);
        distance.is_some_and(|it| than.is_none_or(|than| it < than))
    }
}

/// The one in the middle.
pub fn median(mut timestamps_ms: Vec<u64>) -> Option<u64> {
    timestamps_ms.sort_unstable();
    timestamps_ms.get(timestamps_ms.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn wanted(timestamp_ms: u64, is_forward: bool) -> Wanted {
        Wanted { timestamp_ms, is_forward }
    }

    #[test]
    fn which_event_is_nearest() {
        let cases: [(Wanted, &[u64], Option<usize>); 10] = [
            (wanted(10, true), &[], None),
            (wanted(10, true), &[8, 9], None),
            (wanted(10, true), &[9, 10, 11], Some(1)),
            (wanted(10, true), &[30, 12, 20], Some(1)),
            (wanted(10, true), &[12, 12], Some(0)),
            (wanted(10, false), &[11, 12], None),
            (wanted(10, false), &[11, 10, 9], Some(1)),
            (wanted(10, false), &[2, 8, 5], Some(1)),
            (wanted(10, false), &[8, 8], Some(0)),
            (wanted(0, false), &[1, 0], Some(1)),
        ];
        for (wanted, timestamps, expected) in cases {
            let found = wanted.nearest(timestamps.iter().copied());
            assert_eq!(found, expected, "{wanted:?} {timestamps:?}");
        }
    }

    #[test]
    fn what_another_server_has_found_may_be_nearer() {
        let cases = [
            (wanted(10, true), 12, None, true),
            (wanted(10, true), 9, None, false),
            (wanted(10, true), 12, Some(13), true),
            (wanted(10, true), 12, Some(12), false),
            (wanted(10, true), 12, Some(11), false),
            (wanted(10, false), 9, Some(8), true),
            (wanted(10, false), 11, Some(8), false),
            (wanted(10, false), u64::MAX, None, false),
        ];
        for (wanted, timestamp, than, expected) in cases {
            assert_eq!(wanted.is_nearer(timestamp, than), expected, "{wanted:?} {timestamp}");
        }
    }

    #[test]
    fn a_few_wrong_timestamps_do_not_move_the_median() {
        assert_eq!(median(Vec::new()), None);
        assert_eq!(median(vec![7]), Some(7));
        assert_eq!(median(vec![1, 2, 3, 4, 5]), Some(3));
        assert_eq!(median(vec![0, 2, 3, 4, u64::MAX]), Some(3));
    }
}
