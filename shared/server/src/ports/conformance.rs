//! What every adapter must keep, in one suite for each port: a host runs it over each of its
//! adapters.
//!
//! Functions instead of `#[test]`s, because at the edge they run inside workerd. Each fails with a
//! sentence.

pub mod dns;
pub mod http;
pub mod sql;

use crate::{Error, Result};

/// Fails with the sentence unless the promise is kept.
fn ensure(kept: bool, promise: &'static str) -> Result<()> {
    if kept { Ok(()) } else { Err(Error::internal(promise)) }
}

/// Compares, and says what came instead.
fn equal<T: PartialEq + std::fmt::Debug>(
    found: &T,
    expected: &T,
    promise: &'static str,
) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let shorten = |value: &T| format!("{value:?}").chars().take(200).collect::<String>();
    let (found, expected) = (shorten(found), shorten(expected));
    Err(Error::internal(format!("{promise}: expected {expected}, found {found}")))
}
