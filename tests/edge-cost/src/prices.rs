//! What Cloudflare charges, as its pages said in November 2026 (Workers, Durable Objects, D1).
//!
//! Duration of objects ($12.50 per million GB-s, 128 MB each) is not counted: it is wall-clock time
//! on Cloudflare's machines. An object whose sockets may hibernate is not charged while it waits.

use crate::counts::Counts;

/// Something that is charged by number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) name: &'static str,
    /// Dollars a million.
    pub(crate) price: f64,
    /// Included in a month of the paid plan.
    pub(crate) included: f64,
    /// Allowed in a day of the free plan.
    pub(crate) free_a_day: f64,
    of: fn(&Counts) -> f64,
}

impl Item {
    /// How much of it was used.
    pub(crate) fn used(&self, counts: &Counts) -> f64 {
        (self.of)(counts)
    }

    /// Dollars for that, when everything included is used up.
    pub(crate) fn dollars(&self, counts: &Counts) -> f64 {
        self.used(counts) * self.price / 1e6
    }

    /// Dollars for a month of that, beyond what is included.
    fn beyond_included(&self, counts: &Counts) -> f64 {
        (self.used(counts) - self.included).max(0.0) * self.price / 1e6
    }
}

/// Dollars a month for the paid plan itself.
pub(crate) const PLAN: f64 = 5.0;
/// Days in a month.
pub(crate) const DAYS: f64 = 30.0;
/// What one request may ask for on the free plan: calls to objects and to D1 together.
pub(crate) const FREE_SUBREQUESTS: f64 = 50.0;
/// Everything that is charged by number.
pub(crate) const ITEMS: [Item; 6] = [
    Item {
        name: "Worker requests",
        price: 0.30,
        included: 10e6,
        free_a_day: 100e3,
        of: |it| it.worker_requests,
    },
    Item {
        name: "object requests",
        price: 0.15,
        included: 1e6,
        free_a_day: 100e3,
        of: Counts::billed_object_requests,
    },
    Item {
        name: "object rows read",
        price: 0.001,
        included: 25e9,
        free_a_day: 5e6,
        of: |it| it.object_rows_read,
    },
    Item {
        name: "object rows written",
        price: 1.00,
        included: 50e6,
        free_a_day: 100e3,
        of: |it| it.object_rows_written,
    },
    Item {
        name: "D1 rows read",
        price: 0.001,
        included: 25e9,
        free_a_day: 5e6,
        of: |it| it.d1_rows_read,
    },
    Item {
        name: "D1 rows written",
        price: 1.00,
        included: 50e6,
        free_a_day: 100e3,
        of: |it| it.d1_rows_written,
    },
];

/// Dollars for that, when everything included is used up.
pub(crate) fn dollars(counts: &Counts) -> f64 {
    ITEMS.iter().map(|it| it.dollars(counts)).sum()
}

/// Dollars for a month of that on the paid plan.
pub(crate) fn month(counts: &Counts) -> f64 {
    PLAN + ITEMS.iter().map(|it| it.beyond_included(counts)).sum::<f64>()
}

/// How often that fits into a day of the free plan, and what is used up first.
pub(crate) fn fits_free_plan(counts: &Counts) -> (f64, &'static str) {
    let times = ITEMS.iter().map(|it| (it.free_a_day / it.used(counts), it.name));
    times.min_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap_or((0.0, ""))
}

#[cfg(test)]
mod tests {
    use super::{PLAN, dollars, fits_free_plan, month};
    use crate::counts::Counts;

    #[test]
    fn what_is_included_costs_nothing_more() {
        let counts = Counts { object_requests: 3e6, worker_requests: 10e6, ..<_>::default() };
        assert!((month(&counts) - PLAN - 0.30).abs() < 1e-9);
        assert!((dollars(&counts) - 3.45).abs() < 1e-9);
    }

    #[test]
    fn the_scarcest_thing_limits_the_free_plan() {
        let counts = Counts { object_requests: 50e3, object_rows_written: 80e3, ..<_>::default() };
        let (times, limit) = fits_free_plan(&counts);
        assert!((times - 1.25).abs() < 1e-9);
        assert_eq!(limit, "object rows written");
    }
}
