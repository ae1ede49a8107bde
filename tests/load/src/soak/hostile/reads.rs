//! Large answers, and answers that nobody takes.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

use super::{Client, PAUSE, Party, crew, tally::Tally, writes::large_message};
use crate::{
    api::{User, encode, room_path},
    error::Result,
    http::{self, Request},
    target::Target,
};

/// Large messages in the room whose pages are read: two pages by bytes.
const LARGE_MESSAGES: usize = 40;
/// Connections that are held, half of them read slowly, the others not at all.
const HELD: usize = 160;
/// Of each answer that is held, so much is read at a time.
const SIP: usize = 1_024;
const SIP_EVERY: Duration = Duration::from_secs(1);
/// Small messages in the history that filters are to go through; some more come all the time.
const HISTORY: usize = 95;
/// Below what the head of a request may have, encoded.
const FILTER_BYTES: usize = 24_000;
/// Account data of this size, of this many types: more than a user may store.
const DATA_BYTES: usize = 60_000;
const DATA_TYPES: usize = 200;
/// How long a poll is waited for before its client goes away.
const POLL_PATIENCE: Duration = Duration::from_millis(20);

/// Long pages of large messages: some read, most held.
pub(super) async fn pages(party: &Party) -> Result<()> {
    let room = party.room().await?;
    let mut client = party.client(0)?;
    let body = large_message();
    for number in 0..LARGE_MESSAGES {
        client.put(&room_path(&room, &format!("send/m.room.message/page{number}")), &body).await;
    }
    let path = room_path(&room, "messages?dir=b&limit=1000");
    let readers = crew(party.clients(3)?.into_iter().map(|client| again(client, path.clone())));
    let held = (0..HELD)
        .map(|number| {
            let user = party.user(number)?;
            let held = Held { target: Arc::clone(&party.target), tally: Arc::clone(&party.tally) };
            Ok(held.hold_again(user, path.clone(), number % 2 == 0))
        })
        .collect::<Result<Vec<_>>>()?;
    tokio::try_join!(readers, crew(held)).map(|_| ())
}

async fn again(mut client: Client, path: String) -> Result<()> {
    loop {
        client.get(&path).await;
    }
}

/// A connection whose answer is not taken.
struct Held {
    target: Arc<Target>,
    tally: Arc<Tally>,
}

impl Held {
    async fn hold_again(self, user: Arc<User>, path: String, sips: bool) -> Result<()> {
        let mut request = Vec::new();
        http::encode(&self.target, Request::get(&path, &user.token), &mut request);
        loop {
            if self.hold(&request, sips).await.is_err() {
                self.tally.closed();
            }
            sleep(SIP_EVERY).await;
        }
    }

