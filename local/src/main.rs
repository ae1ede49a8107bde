//! The command `skerry`: the native server.

use std::process::ExitCode;

use clap::Parser as _;
use skerry_local::{options::Options, run};

/// Threads that serve: a homeserver waits much more than it computes, and each thread has its
/// share of memory. SQLite has its own.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let options = match Options::parse().with_file() {
        Ok(options) => options,
        Err(error) => return fail(&error),
    };
    if let Err(error) = run::start_log(&options) {
        return fail(&*error);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run::run(options)),
        Err(error) => return fail(&error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Says what went wrong, with all its causes.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    #[expect(clippy::print_stderr, reason = "the log may not be there yet")]
    {
        eprintln!("skerry: {text}");
    }
    ExitCode::FAILURE
}
