//! The token of `/sync`: how far into a user's stream a client has got.
//!
//! `s{base}` or `s{base}_{own}`, and `-{before}` or `-{before}.{base}` or `-{before}.{base}_{own}`
//! and `~{epoch}.{version}` and `*{seq}` and `@{us}` or `@{us}!` behind it. A client reads
//! rooms *after* it learned what changed, and other devices and the rooms themselves go on
//! meanwhile. What they do in between stands in the stream behind `base`, before the client's own
//! record of what it read, `own`: the token claims the one and not the other. Where nothing came in
//! between, `own` is the next base.
//!
//! A client is given its rooms by the page, those joined last first. As long as there are more,
//! the *rest* says which have not been given yet, and what the client had seen of these before the
//! first page: nothing, where it began.
//!
//! Receipts and typing take no position of the stream: `~{epoch}.{version}` at the end says how
//! much of what the user's memory holds of them the client has been given.
//!
//! Messages to the device that came with the response end at the position `*{seq}`: whoever comes
//! back with it has them, and they are removed. Without it none came.
//!
//! A token is also asked for where rooms were at that time that the client was not given: those it
//! has filtered out, has left, or has never been in. `@{us}` says when it was made; with `!` the
//! client may not have been given all rooms that had something new.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::integer;

/// A `/sync` token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SyncToken {
    /// Everything up to this position of the stream has been seen.
    pub base: u64,
    /// And the reads that are recorded at this later position.
    pub own: Option<u64>,
    /// Rooms that are still to be given.
    pub rest: Option<Rest>,
    /// How much of the receipts and typing has been given.
    pub ephemeral: Option<EphemeralVersion>,
    /// The position of the last message to the device that was given with it; none: none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_device: Option<u64>,
    /// When it was made; none: before tokens said so.
    pub made: Option<Made>,
}

/// The making of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Made {
    /// When what it covers was looked up: an instant of the server's clock, in microseconds since
    /// the Unix epoch.
    pub us: u64,
    /// A filter may have kept out rooms that had something new.
    pub is_partial: bool,
}

/// How far into the stream somebody has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seen {
    /// As [`SyncToken::base`].
    pub base: u64,
    /// As [`SyncToken::own`].
    pub own: Option<u64>,
}

/// Rooms that a client has not been given yet, while others have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rest {
    /// Those that were joined before this position of the stream.
    pub before: u64,
    /// What has been seen of them; none: nothing.
    pub seen: Option<Seen>,
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
        Self { base, own: None, rest: None, ephemeral: None, to_device: None, made: None }
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
    pub fn with_rest(self, rest: Option<Rest>) -> Self {
        Self { rest, ..self }
    }

    /// The same token of a client that is given messages to its device up to this position with it.
    #[must_use]
    pub fn with_to_device(self, to_device: Option<u64>) -> Self {
        Self { to_device, ..self }
    }

    /// The same token, which was made so.
    #[must_use]
    pub fn with_made(self, made: Made) -> Self {
        Self { made: Some(made), ..self }
    }

    /// The same token, which was given again after nothing had come.
    #[must_use]
    pub fn given_again(self, us: u64) -> Self {
        Self { made: self.made.map(|it| Made { us: us.max(it.us), ..it }), ..self }
    }

    /// What has been seen of rooms that are not of the rest.
    pub fn seen(&self) -> Seen {
        Seen { base: self.base, own: self.own }
    }

    /// What has been seen of a room whose membership was set at this position of the stream.
    /// None: nothing.
    pub fn seen_of(&self, membership_seq: u64) -> Option<Seen> {
        match self.rest {
            Some(rest) if membership_seq < rest.before => rest.seen,
            _ => Some(self.seen()),
        }
    }

    /// Of every room, and of what belongs to none, everything up to this position was seen, if
    /// anything was.
    pub fn oldest(&self) -> u64 {
        self.rest.and_then(|it| it.seen).map_or(self.base, |it| it.base.min(self.base))
    }

    /// The last position this token knows of.
    pub fn newest(&self) -> u64 {
        self.own.unwrap_or(self.base)
    }
}

impl Seen {
    /// Whether what was recorded at this position has been seen.
    pub fn covers(&self, seq: u64) -> bool {
        seq <= self.base || Some(seq) == self.own
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.own {
            None => write!(f, "{}", self.base),
            Some(own) => write!(f, "{}_{own}", self.base),
        }
    }
}

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.seen())?;
        match self.rest {
            None => {}
            Some(Rest { before, seen: None }) => write!(f, "-{before}")?,
            Some(Rest { before, seen: Some(seen) }) => write!(f, "-{before}.{seen}")?,
        }
        if let Some(EphemeralVersion { epoch, version }) = self.ephemeral {
            write!(f, "~{epoch}.{version}")?;
        }
        if let Some(to_device) = self.to_device {
            write!(f, "*{to_device}")?;
        }
        match self.made {
            None => Ok(()),
            Some(Made { us, is_partial: false }) => write!(f, "@{us}"),
            Some(Made { us, is_partial: true }) => write!(f, "@{us}!"),
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
        let (text, made) = match text.split_once('@') {
            None => (text, None),
            Some((text, made)) => (text, Some(parse_made(made)?)),
        };
        let (text, to_device) = match text.split_once('*') {
            None => (text, None),
            Some((text, to_device)) => (text, Some(parse_position(to_device)?)),
        };
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
            Some((text, rest)) => (text, Some(parse_rest(rest)?)),
        };
        let Seen { base, own } = parse_seen(text)?;
        Ok(Self { base, own, rest, ephemeral, to_device, made })
    }
}

