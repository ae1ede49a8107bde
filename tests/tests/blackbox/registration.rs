//! Creating accounts: the flows of user-interactive authentication, names, and servers that are
//! closed or ask for a token.

use skerry_tests::{Client, Host, Options, PASSWORD, Server, User, Value, json, unique};
use tokio::task::JoinSet;

both_hosts![
    registration_asks_for_authentication_first,
    a_new_account_is_logged_in,
    a_chosen_device_is_kept,
    login_can_be_inhibited,
    a_name_is_generated_when_none_is_wanted,
    a_taken_name_is_refused_before_authentication,
    an_invalid_name_is_refused,
    names_do_not_differ_by_case_alone,
    availability_tells_free_from_taken,
    guests_are_refused,
    an_unknown_authentication_type_asks_again,
    a_session_must_be_known,
    two_registrations_of_one_name_make_one_account,
];

private_server![
    native_private: Native => [a_token_opens_registration, closed_registration_is_forbidden],
    worker_private: Worker => [
        a_token_opens_registration,
        closed_registration_is_forbidden,
        c12_of_isolates_that_start_at_once_one_makes_the_first_token,
    ],
];

fn wanted(name: &str) -> Value {
    json!({ "username": name, "password": PASSWORD })
}

fn dummy() -> Value {
    json!({ "type": "m.login.dummy" })
}

async fn registration_asks_for_authentication_first(server: &Server) {
    let anyone = Client::new(server.url());
    let reply = anyone.post("/register").json(&wanted(&unique("new"))).send().await;
    assert_eq!(reply.status, 401, "{reply}");
    let stages = &reply.json["flows"][0]["stages"];
    assert_eq!(*stages, json!(["m.login.dummy"]), "{reply}");
    assert!(reply.json["session"].is_string(), "{reply}");
    assert!(reply.json.get("errcode").is_none(), "a first challenge is no error: {reply}");
}

async fn a_new_account_is_logged_in(server: &Server) {
    let name = unique("new");
    let anyone = Client::new(server.url());
    let session = anyone.post("/register").uia(wanted(&name), dummy()).await.ok();
    assert_eq!(session["user_id"], format!("@{name}:localhost"));
    let user = User::from_session(&anyone, &session);
    let whoami = user.get("/account/whoami").ok().await;
    assert_eq!(whoami["user_id"], user.id.as_str());
    assert_eq!(whoami["device_id"], user.device.as_str());
    assert_ne!(whoami["is_guest"], true);
}

async fn a_chosen_device_is_kept(server: &Server) {
    let anyone = Client::new(server.url());
    let mut body = wanted(&unique("new"));
    body["device_id"] = json!("PHONE");
    body["initial_device_display_name"] = json!("my phone");
    let session = anyone.post("/register").uia(body, dummy()).await.ok();
    assert_eq!(session["device_id"], "PHONE");
    let user = User::from_session(&anyone, &session);
    let device = user.get("/devices/PHONE").ok().await;
    assert_eq!(device["display_name"], "my phone");
}

async fn login_can_be_inhibited(server: &Server) {
    let name = unique("new");
    let anyone = Client::new(server.url());
    let mut body = wanted(&name);
    body["inhibit_login"] = json!(true);
    let account = anyone.post("/register").uia(body, dummy()).await.ok();
    assert_eq!(account["user_id"], format!("@{name}:localhost"));
    assert!(account.get("access_token").is_none(), "{account}");
    assert!(account.get("device_id").is_none(), "{account}");
    let user = User::log_in(server, &name).await;
    let devices = user.get("/devices").ok().await;
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1), "{devices}");
}

async fn a_name_is_generated_when_none_is_wanted(server: &Server) {
    let anyone = Client::new(server.url());
    let body = json!({ "password": PASSWORD });
    let first = anyone.post("/register").uia(body.clone(), dummy()).await.ok();
    let second = anyone.post("/register").uia(body, dummy()).await.ok();
    for account in [&first, &second] {
        let id = account["user_id"].as_str().expect("a user ID");
        assert!(id.starts_with('@') && id.ends_with(":localhost"), "{id}");
    }
    assert_ne!(first["user_id"], second["user_id"]);
}

async fn a_taken_name_is_refused_before_authentication(server: &Server) {
    let alice = User::register(server, "alice").await;
    let anyone = Client::new(server.url());
    let request = anyone.post("/register").json(&wanted(alice.localpart()));
    request.refused(400, "M_USER_IN_USE").await;
}

async fn an_invalid_name_is_refused(server: &Server) {
    let anyone = Client::new(server.url());
    let long = "x".repeat(256);
    for name in ["two words", "é", "a:b", "#room", "@sigil", "new\nline", "nul\0", "", &long] {
        let request = anyone.post("/register").json(&wanted(name));
        request.refused(400, "M_INVALID_USERNAME").await;
    }
}

async fn names_do_not_differ_by_case_alone(server: &Server) {
    let alice = User::register(server, "alice").await;
    let shouted = alice.localpart().to_uppercase();
    let request = Client::new(server.url()).post("/register").json(&wanted(&shouted));
    let reply = request.send().await;
    reply.refused_with_any(&[(400, "M_USER_IN_USE"), (400, "M_INVALID_USERNAME")]);
}

