//! What is asked of the other server without being in its rooms.

use super::{address, both_ways, server_of};
use skerry_tests::{Federated, Request, Synapse, User, Value, encode, json, path, remote::now_ms};

beside_synapse![
    profiles_of_the_other_server_are_shown,
    public_rooms_of_the_other_server_are_listed,
    a_room_that_is_not_here_is_summarized,
    a_space_of_the_other_server_is_walked,
    an_event_is_found_by_its_time,
];

async fn profiles_of_the_other_server_are_shown(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let name = json!({ "displayname": "The harbor's captain ⚓" });
        home.put(path(["profile", &home.id, "displayname"])).json(&name).ok().await;
        let shown = guest.get(path(["profile", &home.id])).ok().await;
        assert_eq!(shown["displayname"], name["displayname"], "{shown}");
        let shown = guest.get(path(["profile", &home.id, "displayname"])).ok().await;
        assert_eq!(shown, name);
        let nobody = format!("@nobody:{}", server_of(&home));
        guest.get(path(["profile", &nobody])).refused(404, "M_NOT_FOUND").await;
    }
}

async fn public_rooms_of_the_other_server_are_listed(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let (local, address) = address(&home);
        let options = json!({ "preset": "public_chat", "visibility": "public",
            "name": format!("Harbor {local}"), "topic": "ships", "room_alias_name": local });
        let room = home.create_room(&options).await;
        let get = guest.get("/publicRooms").query("server", server_of(&home));
        let listed = get.query("limit", 1_000).ok().await;
        let is_it = |it: &&Value| it["room_id"] == room.as_str();
        let entry = listed["chunk"].as_array().expect("a chunk").iter().find(is_it);
        let entry = entry.unwrap_or_else(|| panic!("{listed}"));
        assert_eq!(entry["canonical_alias"], address.as_str());
        assert_eq!(entry["topic"], "ships");
        assert_eq!(entry["num_joined_members"], 1);
        let search = guest.post("/publicRooms").query("server", server_of(&home));
        let filter = json!({ "filter": { "generic_search_term": local } });
        let found = search.json(&filter).ok().await;
        let found = found["chunk"].as_array().expect("a chunk");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["room_id"], room.as_str());
    }
}

/// A request for a summary of a room, by way of a user's server.
fn summary(user: &User, room: &str, via: &User) -> Request {
    let path = format!("/_matrix/client/v1/room_summary/{}", encode(room));
    user.get(path).query("via", server_of(via))
}

async fn a_room_that_is_not_here_is_summarized(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = home.create_room(&json!({ "preset": "public_chat", "name": "Harbor" })).await;
        let shown = summary(&guest, &room, &home).ok().await;
        assert_eq!((&shown["room_id"], &shown["name"]), (&json!(room), &json!("Harbor")));
        assert_eq!(shown["join_rule"], "public");
        let private = home.private_room(&[]).await;
        let refused = summary(&guest, &private, &home).send().await;
        assert!([403, 404].contains(&refused.status), "{refused}");
    }
}

async fn a_space_of_the_other_server_is_walked(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let options = json!({ "preset": "public_chat", "name": "Fleet",
            "creation_content": { "type": "m.space" } });
        let space = home.create_room(&options).await;
        let mut children = Vec::new();
        for preset in ["public_chat", "public_chat", "private_chat"] {
            let child = home.create_room(&json!({ "preset": preset, "name": "Ship" })).await;
            let content = json!({ "via": [server_of(&home)] });
            home.set_state(&space, "m.space.child", &child, &content).await;
            children.push(child);
        }
        super::joining(&guest, &space, &home).ok().await;
        let walk = format!("/_matrix/client/v1/rooms/{}/hierarchy", encode(&space));
        let found = guest.get(walk).ok().await;
        let rooms = found["rooms"].as_array().expect("rooms").iter();
        let rooms: Vec<_> = rooms.filter_map(|it| it["room_id"].as_str()).collect();
        assert_eq!(rooms.first(), Some(&space.as_str()), "{found}");
        for (child, is_shown) in children.iter().zip([true, true, false]) {
            assert_eq!(rooms.contains(&child.as_str()), is_shown, "{found}");
        }
    }
}

async fn an_event_is_found_by_its_time(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = home.public_room(&[]).await;
        home.say_many(&room, 5).await;
        let before = now_ms();
        let said = home.say(&room, "this one").await;
        let after = now_ms();
        home.say_many(&room, 5).await;
        super::joining(&guest, &room, &home).ok().await;
        let find = format!("/_matrix/client/v1/rooms/{}/timestamp_to_event", encode(&room));
        for (ts, dir) in [(before, "f"), (after, "b")] {
            let found = guest.get(&find).query("ts", ts).query("dir", dir).ok().await;
            let at = found["origin_server_ts"].as_u64().expect("a time");
            assert!((before..=after).contains(&at), "{dir}: {found}");
            if before < after {
                assert!(found["event_id"].is_string(), "{said}: {found}");
            }
        }
    }
}
