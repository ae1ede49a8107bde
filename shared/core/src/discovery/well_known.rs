//! `/.well-known/matrix/server`: what an answer delegates to, for how long it holds, and where a
//! redirect leads ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#getwell-knownmatrixserver

use std::time::UNIX_EPOCH;

use ruma::{
    OwnedServerName,
    api::{IncomingResponseExt as _, federation::discovery::discover_homeserver},
};
use url::Url;

/// Bytes of an answer.
pub const MAX_BYTES: u64 = 50 * 1024;
/// Redirects that are followed, one after the other.
pub const MAX_REDIRECTS: usize = 5;

/// How long a valid answer holds that says nothing about it.
pub const DEFAULT_LIFETIME_MS: u64 = 24 * HOUR_MS;
/// The longest that a valid answer holds, whatever it says.
pub const MAX_LIFETIME_MS: u64 = 48 * HOUR_MS;
/// The shortest that a valid answer holds, whatever it says.
pub const MIN_LIFETIME_MS: u64 = 5 * MINUTE_MS;
/// How long the first failure holds. Each further one holds twice as long.
pub const FIRST_FAILURE_MS: u64 = MINUTE_MS;
/// The longest that a failure holds.
pub const MAX_FAILURE_MS: u64 = HOUR_MS;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// Why a server does not delegate. None of them ends the discovery: it goes on as if there were no
/// delegation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDelegation {
    /// The answer is none of success.
    #[error("status {0}")]
    Status(u16),
    /// The answer is not JSON with a server name as its `m.server`.
    #[error("not a valid answer: {0}")]
    Invalid(String),
    /// The redirect leads nowhere, or where it may not lead.
    #[error("a redirect to {0:?} is not followed")]
    Redirect(String),
    /// There were [`MAX_REDIRECTS`] before it.
    #[error("more than {MAX_REDIRECTS} redirects")]
    TooManyRedirects,
    /// There is no answer.
    #[error("{0}")]
    Unreachable(String),
}

/// The name that an answer delegates to.
///
/// # Errors
///
/// [`NoDelegation::Status`] or [`NoDelegation::Invalid`].
pub fn read(status: u16, body: &[u8]) -> Result<OwnedServerName, NoDelegation> {
    if status != 200 {
        return Err(NoDelegation::Status(status));
    }
    let invalid = |error: &dyn std::fmt::Display| NoDelegation::Invalid(error.to_string());
    let response = http::Response::builder().status(status).body(body);
    let response = response.map_err(|error| invalid(&error))?;
    discover_homeserver::Response::try_from_http_response(response)
        .map(|it| it.server)
        .map_err(|error| invalid(&error))
}

/// Whether the status asks to look elsewhere.
pub fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, after so many others.
///
/// # Errors
///
/// [`NoDelegation::TooManyRedirects`] ends a loop; [`NoDelegation::Redirect`] when the place is not
/// served over TLS.
pub fn redirect(from: &Url, location: &str, before: usize) -> Result<Url, NoDelegation> {
    if before >= MAX_REDIRECTS {
        return Err(NoDelegation::TooManyRedirects);
    }
    let refused = || NoDelegation::Redirect(location.chars().take(200).collect());
    let mut to = from.join(location).map_err(|_| refused())?;
    if to.scheme() != "https" || !to.username().is_empty() || to.password().is_some() {
        return Err(refused());
    }
    to.set_fragment(None);
    Ok(to)
}

/// What an answer says about how long it holds. Headers that are not text are as good as missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caching<'a> {
    /// `Cache-Control`
    pub cache_control: Option<&'a str>,
    /// `Expires`
    pub expires: Option<&'a str>,
    /// `Age`: how long caches on the way had it, in seconds.
    pub age: Option<&'a str>,
}

/// How long a valid answer holds, in milliseconds.
pub fn lifetime_ms(caching: Caching<'_>, now_ms: u64) -> u64 {
    stated_lifetime_ms(caching, now_ms)
        .unwrap_or(DEFAULT_LIFETIME_MS)
        .clamp(MIN_LIFETIME_MS, MAX_LIFETIME_MS)
}

fn stated_lifetime_ms(caching: Caching<'_>, now_ms: u64) -> Option<u64> {
    let directives = || caching.cache_control.unwrap_or_default().split(',').map(str::trim);
    let is_uncached = |it: &str| {
        ["no-store", "no-cache"].iter().any(|uncached| it.eq_ignore_ascii_case(uncached))
    };
    if directives().any(is_uncached) {
        return Some(0);
    }
    if let Some(seconds) = directives().find_map(max_age) {
        let age = caching.age.and_then(|it| it.trim().parse().ok()).unwrap_or(0);
        return Some(seconds.saturating_sub(age).saturating_mul(1000));
    }
    // A date that cannot be read means that the answer does not hold.
    let date = httpdate::parse_http_date(caching.expires?).ok();
    let since_epoch = date.and_then(|it| it.duration_since(UNIX_EPOCH).ok());
    let expires_ms = since_epoch.and_then(|it| u64::try_from(it.as_millis()).ok());
    Some(expires_ms.unwrap_or(0).saturating_sub(now_ms))
}