async fn availability_tells_free_from_taken(server: &Server) {
    let alice = User::register(server, "alice").await;
    let available = Client::new(server.url()).get("/register/available");
    let free = available.clone().query("username", unique("free")).ok().await;
    assert_eq!(free["available"], true);
    let taken = available.clone().query("username", alice.localpart());
    taken.refused(400, "M_USER_IN_USE").await;
    available.query("username", "not valid").refused(400, "M_INVALID_USERNAME").await;
}

async fn guests_are_refused(server: &Server) {
    let guest = Client::new(server.url()).post("/register").query("kind", "guest");
    guest.refused(403, "M_FORBIDDEN").await;
}

async fn an_unknown_authentication_type_asks_again(server: &Server) {
    let anyone = Client::new(server.url());
    let name = unique("new");
    let auth = json!({ "type": "m.login.no_such_type" });
    let reply = anyone.post("/register").uia(wanted(&name), auth).await;
    assert!([400, 401].contains(&reply.status), "{reply}");
    assert!(reply.errcode().starts_with("M_"), "{reply}");
    let available = anyone.get("/register/available").query("username", &name).ok().await;
    assert_eq!(available["available"], true, "nothing was registered");
}

async fn a_session_must_be_known(server: &Server) {
    let anyone = Client::new(server.url());
    let mut body = wanted(&unique("new"));
    body["auth"] = json!({ "type": "m.login.dummy", "session": "invented" });
    let reply = anyone.post("/register").json(&body).send().await;
    assert!((400..500).contains(&reply.status), "{reply}");
    assert!(reply.json.get("access_token").is_none(), "{reply}");
}

async fn two_registrations_of_one_name_make_one_account(server: &Server) {
    let anyone = Client::new(server.url());
    let name = unique("race");
    let register = || anyone.post("/register").uia(wanted(&name), dummy());
    let (first, second) = tokio::join!(register(), register());
    let successes = [&first, &second].iter().filter(|it| it.status == 200).count();
    assert_eq!(successes, 1, "{first}\n{second}");
    let loser = if first.status == 200 { second } else { first };
    loser.refused(400, "M_USER_IN_USE");
}

async fn a_token_opens_registration(host: Host) {
    let registration = "token".to_owned();
    let registration_token = Some("open-sesame".to_owned());
    let server =
        Server::start(host, Options { registration, registration_token, ..Options::default() });
    let anyone = Client::new(server.url());
    let with_token = |token: &str| json!({ "type": "m.login.registration_token", "token": token });

    let challenge = anyone.post("/register").json(&wanted("alice")).send().await;
    assert_eq!(challenge.status, 401, "{challenge}");
    let flows = challenge.json["flows"].as_array().expect("flows");
    for flow in flows {
        let stages = flow["stages"].as_array().expect("stages");
        assert!(stages.contains(&json!("m.login.registration_token")), "{challenge}");
    }
    let dummy_only = anyone.post("/register").uia(wanted("alice"), dummy()).await;
    assert!([400, 401, 403].contains(&dummy_only.status), "{dummy_only}");
    let wrong = anyone.post("/register").uia(wanted("alice"), with_token("sesame")).await;
    assert!([401, 403].contains(&wrong.status), "{wrong}");
    assert!(wrong.errcode().starts_with("M_"), "{wrong}");
    let right = anyone.post("/register").uia(wanted("alice"), with_token("open-sesame")).await.ok();
    assert_eq!(right["user_id"], "@alice:localhost");
}

async fn closed_registration_is_forbidden(host: Host) {
    let server =
        Server::start(host, Options { registration: "closed".to_owned(), ..Options::default() });
    let register = Client::new(server.url()).post("/register").json(&wanted("alice"));
    register.refused(403, "M_FORBIDDEN").await;
}

/// C12: each isolate is a process of its own, and each starts with its first request.
async fn c12_of_isolates_that_start_at_once_one_makes_the_first_token(host: Host) {
    const ISOLATES: usize = 8;
    let registration = "token".to_owned();
    let options = Options { registration, isolates: ISOLATES, ..Options::default() };
    let mut server = Server::start(host, options);
    let mut starts = JoinSet::new();
    for url in server.urls() {
        starts.spawn(Client::new(url).get("/_matrix/client/versions").ok());
    }
    assert_eq!(starts.join_all().await.len(), ISOLATES);
    let log: Vec<_> = (0..ISOLATES).map(|_| server.line(" the first account, ")).collect();
    let tokens = log.iter().filter_map(|line| line.split_once("with this token: "));
    let tokens: Vec<_> = tokens.map(|(_, token)| token).collect();
    let [token] = *tokens else { panic!("not one token: {log:#?}") };
    // No other isolate has taken it back, and it makes one account.
    let auth = json!({ "type": "m.login.registration_token", "token": token });
    let last = Client::new(server.urls().last().expect("an isolate"));
    last.post("/register").uia(wanted("first"), auth.clone()).await.ok();
    let first = Client::new(server.url());
    first.post("/register").uia(wanted("second"), auth).await.client_error();
}
