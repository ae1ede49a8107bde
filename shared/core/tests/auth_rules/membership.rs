//! Rules of `m.room.member`.

use ruma::{CanonicalJsonObject, signatures::sign_json};
use skerry_core::SigningKey;

use super::*;

#[test]
fn s_z5_membership_events_have_a_user_and_a_membership() {
    let with = |key, content| ("m.room.member", key, "@user:x.y", content);
    run(&[
        ("no state key", NEVER, vec![], with(None, json!({ "membership": "join" }))),
        ("no user", NEVER, vec![], with(Some("user"), json!({ "membership": "join" }))),
        ("no membership", NEVER, vec![], with(Some("@user:x.y"), json!({}))),
        ("a number", NEVER, vec![], with(Some("@user:x.y"), json!({ "membership": 1 }))),
        ("unknown", NEVER, vec![], member("@user:x.y", "@user:x.y", "dance")),
    ]);
}

#[test]
fn s_z5_joins() {
    let join = |user| member(user, user, "join");
    let rule = |it| vec![join_rule(it)];
    let knock: Allowed = |it| it >= 7;
    let restricted: Allowed = |it| it >= 8;
    let knock_restricted: Allowed = |it| it >= 10;
    run(&[
        ("public, stranger", ALWAYS, rule("public"), join("@new:x.y")),
        ("public, who left", ALWAYS, rule("public"), join("@left:x.y")),
        ("public, banned", NEVER, rule("public"), join("@banned:x.y")),
        ("public, another", NEVER, rule("public"), member("@admin:x.y", "@new:x.y", "join")),
        ("invite, invited", ALWAYS, rule("invite"), join("@invited:x.y")),
        ("invite, joined", ALWAYS, rule("invite"), join("@user:x.y")),
        ("invite, stranger", NEVER, rule("invite"), join("@new:x.y")),
        ("invite, knocking", NEVER, rule("invite"), join("@knocking:x.y")),
        ("knock, invited", knock, rule("knock"), join("@invited:x.y")),
        ("knock, knocking", NEVER, rule("knock"), join("@knocking:x.y")),
        ("private, invited", NEVER, rule("private"), join("@invited:x.y")),
        ("unknown rule, invited", NEVER, rule("x.y"), join("@invited:x.y")),
        ("no rule, invited", NEVER, vec![], join("@invited:x.y")),
        ("restricted, invited", restricted, rule("restricted"), join("@invited:x.y")),
        ("restricted, joined", restricted, rule("restricted"), join("@user:x.y")),
        ("restricted, stranger", NEVER, rule("restricted"), join("@new:x.y")),
        ("restricted, banned", NEVER, rule("restricted"), join("@banned:x.y")),
        (
            "knock_restricted, invited",
            knock_restricted,
            rule("knock_restricted"),
            join("@invited:x.y"),
        ),
        ("knock_restricted, stranger", NEVER, rule("knock_restricted"), join("@new:x.y")),
    ]);
}

#[test]
fn s_z5_joins_that_a_member_lets_in() {
    let by = |user: &str| {
        let content = json!({ "membership": "join", "join_authorised_via_users_server": user });
        ("m.room.member", Some("@new:x.y"), "@new:x.y", content)
    };
    let rule = |it: &str| vec![join_rule(it), levels(json!({ "invite": 50 }))];
    let restricted: Allowed = |it| it >= 8;
    let knock_restricted: Allowed = |it| it >= 10;
    run(&[
        ("restricted", restricted, rule("restricted"), by("@mod:x.y")),
        ("knock_restricted", knock_restricted, rule("knock_restricted"), by("@mod:x.y")),
        ("who may not invite", NEVER, rule("restricted"), by("@user:x.y")),
        ("who left", NEVER, rule("restricted"), by("@left:x.y")),
        ("who never joined", NEVER, rule("restricted"), by("@nobody:x.y")),
        ("a creator", |it| it >= 12, rule("restricted"), by("@creator:x.y")),
        ("by invite", NEVER, rule("invite"), by("@mod:x.y")),
    ]);
}

