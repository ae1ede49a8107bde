//! What needs no account: passwords to be guessed, connections that say nothing, and junk.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::{Client, Party, crew, tally::Tally};
use crate::{error::Result, soak::dice::Dice, target::Target};

/// Connections that are silent, a fifth of each sort.
const SILENT: usize = 200;
/// Between the connections, at first and when one was closed.
const AGAIN: Duration = Duration::from_secs(1);
/// What is said on a connection now and then, so that it is not idle.
const WORD_EVERY: Duration = Duration::from_secs(5);
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const HTTP2_PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Wrong passwords, for the victim's account and for accounts that nobody has.
pub(super) async fn logins(party: &Party) -> Result<()> {
    crew(party.clients(8)?.into_iter().map(|client| guess(client, party.victim.clone()))).await
}

async fn guess(mut client: Client, victim: String) -> Result<()> {
    for number in 0_u64.. {
        let user = if number % 2 == 0 { victim.clone() } else { format!("nobody{number}") };
        let body = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": user },
            "password": format!("guess-{number}"),
        });
        let path = "/_matrix/client/v3/login";
        client.ask_as(None, "POST", path, Some(&body.to_string())).await;
    }
    Ok(())
}

/// Connections whose head or body never comes, of HTTP/1.1 and HTTP/2.
pub(super) async fn silent(party: &Party) -> Result<()> {
    crew(
        (0..SILENT)
            .map(|number| keep_silent(Arc::clone(&party.target), Arc::clone(&party.tally), number)),
    )
    .await
}

async fn keep_silent(target: Arc<Target>, tally: Arc<Tally>, number: usize) -> Result<()> {
    // What is said at first, and what later.
    let (first, word): (&[u8], &[u8]) = match number % 5 {
        0 => (b"", b""),
        1 => (b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n"),
        2 => (
            b"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{",
            b" ",
        ),
        3 => (HTTP2_PREFACE, b""),
        _ => (HTTP2_PREFACE, HTTP2_PING),
    };
    loop {
        let _ = hold(&target, first, word).await;
        tally.closed();
        sleep(AGAIN).await;
    }
}

/// Ends when the server closes the connection.
async fn hold(target: &Target, first: &[u8], word: &[u8]) -> std::io::Result<()> {
    let mut stream = target.open().await?;
    stream.write_all(first).await?;
    let mut answer = [0; 1_024];
    loop {
        match timeout(WORD_EVERY, stream.read(&mut answer)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => stream.write_all(word).await?,
        }
    }
}

/// Requests that make no sense, with and without a token.
pub(super) async fn junk(party: &Party) -> Result<()> {
    crew(
        party
            .clients(6)?
            .into_iter()
            .enumerate()
            .map(|(number, client)| babble(client, Dice::new(number as u64))),
    )
    .await
}

async fn babble(mut client: Client, mut dice: Dice) -> Result<()> {
    let mut pick = |options: &[&'static str]| {
        let place = usize::try_from(dice.roll(options.len() as u64)).unwrap_or_default();
        options.get(place).copied().unwrap_or_default()
    };
    let long = "z".repeat(4_000);
    let deep = "[".repeat(20_000);
    loop {
        let method = pick(&["GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "BREW"]);
        let mut path = "/_matrix/client/v3".to_owned();
        for _ in 0..3 {
            let part = pick(&[
                "/sync",
                "/rooms",
                "/%21x%3Alocalhost",
                "/state",
                "/messages",
                "/..",
                "/%00",
                "/%ff",
                "/keys",
                "/login",
                "/register",
                "/account",
                "/profile",
                "/LONG",
                "/publicRooms",
                "/user",
                "/join",
                "?dir=b&limit=-1",
                "?since=s9_9&timeout=x",
                "?filter=%7B%22a%22",
                "/devices",
                "/createRoom",
                "/org.example",
            ]);
            path += if part == "/LONG" { &long } else { part };
        }
        let body = match pick(&["", "{}", "[]", "null", "{\"a\":", "DEEP", "\u{0}\u{1}"]) {
            "DEEP" => Some(deep.as_str()),
            body => Some(body).filter(|_| method != "GET"),
        };
        match pick(&["own", "none", "unknown"]) {
            "own" => client.ask(method, &path, body).await,
            "none" => client.ask_as(None, method, &path, body).await,
            _ => client.ask_as(Some("syt_nobody_has_this"), method, &path, body).await,
        };
    }
}
