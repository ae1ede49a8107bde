//! By whom a request of the server-server API is: its `X-Matrix` credentials ([spec]).
//!
//! A server that has several keys may sign with each, in a header each. One signature by a key that
//! is valid now is enough; a wrong one by a key that is known is none the better for standing
//! beside a right one.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#request-authentication

use ruma::{
    OwnedServerName, OwnedServerSigningKeyId, ServerName, ServerSigningKeyId,
    api::federation::authentication::XMatrix,
};
use serde_json::to_string;

use crate::{
    receipt::VerifyKey,
    signed_text::{self, NotSigned},
};

/// Signatures of one request that are looked at.
pub const MAX_SIGNATURES: usize = 8;

/// Why a request is by no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// There are none.
    #[error("the request is not signed: it has no X-Matrix credentials")]
    Missing,
    /// They are not what the specification says.
    #[error("the X-Matrix credentials cannot be read: {0}")]
    Malformed(String),
    /// More than [`MAX_SIGNATURES`].
    #[error("the request has more than {MAX_SIGNATURES} signatures")]
    TooMany,
    /// They are by more than one server.
    #[error("the request is signed by more than one server")]
    Origins,
    /// The request is for somebody else.
    #[error("the request is for {0}")]
    Destination(OwnedServerName),
    /// The request says that it is by the server that it is for.
    #[error("a server makes no requests to itself")]
    Origin,
    /// None of the keys is one that the server has now.
    #[error("the server has none of the keys that signed the request, or not any more")]
    NoKey,
    /// A signature is wrong.
    #[error("the signature is wrong")]
    Signature,
    /// The body has no form that could have been signed.
    #[error("the body cannot have been signed: {0}")]
    Body(#[from] NotSigned),
}

/// A request, as far as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// Path and query, as they were sent.
    pub uri: &'a str,
    /// The body. None: there was none.
    pub content: Option<&'a str>,
}

/// Who a request says that it is by.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The server.
    pub origin: OwnedServerName,
    /// Keys, and signatures in base64.
    signatures: Vec<(OwnedServerSigningKeyId, String)>,
}

impl Credentials {
    /// Reads the `Authorization` headers of a request to a server. Those of other schemes are
    /// passed over.
    ///
    /// # Errors
    ///
    /// See [`CredentialsError`].
    pub fn read<'a>(
        headers: impl Iterator<Item = &'a str>,
        destination: &ServerName,
    ) -> Result<Self, CredentialsError> {
        let mut found: Option<Self> = None;
        for header in headers.filter(|it| is_ours(it)) {
            let credentials = XMatrix::parse(with_quotes(header))
                .map_err(|error| CredentialsError::Malformed(error.to_string()))?;
            let XMatrix { origin, destination: named, key, sig, .. } = credentials;
            if let Some(named) = named.filter(|it| it != destination) {
                return Err(CredentialsError::Destination(named));
            }
            if origin == destination {
                return Err(CredentialsError::Origin);
            }
            let found = found
                .get_or_insert_with(|| Self { origin: origin.clone(), signatures: Vec::new() });
            if found.origin != origin {
                return Err(CredentialsError::Origins);
            }
            if found.signatures.len() == MAX_SIGNATURES {
                return Err(CredentialsError::TooMany);
            }
            found.signatures.push((key, sig.encode()));
        }
        found.ok_or(CredentialsError::Missing)
    }

    /// The keys that are said to have signed.
    pub fn key_ids(&self) -> impl Iterator<Item = &ServerSigningKeyId> {
        self.signatures.iter().map(|(key_id, _)| &**key_id)
    }

    /// Verifies that the request is by the server it says it is by: it was signed with one of these
    /// keys of that server, which is valid at this time (milliseconds since the Unix epoch).
    ///
    /// # Errors
    ///
    /// See [`CredentialsError`].
    pub fn verify<'a>(
        &self,
        request: Request<'_>,
        destination: &ServerName,
        find_key: impl Fn(&ServerSigningKeyId) -> Option<&'a VerifyKey>,
        now_ms: u64,
    ) -> Result<(), CredentialsError> {
        let signed = signed(request, &self.origin, destination)?;
        let mut is_signed = false;
        for (key_id, signature) in &self.signatures {
            let Some(key) = find_key(key_id).filter(|it| !it.is_old() && it.is_valid_at(now_ms))
            else {
                continue;
            };
            if !key.verifies(signed.as_bytes(), signature) {
                return Err(CredentialsError::Signature);
            }
            is_signed = true;
        }
        if is_signed { Ok(()) } else { Err(CredentialsError::NoKey) }
    }
}

