//! Somebody whom the hostile try to harm.

use skerry_tests::{Server, Sync, User, json};

/// What the victim has said in each room.
const SAID: usize = 2;

/// Somebody who uses the server, and what they have.
#[derive(Clone)]
pub(super) struct Victim {
    pub(super) user: User,
    /// A room that everybody joins, and one of theirs alone.
    pub(super) shared: String,
    pub(super) private: String,
    said: Vec<String>,
}

impl Victim {
    pub(super) async fn new(server: &Server) -> Self {
        let user = User::register(server, "victim").await;
        let shared = user.public_room(&[]).await;
        let private = user.create_room(&json!({ "preset": "private_chat" })).await;
        let mut said = user.say_many(&shared, SAID).await;
        said.extend(user.say_many(&private, SAID).await);
        Self { user, shared, private, said }
    }

    /// The same after a restart of the server.
    pub(super) fn at(&self, server: &Server) -> Self {
        Self { user: self.user.at(server), ..self.clone() }
    }

    /// A message in the shared room, and one in the private room.
    pub(super) fn messages(&self) -> [String; 2] {
        [self.said[0].clone(), self.said[SAID].clone()]
    }

    /// Everything is as it was, and goes on.
    pub(super) async fn expect_unharmed(&self) {
        for (room, said) in
            [(&self.shared, &self.said[..SAID]), (&self.private, &self.said[SAID..])]
        {
            for event in said {
                let event = self.user.event(room, event).ok().await;
                assert!(event["content"]["body"].is_string(), "it was redacted: {event}");
            }
        }
        let since = self.user.sync().get().await;
        let new = self.user.say(&self.private, "still here").await;
        let news = self.user.sync().since(since.next_batch());
        let is_new = |it: &Sync| it.joined(&self.private)?.event(&new).map(drop);
        news.until("their own message", is_new).await;
    }
}
