//! Rows and bytes: as many as the server takes.

use serde_json::json;

use super::{Client, Party, crew};
use crate::{
    api::{encode, room_path},
    error::Result,
    soak::dice::Dice,
};

/// Nearly what an event may have.
const LARGE: usize = 60_000;
/// Every so many pieces of state one is large.
const LARGE_EVERY: u64 = 20;
const SMALL: usize = 500;

/// A message of nearly the largest size.
pub(super) fn large_message() -> String {
    json!({ "msgtype": "m.text", "body": "x".repeat(LARGE) }).to_string()
}

/// Large messages into a room of their own.
pub(super) async fn floods(party: &Party) -> Result<()> {
    let room = party.room().await?;
    crew(party.clients(2)?.into_iter().map(|client| flood(client, room.clone()))).await
}

async fn flood(mut client: Client, room: String) -> Result<()> {
    let body = large_message();
    for number in 0_u64.. {
        let path = room_path(&room, &format!("send/m.room.message/flood{number}"));
        client.put(&path, &body).await;
    }
    Ok(())
}

/// State of invented types and keys into a room of their own, and the whole of it read.
pub(super) async fn state(party: &Party) -> Result<()> {
    let room = party.room().await?;
    let pile = crew([pile_up(party.client(0)?, room.clone())]);
    let readers = crew(party.clients(4)?.into_iter().enumerate().map(|(number, client)| {
        read_again(client, room_path(&room, if number == 0 { "members" } else { "state" }))
    }));
    tokio::try_join!(pile, readers).map(|_| ())
}

async fn pile_up(mut client: Client, room: String) -> Result<()> {
    for number in 0_u64.. {
        let path = room_path(&room, &format!("state/org.example.t{number}/k{number}"));
        let size = if number % LARGE_EVERY == 0 { LARGE } else { SMALL };
        client.put(&path, &json!({ "pile": "x".repeat(size) }).to_string()).await;
    }
    Ok(())
}

async fn read_again(mut client: Client, path: String) -> Result<()> {
    loop {
        client.get(&path).await;
    }
}

/// Bans, kicks and invitations of users that nobody has ever seen.
pub(super) async fn bans(party: &Party) -> Result<()> {
    let room = party.room().await?;
    let endpoints = ["ban", "ban", "unban", "invite"];
    let clients = endpoints.iter().map(|endpoint| Ok((*endpoint, party.client(0)?)));
    let clients = clients.collect::<Result<Vec<_>>>()?;
    let banning = crew(clients.into_iter().enumerate().map(|(number, (endpoint, client))| {
        let server = party.victim.split_once(':').map_or("localhost", |it| it.1);
        ban(client, room_path(&room, endpoint), server.to_owned(), number)
    }));
    let readers = crew([read_again(party.client(1)?, room_path(&room, "members"))]);
    tokio::try_join!(banning, readers).map(|_| ())
}

async fn ban(mut client: Client, path: String, server: String, course: usize) -> Result<()> {
    for number in 0_u64.. {
        let user = format!("@invented{course}_{number}:{server}");
        client
            .post(&path, &json!({ "user_id": user, "reason": "x".repeat(1_000) }).to_string())
            .await;
    }
    Ok(())
}

/// Receipts of invented threads, read markers, and typing.
pub(super) async fn receipts(party: &Party) -> Result<()> {
    let room = party.room().await?;
    let mut client = party.client(0)?;
    let path = room_path(&room, "send/m.room.message/first");
    client.put(&path, r#"{"msgtype":"m.text","body":"Ahoy"}"#).await;
    let event = client.connection.json::<serde_json::Value>()?;
    let event = event.get("event_id").and_then(|it| it.as_str()).unwrap_or_default().to_owned();
    crew(party.clients(6)?.into_iter().enumerate().map(|(number, client)| {
        receipt(client, room.clone(), event.clone(), Dice::new(number as u64))
    }))
    .await
}

async fn receipt(mut client: Client, room: String, event: String, mut dice: Dice) -> Result<()> {
    let receipt = room_path(&room, &format!("receipt/m.read/{}", encode(&event)));
    let markers = room_path(&room, "read_markers");
    let typing = room_path(&room, &format!("typing/{}", encode(&client.user.id)));
    for number in 0_u64.. {
        match dice.roll(8) {
            0 => {
                let body = json!({ "m.fully_read": event, "m.read.private": event }).to_string();
                client.post(&markers, &body).await;
            }
            1 => {
                client.put(&typing, r#"{"typing":true,"timeout":600000}"#).await;
            }
            course => {
                let thread = format!("$invented{course}_{number}");
                client.post(&receipt, &json!({ "thread_id": thread }).to_string()).await;
            }
        }
    }
    Ok(())
}

/// New rooms with much in them, and addresses of rooms.
pub(super) async fn rooms(party: &Party) -> Result<()> {
    let room = party.room().await?;
    let makers = crew(party.clients(4)?.into_iter().map(make_rooms));
    let names = crew([name_room(party.client(0)?, room, party.victim.clone())]);
    tokio::try_join!(makers, names).map(|_| ())
}

async fn make_rooms(mut client: Client) -> Result<()> {
    let state: Vec<_> = (0..20)
        .map(|it| {
            let content = json!({ "pile": "x".repeat(5_000) });
            json!({ "type": "org.example.t", "state_key": it.to_string(), "content": content })
        })
        .collect();
    let body = json!({ "preset": "public_chat", "name": "x", "initial_state": state }).to_string();
    loop {
        client.post("/_matrix/client/v3/createRoom", &body).await;
    }
}

async fn name_room(mut client: Client, room: String, victim: String) -> Result<()> {
    let server = victim.split_once(':').map_or("localhost", |it| it.1);
    let body = json!({ "room_id": room }).to_string();
    for number in 0_u64.. {
        let alias = encode(&format!("#soak{number}:{server}"));
        client.put(&format!("/_matrix/client/v3/directory/room/{alias}"), &body).await;
    }
    Ok(())
}
