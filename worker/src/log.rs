//! The log: what `shared` traces goes to the Worker's console.

use std::io;

use tracing_subscriber::fmt::MakeWriter;
use worker::{console_error, console_log};

/// Sends warnings and errors to the console. Below that, libraries tell what passes through them,
/// and every line costs.
pub(crate) fn start() {
    let log = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        // The console has its own clock, and this platform panics when asked for the time.
        .without_time()
        .with_ansi(false)
        .with_writer(Console);
    if log.try_init().is_err() {
        console_error!("the log was started twice");
    }
}

struct Console;

impl MakeWriter<'_> for Console {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Vec::new())
    }
}

/// One line, sent when it is complete.
struct Line(Vec<u8>);

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        console_log!("{}", String::from_utf8_lossy(&self.0).trim_end());
    }
}
