//! The command `skerry`: the native server.

use std::{process::ExitCode, time::Duration};

use clap::Parser as _;
use skerry::Error;
use skerry_local::{memory, options::Options, run};

/// Gives memory back where the C library keeps it: the 19 MiB of each password hash, above all.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads that serve: a homeserver waits much more than it computes, and each thread has its
/// share of memory. SQLite has its own.
const THREADS: usize = 2;
/// How long what blocks a thread (hashing a password) may take at the end.
const SHUTDOWN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    memory::give_back_at_once();
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
        Ok(runtime) => {
            let result = runtime.block_on(run::run(options));
            // After a failure nobody waits for what hangs.
            runtime.shutdown_timeout(SHUTDOWN);
            result
        }
        Err(error) => return fail(&error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Internal(cause)) => fail(&*cause),
        Err(error) => fail(&error),
    }
}

/// Says what went wrong.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    #[expect(clippy::print_stderr, reason = "the log may not be there yet")]
    {
        eprintln!("skerry: {error}");
    }
    ExitCode::FAILURE
}
