//! The start of a server: its signing key, and the token for the first account.

use ruma::OwnedServerName;
use skerry_core::{SigningKey, signing_key::SEED_BYTES};
use zeroize::Zeroizing;

use crate::{
    Error, Result,
    ports::{Clock, Random, Sql},
    server::{Config, Registration, Server},
    store::global::{accounts, registration_tokens, signing_keys, tokens},
};

/// Characters of a signing key's version after `a_`.
const VERSION_CHARS: usize = 6;

/// Characters of the token for the first account: 130 bits, and a person can still type it.
const FIRST_TOKEN_CHARS: usize = 26;

/// Makes the server from the migrated global store: loads its signing key, or makes it at the
/// first start.
///
/// As long as there is no account and registration asks for a token that the operator did not
/// choose, also makes a token for the first account, which administers the server. It is for the
/// operator's eyes, works once, and replaces the one of the start before.
pub async fn bootstrap(
    global: &dyn Sql,
    clock: &dyn Clock,
    random: &dyn Random,
    name: OwnedServerName,
    config: Config,
) -> Result<(Server, Option<String>)> {
    let signing_key = signing_key(global, clock, random).await?;
    let first_token = first_token(global, random, &config).await?;
    Ok((Server { name, signing_key, config }, first_token))
}

async fn signing_key(
    global: &dyn Sql,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<SigningKey> {
    if let Some(key) = signing_keys::find(global).await? {
        return Ok(key);
    }
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    random.fill(seed.as_mut_slice())?;
    let version = format!("a_{}", text(random, VERSION_CHARS)?);
    let key = SigningKey::from_seed(*seed, &version).map_err(Error::internal)?;
    global.batch(vec![signing_keys::insert_first(&key, clock.now_ms())]).await?;
    // Another start at the same time may have been first.
    let key = signing_keys::find(global).await?;
    key.ok_or_else(|| Error::internal("the signing key was stored and is not there"))
}

async fn first_token(
    global: &dyn Sql,
    random: &dyn Random,
    config: &Config,
) -> Result<Option<String>> {
    let wanted =
        config.registration == Registration::Token && config.registration_token_hash.is_none();
    if !wanted || accounts::exist(global).await? {
        return Ok(None);
    }
    let token = text(random, FIRST_TOKEN_CHARS)?;
    let upsert = registration_tokens::upsert(&tokens::hash(&token), Some(1), true);
    global.batch(vec![registration_tokens::remove_for_admin(), upsert]).await?;
    Ok(Some(token))
}

/// Random text that cannot be misread. 32 characters to choose from: a remainder favours none.
fn text(random: &dyn Random, chars: usize) -> Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyzACEFHKLM";
    let mut bytes = Zeroizing::new(vec![0; chars]);
    random.fill(&mut bytes)?;
    let chars = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32)));
    Ok(chars.map(|it| char::from(*it)).collect())
}
