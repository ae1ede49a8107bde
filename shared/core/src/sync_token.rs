//! The token of `/sync`: how far into a user's stream a client has got.
//!
//! `s{base}` or `s{base}_{own}`. A client reads rooms *after* it learned what changed, and other
//! devices and the rooms themselves go on meanwhile. What they do in between stands in the stream
//! behind `base`, before the client's own record of what it read, `own`: the token claims the one
//! and not the other. Where nothing came in between, `own` is the next base.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A `/sync` token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SyncToken {
    /// Everything up to this position of the stream has been seen.
    pub base: u64,
    /// And the reads that are recorded at this later position.
    pub own: Option<u64>,
}

impl SyncToken {
    /// The token of a client that has seen everything up to a position.
    pub fn at(base: u64) -> Self {
        Self { base, own: None }
    }

    /// The token of a client that has seen everything up to `base` and has recorded its reads
    /// at `own`.
    pub fn after_read(base: u64, own: u64) -> Self {
        if own == base + 1 { Self::at(own) } else { Self { base, own: Some(own) } }
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
            None => write!(f, "s{}", self.base),
            Some(own) => write!(f, "s{}_{own}", self.base),
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
        match text.split_once('_') {
            None => Ok(Self::at(parse_position(text)?)),
            Some((base, own)) => {
                let (base, own) = (parse_position(base)?, parse_position(own)?);
                if own <= base {
                    return Err(InvalidSyncToken);
                }
                Ok(Self { base, own: Some(own) })
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
        let cases = [
            ("s0", Ok(SyncToken::at(0))),
            ("s42", Ok(SyncToken::at(42))),
            ("s42_44", Ok(SyncToken { base: 42, own: Some(44) })),
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
