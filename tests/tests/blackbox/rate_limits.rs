//! S-C4, T5: rate limits. Every bucket is small here and hardly filled again, and every test has
//! users and addresses of its own.

use skerry_tests::{
    Client, Host, Options, PASSWORD, Reply, Request, Server, User, Value, json, message, path,
    unique,
};
use std::{
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

mod every_bucket;

use self::every_bucket::every_bucket_has_its_end;

private_server![
    native: Native => [
        every_bucket_has_its_end,
        what_a_bucket_does_not_have_is_refused_as_the_specification_says,
        a_limit_is_that_of_one_address,
        nothing_is_written_of_what_is_refused,
        a_repeated_message_is_answered_when_the_bucket_has_filled,
        who_administers_the_server_is_not_limited,
        a_device_that_runs_wild_leaves_something_to_the_others,
        who_has_read_much_waits_before_they_read_more,
        what_is_searched_counts_as_read,
        who_guesses_a_password_locks_nobody_else_out,
        an_invented_token_uses_up_nothing_of_whom_it_names,
        a_flood_of_logins_lets_others_log_in,
        scripts_meet_the_defaults,
        who_is_no_proxy_is_not_believed,
        switched_off_nothing_is_limited,
    ],
    worker: Worker => [
        every_bucket_has_its_end,
        what_a_bucket_does_not_have_is_refused_as_the_specification_says,
        a_limit_is_that_of_one_address,
        nothing_is_written_of_what_is_refused,
        a_repeated_message_is_answered_when_the_bucket_has_filled,
        who_administers_the_server_is_not_limited,
        a_device_that_runs_wild_leaves_something_to_the_others,
        who_has_read_much_waits_before_they_read_more,
        what_is_searched_counts_as_read,
        who_guesses_a_password_locks_nobody_else_out,
        an_invented_token_uses_up_nothing_of_whom_it_names,
        a_flood_of_logins_lets_others_log_in,
        isolates_count_together,
        scripts_meet_the_defaults,
        what_is_refused_asks_nobody,
        switched_off_nothing_is_limited,
    ],
];

/// Requests that a bucket has at first; after that, none comes during a test.
const BURST: usize = 4;

/// A server on which these buckets are small, and all others as they are by default.
fn server_with(host: Host, rate_limits: &str) -> Server {
    let (server_name, rate_limits) = ("limits.example".to_owned(), rate_limits.to_owned());
    let trusted_proxies = vec!["127.0.0.0/8".to_owned()];
    let options = Options { server_name, rate_limits, trusted_proxies, ..Options::default() };
    Server::start(host, options)
}

/// The headers that say from where a request comes: to the native server as its proxy, to the
/// Worker as Cloudflare.
fn from(request: Request, address: &str) -> Request {
    request.header("X-Forwarded-For", address).header("CF-Connecting-IP", address)
}

/// An address that nobody has used.
fn new_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    format!("198.18.{high}.{low}")
}

fn registration(server: &Server, name: &str, address: &str) -> Request {
    let body =
        json!({ "username": name, "password": PASSWORD, "auth": { "type": "m.login.dummy" } });
    from(Client::new(server.url()).post("/register").json(&body), address)
}

/// A new user, from an address of their own.
async fn new_user(server: &Server, stem: &str) -> User {
    let reply = registration(server, &unique(stem), &new_address()).ok().await;
    User::from_session(&Client::new(server.url()), &reply)
}

fn login(server: &Server, user: &str, password: &str, address: &str) -> Request {
    let body = json!({ "type": "m.login.password", "password": password,
        "identifier": { "type": "m.id.user", "user": user } });
    from(Client::new(server.url()).post("/login").json(&body), address)
}

/// Asserts that so many are served and the next is not.
async fn assert_ends(what: &str, burst: usize, request: impl AsyncFn() -> Request) {
    for number in 1..=burst {
        let reply = request().await.send().await;
        assert_ne!(reply.status, 429, "{what}: number {number}: {reply}");
    }
    refused(request().await.send().await, what);
}