/// Whether an `Authorization` header is of this scheme.
fn is_ours(header: &str) -> bool {
    let scheme = header.split([' ', '\t']).next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(XMatrix::AUTH_SCHEME)
}

/// The header with one space behind its scheme and with all of its values in quotes: a value with a
/// colon is to be read without them too, as older servers write it.
fn with_quotes(header: &str) -> String {
    let parameters = header.split_once(is_space).map_or("", |it| it.1.trim_matches(is_space));
    let mut quoted = format!("{} ", XMatrix::AUTH_SCHEME);
    let (mut in_quotes, mut in_value, mut is_escaped) = (false, false, false);
    let mut last = ' ';
    for sign in parameters.chars() {
        let ends = in_value && matches!(sign, ',' | ' ' | '\t');
        let begins = !in_quotes && !in_value && last == '=' && sign != '"' && !is_space(sign);
        if ends || begins {
            quoted.push('"');
            in_value = begins;
        }
        quoted.push(sign);
        if sign == '"' && !is_escaped && !in_value {
            in_quotes = !in_quotes;
        }
        is_escaped = in_quotes && sign == '\\' && !is_escaped;
        if !is_space(sign) || in_quotes {
            last = sign;
        }
    }
    if in_value {
        quoted.push('"');
    }
    quoted
}

fn is_space(sign: char) -> bool {
    matches!(sign, ' ' | '\t')
}

/// What is signed of a request, with its members in order.
fn signed(
    request: Request<'_>,
    origin: &ServerName,
    destination: &ServerName,
) -> Result<String, NotSigned> {
    let Request { method, uri, content } = request;
    let content = match content {
        Some(content) => format!("\"content\":{},", signed_text::write(content)?),
        None => String::new(),
    };
    let text = |text: &str| to_string(text).map_err(|_| NotSigned::Syntax);
    let (destination, origin) = (text(destination.as_str())?, text(origin.as_str())?);
    let (method, uri) = (text(method)?, text(uri)?);
    Ok(format!(
        "{{{content}\"destination\":{destination},\"method\":{method},\"origin\":{origin},\
         \"uri\":{uri}}}"
    ))
}

#[cfg(test)]
mod tests {
    use ruma::api::federation::authentication::XMatrixSigningInput;

    use super::*;
    use crate::SigningKey;

    const NOW_MS: u64 = 1_000_000;
    const URI: &str = "/send/1?a=%2F";

