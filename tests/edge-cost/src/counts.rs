//! What was counted: the numbers of `count.mjs`, and CPU.

use std::{
    collections::BTreeMap,
    ops::{Add, Mul, Sub},
};

use serde::{Deserialize, Serialize};

/// Counts of one operation, or of a day: then of fractions of operations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    pub(crate) worker_requests: f64,
    /// Calls to objects, the opening of `WebSocket`s among them. Alarms are billed like them, but
    /// counted apart.
    pub(crate) object_requests: f64,
    pub(crate) alarms: f64,
    /// Messages over `WebSocket`s to objects.
    pub(crate) websocket_messages: f64,
    /// Ends of `WebSocket`s that objects heard of: not billed, but they wake the object.
    pub(crate) websocket_ends: f64,
    /// Messages sent over `WebSocket`s by anybody.
    pub(crate) websocket_sent: f64,
    pub(crate) d1_queries: f64,
    pub(crate) d1_rows_read: f64,
    pub(crate) d1_rows_written: f64,
    pub(crate) object_rows_read: f64,
    /// Index entries count, and so does setting an alarm.
    pub(crate) object_rows_written: f64,
    pub(crate) alarms_set: f64,
    /// Milliseconds of workerd.
    pub(crate) cpu_ms: f64,
    /// Commands to objects by name, if that was asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) commands: BTreeMap<String, f64>,
}

impl Counts {
    /// What is billed as requests to objects: a message over a WebSocket is a twentieth.
    pub(crate) fn billed_object_requests(&self) -> f64 {
        self.object_requests + self.alarms + self.websocket_messages / 20.0
    }

    fn combine(&self, other: &Self, each: impl Fn(f64, f64) -> f64) -> Self {
        let names = self.commands.keys().chain(other.commands.keys());
        let of = |counts: &Self, name: &String| counts.commands.get(name).copied().unwrap_or(0.0);
        let commands = names
            .map(|name| (name.clone(), each(of(self, name), of(other, name))))
            .filter(|(_, count)| *count != 0.0)
            .collect();
        Self {
            worker_requests: each(self.worker_requests, other.worker_requests),
            object_requests: each(self.object_requests, other.object_requests),
            alarms: each(self.alarms, other.alarms),
            websocket_messages: each(self.websocket_messages, other.websocket_messages),
            websocket_ends: each(self.websocket_ends, other.websocket_ends),
            websocket_sent: each(self.websocket_sent, other.websocket_sent),
            d1_queries: each(self.d1_queries, other.d1_queries),
            d1_rows_read: each(self.d1_rows_read, other.d1_rows_read),
            d1_rows_written: each(self.d1_rows_written, other.d1_rows_written),
            object_rows_read: each(self.object_rows_read, other.object_rows_read),
            object_rows_written: each(self.object_rows_written, other.object_rows_written),
            alarms_set: each(self.alarms_set, other.alarms_set),
            cpu_ms: each(self.cpu_ms, other.cpu_ms),
            commands,
        }
    }
}

impl Add for &Counts {
    type Output = Counts;

    fn add(self, other: Self) -> Counts {
        self.combine(other, |a, b| a + b)
    }
}

impl Sub for &Counts {
    type Output = Counts;

    fn sub(self, other: Self) -> Counts {
        self.combine(other, |a, b| a - b)
    }
}

impl Mul<f64> for &Counts {
    type Output = Counts;

    fn mul(self, times: f64) -> Counts {
        self.combine(self, |it, _| it * times)
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn alarms_and_twenty_messages_are_billed_as_requests() {
        let counts = Counts {
            object_requests: 2.0,
            alarms: 1.0,
            websocket_messages: 20.0,
            ..<_>::default()
        };
        assert!((counts.billed_object_requests() - 4.0).abs() < 1e-9);
    }

    #[test]
    fn commands_that_cancel_out_are_left_out() {
        let commands = [("RoomObject send".to_owned(), 1.0)].into();
        let counts = Counts { commands, alarms: 3.0, ..<_>::default() };
        let rest = &counts - &counts;
        assert!(rest.commands.is_empty() && rest.alarms == 0.0);
    }
}
