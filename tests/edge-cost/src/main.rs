//! What each operation of the Worker costs: the requests, alarms, queries and rows that Cloudflare
//! bills, counted in workerd while a client does the operation once. `docs/cost.md` has the result
//! and says how to make it again.

#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "an operation fails by panicking, as the harness does, and indexing JSON cannot panic"
)]

mod bench;
mod clock;
mod counts;
mod day;
mod goals;
mod markdown;
mod meter;
mod operations;
mod options;
mod outcome;
mod prices;
mod readers;
mod report;
mod text;
mod world;

use std::{
    env, fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use crate::{
    bench::Bench,
    options::{Invocation, Options},
    outcome::Outcome,
    report::Report,
};

fn main() -> ExitCode {
    let done = options::parse(env::args().skip(1)).and_then(|it| match it {
        Invocation::Help => io::stdout().write_all(options::HELP.as_bytes()).map_err(failed),
        Invocation::Run(options) => run(&options),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "skerry-edge-cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let before = options.before.as_deref().map(read).transpose()?;
    let outcome = match &options.from {
        Some(path) => read(path)?,
        None => Outcome::of(measured(options)?),
    };
    let mut text = text::tables(&outcome);
    if let Some(before) = before {
        text += &text::comparison(&before, &outcome);
    }
    io::stdout().write_all(text.as_bytes()).map_err(failed)?;
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&outcome).map_err(failed)?;
        fs::write(path, json + "\n").map_err(failed)?;
    }
    if let Some(path) = &options.markdown {
        let page = fs::read_to_string(path).map_err(failed)?;
        fs::write(path, markdown::renew(&page, &outcome)?).map_err(failed)?;
    }
    outcome.report.is_whole().then_some(()).ok_or_else(|| "an operation failed".to_owned())
}

fn read(path: &Path) -> Result<Outcome, String> {
    serde_json::from_slice(&fs::read(path).map_err(failed)?).map(Outcome::of).map_err(failed)
}

fn measured(options: &Options) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(failed)?.block_on(async {
        let mut bench = Bench::start(options).await;
        operations::run(&mut bench, options).await;
        bench.report
    }))
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn failed(error: impl ToString) -> String {
    error.to_string()
}
