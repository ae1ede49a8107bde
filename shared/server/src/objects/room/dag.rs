//! The room's DAG: events that come from other servers, and how any event is written.

mod ahead;
mod early;
mod extremities;
mod history;
mod intake;
mod join;
mod outliers;
mod plan_decided;
mod receive;
mod receive_event;
mod redactions;
mod repair;
mod rows;
mod staging;
mod together;
mod unverified;
mod waiting;
