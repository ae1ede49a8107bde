//! How much media there may be: what the operator may change, as items with commas between them.
//!
//! | item | means | default |
//! |---|---|---|
//! | `upload=50M` | the largest file that a user may upload | 50 MiB |
//! | `user-day=1G` | bytes that a user may upload in 24 hours | 1 GiB |
//! | `user-day-files=1000` | files that a user may upload in 24 hours | 1,000 |
//! | `pending=20` | media that a user may have created and not uploaded | 20 |
//! | `remote=50M` | the largest file that is fetched from another server | 50 MiB |
//! | `remote-days=30` | for how many days a file of another server is kept | 30 |
//!
//! Sizes are bytes, or end in `K`, `M` or `G`, which are powers of 1,024.

use std::str::FromStr;

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaLimits {
    /// Bytes of the largest file that a user may upload.
    pub upload_bytes: u64,
    /// Bytes that a user may upload in [`MediaLimits::DAY_MS`].
    pub user_day_bytes: u64,
    /// Files that a user may upload in that time.
    pub user_day_files: u64,
    /// Identifiers that a user may have made without having uploaded anything to them.
    pub pending: u64,
    /// Bytes of the largest file that is fetched from another server.
    pub remote_bytes: u64,
    /// For how long a file of another server is kept, in milliseconds.
    pub remote_age_ms: u64,
}

/// A text that says no limits of media.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaLimitsError {
    /// There is no limit of this name.
    #[error("media limits: there is no limit {0:?}")]
    Name(String),
    /// This is no size or number that it may have.
    #[error("media limits: {0:?} is no number above 0, such as `50M`")]
    Number(String),
}

/// The largest number that may be said: what every host can count exactly.
const MAX_NUMBER: u64 = 1 << 50;
/// The most days that may be said: a hundred years.
const MAX_DAYS: u64 = 36_500;

impl MediaLimits {
    /// What a day is here: the last 24 hours, in milliseconds.
    pub const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
}

impl Default for MediaLimits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            upload_bytes: 50 * MIB,
            user_day_bytes: 1024 * MIB,
            user_day_files: 1_000,
            pending: 20,
            remote_bytes: 50 * MIB,
            remote_age_ms: 30 * Self::DAY_MS,
        }
    }
}

impl FromStr for MediaLimits {
    type Err = MediaLimitsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut limits = Self::default();
        for item in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            let (name, number) = item.split_once('=').unwrap_or((item, ""));
            let limit = match name.trim() {
                "upload" => &mut limits.upload_bytes,
                "user-day" => &mut limits.user_day_bytes,
                "user-day-files" => &mut limits.user_day_files,
                "pending" => &mut limits.pending,
                "remote" => &mut limits.remote_bytes,
                "remote-days" => {
                    let days = number_in(number, MAX_DAYS)?;
                    limits.remote_age_ms = days.saturating_mul(Self::DAY_MS);
                    continue;
                }
                name => return Err(MediaLimitsError::Name(name.to_owned())),
            };
            *limit = number_in(number, MAX_NUMBER)?;
        }
        Ok(limits)
    }
}

fn number_in(text: &str, max: u64) -> Result<u64, MediaLimitsError> {
    let refused = || MediaLimitsError::Number(text.to_owned());
    let trimmed = text.trim();
    let units = [('K', 1_u64 << 10), ('M', 1 << 20), ('G', 1 << 30)];
    let in_unit = |(letter, unit)| Some((trimmed.strip_suffix(letter)?, unit));
    let (digits, unit) = units.into_iter().find_map(in_unit).unwrap_or((trimmed, 1));
    let number = digits.parse::<u64>().map_err(|_| refused())?.saturating_mul(unit);
    (1..=max).contains(&number).then_some(number).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured() {
        let usual = MediaLimits::default();
        let limits = |text: &str| text.parse::<MediaLimits>();
        assert_eq!(limits(""), Ok(usual));
        let few = MediaLimits {
            upload_bytes: 1024,
            user_day_bytes: 2 << 30,
            user_day_files: 3,
            pending: 4,
            remote_bytes: 5 << 20,
            remote_age_ms: 6 * MediaLimits::DAY_MS,
        };
        let text = "upload=1K, user-day=2G,user-day-files=3,pending=4,remote=5M,remote-days=6,";
        assert_eq!(limits(text), Ok(few));
        assert_eq!(limits("upload=7"), Ok(MediaLimits { upload_bytes: 7, ..usual }));
        for text in ["upload", "upload=", "upload=0", "upload=-1", "upload=1MM", "upload=9999999G"]
        {
            assert!(matches!(limits(text), Err(MediaLimitsError::Number(_))), "{text}");
        }
        assert_eq!(limits("uplaod=1"), Err(MediaLimitsError::Name("uplaod".to_owned())));
        assert!(limits("remote-days=99999999").is_err());
    }
}
