//! The token of `/sync`: how far into a user's stream a client has got.
//!
//! `s{base}` or `s{base}_{own}`, and `-{rest}` and `~{epoch}.{version}` behind it. A client reads
//! rooms *after* it learned what changed, and other devices and the rooms themselves go on
//! meanwhile. What they do in between stands in the stream behind `base`, before the client's own
//! record of what it read, `own`: the token claims the one and not the other. Where nothing came in
//! between, `own` is the next base.
//!
//! A client that begins is given its rooms by the page, those joined last first. As long as there
//! are more, `rest` says which have been given.
//!
//! Receipts and typing take no position of the stream: `~{epoch}.{version}` at the end says how
//! much of what the user's memory holds of them the client has been given.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A `/sync` token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SyncToken {
    /// Everything up to this position of the stream has been seen.
    pub base: u64,
    /// And the reads that are recorded at this later position.
    pub own: Option<u64>,
    /// Rooms that were joined before this position of the stream have not been given yet.
    pub rest: Option<u64>,
    /// How much of the receipts and typing has been given.
    pub ephemeral: Option<EphemeralVersion>,
}

/// A version of what one memory of a user holds of receipts and typing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EphemeralVersion {
    /// Which memory: another one begins anew.
    pub epoch: u64,
    /// Grows with every piece of news.
    pub version: u64,
}

impl SyncToken {
    /// The token of a client that has seen everything up to a position.
    pub fn at(base: u64) -> Self {
        Self { base, own: None, rest: None, ephemeral: None }
    }

    /// The token of a client that has seen everything up to `base` and has recorded its reads
    /// at `own`.
    pub fn after_read(base: u64, own: u64) -> Self {
        if own == base + 1 { Self::at(own) } else { Self { own: Some(own), ..Self::at(base) } }
    }

    /// The same token of a client that has been given so much of the receipts and typing.
    #[must_use]
    pub fn with_ephemeral(self, ephemeral: EphemeralVersion) -> Self {
        Self { ephemeral: Some(ephemeral), ..self }
    }

    /// The same token of a client that has not been given all of its rooms yet.
    #[must_use]
    pub fn with_rest(self, rest: Option<u64>) -> Self {
        Self { rest, ..self }
    }

    /// Whether a room that was joined at this position of the stream has not been given yet.
    pub fn lacks(&self, membership_seq: u64) -> bool {
        self.rest.is_some_and(|rest| membership_seq < rest)
    }

    /// Whether what was recorded at this position has been seen.
    pub fn covers(&self, seq: u64) -> bool {
        seq <= self.base || Some(seq) == self.own
    }

    /// The last position this token knows of.
    pub fn newest(&self) -> u64 {
        self.own.unwrap_or(self.base)
    }
}

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.own {
            None => write!(f, "s{}", self.base)?,
            Some(own) => write!(f, "s{}_{own}", self.base)?,
        }
        if let Some(rest) = self.rest {
            write!(f, "-{rest}")?;
        }
        match self.ephemeral {
            None => Ok(()),
            Some(EphemeralVersion { epoch, version }) => write!(f, "~{epoch}.{version}"),
        }
    }
}

/// The text is not a `/sync` token of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sync token")]
pub struct InvalidSyncToken;

impl FromStr for SyncToken {
    type Err = InvalidSyncToken;

    fn from_str(text: &str) -> Result<Self, InvalidSyncToken> {
        let text = text.strip_prefix('s').ok_or(InvalidSyncToken)?;
        let (text, ephemeral) = match text.split_once('~') {
            None => (text, None),
            Some((text, ephemeral)) => {
                let (epoch, version) = ephemeral.split_once('.').ok_or(InvalidSyncToken)?;
                let (epoch, version) = (parse_position(epoch)?, parse_position(version)?);
                (text, Some(EphemeralVersion { epoch, version }))
            }
        };
        let (text, rest) = match text.split_once('-') {
            None => (text, None),
            Some((text, rest)) => (text, Some(parse_position(rest)?)),
        };
        match text.split_once('_') {
            None => Ok(Self { rest, ephemeral, ..Self::at(parse_position(text)?) }),
            Some((base, own)) => {
                let (base, own) = (parse_position(base)?, parse_position(own)?);
                if own <= base {
                    return Err(InvalidSyncToken);
                }
                Ok(Self { base, own: Some(own), rest, ephemeral })
            }
        }
    }
}

/// Digits, of a number that a double holds exactly: positions go through JavaScript at the edge.
fn parse_position(text: &str) -> Result<u64, InvalidSyncToken> {
    const MAX: u64 = (1 << 53) - 1;
    if !text.bytes().all(|it| it.is_ascii_digit()) {
        return Err(InvalidSyncToken);
    }
    text.parse().ok().filter(|it| *it <= MAX).ok_or(InvalidSyncToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_token() {
        let seen = EphemeralVersion { epoch: 9, version: 3 };
        let whole = SyncToken::after_read(42, 44).with_rest(Some(7)).with_ephemeral(seen);
        let cases = [
            ("s0", Ok(SyncToken::at(0))),
            ("s42", Ok(SyncToken::at(42))),
            ("s42_44", Ok(SyncToken::after_read(42, 44))),
            ("s42-7", Ok(SyncToken::at(42).with_rest(Some(7)))),
            ("s42_44-7", Ok(SyncToken::after_read(42, 44).with_rest(Some(7)))),
            ("s42~9.3", Ok(SyncToken::at(42).with_ephemeral(seen))),
            ("s42_44-7~9.3", Ok(whole)),
            ("s42~9", Err(InvalidSyncToken)),
            ("s42~9.", Err(InvalidSyncToken)),
            ("s42~9.3.1", Err(InvalidSyncToken)),
            ("s42-", Err(InvalidSyncToken)),
            ("s-7", Err(InvalidSyncToken)),
            ("s42-7-7", Err(InvalidSyncToken)),
            ("s9007199254740991", Ok(SyncToken::at(9_007_199_254_740_991))),
            ("s9007199254740992", Err(InvalidSyncToken)),
            ("s42_42", Err(InvalidSyncToken)),
            ("s42_", Err(InvalidSyncToken)),
            ("s+4", Err(InvalidSyncToken)),
            ("s", Err(InvalidSyncToken)),
            ("42", Err(InvalidSyncToken)),
            ("t42", Err(InvalidSyncToken)),
            ("", Err(InvalidSyncToken)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<SyncToken>(), expected, "{text:?}");
            if let Ok(token) = expected {
                assert_eq!(token.to_string(), text);
            }
        }
    }

    #[test]
    fn a_read_right_behind_the_base_is_the_next_base() {
        assert_eq!(SyncToken::after_read(6, 7).to_string(), "s7");
        assert_eq!(SyncToken::after_read(6, 9).to_string(), "s6_9");
    }
}
