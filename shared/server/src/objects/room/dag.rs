//! The room's DAG: events that come from other servers, and how any event is written.

mod extremities;
mod history;
mod intake;
mod join;
mod outliers;
mod plan_decided;
mod receive;
mod redactions;
mod rows;
mod staging;