/// Seconds.
fn max_age(directive: &str) -> Option<u64> {
    let (name, value) = directive.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("max-age") {
        return None;
    }
    value.trim().trim_matches('"').parse().ok()
}

/// How long a failure holds that is the `failures`th in a row, in milliseconds.
pub fn failure_lifetime_ms(failures: u32) -> u64 {
    let doublings = failures.saturating_sub(1).min(u64::BITS / 2);
    FIRST_FAILURE_MS.saturating_mul(1 << doublings).min(MAX_FAILURE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_success_with_a_server_name_delegates() {
        assert_eq!(read(200, br#"{"m.server":"a.example:443"}"#).unwrap(), "a.example:443");
        assert_eq!(read(200, br#"{"m.server":"[::1]","other":1}"#).unwrap(), "[::1]");
        for status in [201, 204, 301, 404, 500] {
            assert_eq!(
                read(status, br#"{"m.server":"a.example"}"#),
                Err(NoDelegation::Status(status))
            );
        }
        for body in [
            "",
            "{}",
            "[]",
            "<html>",
            r#"{"m.server":1}"#,
            r#"{"m.server":""}"#,
            r#"{"m.server":"https://a.example"}"#,
            r#"{"m.server":"a.example/b"}"#,
            r#"{"m.server":"a.example:99999"}"#,
        ] {
            let found = read(200, body.as_bytes());
            assert!(matches!(found, Err(NoDelegation::Invalid(_))), "{body}: {found:?}");
        }
    }

    #[test]
    fn a_redirect_leads_to_what_is_served_over_tls() {
        let from: Url = "https://a.example/.well-known/matrix/server".parse().unwrap();
        let cases = [
            ("https://b.example/x", Some("https://b.example/x")),
            ("/x?y#z", Some("https://a.example/x?y")),
            ("//b.example:1/x", Some("https://b.example:1/x")),
            ("server2", Some("https://a.example/.well-known/matrix/server2")),
            ("http://b.example/x", None),
            ("https://user@b.example/x", None),
            ("https://user:pass@b.example/x", None),
            ("file:///etc/passwd", None),
            ("https://", None),
        ];
        for (location, expected) in cases {
            let found = redirect(&from, location, 0);
            assert_eq!(found.ok().as_ref().map(Url::as_str), expected, "{location}");
        }
        assert!(redirect(&from, "/x", MAX_REDIRECTS - 1).is_ok());
        assert_eq!(redirect(&from, "/x", MAX_REDIRECTS), Err(NoDelegation::TooManyRedirects));
    }

    #[test]
    fn an_answer_holds_as_long_as_it_says_within_limits() {
        let now_ms = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT
        let control = |it| Caching { cache_control: Some(it), ..Caching::default() };
        let expires = |it| Caching { expires: Some(it), ..Caching::default() };
        let cases = [
            (Caching::default(), DEFAULT_LIFETIME_MS),
            (control("max-age=3600"), HOUR_MS),
            (control("public, Max-Age = \"3600\" , immutable"), HOUR_MS),
            (control("max-age=0"), MIN_LIFETIME_MS),
            (control("max-age=99999999999999999999"), DEFAULT_LIFETIME_MS),
            (control("max-age=9999999"), MAX_LIFETIME_MS),
            (control("no-store"), MIN_LIFETIME_MS),
            (control("No-Cache, max-age=3600"), MIN_LIFETIME_MS),
            (control("private"), DEFAULT_LIFETIME_MS),
            (Caching { age: Some("1800"), ..control("max-age=3600") }, HOUR_MS / 2),
            (Caching { age: Some("9999"), ..control("max-age=3600") }, MIN_LIFETIME_MS),
            (expires("Sun, 06 Nov 1994 10:49:37 GMT"), 2 * HOUR_MS),
            (expires("Sun, 06 Nov 1994 07:49:37 GMT"), MIN_LIFETIME_MS),
            (expires("0"), MIN_LIFETIME_MS),
            (
                Caching {
                    expires: Some("Sun, 06 Nov 1994 10:49:37 GMT"),
                    ..control("max-age=3600")
                },
                HOUR_MS,
            ),
        ];
        for (caching, expected) in cases {
            assert_eq!(lifetime_ms(caching, now_ms), expected, "{caching:?}");
        }
    }

    #[test]
    fn failures_hold_longer_and_longer_and_never_more_than_an_hour() {
        let minutes: Vec<_> = (1..=8).map(|it| failure_lifetime_ms(it) / MINUTE_MS).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(failure_lifetime_ms(u32::MAX), MAX_FAILURE_MS);
        assert_eq!(failure_lifetime_ms(0), FIRST_FAILURE_MS);
    }
}
