//! The room's DAG: events that come from other servers, and how any event is written.

mod enter;
mod extremities;
mod history;
mod intake;
mod join;
mod receive;
mod redactions;
mod rows;
mod staging;
