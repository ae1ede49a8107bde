//! What servers write into their logs, and panics: both decide a run.

use std::{
    cell::RefCell,
    fmt::{Debug, Write as _},
    panic,
    sync::Once,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
};

thread_local! {
    static FAULTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Whether a run is told to whoever replays it: `SKERRY_TELL`.
pub fn is_told() -> bool {
    std::env::var("SKERRY_TELL").is_ok()
}

/// What went wrong on this thread since it was asked last: errors in logs, and panics.
pub fn take_faults() -> Vec<String> {
    FAULTS.take()
}

/// Something went wrong.
pub fn fault(text: String) {
    FAULTS.with_borrow_mut(|it| it.push(text));
}

/// Notes panics, also those that somebody catches.
pub fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            FAULTS.with_borrow_mut(|it| it.push(panic.to_string()));
            usual(panic);
        }));
    });
}

/// The log of all servers of a thread.
#[derive(Debug)]
pub struct Log {
    level: LevelFilter,
}

impl Log {
    /// What is written as an error or warning; all, where a run is told.
    pub fn new() -> Self {
        Self { level: if is_told() { LevelFilter::DEBUG } else { LevelFilter::ERROR } }
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("skerry") && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().target().to_owned());
        event.record(&mut text);
        let level = *event.metadata().level();
        if is_told() {
            println!("    {level} {}", text.0);
        }
        if level == Level::ERROR {
            FAULTS.with_borrow_mut(|it| it.push(text.0));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
