//! Servers whose names have no port: where others find them is said by DNS and by the servers
//! (F13). All of them are real ones.

use skerry_tests::{
    Federated, Host, Synapse, User, encode, json,
    names::{Names, Route},
    path,
};

private_server![
    native: Native => [
        f13_servers_are_found_at_the_usual_port,
        f13_servers_are_found_by_what_they_say_themselves,
        f13_servers_are_found_by_services_of_dns,
    ],
    worker: Worker => [
        f13_servers_are_found_at_the_usual_port,
        f13_servers_are_found_by_what_they_say_themselves,
        f13_servers_are_found_by_services_of_dns,
    ],
];

async fn f13_servers_are_found_at_the_usual_port(host: Host) {
    talk_between(host, [Route::DefaultPort, Route::OldService, Route::WellKnown]).await;
}

async fn f13_servers_are_found_by_what_they_say_themselves(host: Host) {
    talk_between(host, [Route::WellKnown, Route::DefaultPort, Route::Service]).await;
}

async fn f13_servers_are_found_by_services_of_dns(host: Host) {
    talk_between(host, [Route::Service, Route::WellKnown, Route::DefaultPort]).await;
}

/// The server under test, a native Skerry and a Synapse, to which their names lead so: each finds
/// each other one.
async fn talk_between(host: Host, [of_one, of_other, of_synapse]: [Route; 3]) {
    let routes = [("harbor", of_one), ("island", of_other), ("synapse", of_synapse)];
    let Some(mut names) = Names::start(&routes) else { return };
    let one = Federated::start_named(host, &mut names, "harbor");
    let other = Federated::start_named(Host::Native, &mut names, "island");
    let synapse = Synapse::start_named(&mut names, "synapse");
    let users = [
        User::register(&one, "alice").await,
        User::register(&other, "ben").await,
        User::register(&synapse, "carol").await,
    ];
    for (at_home, home) in users.iter().enumerate() {
        let guests = users.iter().enumerate().filter(|it| it.0 != at_home);
        let room =
            home.create_room(&json!({ "preset": "public_chat", "room_version": "11" })).await;
        let via = encode(home.id.split_once(':').expect("a user ID").1);
        for (_, guest) in guests {
            let joining = guest.post(format!("/join{}?via={via}", path([&room])));
            let reply = joining.send().await;
            assert_eq!(reply.status, 200, "{reply} {routes:?} {}", synapse.log());
        }
        for speaker in &users {
            let mut watches = Vec::new();
            for listener in users.iter().filter(|it| it.id != speaker.id) {
                watches.push(listener.watch().await);
            }
            let said = speaker.say(&room, "is anybody there?").await;
            for mut watch in watches {
                watch.event(&room, &said).await;
            }
        }
    }
}
