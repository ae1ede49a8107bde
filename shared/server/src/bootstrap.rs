//! The start of a server: its signing key, and the token for the first account.

use ruma::{OwnedServerName, OwnedServerSigningKeyId};
use skerry_core::{
    SigningKey,
    server_keys::own::{self, OwnKeys},
    signing_key::SEED_BYTES,
    token,
};
use zeroize::Zeroizing;

use crate::{
    Error, Result,
    ports::{Clock, Random, Sql},
    server::{Config, Registration, Server},
    store::global::{accounts, registration_tokens, signing_keys},
};

/// Characters of a signing key's version after `a_`.
const VERSION_CHARS: usize = 6;

/// Characters of the token for the first account: 130 bits, and a person can still type it.
const FIRST_TOKEN_CHARS: usize = 26;

/// What a host does about a token for the first account, which administers the server. It is
/// wanted as long as there is no account and registration asks for a token that the operator did
/// not choose. It works once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstToken {
    /// This start makes one, in place of that of the start before, whose text is lost: for a host
    /// that is one process.
    EachStart,
    /// It is made once: for a host of many processes, any of which may be the one whose log the
    /// operator reads.
    Once,
    /// None: nobody registers with what is started here.
    Never,
}

/// What became of the token for the first account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstTokenOutcome {
    /// None is wanted.
    NotWanted,
    /// This is it: for the operator's eyes.
    Made(String),
    /// It was made before, and its text is nowhere but where it was shown then.
    MadeBefore,
}

/// Makes the server from the migrated global store: loads its signing key, or makes it at the
/// first start. Also makes a token for the first account, where the host wants one.
pub async fn bootstrap(
    global: &dyn Sql,
    clock: &dyn Clock,
    random: &dyn Random,
    name: OwnedServerName,
    config: Config,
    first_token: FirstToken,
) -> Result<(Server, FirstTokenOutcome)> {
    let keys = signing_keys(global, clock, random).await?;
    let outcome = make_first_token(global, random, &config, first_token).await?;
    Ok((Server::new(name, keys, config), outcome))
}

async fn signing_keys(global: &dyn Sql, clock: &dyn Clock, random: &dyn Random) -> Result<OwnKeys> {
    if let Some(keys) = find_keys(global, clock).await? {
        return Ok(keys);
    }
    let key = new_key(random)?;
    global.batch(vec![signing_keys::insert_first(&key, clock.now_ms())]).await?;
    // Another start at the same time may have been first.
    let keys = find_keys(global, clock).await?;
    keys.ok_or_else(|| Error::internal("the signing key was stored and is not there"))
}

async fn find_keys(global: &dyn Sql, clock: &dyn Clock) -> Result<Option<OwnKeys>> {
    let made = signing_keys::list(global).await?;
    Ok(OwnKeys::of(made, clock.now_ms(), ACTIVATION_MS))
}

/// A fresh signing key, with a name of its own.
///
/// # Errors
///
/// Where there is no randomness.
pub fn new_key(random: &dyn Random) -> Result<SigningKey> {
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    random.fill(seed.as_mut_slice())?;
    let version = format!("a_{}", text(random, VERSION_CHARS)?);
    SigningKey::from_seed(*seed, &version).map_err(Error::internal)
}

/// How long after it was made a key begins to sign, in milliseconds.
const ACTIVATION_MS: u64 = if cfg!(feature = "test-routes") { 3_000 } else { own::ACTIVATION_MS };

/// How often a host is to read the keys of this server again, in milliseconds. Tests do not wait so
/// long.
pub const RELOAD_KEYS_MS: u64 = if cfg!(feature = "test-routes") { 500 } else { own::RELOAD_MS };

/// Reads the keys of this server again: another process may have made one, or the time of one has
/// come. To be asked every [`RELOAD_KEYS_MS`].
pub async fn reload_keys(global: &dyn Sql, clock: &dyn Clock, server: &Server) -> Result<()> {
    match find_keys(global, clock).await? {
        Some(keys) if !keys.are(&server.keys()) => server.set_keys(keys),
        _ => {}
    }
    Ok(())
}

/// Makes a key that takes the place of the one in use after [`own::ACTIVATION_MS`]. The answer is
/// what it is called.
pub async fn rotate_key(
    global: &dyn Sql,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<OwnedServerSigningKeyId> {
    let key = new_key(random)?;
    global.batch(vec![signing_keys::insert(&key, clock.now_ms())]).await?;
    Ok(key.id().to_owned())
}

async fn make_first_token(
    global: &dyn Sql,
    random: &dyn Random,
    config: &Config,
    first_token: FirstToken,
) -> Result<FirstTokenOutcome> {
    let is_asked_for =
        config.registration == Registration::Token && config.registration_token_hash.is_none();
    let is_wanted = is_asked_for && first_token != FirstToken::Never;
    if !is_wanted || accounts::exist(global).await? {
        return Ok(FirstTokenOutcome::NotWanted);
    }
    let text = text(random, FIRST_TOKEN_CHARS)?;
    let mut batch = vec![registration_tokens::insert_for_admin(&token::hash(&text))];
    if first_token == FirstToken::EachStart {
        batch.insert(0, registration_tokens::remove_for_admin());
    }
    let returned = global.batch(batch).await?;
    Ok(match returned.last().is_some_and(|it| !it.is_empty()) {
        true => FirstTokenOutcome::Made(text),
        false => FirstTokenOutcome::MadeBefore,
    })
}

/// Random text that cannot be misread. 32 characters to choose from: a remainder favours none.
fn text(random: &dyn Random, chars: usize) -> Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyzACEFHKLM";
    let mut bytes = Zeroizing::new(vec![0; chars]);
    random.fill(&mut bytes)?;
    let chars = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32)));
    Ok(chars.map(|it| char::from(*it)).collect())
}