#[test]
fn s_z5_the_creator_joins_first() {
    let alone = || {
        let users = ["@creator", "@admin", "@mod", "@mod2", "@user", "@invited", "@left"];
        let key = |user: &str| (user.to_owned() + ":x.y").leak() as &'static str;
        let mut state: Vec<_> = users
            .iter()
            .map(|it| ("m.room.member", Some(key(it)), "@creator:x.y", JsonValue::Null))
            .collect();
        state.push(("m.room.power_levels", Some(""), "@creator:x.y", JsonValue::Null));
        state
    };
    let joins = |user| member(user, user, "join");
    let creator = "@creator:x.y";
    let after_create: [Case; 2] = [
        ("the creator", ALWAYS, alone(), joins(creator)),
        ("another", NEVER, alone(), joins("@user:x.y")),
    ];
    for case in after_create {
        for version in 1..=12 {
            let mut room = Room::new(version);
            case.2.iter().for_each(|it| room.set(it));
            let create = &room.state[&("m.room.create".to_owned(), String::new())].event_id;
            let after = json!({ "prev_events": [create] });
            assert_eq!(room.allows(&case.3, &after), case.1(version), "{version}: {}", case.0);
            let later = json!({ "prev_events": [create, "$other:x.y"] });
            assert!(!room.allows(&case.3, &later), "{version}: {}", case.0);
        }
    }
}

#[test]
fn s_z5_invites() {
    let invite = |sender, target| member(sender, target, "invite");
    let strict = || vec![levels(json!({ "invite": 50 }))];
    run(&[
        ("anybody by default", ALWAYS, vec![], invite("@user:x.y", "@new:x.y")),
        ("who left", ALWAYS, vec![], invite("@user:x.y", "@left:x.y")),
        ("who is invited", ALWAYS, vec![], invite("@user:x.y", "@invited:x.y")),
        ("who is knocking", ALWAYS, vec![], invite("@user:x.y", "@knocking:x.y")),
        ("who is joined", NEVER, vec![], invite("@user:x.y", "@mod:x.y")),
        ("who is banned", NEVER, vec![], invite("@admin:x.y", "@banned:x.y")),
        ("by who left", NEVER, vec![], invite("@left:x.y", "@new:x.y")),
        ("by who is invited", NEVER, vec![], invite("@invited:x.y", "@new:x.y")),
        ("without power", NEVER, strict(), invite("@user:x.y", "@new:x.y")),
        ("with power", ALWAYS, strict(), invite("@mod:x.y", "@new:x.y")),
    ]);
}

#[test]
fn s_z5_third_party_invites() {
    let key = SigningKey::from_seed([9; 32], "0").unwrap();
    let public = key.public_base64();
    let sign = |signed: JsonValue| {
        let mut signed: CanonicalJsonObject = serde_json::from_value(signed).unwrap();
        sign_json("id.x.y", key.pair(), &mut signed).unwrap();
        json!(signed)
    };
    let good = || sign(json!({ "mxid": "@new:x.y", "token": "token" }));
    let invite = |sender, target, signed: JsonValue| {
        let third_party = json!({ "display_name": "n", "signed": signed });
        let content = json!({ "membership": "invite", "third_party_invite": third_party });
        ("m.room.member", Some(target), sender, content)
    };
    let stored = |content| ("m.room.third_party_invite", Some("token"), "@user:x.y", content);
    let one = || vec![stored(json!({ "public_key": public, "display_name": "n" }))];
    let in_list = vec![stored(json!({
        "public_key": SigningKey::from_seed([8; 32], "0").unwrap().public_base64(),
        "public_keys": [{ "public_key": public }],
    }))];
    let other = vec![stored(json!({
        "public_key": SigningKey::from_seed([8; 32], "0").unwrap().public_base64(),
    }))];
    let banned = || sign(json!({ "mxid": "@banned:x.y", "token": "token" }));
    let mut forged = good();
    forged["mxid"] = json!("@left:x.y");
    let mut unsigned = invite("@user:x.y", "@new:x.y", good());
    unsigned.3["third_party_invite"].as_object_mut().unwrap().remove("signed");
    run(&[
        ("as it should be", ALWAYS, one(), invite("@user:x.y", "@new:x.y", good())),
        ("a key of the list", ALWAYS, in_list, invite("@user:x.y", "@new:x.y", good())),
        ("another key", NEVER, other, invite("@user:x.y", "@new:x.y", good())),
        ("who is banned", NEVER, one(), invite("@user:x.y", "@banned:x.y", banned())),
        ("nothing signed", NEVER, one(), unsigned),
        (
            "no mxid",
            NEVER,
            one(),
            invite("@user:x.y", "@new:x.y", sign(json!({ "token": "token" }))),
        ),
        (
            "no token",
            NEVER,
            one(),
            invite("@user:x.y", "@new:x.y", sign(json!({ "mxid": "@new:x.y" }))),
        ),
        ("another user", NEVER, one(), invite("@user:x.y", "@left:x.y", good())),
        ("another user, forged", NEVER, one(), invite("@user:x.y", "@left:x.y", forged)),
        ("no such token", NEVER, vec![], invite("@user:x.y", "@new:x.y", good())),
        ("another sender", NEVER, one(), invite("@mod:x.y", "@new:x.y", good())),
        (
            "no signatures",
            NEVER,
            one(),
            invite("@user:x.y", "@new:x.y", json!({ "mxid": "@new:x.y", "token": "token" })),
        ),
    ]);
}

