//! What the operator may change of the table: items with commas between them.
//!
//! | item | means |
//! |---|---|
//! | `off` | nothing is limited |
//! | `all=5/m:3` | every bucket has this rate: five a minute, three at once |
//! | `messages=off` | this bucket is not limited |
//! | `messages=20/s:500` | this bucket has this rate |
//!
//! A later item counts before an earlier one. Periods are `s`, `m`, `h` and `d`.

use std::str::FromStr;

use ruma::ServerName;

use super::{Bucket, Rate};

/// The most requests that a rate or a burst may say.
const MAX_REQUESTS: u32 = 1_000_000;

/// The rate of each bucket; none: it is not limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimits(Vec<Option<Rate>>);

/// A text that says no rate limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateLimitsError {
    /// There is no bucket of this name.
    #[error("rate limits: there is no bucket {0:?}")]
    Bucket(String),
    /// This is no rate.
    #[error("rate limits: {0:?} is neither `off` nor a rate such as `10/s:100`")]
    Rate(String),
}

impl RateLimits {
    /// Nothing is limited.
    pub fn off() -> Self {
        Self(vec![None; Bucket::ALL.len()])
    }

    /// Those of a server with this name, as the operator has changed them.
    pub fn of(name: &ServerName, text: &str) -> Result<Self, RateLimitsError> {
        let mut limits = Self::default();
        if name.host() == "localhost" {
            // Nobody else reaches it: whoever tries it out, and every test of a client, makes
            // accounts by the dozen from one address.
            limits.set(Bucket::Register, None);
        }
        limits.changed(text)
    }

    /// The rate of a bucket; none: it is not limited.
    pub fn rate(&self, bucket: Bucket) -> Option<Rate> {
        self.0.get(bucket.index()).copied().flatten()
    }

    fn changed(mut self, text: &str) -> Result<Self, RateLimitsError> {
        for item in text.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            let (name, rate) = item.split_once('=').unwrap_or(("all", item));
            let rate = match rate.trim() {
                "off" => None,
                rate => Some(rate.parse()?),
            };
            match name.trim() {
                "all" => self.set_all(rate),
                name => {
                    let unknown = || RateLimitsError::Bucket(name.to_owned());
                    self.set(Bucket::named(name).ok_or_else(unknown)?, rate);
                }
            }
        }
        Ok(self)
    }

    fn set(&mut self, bucket: Bucket, rate: Option<Rate>) {
        if let Some(place) = self.0.get_mut(bucket.index()) {
            *place = rate;
        }
    }

    fn set_all(&mut self, rate: Option<Rate>) {
        self.0.fill(rate);
    }
}

impl Default for RateLimits {
    fn default() -> Self {
        let rate = |bucket: &Bucket| bucket.default_text().parse().ok();
        Self(Bucket::ALL.iter().map(rate).collect())
    }
}

impl FromStr for RateLimits {
    type Err = RateLimitsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::default().changed(text)
    }
}

impl FromStr for Rate {
    type Err = RateLimitsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (rate, burst) = text.split_once(':')?;
            let (requests, period) = rate.split_once('/')?;
            let period_ms = match period.trim() {
                "s" => 1_000,
                "m" => 60 * 1_000,
                "h" => 60 * 60 * 1_000,
                "d" => 24 * 60 * 60 * 1_000,
                _ => return None,
            };
            let number = |text: &str| {
                let number = text.trim().parse::<u32>().ok()?;
                (1..=MAX_REQUESTS).contains(&number).then_some(number)
            };
            Some(Self { requests: number(requests)?, period_ms, burst: number(burst)? })
        };
        parse().ok_or_else(|| RateLimitsError::Rate(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_rate() {
        for bucket in Bucket::ALL {
            assert!(RateLimits::default().rate(*bucket).is_some(), "{bucket:?}");
        }
    }

    #[test]
    fn what_is_configured() {
        let few = Some(Rate { requests: 3, period_ms: 60_000, burst: 2 });
        let usual = |bucket| RateLimits::default().rate(bucket);
        let (messages, joins) = (Bucket::Messages, Bucket::Joins);
        let cases = [
            ("", usual(messages), usual(joins)),
            ("off", None, None),
            ("all=off", None, None),
            ("messages=off", None, usual(joins)),
            ("messages=3/m:2", few, usual(joins)),
            (" messages = 3/m:2 , joins=off,", few, None),
            ("off,joins=3/m:2", None, few),
            ("joins=3/m:2,off", None, None),
            ("all=3/m:2,joins=off", few, None),
            ("3/m:2", few, few),
        ];
        for (text, of_messages, of_joins) in cases {
            let limits: RateLimits = text.parse().unwrap();
            assert_eq!(limits.rate(messages), of_messages, "{text:?}");
            assert_eq!(limits.rate(joins), of_joins, "{text:?}");
        }
    }

    #[test]
    fn who_tries_a_server_on_localhost_makes_accounts_by_the_dozen() {
        let rate = |name: &str, text| {
            RateLimits::of(name.try_into().unwrap(), text).unwrap().rate(Bucket::Register)
        };
        for name in ["localhost", "localhost:8448"] {
            assert_eq!(rate(name, "messages=off"), None, "{name}");
            assert_eq!(rate(name, "all=1/s:1"), "1/s:1".parse().ok(), "{name}");
        }
        assert!(rate("example.org", "").is_some());
    }

    #[test]
    fn what_says_no_limits_is_refused() {
        for text in ["nonsense", "messages", "mesages=off", "messages=1", "messages=0/s:1"] {
            text.parse::<RateLimits>().unwrap_err();
        }
        for text in ["1/s", "1:1", "1/s:0", "-1/s:1", "1/w:1", "1.5/s:1", "1/s:1000001", "/s:"] {
            text.parse::<Rate>().unwrap_err();
        }
        assert_eq!("2/h:7".parse(), Ok(Rate { requests: 2, period_ms: 3_600_000, burst: 7 }));
    }
}
