//! What is planned, made event by event under the authorization rules.

use std::sync::Arc;

use serde_json::value::to_raw_value;

use super::*;
use crate::{
    Pdu, SigningKey,
    authorize::{self, StateKey},
    pdu::{self, NewEvent},
};

/// Makes the room event by event, each authorized by the state before it, as a room does.
fn carry_out(plan: &Plan) -> Result<(), authorize::Refusal> {
    let key = SigningKey::from_seed([7; 32], "1").unwrap();
    let creator = user(CREATOR);
    let random = ruma::room_id!("!random:x.y");
    let is_hash = plan.rules.authorization.room_create_event_id_as_room_id;
    let room_id = (!is_hash).then_some(random);
    let content = plan.create_content.clone();
    let create_id = Some(ruma::event_id!("$0:x.y"));
    let create = pdu::create_event(content, &creator, create_id, room_id, &plan.rules, 1, &key);
    let create = create.unwrap();
    authorize::check(&create, &[], &plan.rules)?;
    let room_id = create.room_id.clone();
    let mut newest = Arc::new(create);
    let mut state: BTreeMap<StateKey, Arc<Pdu>> = BTreeMap::new();
    state.insert(("m.room.create".to_owned(), String::new()), Arc::clone(&newest));
    let invites = plan.invites.iter().map(|(user_id, content)| StateItem {
        event_type: "m.room.member".to_owned(),
        state_key: user_id.to_string(),
        content: content.clone(),
    });
    for item in plan.state.iter().cloned().chain(invites) {
        let content = to_raw_value(&item.content).unwrap();
        let (event_type, state_key) = (item.event_type.as_str(), Some(item.state_key.as_str()));
        let needed =
            authorize::needed_state(event_type, &creator, state_key, &content, &plan.rules)?;
        let found: Vec<_> = needed
            .into_iter()
            .filter_map(|it| Some((it.clone(), state.get(&it)?.clone())))
            .collect();
        let is_auth_event = |it: &&(StateKey, _)| authorize::is_auth_event(&it.0, &plan.rules);
        let event_id = ruma::EventId::parse(format!("${}:x.y", newest.depth)).unwrap();
        let event = NewEvent {
            event_id: Some(&event_id),
            room_id: Some(&room_id),
            sender: &creator,
            event_type,
            state_key,
            content: item.content,
            redacts: None,
            prev_events: vec![&newest],
            auth_events: found.iter().filter(is_auth_event).map(|it| &*it.1).collect(),
            depth: newest.depth + 1,
            origin_server_ts: 1,
        };
        let pdu = pdu::build(event, &plan.rules, creator.server_name(), &key).unwrap();
        authorize::check(&pdu, &found, &plan.rules)?;
        newest = Arc::new(pdu);
        state.insert((item.event_type, item.state_key), Arc::clone(&newest));
    }
    Ok(())
}

#[test]
fn the_rules_of_every_version_allow_what_is_planned() {
    for version in VERSIONS {
        for preset in ["private_chat", "trusted_private_chat", "public_chat"] {
            let mut options = json!({
                "room_version": version,
                "preset": preset,
                "room_alias_name": "pub",
                "initial_state": [
                    { "type": "m.room.encryption", "content": { "algorithm": "m.megolm.v1" } },
                    { "type": "m.room.power_levels", "content": { "users": { CREATOR: 100 } } },
                ],
                "name": "Pub",
                "topic": "Beer",
                "invite": ["@bob:x.y", "@carol:x.y"],
                "creation_content": { "m.federate": false, "type": "m.space" },
            });
            if version == "12" {
                options["initial_state"][1]["content"] = json!({ "users_default": 1 });
                options["creation_content"]["additional_creators"] = json!(["@dora:x.y"]);
            }
            let plan = plan_of(options);
            assert_eq!(carry_out(&plan), Ok(()), "version {version}, {preset}");
        }
    }
}

#[test]
fn the_rules_refuse_a_creator_who_gives_power_away() {
    let plan = plan_of(json!({
        "room_version": "11",
        "name": "Pub",
        "power_level_content_override": { "users": { CREATOR: 10 } },
    }));
    assert!(matches!(carry_out(&plan), Err(authorize::Refusal::Forbidden(_))));
}
