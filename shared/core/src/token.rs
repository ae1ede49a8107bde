//! Tokens: what they look like, and what is stored of them.
//!
//! A token names its user, so that whoever is shown one knows whose object to ask:
//! `ska_<localpart>_<random>`, both parts in unpadded URL-safe base64. Refresh tokens begin with
//! `skr`, those that tell others who somebody is with `sko`. The prefix tells people and secret
//! scanners what it is. That a token names a user proves nothing: the user's object knows the
//! hashes of the tokens it gave.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use ruma::{OwnedUserId, ServerName, UserId};
use sha2::{Digest as _, Sha256};

use crate::identifier::MAX_ID_BYTES;

/// Bytes of randomness in a token: what cannot be guessed need not be slow to check.
pub const RANDOM_BYTES: usize = 32;

/// Characters of that randomness in base64.
const RANDOM_CHARS: usize = 43;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// It authenticates requests.
    Access,
    /// It is exchanged for a new pair.
    Refresh,
    /// It tells others who its user is.
    OpenId,
}

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Access => "ska_",
            Self::Refresh => "skr_",
            Self::OpenId => "sko_",
        }
    }

    /// A new token of a user.
    pub fn make(self, user_id: &UserId, random: &[u8; RANDOM_BYTES]) -> String {
        let localpart = URL_SAFE_NO_PAD.encode(user_id.localpart());
        format!("{}{localpart}_{}", self.prefix(), URL_SAFE_NO_PAD.encode(random))
    }

    /// Whom a token of this kind names, if it is of the right form and names a possible user of
    /// this server. Who is named need not exist.
    pub fn user_named(self, token: &str, server_name: &ServerName) -> Option<OwnedUserId> {
        let rest = token.strip_prefix(self.prefix())?;
        // The alphabet of this base64 has the separator in it: the random part is told by its
        // length.
        let (named, random) = rest.split_at_checked(rest.len().checked_sub(RANDOM_CHARS)?)?;
        let random = URL_SAFE_NO_PAD.decode(random).ok()?;
        let localpart = URL_SAFE_NO_PAD.decode(named.strip_suffix('_')?).ok()?;
        let localpart = std::str::from_utf8(&localpart).ok()?;
        if random.len() != RANDOM_BYTES || localpart.is_empty() || localpart.contains(':') {
            return None;
        }
        let user_id = format!("@{localpart}:{server_name}");
        if user_id.len() > MAX_ID_BYTES {
            return None;
        }
        UserId::parse(user_id).ok()
    }
}

/// Bytes of a refresh token's randomness that it has in common with those that it came from.
const FAMILY_BYTES: usize = 12;

/// Bytes after those that say how many refreshes it is from the first of them.
const GENERATION_BYTES: usize = 4;

/// Which session a refresh token is of, and how many refreshes it is from its first one. With it,
/// a token that has been used is told from one that never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    family: [u8; FAMILY_BYTES],
    generation: u32,
}

impl Lineage {
    /// The lineage of a token of the right form.
    pub fn of(token: &str) -> Option<Self> {
        let random = token.get(token.len().checked_sub(RANDOM_CHARS)?..)?;
        let random = URL_SAFE_NO_PAD.decode(random).ok()?;
        let (family, rest) = random.split_first_chunk()?;
        let (generation, _) = rest.split_first_chunk::<GENERATION_BYTES>()?;
        Some(Self { family: *family, generation: u32::from_be_bytes(*generation) })
    }

    /// That of the tokens which these are exchanged for.
    #[must_use]
    pub fn next(self) -> Self {
        Self { generation: self.generation.saturating_add(1), ..self }
    }

    /// Writes it into the randomness of a new token: without one before it, that of a new session.
    pub fn write(after: Option<Self>, random: &mut [u8; RANDOM_BYTES]) {
        if let Some(rest) = random.get_mut(..FAMILY_BYTES + GENERATION_BYTES) {
            let (family, generation) = rest.split_at_mut(FAMILY_BYTES);
            if let Some(after) = after {
                family.copy_from_slice(&after.family);
            }
            let number = after.map_or(0, |it| it.next().generation);
            generation.copy_from_slice(&number.to_be_bytes());
        }
    }
}

/// What is stored of a refresh token: its lineage, the family as its hash, and its [`hash`].
pub fn hash_refresh(token: &str) -> String {
    let Some(Lineage { family, generation }) = Lineage::of(token) else { return hash(token) };
    let family = STANDARD_NO_PAD.encode(Sha256::digest(family));
    format!("{family}.{generation}.{}", hash(token))
}

