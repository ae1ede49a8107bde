//! What every run begins with: servers with accounts. They are made once, by the API, and copied:
//! hashing passwords takes longer than a run.

use std::sync::{Arc, OnceLock};

use serde_json::json;
use skerry_local::{sqlite::InMemory, store};

use crate::{client::Client, host::runtime, network::Network, server::Server, tally::Tally};

/// Most servers of a run that are Skerry.
pub const SERVERS: usize = 4;
/// Accounts of each. The last one is a stranger to all rooms.
pub const USERS: usize = 4;

/// A server with accounts.
pub struct Template {
    /// Its database.
    pub database: InMemory,
    /// Its users, each with an access token.
    pub users: Vec<(String, String)>,
}

/// All of them.
pub fn templates() -> &'static [Template] {
    static TEMPLATES: OnceLock<Vec<Template>> = OnceLock::new();
    TEMPLATES.get_or_init(|| {
        let runtime = runtime();
        runtime.block_on(async {
            let mut made = Vec::new();
            for index in 0..SERVERS {
                made.push(make(index).await);
            }
            made
        })
    })
}

async fn make(index: usize) -> Template {
    let database = Arc::new(InMemory::new().expect("a database"));
    store::migrate(&*database).await.expect("the schema");
    let network = Network::new(index as u64, Arc::new(Tally::default()));
    let mut server = Server::new(index, database.clone(), network, index as u64, 0);
    server.start().await;
    let mut users = Vec::new();
    for name in 0..USERS {
        let client = Client::nobody(&server);
        let auth = json!({ "type": "m.login.dummy" });
        let body = json!({ "username": format!("u{name}"), "password": "correct horse battery",
            "auth": auth });
        let reply = client.post("/register", &body).await.expect("an answer").ok();
        let text = |field: &str| reply[field].as_str().expect("text").to_owned();
        users.push((text("user_id"), text("access_token")));
    }
    server.crash();
    Template { database: database.copy().expect("a copy"), users }
}