#[test]
fn s_z5_leaving_and_kicks() {
    let leave = |user| member(user, user, "leave");
    let kick = |sender, target| member(sender, target, "leave");
    let ban_75 = || vec![levels(json!({ "ban": 75 }))];
    let kick_75 = || vec![levels(json!({ "kick": 75 }))];
    run(&[
        ("who is joined", ALWAYS, vec![], leave("@user:x.y")),
        ("who is invited", ALWAYS, vec![], leave("@invited:x.y")),
        ("who is knocking", |it| it >= 7, vec![], leave("@knocking:x.y")),
        ("who left", NEVER, vec![], leave("@left:x.y")),
        ("who is banned", NEVER, vec![], leave("@banned:x.y")),
        ("a stranger", NEVER, vec![], leave("@new:x.y")),
        ("a kick", ALWAYS, vec![], kick("@mod:x.y", "@user:x.y")),
        ("an invite withdrawn", ALWAYS, vec![], kick("@mod:x.y", "@invited:x.y")),
        ("without power", NEVER, vec![], kick("@user:x.y", "@far:away")),
        ("with too little", NEVER, kick_75(), kick("@mod:x.y", "@user:x.y")),
        ("of an equal", NEVER, vec![], kick("@mod:x.y", "@mod2:x.y")),
        ("of a greater", NEVER, vec![], kick("@mod:x.y", "@admin:x.y")),
        ("of a creator", |it| it < 12, vec![], kick("@admin:x.y", "@creator:x.y")),
        ("by who left", NEVER, vec![], kick("@left:x.y", "@user:x.y")),
        ("an unban", ALWAYS, vec![], kick("@mod:x.y", "@banned:x.y")),
        ("an unban without power", NEVER, vec![], kick("@user:x.y", "@banned:x.y")),
        ("an unban with power to kick", NEVER, ban_75(), kick("@mod:x.y", "@banned:x.y")),
        ("an unban with power to ban", NEVER, kick_75(), kick("@mod:x.y", "@banned:x.y")),
    ]);
}

#[test]
fn s_z5_bans() {
    let ban = |sender, target| member(sender, target, "ban");
    let ban_75 = || vec![levels(json!({ "ban": 75 }))];
    run(&[
        ("with power", ALWAYS, vec![], ban("@mod:x.y", "@user:x.y")),
        ("a stranger", ALWAYS, vec![], ban("@mod:x.y", "@new:x.y")),
        ("again", ALWAYS, vec![], ban("@mod:x.y", "@banned:x.y")),
        ("without power", NEVER, vec![], ban("@user:x.y", "@far:away")),
        ("with too little", NEVER, ban_75(), ban("@mod:x.y", "@user:x.y")),
        ("an equal", NEVER, vec![], ban("@mod:x.y", "@mod2:x.y")),
        ("oneself", NEVER, vec![], ban("@mod:x.y", "@mod:x.y")),
        ("a greater", NEVER, vec![], ban("@mod:x.y", "@admin:x.y")),
        ("a creator", |it| it < 12, vec![], ban("@admin:x.y", "@creator:x.y")),
        ("by who left", NEVER, vec![], ban("@left:x.y", "@user:x.y")),
    ]);
}

#[test]
fn s_z5_knocks() {
    let knock = |user| member(user, user, "knock");
    let rule = |it| vec![join_rule(it)];
    let since_7: Allowed = |it| it >= 7;
    run(&[
        ("a stranger", since_7, rule("knock"), knock("@new:x.y")),
        ("who left", since_7, rule("knock"), knock("@left:x.y")),
        ("who is knocking", since_7, rule("knock"), knock("@knocking:x.y")),
        ("who is joined", NEVER, rule("knock"), knock("@user:x.y")),
        ("who is invited", NEVER, rule("knock"), knock("@invited:x.y")),
        ("who is banned", NEVER, rule("knock"), knock("@banned:x.y")),
        ("for another", NEVER, rule("knock"), member("@new:x.y", "@left:x.y", "knock")),
        ("knock_restricted", |it| it >= 10, rule("knock_restricted"), knock("@new:x.y")),
        ("restricted", NEVER, rule("restricted"), knock("@new:x.y")),
        ("invite", NEVER, rule("invite"), knock("@new:x.y")),
        ("public", NEVER, rule("public"), knock("@new:x.y")),
        ("no rule", NEVER, vec![], knock("@new:x.y")),
    ]);
}
