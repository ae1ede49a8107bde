//! A load generator for Matrix homeservers: any of them, over the plain client-server API, and
//! Skerrys that talk to each other.
//!
//! It runs on the cores that the server under load runs on, so it is one thread and does little
//! per request. README.md says what each figure means.

#![forbid(unsafe_code)]
#![expect(
    clippy::cast_precision_loss,
    reason = "counts and bytes measured here are far below 2^52, where they convert exactly"
)]

mod api;
mod error;
mod federation;
mod http;
mod measure;
mod news;
mod options;
mod probe;
mod report;
mod run;
mod scale;
mod soak;
mod spawn;
mod stats;
mod target;
mod targets;
mod window;
mod world;

use std::{
    env, fs,
    io::{self, Write},
    process::ExitCode,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    error::{Error, Result},
    federation::Part,
    measure::Measure,
    options::{Invocation, Options},
};

fn main() -> ExitCode {
    match options::parse(env::args().skip(1)).and_then(invoke) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "skerry-load: {error}");
            ExitCode::from(2)
        }
    }
}

fn invoke(invocation: Invocation) -> Result<ExitCode> {
    match invocation {
        Invocation::Help => io::stdout().write_all(options::HELP.as_bytes())?,
        Invocation::List => {
            for measure in Measure::ALL {
                writeln!(io::stdout(), "{}", measure.name())?;
            }
            for part in Part::ALL {
                writeln!(io::stdout(), "{} (--federation)", part.name())?;
            }
        }
        Invocation::Run(options) => return measure(&options),
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(options: &Options) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        // Leaving early drops a server that was started here, which kills it.
        tokio::select! {
            report = run::run(options, |line| { let _ = writeln!(io::stderr(), "{line} ..."); }) =>
                report,
            _ = tokio::signal::ctrl_c() => Err(Error::Usage("interrupted".to_owned())),
            _ = terminate.recv() => Err(Error::Usage("terminated".to_owned())),
        }
    })?;
    io::stdout().write_all(report.table().as_bytes())?;
    if let Some(path) = &options.json {
        fs::write(path, format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    }
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