/// Asserts a refusal that says when to come back, to every page.
fn refused(reply: Reply, what: &str) -> Value {
    let header = |name| reply.header(name).map(ToOwned::to_owned);
    let (after, origin) = (header("retry-after"), header("access-control-allow-origin"));
    assert_eq!(reply.status, 429, "{what}: {reply}");
    let json = reply.refused(429, "M_LIMIT_EXCEEDED");
    let wait_ms = json["retry_after_ms"].as_u64().expect("a time");
    assert!(wait_ms > 0, "{what}: {json}");
    let seconds = wait_ms.div_ceil(1_000).to_string();
    assert_eq!(after.as_deref(), Some(&*seconds), "{what}");
    assert_eq!(origin.as_deref(), Some("*"), "{what}");
    json
}

async fn what_a_bucket_does_not_have_is_refused_as_the_specification_says(host: Host) {
    let server = server_with(host, "off,messages=6/m:2");
    let alice = new_user(&server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    alice.say_many(&room, 2).await;
    // T5: before the body is read, and whatever it is.
    for body in ["{}", "no JSON", ""] {
        let request = alice.sending(&room, "m.room.message", &json!({})).text(body);
        let json = refused(request.send().await, "messages");
        let wait_ms = json["retry_after_ms"].as_u64().expect("a time");
        assert!(wait_ms <= 10_000, "{json}");
    }
    let bob = new_user(&server, "bob").await;
    bob.create_room(&json!({})).await;
    alice.get("/joined_rooms").ok().await;
}

async fn a_limit_is_that_of_one_address(host: Host) {
    let server = server_with(host, "off,register=1/h:1");
    let register = async |address: &str| registration(&server, &unique("n"), address).send().await;
    assert_eq!(register("198.51.100.1").await.status, 200);
    refused(register("198.51.100.1").await, "register");
    assert_eq!(register("198.51.100.2").await.status, 200);
    // Of IPv6, a customer has a whole network.
    assert_eq!(register("2001:db8:1:1::1").await.status, 200);
    refused(register("2001:db8:1:1:ffff::2").await, "register");
    assert_eq!(register("2001:db8:1:2::1").await.status, 200);
    // What is no address is counted together.
    assert_eq!(register("nonsense").await.status, 200);
    refused(register("other nonsense").await, "register");
}

async fn nothing_is_written_of_what_is_refused(host: Host) {
    let server = server_with(host, "off,messages=1/h:1,create-room=1/h:1,register=1/h:1");
    let address = new_address();
    let session = registration(&server, "first", &address).ok().await;
    refused(registration(&server, "second", &address).send().await, "register");
    let alice = User::from_session(&Client::new(server.url()), &session);
    let free = alice.get("/register/available").query("username", "second").ok().await;
    assert_eq!(free["available"], true);
    let room = alice.create_room(&json!({})).await;
    let named = alice.post("/createRoom").json(&json!({ "room_alias_name": "second" }));
    refused(named.send().await, "create-room");
    alice.get(path(["directory", "room", "#second:localhost"])).refused(404, "M_NOT_FOUND").await;
    let said = alice.say(&room, "first").await;
    let more = alice.sending(&room, "m.room.message", &message("second"));
    refused(more.send().await, "messages");
    let last = alice.messages(&room, "b").query("limit", 1).ok().await;
    assert_eq!(last["chunk"][0]["event_id"], said.as_str());
}

/// A client that did not hear the answer asks again until it does.
async fn a_repeated_message_is_answered_when_the_bucket_has_filled(host: Host) {
    let server = server_with(host, "off,messages=2/s:1");
    let alice = new_user(&server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let send = alice.sending(&room, "m.room.message", &message("once"));
    let first = send.clone().ok().await;
    let mut refusals = 0;
    let again = loop {
        let reply = send.clone().send().await;
        match reply.status {
            429 => refusals += 1,
            _ => break reply.ok(),
        }
        assert!(refusals < 10_000, "it is refused for ever");
    };
    assert_eq!(first, again);
}

async fn who_administers_the_server_is_not_limited(host: Host) {
    let token = "correct horse battery".to_owned();
    let options = Options {
        registration: "token".to_owned(),
        registration_token: Some(token.clone()),
        rate_limits: "off,messages=1/h:1,messages-device=1/h:1,reads=1/h:1,syncs=1/h:1".to_owned(),
        ..Options::default()
    };
    let server = Server::start(host, options);
    let anyone = Client::new(server.url());
    let register = async |name: &str| {
        let body = json!({ "username": name, "password": PASSWORD });
        let auth = json!({ "type": "m.login.registration_token", "token": token });
        User::from_session(&anyone, &anyone.post("/register").uia(body, auth).await.ok())
    };
    let (admin, other) = (register("admin").await, register("other").await);
    let room = admin.create_room(&json!({})).await;
    admin.say_many(&room, 5).await;
    for _ in 0..5 {
        admin.get("/joined_rooms").ok().await;
        admin.get("/sync").ok().await;
    }
    other.get("/joined_rooms").ok().await;
    refused(other.get("/joined_rooms").send().await, "reads");
}

async fn a_device_that_runs_wild_leaves_something_to_the_others(host: Host) {
    let server = server_with(host, "off,messages=1/h:6,messages-device=1/h:3");
    let bot = new_user(&server, "alice").await;
    let room = bot.create_room(&json!({})).await;
    let phone = login(&server, &bot.id, PASSWORD, &new_address()).ok().await;
    let phone = User::from_session(&Client::new(server.url()), &phone);
    let say = |user: &User| user.sending(&room, "m.room.message", &message("x"));
    bot.say_many(&room, 3).await;
    for _ in 0..20 {
        refused(say(&bot).send().await, "messages-device");
    }
    phone.say_many(&room, 3).await;
    refused(say(&phone).send().await, "messages-device");
    let tablet = login(&server, &bot.id, PASSWORD, &new_address()).ok().await;
    let tablet = User::from_session(&Client::new(server.url()), &tablet);
    refused(say(&tablet).send().await, "messages");
}

/// T1a: how much is read counts, not only how often.
async fn who_has_read_much_waits_before_they_read_more(host: Host) {
    let server = server_with(host, "off,answers=1/h:150");
    let (alice, bob) = (new_user(&server, "alice").await, new_user(&server, "bob").await);
    let room = alice.create_room(&json!({ "preset": "public_chat" })).await;
    bob.join(&room).await;
    for key in ["1", "2"] {
        alice.set_state(&room, "org.example.large", key, &json!({ "x": "x".repeat(60_000) })).await;
    }
    let state = path(["rooms", &room, "state"]);
    // The second finds less than it needs, and owes the rest.
    alice.get(&state).ok().await;
    // Who wants the head alone has it made as well.
    assert_eq!(alice.request("HEAD", &state).send().await.status, 200);
    refused(alice.get(&state).send().await, "answers");
    refused(alice.get("/sync").send().await, "answers, of a sync");
    refused(alice.get("/joined_rooms").send().await, "small answers too");
    alice.say(&room, "what is sent is not read").await;
    bob.get(&state).ok().await;
}

/// T1b: also where a filter lets nothing of it through.
async fn what_is_searched_counts_as_read(host: Host) {
    let server = server_with(host, "off,answers=1/h:300");
    let alice = new_user(&server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let large = message(&"x".repeat(60_000));
    for _ in 0..4 {
        alice.send(&room, "m.room.message", &large).await;
    }
    let filter = json!({ "types": ["org.example.none"] });
    let search = || alice.messages(&room, "b").query("filter", &filter);
    for _ in 0..2 {
        let page = search().ok().await;
        assert_eq!(page["chunk"], json!([]));
    }
    refused(search().send().await, "answers");
}

/// S-A3, S-C4: neither whoever is at another address nor whoever has another account.
async fn who_guesses_a_password_locks_nobody_else_out(host: Host) {
    let server =
        server_with(host, "off,login-address=1/h:6,login-account=1/h:30,login-failed=1/h:9");
    let home = new_address();
    let session = registration(&server, "alice", &home).ok().await;
    let alice = User::from_session(&Client::new(server.url()), &session);
    let bob = new_user(&server, "bob").await;
    // From one address only so many.
    let guesser = new_address();
    let mut wrong = 0;
    for _ in 0..20 {
        let reply = login(&server, &alice.id, "guess", &guesser).send().await;
        wrong += usize::from(reply.status == 403);
        assert!([403, 429].contains(&reply.status), "{reply}");
    }
    assert_eq!(wrong, 6);
    // From many only so many too; the right password is not looked at any more.
    for _ in 0..10 {
        let guess = login(&server, &alice.id, "guess", &new_address()).send().await;
        wrong += usize::from(guess.status == 403);
    }
    assert_eq!(wrong, 9);
    refused(login(&server, &alice.id, PASSWORD, &new_address()).send().await, "login-failed");
    // Alice comes in from where she is known, and others come in from anywhere.
    for _ in 0..3 {
        login(&server, &alice.id, PASSWORD, &home).ok().await;
        login(&server, &bob.id, PASSWORD, &new_address()).ok().await;
    }
    // Within a session there is a share of its own.
    let auth = |password: &str| {
        json!({ "type": "m.login.password", "password": password,
        "identifier": { "type": "m.id.user", "user": alice.id } })
    };
    let delete = |password| alice.delete("/devices/NONE").uia(json!({}), auth(password));
    for _ in 0..9 {
        delete("guess").await.refused(401, "M_FORBIDDEN");
    }
    refused(delete(PASSWORD).await, "login-failed, within a session");
}

async fn an_invented_token_uses_up_nothing_of_whom_it_names(host: Host) {
    let server = server_with(host, "off,syncs=1/h:5,reads=1/h:5,unknown-tokens=1/h:5");
    let alice = new_user(&server, "alice").await;
    let forged = format!("{}AAAA", &alice.token[..alice.token.len() - 4]);
    let forged = Client::new(server.url()).with_token(&forged);
    let address = new_address();
    for _ in 0..5 {
        from(forged.get("/sync"), &address).refused(401, "M_UNKNOWN_TOKEN").await;
        from(forged.get("/joined_rooms"), &new_address()).refused(401, "M_UNKNOWN_TOKEN").await;
    }
    // Who has shown so many is not asked for whom the next one is.
    let next =
        forged.with_token(&alice.token.replace(&alice.token[alice.token.len() - 4..], "BBBA"));
    refused(from(next.get("/sync"), &address).send().await, "unknown-tokens, of a sync");
    refused(from(next.get("/joined_rooms"), &address).send().await, "unknown-tokens");
    alice.get("/sync").ok().await;
    alice.get("/joined_rooms").ok().await;
}

/// S-E7: else everybody could be anybody.
async fn who_is_no_proxy_is_not_believed(host: Host) {
    let rate_limits = "off,register=1/h:1".to_owned();
    let server = Server::start(host, Options { rate_limits, ..Options::default() });
    let register = async || registration(&server, &unique("n"), &new_address()).send().await;
    assert_eq!(register().await.status, 200);
    refused(register().await, "register");
}

/// What one isolate has let through counts in the others.
async fn isolates_count_together(host: Host) {
    const ISOLATES: usize = 4;
    let options =
        Options { isolates: ISOLATES, rate_limits: "all=1/h:100".to_owned(), ..Options::default() };
    let server = Server::start(host, options);
    let address = new_address();
    let mut refusals = 0;
    for number in 0..25 {
        let isolate = Client::new(&server.urls()[number % ISOLATES]);
        let body = json!({ "username": unique("n"), "password": PASSWORD,
            "auth": { "type": "m.login.dummy" } });
        let reply = from(isolate.post("/register").json(&body), &address).send().await;
        if reply.status == 429 {
            refusals += 1;
        }
    }
    assert!(refusals > 0, "each isolate had as many as all of them may have");
    // What a user does is counted exactly, by the object that is asked anyway.
    let rate_limits = "off,messages=1/h:10,profile=1/h:10".to_owned();
    let options = Options { isolates: ISOLATES, rate_limits, ..Options::default() };
    let server = Server::start(host, options);
    let alice = new_user(&server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let name = path(["profile", &alice.id, "displayname"]);
    let (mut sent, mut named) = (0, 0);
    for number in 0..28 {
        let isolate = Client::new(&server.urls()[number % ISOLATES]).with_token(&alice.token);
        let send = path(["rooms", &room, "send", "m.room.message", &unique("txn")]);
        let send = isolate.put(send).json(&message("x")).send().await;
        let new_name = json!({ "displayname": number.to_string() });
        let set_name = isolate.put(&name).json(&new_name).send().await;
        sent += usize::from(send.status == 200);
        named += usize::from(set_name.status == 200);
    }
    assert_eq!((sent, named), (10, 10));
}

/// Neither an object nor the global store is asked for a refusal.
async fn what_is_refused_asks_nobody(host: Host) {
    let rate_limits = "off,messages=1/h:1,joins=1/h:1,login-address=1/h:1,open=1/h:3".to_owned();
    let server =
        Server::start(host, Options { is_counted: true, rate_limits, ..Options::default() });
    let alice = new_user(&server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let address = new_address();
    let requests = || {
        let profile = Client::new(server.url()).get(path(["profile", &alice.id]));
        [
            alice.sending(&room, "m.room.message", &message("x")),
            alice.post(path(["rooms", &room, "join"])),
            login(&server, &alice.id, "guess", &address),
            from(profile, &address),
        ]
    };
    for _ in 0..3 {
        for request in requests() {
            request.send().await;
        }
    }
    let costs = Client::new(server.url());
    // What was accepted is brought to its end after the reply.
    for _ in 0..20 {
        costs.post("/_skerry/test/costs").ok().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        if costs.get("/_skerry/test/costs").ok().await["object_requests"] == 0 {
            break;
        }
    }
    let mut counts = json!({});
    // Signing keys are read once a minute, whoever asks: that may come in between, once.
    for _ in 0..2 {
        costs.post("/_skerry/test/costs").ok().await;
        for request in requests() {
            refused(request.send().await, "counted");
        }
        counts = costs.get("/_skerry/test/costs").ok().await;
        if counts["d1_queries"] == 0 {
            break;
        }
    }
    for name in ["object_requests", "object_rows_written", "d1_queries"] {
        assert_eq!(counts[name], 0, "{name}: {counts}");
    }
}

/// T5, T10, T11: the defaults are such that whoever automates it finds their end.
async fn scripts_meet_the_defaults(host: Host) {
    let server = server_with(host, "");
    let address = new_address();
    for _ in 0..5 {
        registration(&server, &unique("bot"), &address).ok().await;
    }
    refused(registration(&server, &unique("bot"), &address).send().await, "registrations");
    let spammer = new_user(&server, "spammer").await;
    let room = spammer.create_room(&json!({})).await;
    let is_refused = |reply: Reply| match reply.status {
        429 => refused(reply, "a script").is_object(),
        _ => false,
    };
    let mut refusals = 0;
    for _ in 0..1_000 {
        let message = spammer.sending(&room, "m.room.message", &message("buy"));
        refusals += usize::from(is_refused(message.send().await));
        if refusals > 0 {
            break;
        }
    }
    assert!(refusals > 0, "1,000 messages as fast as can be");
    let mut refusals = 0;
    for _ in 0..30 {
        let invitation = spammer.on_member(&room, "invite", &spammer);
        refusals += usize::from(is_refused(invitation.send().await));
    }
    assert!(refusals > 0, "30 invitations as fast as can be");
}

/// Three hundred at once, for many accounts: somebody else's login is served among them. Natively
/// without any limit, so that all of them wait for their turn; at the edge there is no queue.
async fn a_flood_of_logins_lets_others_log_in(host: Host) {
    let rate_limits = match host {
        Host::Native => "off",
        Host::Worker => "",
    };
    let server = server_with(host, rate_limits);
    let alice = new_user(&server, "alice").await;
    let flooder = new_address();
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..320 {
        flood.spawn(login(&server, &unique("x"), "guess", &flooder).send());
    }
    let served = async {
        let reply = flood.join_next().await.expect("a reply").expect("no panic");
        assert!([403, 429].contains(&reply.status), "{reply}");
    };
    served.await;
    for _ in 0..3 {
        login(&server, &alice.id, PASSWORD, &new_address()).ok().await;
    }
    let replies = flood.join_all().await;
    let refused = replies.iter().filter(|it| it.status == 429).count();
    assert!(replies.iter().all(|it| [403, 429].contains(&it.status)));
    assert!(refused > 200, "{refused} found no place");
}

async fn switched_off_nothing_is_limited(host: Host) {
    let server = server_with(host, "off");
    let alice = new_user(&server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    for _ in 0..300 {
        alice.say(&room, "x").await;
    }
    for _ in 0..15 {
        login(&server, &alice.id, "guess", "198.51.100.1").refused(403, "M_FORBIDDEN").await;
    }
}
