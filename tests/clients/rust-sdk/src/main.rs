//! Two people with several devices each talk in an encrypted room through matrix-rust-sdk, alice on
//! the one server and bob on the other, which may be the same:
//!
//!     rust-sdk-story http://localhost:8008 [http://localhost:8009]
//!
//! Every step is printed; the exit code is 0 only if all of them worked.

#![recursion_limit = "256"]

mod person;
mod verification;

use std::env;

use anyhow::{Context as _, Result, ensure};
use matrix_sdk::{
    deserialized_responses::TimelineEventKind,
    encryption::VerificationState,
    room::MessagesOptions,
    ruma::{
        OwnedRoomId, RoomId, UserId,
        api::client::room::create_room,
        events::{InitialStateEvent, room::encryption::RoomEncryptionEventContent},
    },
};
use tokio::time::Instant;

use self::{
    person::{Device, until},
    verification::{Side, compare},
};

/// How often each says something. The library asks for what is new once a second.
const SAID: usize = 3;

/// A room that alice makes and bob is invited to.
async fn share_room(alice: &Device, bob: &Device) -> Result<OwnedRoomId> {
    let mut request = create_room::v3::Request::new();
    request.invite = vec![bob.user()?];
    let encryption = RoomEncryptionEventContent::with_recommended_defaults();
    let encryption = InitialStateEvent::with_empty_state_key(encryption);
    request.initial_state = vec![encryption.to_raw_any()];
    let room = alice.client.create_room(request).await?.room_id().to_owned();
    bob.room(&room).await?.join().await?;
    let bob = bob.user()?;
    until("bob's join", || async {
        let member = alice.room(&room).await?.get_member_no_sync(&bob).await?;
        Ok(member.filter(|it| it.membership().as_str() == "join"))
    })
    .await?;
    Ok(room)
}

/// Each of them says something that all read.
async fn converse(all: &[&Device], room: &RoomId, about: &str) -> Result<()> {
    for number in 0..SAID {
        for speaker in all {
            let text = format!("{about}, {number} by {}", speaker.id()?);
            speaker.say(room, &text).await?;
            for reader in all {
                reader.reads(&text).await?;
            }
        }
    }
    Ok(())
}

/// Waits until somebody knows that a device is there, or is gone.
async fn until_device(of: &Device, user: &UserId, id: &str, is_there: bool) -> Result<()> {
    until(&format!("device {id}"), || async {
        let found = of.client.encryption().get_user_devices(user).await?;
        let found = found.devices().any(|it| it.device_id() == id);
        Ok((found == is_there).then_some(()))
    })
    .await
}

/// What of a room's past a device can read, and what it cannot.
async fn past(of: &Device, room: &RoomId) -> Result<(usize, usize)> {
    let mut options = MessagesOptions::backward();
    options.limit = 100u32.into();
    let events = of.room(room).await?.messages(options).await?.chunk;
    let read = events.iter().filter(|it| matches!(it.kind, TimelineEventKind::Decrypted(_)));
    let unreadable =
        |it: &TimelineEventKind| matches!(it, TimelineEventKind::UnableToDecrypt { .. });
    Ok((read.count(), events.iter().filter(|it| unreadable(&it.kind)).count()))
}

/// A device that has read what was said since it came, and not what was before it, is given a
/// recovery key.
async fn recover(device: &Device, recovery_key: &str, room: &RoomId) -> Result<()> {
    let (_, unreadable) = past(device, room).await?;
    ensure!(unreadable == 2 * SAID, "{unreadable} of what was said before cannot be read");
    let encryption = device.client.encryption();
    encryption.recovery().recover(recovery_key).await?;
    encryption.backups().download_room_keys_for_room(room).await?;
    let (read, unreadable) = past(device, room).await?;
    ensure!((read, unreadable) == (5 * SAID, 0), "{read} read, {unreadable} not");
    until("the recovered device's signature", || async {
        let state = encryption.verification_state().get();
        Ok((state == VerificationState::Verified).then_some(()))
    })
    .await
}

/// One user asks the other one, in their room: users are asked where they are talked to alone.
async fn verify_each_other(asking: &Device, asked: &Device, room: &RoomId) -> Result<()> {
    let users = [asking.user()?, asked.user()?];
    asking.room(room).await?.set_is_direct(true).await?;
    until("the room of two", || async { Ok(asking.client.get_dm_room(&users[1])) }).await?;
    compare(&Side::of(asking, &users[1]).await?, asked).await?;
    for (one, other) in [(asking, &users[1]), (asked, &users[0])] {
        until("a verified user", || async {
            let identity = one.client.encryption().get_user_identity(other).await?;
            Ok(identity.filter(|it| it.is_verified()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut servers = env::args().skip(1);
    let first = servers.next().context("usage: rust-sdk-story BASE_URL [BASE_URL]")?;
    let second = servers.next().unwrap_or_else(|| first.clone());
    let began = Instant::now();
    let step = |text: &str| println!("rust-sdk: {text} (after {} ms)", began.elapsed().as_millis());

    let [alice, bob] =
        [Device::register(&first, "alice").await?, Device::register(&second, "bob").await?];
    for it in [&alice, &bob] {
        it.client.encryption().wait_for_e2ee_initialization_tasks().await;
        it.client.encryption().bootstrap_cross_signing(None).await?;
    }
    let recovery = alice.client.encryption().recovery();
    let recovery_key = recovery.enable().wait_for_backups_to_upload().await?;
    step("two accounts with cross-signing keys, one with a backup");

    let room = share_room(&alice, &bob).await?;
    converse(&[&alice, &bob], &room, "at first").await?;
    step("what each says the other one reads");

    let user = alice.user()?;
    let second_device = Device::log_in(&first, &user).await?;
    let second_id = second_device.id()?;
    for it in [&alice, &bob] {
        until_device(it, &user, &second_id, true).await?;
    }
    converse(&[&alice, &bob, &second_device], &room, "with another device").await?;
    step("a new device reads what is said from then on");

    alice.client.encryption().backups().wait_for_steady_state().await?;
    recover(&second_device, &recovery_key, &room).await?;
    step("by the recovery key it reads the past, and is verified");

    let third = Device::log_in(&first, &user).await?;
    let third_id = third.id()?;
    until_device(&alice, &user, &third_id, true).await?;
    compare(&Side::of(&third, &user).await?, &alice).await?;
    until("the third device's signature at bob", || async {
        let found = bob.client.encryption().get_device(&user, third_id.as_str().into()).await?;
        Ok(found.filter(|it| it.is_cross_signed_by_owner()))
    })
    .await?;
    step("two devices of hers have compared emojis, which he sees");

    verify_each_other(&bob, &alice, &room).await?;
    step("they have compared emojis, and are verified to each other");

    let unreadable = second_device.unreadable();
    second_device.client.logout().await?;
    for it in [&alice, &bob, &third] {
        until_device(it, &user, &second_id, false).await?;
    }
    converse(&[&alice, &bob, &third], &room, "without that device").await?;
    step("after a device is logged out the others go on");

    let unreadable =
        [&alice, &bob, &third].map(Device::unreadable).into_iter().sum::<usize>() + unreadable;
    ensure!(unreadable == 0, "{unreadable} events could not be read");
    println!("rust-sdk: all done");
    Ok(())
}