/// The family and the generation in what is stored of a refresh token.
pub fn lineage_in(refresh_hash: &str) -> Option<(&str, u32)> {
    let (family, rest) = refresh_hash.split_once('.')?;
    let (generation, _) = rest.split_once('.')?;
    Some((family, generation.parse().ok()?))
}

/// What is stored of a token: it is random, so a plain hash cannot be searched. Hashes need no
/// comparison in constant time: who can measure it learns of a hash, from which no token follows.
pub fn hash(token: &str) -> String {
    STANDARD_NO_PAD.encode(Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use ruma::{server_name, user_id};

    use super::*;

    #[test]
    fn a_token_is_kept_as_its_hash() {
        assert_eq!(hash("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0");
    }

    #[test]
    fn what_is_kept_of_a_refresh_token_says_where_it_comes_from() {
        let user_id = user_id!("@ann:example.org");
        let make = |after, byte| {
            let mut random = [byte; RANDOM_BYTES];
            Lineage::write(after, &mut random);
            TokenKind::Refresh.make(user_id, &random)
        };
        let first = make(None, 7);
        let second = make(Lineage::of(&first), 8);
        let sibling = make(Lineage::of(&first), 9);
        let stranger = make(None, 10);
        let kept = [&first, &second, &sibling, &stranger].map(|it| hash_refresh(it));
        let [first, second, sibling, stranger] = kept.each_ref().map(|it| lineage_in(it).unwrap());
        assert_eq!((first.1, second.1, sibling.1, stranger.1), (0, 1, 1, 0));
        assert!(first.0 == second.0 && first.0 == sibling.0 && first.0 != stranger.0);
        assert_ne!(kept[1], kept[2]);
        assert_eq!(lineage_in(&hash("abc")), None);
        assert_eq!(hash_refresh("invented"), hash("invented"));
    }

    #[test]
    fn a_token_names_its_user() {
        let server = server_name!("example.org");
        for user_id in [user_id!("@ann:example.org"), user_id!("@a.b_c=d-e/f+0:example.org")] {
            for random in [[0; RANDOM_BYTES], [255; RANDOM_BYTES], [0x7f; RANDOM_BYTES]] {
                let access = TokenKind::Access.make(user_id, &random);
                let refresh = TokenKind::Refresh.make(user_id, &random);
                assert!(access.starts_with("ska_") && refresh.starts_with("skr_"));
                let named = |kind: TokenKind, token| kind.user_named(token, server);
                assert_eq!(named(TokenKind::Access, &access).as_deref(), Some(user_id));
                assert_eq!(named(TokenKind::Refresh, &refresh).as_deref(), Some(user_id));
                assert_eq!(named(TokenKind::Refresh, &access), None);
                assert_eq!(named(TokenKind::Access, &refresh), None);
                let openid = TokenKind::OpenId.make(user_id, &random);
                assert_eq!(named(TokenKind::OpenId, &openid).as_deref(), Some(user_id));
                assert_eq!(named(TokenKind::Access, &openid), None);
                assert_eq!(named(TokenKind::OpenId, &access), None);
            }
        }
    }

    #[test]
    fn what_is_no_token_names_nobody() {
        let random = URL_SAFE_NO_PAD.encode([9; RANDOM_BYTES]);
        let token = |named: &str| format!("ska_{}_{random}", URL_SAFE_NO_PAD.encode(named));
        let cases = [
            String::new(),
            "ska_".to_owned(),
            "invented".to_owned(),
            format!("ska_{random}"),
            format!("ska__{random}"),
            format!("ska_YW5u{random}"),
            format!("ska_YW5u_{}", &random[1..]),
            format!("ska_YW5u_{random}x"),
            format!("ska_YW5u_{}!", &random[1..]),
            format!("ska_YW5u=_{random}"),
            format!("ska_!!!!_{random}"),
            format!("SKA_YW5u_{random}"),
            format!("ska_{}_{random}", URL_SAFE_NO_PAD.encode([0xff, 0xfe])),
            format!("ska_YW5u_{}é", &random[2..]),
            token(""),
            token("ann:elsewhere.org"),
            token("a\0b"),
            token(&"x".repeat(255)),
        ];
        for token in cases {
            let named = TokenKind::Access.user_named(&token, server_name!("example.org"));
            assert_eq!(named, None, "{token}");
        }
        let named = TokenKind::Access.user_named(&token("ann"), server_name!("example.org"));
        assert_eq!(named.as_deref(), Some(user_id!("@ann:example.org")));
    }
}