fn parse_made(text: &str) -> Result<Made, InvalidSyncToken> {
    let (us, is_partial) = match text.strip_suffix('!') {
        Some(us) => (us, true),
        None => (text, false),
    };
    Ok(Made { us: parse_position(us)?, is_partial })
}

fn parse_rest(text: &str) -> Result<Rest, InvalidSyncToken> {
    let (before, seen) = match text.split_once('.') {
        None => (text, None),
        Some((before, seen)) => (before, Some(parse_seen(seen)?)),
    };
    Ok(Rest { before: parse_position(before)?, seen })
}

fn parse_seen(text: &str) -> Result<Seen, InvalidSyncToken> {
    let Some((base, own)) = text.split_once('_') else {
        return Ok(Seen { base: parse_position(text)?, own: None });
    };
    let (base, own) = (parse_position(base)?, parse_position(own)?);
    if own <= base {
        return Err(InvalidSyncToken);
    }
    Ok(Seen { base, own: Some(own) })
}

fn parse_position(text: &str) -> Result<u64, InvalidSyncToken> {
    integer::parse(text).ok_or(InvalidSyncToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_token() {
        let seen = EphemeralVersion { epoch: 9, version: 3 };
        let lacking = Some(Rest { before: 7, seen: None });
        let behind = |token: SyncToken| Some(Rest { before: 7, seen: Some(token.seen()) });
        let whole = SyncToken::after_read(42, 44).with_rest(lacking).with_ephemeral(seen);
        let made = |us, is_partial| SyncToken::at(42).with_made(Made { us, is_partial });
        let catching_up = SyncToken::at(42).with_rest(behind(SyncToken::after_read(5, 8)));
        let cases = [
            ("s0", Ok(SyncToken::at(0))),
            ("s42", Ok(SyncToken::at(42))),
            ("s42_44", Ok(SyncToken::after_read(42, 44))),
            ("s42-7", Ok(SyncToken::at(42).with_rest(lacking))),
            ("s42_44-7", Ok(SyncToken::after_read(42, 44).with_rest(lacking))),
            ("s42~9.3", Ok(SyncToken::at(42).with_ephemeral(seen))),
            ("s42_44-7~9.3", Ok(whole)),
            ("s42-7.5", Ok(SyncToken::at(42).with_rest(behind(SyncToken::at(5))))),
            ("s42-7.5_8", Ok(catching_up)),
            ("s42-7.5_8~9.3", Ok(catching_up.with_ephemeral(seen))),
            ("s42@17", Ok(made(17, false))),
            ("s42@17!", Ok(made(17, true))),
            ("s42~9.3@17", Ok(made(17, false).with_ephemeral(seen))),
            ("s42*41", Ok(SyncToken::at(42).with_to_device(Some(41)))),
            ("s42~9.3*43@17", Ok(made(17, false).with_ephemeral(seen).with_to_device(Some(43)))),
            ("s42*", Err(InvalidSyncToken)),
            ("s42*41*41", Err(InvalidSyncToken)),
            ("s42*41~9.3", Err(InvalidSyncToken)),
            ("s42@17*41", Err(InvalidSyncToken)),
            ("s42@", Err(InvalidSyncToken)),
            ("s42@!", Err(InvalidSyncToken)),
            ("s42@17!!", Err(InvalidSyncToken)),
            ("s42@17~9.3", Err(InvalidSyncToken)),
            ("s42-7.", Err(InvalidSyncToken)),
            ("s42-7.5_5", Err(InvalidSyncToken)),
            ("s42-7.5.5", Err(InvalidSyncToken)),
            ("s42~9", Err(InvalidSyncToken)),
            ("s42~9.", Err(InvalidSyncToken)),
            ("s42~9.3.1", Err(InvalidSyncToken)),
            ("s42-", Err(InvalidSyncToken)),
            ("s-7", Err(InvalidSyncToken)),
            ("s42-7-7", Err(InvalidSyncToken)),
            ("s9007199254740991", Ok(SyncToken::at(9_007_199_254_740_991))),
            ("s9007199254740992", Err(InvalidSyncToken)),
            ("s042", Err(InvalidSyncToken)),
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

    #[test]
    fn a_token_that_is_given_again_is_of_then() {
        let token = SyncToken::at(6).with_made(Made { us: 10, is_partial: true });
        assert_eq!(token.given_again(20).to_string(), "s6@20!");
        assert_eq!(token.given_again(5), token, "a clock that went back");
        assert_eq!(SyncToken::at(6).given_again(20), SyncToken::at(6));
    }
}
