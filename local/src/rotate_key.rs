//! The command that makes a new signing key, beside a server that may be running.

use std::io::{self, Write as _};

use skerry::{Error, Result, bootstrap};
use skerry_core::server_keys::own::ACTIVATION_MS;

use crate::{
    machine::{SystemClock, SystemRandom},
    options::Options,
    sqlite::{FILE_NAME, Sqlite},
};

/// Makes a key, and says what it is called.
///
/// # Errors
///
/// Where no server has its data in the data directory.
pub async fn rotate_key(options: &Options) -> Result<()> {
    let directory = options.data_directory();
    if !directory.join(FILE_NAME).is_file() {
        let message = format!("there is no {FILE_NAME} in {}", directory.display());
        return Err(Error::internal(message));
    }
    let sqlite = Sqlite::open_with(&directory, options.synchronous.unwrap_or_default()).await?;
    let made = bootstrap::rotate_key(&sqlite, &SystemClock, &SystemRandom).await;
    sqlite.close().await?;
    let minutes = ACTIVATION_MS / 60_000;
    let mut out = io::stdout().lock();
    writeln!(out, "{} is the new signing key: it begins to sign in {minutes} minutes", made?)
        .and_then(|()| out.flush())
        .map_err(Error::internal)
}