    fn name(name: &str) -> OwnedServerName {
        name.try_into().unwrap()
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32], &format!("k{seed}")).unwrap()
    }

    /// The header with which a server signs a request as ruma does.
    fn header(origin: &str, destination: &str, key: &SigningKey, body: &str) -> String {
        let request = http::Request::put(URI).body(body.as_bytes()).unwrap();
        let input = XMatrixSigningInput::new(name(origin), name(destination), key.pair());
        XMatrix::sign_http_request(&request, input).unwrap().to_string()
    }

    fn request(content: &str) -> Request<'_> {
        let content = Some(content).filter(|it| !it.is_empty());
        Request { method: "PUT", uri: URI, content }
    }

    /// Reads and verifies, by a server whose keys are those of the seeds 1 and 2, valid until now,
    /// and that of the seed 3, which it had until then.
    fn check(headers: &[String], request: Request<'_>, now_ms: u64) -> Result<String, String> {
        let us = name("us.example");
        let verify_key = |seed: u8| {
            let bytes = VerifyKey::decode(&key(seed).public_base64()).unwrap();
            let current = VerifyKey::current(&bytes, NOW_MS).unwrap();
            let old = VerifyKey::old(&bytes, NOW_MS).unwrap();
            (key(seed).id().to_owned(), if seed == 3 { old } else { current })
        };
        let keys = [verify_key(1), verify_key(2), verify_key(3)];
        let credentials = Credentials::read(headers.iter().map(String::as_str), &us);
        let credentials = credentials.map_err(|it| it.to_string())?;
        let find = |id: &ServerSigningKeyId| keys.iter().find(|it| it.0 == id).map(|it| &it.1);
        credentials.verify(request, &us, find, now_ms).map_err(|it| it.to_string())?;
        Ok(credentials.origin.to_string())
    }

    #[test]
    fn a_request_is_by_whom_has_signed_it() {
        let by = |seed: u8, body: &str| header("a.example:1", "us.example", &key(seed), body);
        let body = r#"{"b":1,"a":[{}]}"#;
        for headers in [vec![by(1, body)], vec![by(2, body)], vec![by(1, body), by(2, body)]] {
            assert_eq!(check(&headers, request(body), NOW_MS).as_deref(), Ok("a.example:1"));
        }
        let unknown_beside = [by(9, body), by(1, body), "Bearer x".to_owned()];
        assert!(check(&unknown_beside, request(body), NOW_MS).is_ok());
        assert!(check(&[by(1, "")], request(""), NOW_MS).is_ok());
        // Without a destination, as older servers have it.
        let nameless = by(1, body).replace("destination=us.example,", "");
        assert!(!nameless.contains("destination"));
        assert!(check(&[nameless], request(body), NOW_MS).is_ok());
    }

    #[test]
    fn what_is_not_signed_by_a_valid_key_is_by_nobody() {
        let body = r#"{"a":1}"#;
        let by = |seed: u8| header("a.example", "us.example", &key(seed), body);
        let stranger = header("b.example", "us.example", &key(1), body);
        let own = header("us.example", "us.example", &key(1), body);
        let elsewhere = header("a.example", "them.example", &key(1), body);
        // The same signature under the name of another destination.
        let readdressed = elsewhere.replace("them.example", "us.example");
        let renamed = header("a.example", "us.example", &key(9), body).replace("k9", "k1");
        let get = Request { method: "GET", ..request(body) };
        let other_uri = Request { uri: "/send/2", ..request(body) };
        let many = vec![by(1); MAX_SIGNATURES + 1];
        let cases: [(&str, Vec<String>, Request<'_>, u64, CredentialsError); 14] = [
            ("nothing", vec![], request(body), NOW_MS, CredentialsError::Missing),
            (
                "a token",
                vec!["Bearer abc".to_owned()],
                request(body),
                NOW_MS,
                CredentialsError::Missing,
            ),
            ("an unknown key", vec![by(9)], request(body), NOW_MS, CredentialsError::NoKey),
            ("an old key", vec![by(3)], request(body), NOW_MS, CredentialsError::NoKey),
            ("a stale key", vec![by(1)], request(body), NOW_MS + 1, CredentialsError::NoKey),
            ("another's key", vec![renamed], request(body), NOW_MS, CredentialsError::Signature),
            (
                "two servers",
                vec![by(1), stranger],
                request(body),
                NOW_MS,
                CredentialsError::Origins,
            ),
            ("ourselves", vec![own], request(body), NOW_MS, CredentialsError::Origin),
            (
                "for another",
                vec![elsewhere],
                request(body),
                NOW_MS,
                CredentialsError::Destination(name("them.example")),
            ),
            ("readdressed", vec![readdressed], request(body), NOW_MS, CredentialsError::Signature),
            ("another method", vec![by(1)], get, NOW_MS, CredentialsError::Signature),
            ("another path", vec![by(1)], other_uri, NOW_MS, CredentialsError::Signature),
            (
                "another body",
                vec![by(1)],
                request(r#"{"a":2}"#),
                NOW_MS,
                CredentialsError::Signature,
            ),
            ("many", many, request(body), NOW_MS, CredentialsError::TooMany),
        ];
        for (what, headers, request, now_ms, expected) in cases {
            assert_eq!(check(&headers, request, now_ms), Err(expected.to_string()), "{what}");
        }
        let wrong_beside_right = [by(1), header("a.example", "us.example", &key(2), r#"{"a":2}"#)];
        let found = check(&wrong_beside_right, request(body), NOW_MS);
        assert_eq!(found, Err(CredentialsError::Signature.to_string()));
        let twice = check(&[by(1)], request(r#"{"a":1,"a":1}"#), NOW_MS);
        assert_eq!(twice, Err(CredentialsError::Body(NotSigned::Twice).to_string()));
    }

    /// A client of another server may put any number into what its server sends on.
    #[test]
    fn numbers_that_no_event_has_are_signed_as_they_are_written() {
        let us = name("us.example");
        let body = r#"{"a":1.50,"b":123456789012345678901234567890}"#;
        let signed = signed(request(body), &name("a.example"), &us).unwrap();
        let signature = key(1).sign(signed.as_bytes()).base64();
        let header = format!(r#"X-Matrix origin="a.example",key="ed25519:k1",sig="{signature}""#);
        assert!(check(&[header], request(body), NOW_MS).is_ok());
    }

    #[test]
    fn how_credentials_are_written() {
        let read = |header: &str| {
            let found = Credentials::read([header].into_iter(), &name("us.example:8448"));
            found.map(|it| {
                let [(key, signature)] = &*it.signatures else { panic!("{header}") };
                (it.origin.to_string(), key.to_string(), signature.clone())
            })
        };
        let expected = || {
            let strings = ("a.example:80", "ed25519:k_1", "dGVzdA");
            Ok((strings.0.to_owned(), strings.1.to_owned(), strings.2.to_owned()))
        };
        let fine = [
            r#"X-Matrix origin="a.example:80",destination="us.example:8448",key="ed25519:k_1",sig="dGVzdA""#,
            r#"x-matrix  ORIGIN="a.example:80" , Key="ed25519:k_1"	,	sig="dGVzdA==""#,
            "X-Matrix origin=a.example:80,destination=us.example:8448,key=ed25519:k_1,sig=dGVzdA==",
            "X-Matrix sig=dGVzdA, key=ed25519:k_1, origin=a.example:80",
            r#"X-Matrix origin="a.exa\mple:80",key="ed25519:k_1",sig="dGVzdA",later="a=b, c""#,
        ];
        for header in fine {
            assert_eq!(read(header), expected(), "{header}");
        }
        let malformed = [
            "X-Matrix",
            "X-Matrix origin",
            r#"X-Matrix origin="a.example:80"#,
            r#"X-Matrix origin="a.example:80",key="ed25519:k_1""#,
            r#"X-Matrix origin="a b",key="ed25519:k_1",sig="dGVzdA""#,
            r#"X-Matrix origin="a.example",origin="b.example",key="ed25519:k_1",sig="dGVzdA""#,
            r#"X-Matrix origin="a.example",key="k",sig="dGVzdA""#,
            r#"X-Matrix origin="a.example",key="ed25519:k",sig="*""#,
        ];
        for header in malformed {
            let found = read(header);
            assert!(matches!(found, Err(CredentialsError::Malformed(_))), "{header}: {found:?}");
        }
    }
}