    /// Holds one until the server closes it.
    async fn hold(&self, request: &[u8], sips: bool) -> std::io::Result<()> {
        let started = Instant::now();
        let mut stream = self.target.open_narrow().await?;
        stream.write_all(request).await?;
        let mut sip = vec![0; SIP];
        let mut count = stream.read(&mut sip).await?;
        let status = sip.get(9..12).and_then(|it| std::str::from_utf8(it).ok()?.parse().ok());
        match status.filter(|_| count > 0) {
            Some(200) => self.tally.answered(200, started.elapsed()),
            Some(status) => {
                self.tally.answered(status, started.elapsed());
                return Ok(());
            }
            None => return Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
        while count > 0 {
            sleep(SIP_EVERY).await;
            if sips {
                count = stream.read(&mut sip).await?;
            } else {
                // Tells whether the connection is still there, and takes nothing.
                let ready = stream.ready(tokio::io::Interest::READABLE).await?;
                if ready.is_read_closed() {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(())
    }
}

/// Filters as large as they may be, over a history that grows.
pub(super) async fn filters(party: &Party) -> Result<()> {
    let room = party.room().await?;
    for mut client in party.clients(4)? {
        for number in 0..HISTORY {
            send(&mut client, &room, number).await;
        }
    }
    let filter = json!({ "types": patterns(), "not_senders": [] }).to_string();
    let path = room_path(&room, "messages?dir=b&limit=1000&filter=") + &encode(&filter);
    let pages = crew(party.clients(4)?.into_iter().map(|client| again(client, path.clone())));
    let grow = crew(party.clients(4)?.into_iter().map(|client| send_on(client, room.clone())));
    let syncs = crew(party.clients(2)?.into_iter().map(filtered_syncs));
    tokio::try_join!(pages, grow, syncs).map(|_| ())
}

async fn send(client: &mut Client, room: &str, number: usize) -> Option<u16> {
    let path = room_path(room, &format!("send/m.room.message/filter{number}"));
    client.put(&path, r#"{"msgtype":"m.text","body":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#).await
}

async fn send_on(mut client: Client, room: String) -> Result<()> {
    for number in HISTORY.. {
        send(&mut client, &room, number).await;
    }
    Ok(())
}

/// Types that match nothing, each with a search in it, and names as long as all may be.
fn patterns() -> Vec<String> {
    let mut patterns: Vec<String> = (0..16).map(|it| format!("m*o*m*e*{it}")).collect();
    let long = (0..).map(|it| format!("m.room.message.{it}.{}", "a".repeat(200)));
    patterns.extend(long.take(FILTER_BYTES / 220));
    patterns
}

async fn filtered_syncs(mut client: Client) -> Result<()> {
    let filters = format!("/_matrix/client/v3/user/{}/filter", encode(&client.user.id));
    loop {
        let types = patterns();
        let room = json!({ "timeline": { "limit": 100, "types": types } });
        client.post(&filters, &json!({ "room": room }).to_string()).await;
        let id = client.connection.json::<Value>().unwrap_or_default();
        let id = id.get("filter_id").and_then(Value::as_str).unwrap_or("0").to_owned();
        for _ in 0..20 {
            client.get(&format!("/_matrix/client/v3/sync?timeout=0&filter={id}")).await;
        }
    }
}

/// Account data up to what a user may store, and initial syncs that have all of it.
pub(super) async fn account_data(party: &Party) -> Result<()> {
    let writers = crew(party.clients(2)?.into_iter().map(store_data));
    let path = "/_matrix/client/v3/sync?timeout=0".to_owned();
    let readers = crew(
        (0..6)
            .map(|it| Ok(again(party.client(it % 2)?, path.clone())))
            .collect::<Result<Vec<_>>>()?,
    );
    tokio::try_join!(writers, readers).map(|_| ())
}

async fn store_data(mut client: Client) -> Result<()> {
    let user = encode(&client.user.id);
    for number in (0..DATA_TYPES).cycle() {
        let path = format!("/_matrix/client/v3/user/{user}/account_data/org.example.{number}");
        client.put(&path, &json!({ "pile": "x".repeat(DATA_BYTES) }).to_string()).await;
    }
    Ok(())
}

/// Long-polls whose clients go away.
pub(super) async fn polls(party: &Party) -> Result<()> {
    let target = &party.target;
    crew(party.clients(8)?.into_iter().map(|client| poll(client, Arc::clone(target)))).await
}

async fn poll(mut client: Client, target: Arc<Target>) -> Result<()> {
    client.get("/_matrix/client/v3/sync?timeout=0").await;
    let sync = client.connection.json::<Value>().unwrap_or_default();
    let since = encode(sync.get("next_batch").and_then(Value::as_str).unwrap_or_default());
    let path = format!("/_matrix/client/v3/sync?timeout=300000&since={since}");
    let mut request = Vec::new();
    http::encode(&target, Request::get(&path, &client.user.token), &mut request);
    loop {
        let started = Instant::now();
        let asked = async {
            let mut stream = target.open().await?;
            stream.write_all(&request).await?;
            let mut head = [0; 12];
            let answer = tokio::time::timeout(POLL_PATIENCE, stream.read_exact(&mut head)).await;
            Ok::<_, std::io::Error>(answer.is_ok().then_some(head))
        };
        match asked.await {
            // Mostly a refusal: there is no news to be told.
            Ok(Some(head)) => {
                let status =
                    head.get(9..).and_then(|it| std::str::from_utf8(it).ok()?.parse().ok());
                client.tally.answered(status.unwrap_or_default(), started.elapsed());
            }
            Ok(None) => client.tally.answered(200, started.elapsed()),
            Err(_) => client.tally.closed(),
        }
        sleep(PAUSE).await;
    }
}
