//! The other objects: they answer as the test says, and remember what they were asked.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use ruma::{
    RoomId, ServerName, UserId,
    api::error::{ErrorKind, LimitExceededErrorData},
};
use serde::Serialize;
use serde_json::Value as JsonValue;
use skerry::{
    Error, Result,
    messages::{ServerKey, destination, room, user},
};
use tokio::sync::watch;

use crate::only::SomeObjects;

/// Which kind of objects they are. Objects of the other kind are not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The rooms of one user.
    Rooms,
    /// The users of one room, and the other servers in it.
    Users,
}

/// All other objects, content with whatever they are told unless the test says otherwise.
pub(crate) struct Others {
    kind: Kind,
    asked: Mutex<Vec<(String, JsonValue)>>,
    failing: Mutex<BTreeSet<String>>,
    hanging: Mutex<BTreeSet<String>>,
    absent: Mutex<BTreeSet<String>>,
    refuse: AtomicBool,
    are_busy: AtomicBool,
    /// The keys of other servers.
    keys: Mutex<Vec<ServerKey>>,
    are_held: watch::Sender<bool>,
    arrivals: watch::Sender<u64>,
}

impl Others {
    pub(crate) fn new(kind: Kind) -> Arc<Self> {
        Arc::new(Self {
            kind,
            asked: Mutex::default(),
            failing: Mutex::default(),
            hanging: Mutex::default(),
            absent: Mutex::default(),
            refuse: AtomicBool::new(false),
            are_busy: AtomicBool::new(false),
            keys: Mutex::default(),
            are_held: watch::Sender::new(false),
            arrivals: watch::Sender::new(0),
        })
    }

    /// Other servers have these keys.
    pub(crate) fn have_keys(&self, keys: Vec<ServerKey>) {
        *self.keys.lock().unwrap() = keys;
    }

    /// This one cannot be asked.
    pub(crate) fn fail(&self, name: &str) {
        self.failing.lock().unwrap().insert(name.to_owned());
    }

    /// There is no such room here.
    pub(crate) fn is_absent(&self, name: &str) {
        self.absent.lock().unwrap().insert(name.to_owned());
    }

    /// This one never answers.
    pub(crate) fn hang(&self, name: &str) {
        self.hanging.lock().unwrap().insert(name.to_owned());
    }

    /// All can be asked again.
    pub(crate) fn mend(&self) {
        self.failing.lock().unwrap().clear();
        self.hanging.lock().unwrap().clear();
    }

    /// All refuse.
    pub(crate) fn refuse(&self) {
        self.refuse.store(true, Ordering::Relaxed);
    }

    /// Whether all want to be asked later.
    pub(crate) fn are_busy(&self, are: bool) {
        self.are_busy.store(are, Ordering::Relaxed);
    }

    /// Nobody answers.
    pub(crate) fn hold(&self) {
        self.are_held.send_replace(true);
        self.arrivals.send_replace(0);
    }

    /// Waits until somebody is asked who does not answer.
    pub(crate) async fn held(&self) {
        self.arrivals.subscribe().wait_for(|it| *it > 0).await.unwrap();
    }

    /// Everybody answers again.
    pub(crate) fn release(&self) {
        self.are_held.send_replace(false);
    }

    /// Who was asked what since the last look, in the order of the names.
    pub(crate) fn asked(&self) -> Vec<(String, JsonValue)> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort_by(|a, b| a.0.cmp(&b.0));
        asked
    }

    async fn hear(&self, kind: Kind, name: &str, command: &impl Serialize) -> Result<()> {
        if self.kind != kind {
            return Err(Error::internal("it asks no objects of its own kind"));
        }
        let json = serde_json::to_value(command).unwrap();
        self.asked.lock().unwrap().push((name.to_owned(), json));
        self.arrivals.send_modify(|it| *it += 1);
        self.are_held.subscribe().wait_for(|it| !*it).await.unwrap();
        if self.hanging.lock().unwrap().contains(name) {
            std::future::pending::<()>().await;
        }
        if self.failing.lock().unwrap().contains(name) {
            return Err(Error::internal("out of order"));
        }
        if self.are_busy.load(Ordering::Relaxed) {
            let later = ErrorKind::LimitExceeded(LimitExceededErrorData::new());
            return Err(Error::api(later, "too much at once"));
        }
        if self.absent.lock().unwrap().contains(name) {
            return Err(Error::UnknownRoom);
        }
        match self.refuse.load(Ordering::Relaxed) {
            true => Err(Error::forbidden("banned")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl SomeObjects for Others {
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply> {
        self.hear(Kind::Rooms, room_id.as_str(), &command).await?;
        Ok(match command {
            room::Command::UpdateProfile(_) => room::Reply::UpdateProfile(()),
            room::Command::Forget(_) => room::Reply::Forget(()),
            _ => room::Reply::ChangeMembership(()),
        })
    }

    async fn user(&self, user_id: &UserId, command: user::Command) -> Result<user::Reply> {
        self.hear(Kind::Users, user_id.as_str(), &command).await?;
        Ok(match command {
            user::Command::Membership(_) => user::Reply::Membership(()),
            user::Command::EphemeralActivity(_) => user::Reply::EphemeralActivity(()),
            _ => user::Reply::RoomActivity(user::Delivered::Noted),
        })
    }

    async fn destination(
        &self,
        server: &ServerName,
        command: destination::Command,
    ) -> Result<destination::Reply> {
        // A room tells them what it tells users.
        let kind = match command {
            destination::Command::Leave(_) => Kind::Rooms,
            _ => Kind::Users,
        };
        self.hear(kind, server.as_str(), &command).await?;
        Ok(match command {
            destination::Command::Leave(_) => destination::Reply::Leave(()),
            destination::Command::GetKeys(_) => {
                let keys = self.keys.lock().unwrap().clone();
                destination::Reply::GetKeys(
                    keys.into_iter().filter(|it| it.server == server).collect(),
                )
            }
            destination::Command::TypingActivity(_) => destination::Reply::TypingActivity(()),
            _ => destination::Reply::RoomActivity(user::Delivered::Noted),
        })
    }
}
