//! The blobs port: files, by names that this server makes.
//!
//! An adapter keeps these promises, which `conformance::blobs` tests:
//!
//! - A blob is there as a whole or not at all. When it was put, it is durable.
//! - What its bytes fail with is what putting it fails with, and then nothing is there.
//! - Bytes go both ways as streams: of none, however large, more than a few MiB are held.
//! - A blob is never changed. Its name is used once.

use std::{ops::Range, pin::Pin};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use super::Random;
use crate::{Error, Result};

/// Bytes of a blob, piece by piece. They end with an error or without one.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Bytes of the longest name.
const MAX_NAME_BYTES: usize = 64;
/// Bytes of randomness in a name.
const RANDOM_BYTES: usize = 16;

/// The name of a blob: small letters and digits, so that every file system can have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName(String);

impl BlobName {
    /// A name that no other blob has.
    ///
    /// # Errors
    ///
    /// Where there is no randomness.
    pub fn random(random: &dyn Random) -> Result<Self> {
        let mut bytes = [0; RANDOM_BYTES];
        random.fill(&mut bytes)?;
        let digits = bytes.iter().flat_map(|it| [it >> 4, it & 15]);
        let digit = |it: u8| char::from_digit(it.into(), 16);
        Ok(Self(digits.filter_map(digit).collect()))
    }

    /// A name as it was stored.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] where it is none.
    pub fn parse(text: String) -> Result<Self> {
        let is_allowed = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
        match (2..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_allowed) {
            true => Ok(Self(text)),
            false => Err(Error::internal("this is no name of a blob")),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keeps blobs.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores a blob.
    ///
    /// # Errors
    ///
    /// What the bytes end with, or [`Error::Internal`] where they cannot be stored.
    async fn put(&self, name: &BlobName, bytes: BlobStream) -> Result<()>;

    /// These bytes of a blob; none: there is no such blob. A range that it does not have is an
    /// error, here or at the end of the bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] where it cannot be read.
    async fn get(&self, name: &BlobName, range: Range<u64>) -> Result<Option<BlobStream>>;

    /// Removes a blob, if it is there, and what is left of one that was being stored when the host
    /// went down.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] where it may still be there.
    async fn remove(&self, name: &BlobName) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        let longest = "x".repeat(MAX_NAME_BYTES);
        for name in ["ab", "0123456789abcdef", &longest] {
            assert_eq!(BlobName::parse(name.to_owned()).unwrap().as_str(), name);
        }
        let too_long = format!("{longest}x");
        for name in ["", "a", "..", "../a", "a/b", "a.b", "AB", "a\0b", "\u{e9}\u{e9}", &too_long] {
            assert!(BlobName::parse(name.to_owned()).is_err(), "{name:?}");
        }
    }
}
