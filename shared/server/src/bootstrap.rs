//! The start of a server: its signing key, and the token for the first account.

use ruma::OwnedServerName;
use skerry_core::{SigningKey, signing_key::SEED_BYTES, token};
use zeroize::Zeroizing;

use crate::{
    Error, Result,
    ports::{Clock, Random, Sql},
    server::{Config, OwnKeys, Registration, Server},
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
    if let Some((current, old)) = signing_keys::find(global).await? {
        return Ok(OwnKeys { current, old });
    }
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    random.fill(seed.as_mut_slice())?;
    let version = format!("a_{}", text(random, VERSION_CHARS)?);
    let key = SigningKey::from_seed(*seed, &version).map_err(Error::internal)?;
    global.batch(vec![signing_keys::insert_first(&key, clock.now_ms())]).await?;
    // Another start at the same time may have been first.
    match signing_keys::find(global).await? {
        Some((current, old)) => Ok(OwnKeys { current, old }),
        None => Err(Error::internal("the signing key was stored and is not there")),
    }
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
