//! The command `skerry`: the native server.

use std::{process::ExitCode, time::Duration};

use clap::Parser as _;
use skerry::Error;
use skerry_local::{
    doctor, memory,
    options::{Command, Options},
    refetch_state, rotate_key, run,
};

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
            let result = match options.command {
                Some(Command::Doctor { ref server }) => {
                    runtime.block_on(doctor::doctor(&options, server))
                }
                Some(Command::RotateKey) => runtime.block_on(rotate_key::rotate_key(&options)),
                Some(Command::RefetchState { ref room, ref from, ref url, ref access_token }) => {
                    let asked = refetch_state::Asked { room_id: room, from, url, access_token };
                    runtime.block_on(refetch_state::refetch_state(&options, asked))
                }
                None => runtime.block_on(run::run(options)),
            };
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
