//! A device of a person: a client of the library that follows what happens, and what it has read.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use matrix_sdk::{
    Client, Room,
    config::SyncSettings,
    ruma::{
        OwnedUserId, RoomId, TransactionId, UserId,
        api::client::{
            account::register,
            uiaa::{AuthData, Dummy},
        },
        events::room::{
            encrypted::OriginalSyncRoomEncryptedEvent,
            message::{OriginalSyncRoomMessageEvent, RoomMessageEventContent},
        },
    },
};
use tokio::time::{Instant, sleep};

const PASSWORD: &str = "correct horse battery staple";

/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a device was shown of a room by its sync.
#[derive(Debug, Default)]
struct Seen {
    read: Vec<String>,
    unreadable: usize,
}

/// One device.
pub struct Device {
    pub client: Client,
    seen: Arc<Mutex<Seen>>,
}

impl Device {
    /// Makes an account, with this as its first device.
    pub async fn register(server: &str, name: &str) -> Result<Self> {
        let device = Self::new(server).await?;
        let mut request = register::v3::Request::new();
        // The server may know others of this name.
        request.username = Some(format!("{name}_{}", TransactionId::new()));
        request.password = Some(PASSWORD.to_owned());
        let auth = device.client.matrix_auth();
        let session = match auth.register(request.clone()).await {
            Ok(_) => None,
            Err(error) => {
                Some(error.as_uiaa_response().context("no steps to register")?.session.clone())
            }
        };
        if let Some(session) = session {
            let mut dummy = Dummy::new();
            dummy.session = session;
            request.auth = Some(AuthData::Dummy(dummy));
            auth.register(request).await?;
        }
        device.begin().await
    }

    /// Another device of somebody.
    pub async fn log_in(server: &str, user: &UserId) -> Result<Self> {
        let device = Self::new(server).await?;
        device.client.matrix_auth().login_username(user, PASSWORD).await?;
        device.begin().await
    }

    async fn new(server: &str) -> Result<Self> {
        let client = Client::builder().homeserver_url(server).build().await?;
        Ok(Self { client, seen: Arc::default() })
    }

    /// Follows what happens from now on. What was before it is not shown, and cannot be read.
    async fn begin(self) -> Result<Self> {
        let token = self.client.access_token().context("no access token")?;
        tell_secret(&token);
        tell_secret(PASSWORD);
        self.client.sync_once(SyncSettings::new()).await?;
        let seen = Arc::clone(&self.seen);
        self.client.add_event_handler(move |event: OriginalSyncRoomMessageEvent| {
            lock(&seen).read.push(event.content.body().to_owned());
            async {}
        });
        let seen = Arc::clone(&self.seen);
        // What could be read came as what it is.
        self.client.add_event_handler(move |_: OriginalSyncRoomEncryptedEvent| {
            lock(&seen).unreadable += 1;
            async {}
        });
        let client = self.client.clone();
        tokio::spawn(async move {
            // A link that was lost is there again soon.
            while client.is_active() {
                if client.sync(SyncSettings::new().timeout(Duration::from_secs(30))).await.is_err()
                {
                    sleep(Duration::from_millis(100)).await;
                }
            }
        });
        Ok(self)
    }

    pub fn user(&self) -> Result<OwnedUserId> {
        Ok(self.client.user_id().context("nobody is logged in")?.to_owned())
    }

    pub fn id(&self) -> Result<String> {
        Ok(self.client.device_id().context("no device")?.to_string())
    }

    pub async fn room(&self, id: &RoomId) -> Result<Room> {
        until("the room", || async { Ok(self.client.get_room(id)) }).await
    }

    /// Says something in a room that it knows to be encrypted.
    pub async fn say(&self, room: &RoomId, text: &str) -> Result<()> {
        let room = self.room(room).await?;
        until("the room's encryption", || async {
            Ok(room.latest_encryption_state().await?.is_encrypted().then_some(()))
        })
        .await?;
        tell_secret(text);
        room.send(RoomMessageEventContent::text_plain(text)).await?;
        Ok(())
    }

    /// Waits until it has read something.
    pub async fn reads(&self, text: &str) -> Result<()> {
        let has_read = || lock(&self.seen).read.iter().any(|it| it == text).then_some(());
        until(&format!("{text:?} at {}", self.id()?), || async { Ok(has_read()) }).await
    }

    pub fn unreadable(&self) -> usize {
        lock(&self.seen).unreadable
    }
}

/// Says what no server may write into its log, where somebody looks for it there.
fn tell_secret(text: &str) {
    if std::env::var_os("SKERRY_TELL_SECRETS").is_some() {
        println!("secret: {text}");
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until something is so.
pub async fn until<T, F: Future<Output = Result<Option<T>>>>(
    what: &str,
    look: impl Fn() -> F,
) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(found) = look().await.with_context(|| what.to_owned())? {
            return Ok(found);
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("it took too long: {what}")
}
