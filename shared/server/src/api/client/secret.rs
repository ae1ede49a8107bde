//! Random text: tokens, device IDs, generated names.

use ruma::UserId;
use skerry_core::token::{Lineage, RANDOM_BYTES, TokenKind};

use crate::{Result, ports::Random};

/// Characters of a generated device ID.
const DEVICE_ID_CHARS: usize = 10;

/// Characters of a generated localpart: 60 bits, so that two never meet.
const LOCALPART_CHARS: usize = 12;

/// An access token of a user, with 256 random bits.
pub fn access_token(random: &dyn Random, user_id: &UserId) -> Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    random.fill(&mut bytes)?;
    Ok(TokenKind::Access.make(user_id, &bytes))
}

/// A refresh token of a user: of a new session, or of the same as the one that it is given for.
/// 128 of its bits are its own.
pub fn refresh_token(random: &dyn Random, user_id: &UserId, after: Option<&str>) -> Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    random.fill(&mut bytes)?;
    Lineage::write(after.and_then(Lineage::of), &mut bytes);
    Ok(TokenKind::Refresh.make(user_id, &bytes))
}

/// A token by which others are told who a user is.
pub fn openid_token(random: &dyn Random, user_id: &UserId) -> Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    random.fill(&mut bytes)?;
    Ok(TokenKind::OpenId.make(user_id, &bytes))
}

/// A new device's ID.
pub fn device_id(random: &dyn Random) -> Result<String> {
    text(random, DEVICE_ID_CHARS, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
}

/// The name of somebody who wished for none.
pub fn localpart(random: &dyn Random) -> Result<String> {
    text(random, LOCALPART_CHARS, b"abcdefghijklmnopqrstuvwxyz234567")
}

/// With 32 characters to choose from, a byte's remainder favours none.
fn text(random: &dyn Random, chars: usize, alphabet: &[u8; 32]) -> Result<String> {
    let mut bytes = vec![0; chars];
    random.fill(&mut bytes)?;
    let chars = bytes.iter().filter_map(|byte| alphabet.get(usize::from(byte % 32)));
    Ok(chars.map(|it| char::from(*it)).collect())
}
