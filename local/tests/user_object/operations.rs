//! Each operation on an account is whole or has not been.

use skerry::messages::user::{
    Authenticate, ChangePassword, EndAllSessions, EndSessions, GetAccount, GetProfile, ListDevices,
    Login, Register, Reservation, SetDeviceName,
};

use super::{
    account::{
        OTHER_PASSWORD, Operation, PASSWORD, answers, assert_devices_have_sessions, deactivate,
        is_password, is_valid, lived_in, login, operation, refresh, register, secret, session,
        set_name, stored,
    },
    stand::World,
};
use crate::host::{BEGIN_MS, Fate};

const OPERATIONS: &[(&str, Operation)] = &[
    ("login", operation!(login("F", "f"))),
    ("login on a known device", operation!(login("E", "f"))),
    ("first use after a refresh", operation!(Authenticate { access_hash: "e2".to_owned() })),
    ("refresh", operation!(refresh("d", "d2"))),
    ("refresh by an unused pair", operation!(refresh("e2", "e3"))),
    ("logout", operation!(EndSessions { device_ids: vec!["E".into()] })),
    ("logout of all", operation!(EndAllSessions {})),
    (
        "password",
        operation!(ChangePassword { password: secret(OTHER_PASSWORD), only_device: None }),
    ),
    (
        "password, others out",
        operation!(ChangePassword {
            password: secret(OTHER_PASSWORD),
            only_device: Some("D".into()),
        }),
    ),
    (
        "device name",
        operation!(SetDeviceName { device_id: "D".into(), display_name: "phone".to_owned() }),
    ),
    ("profile", operation!(set_name("Anna"))),
    ("deactivation", operation!(deactivate())),
];

/// C14: a crash in the middle of a login, or of any other operation. None is ever half done,
/// whether its batch was refused or only the answer was lost; and none takes more than one.
#[tokio::test]
async fn c14_an_account_operation_is_one_batch_and_never_half_done() {
    for (name, operation) in OPERATIONS {
        let world = lived_in().await;
        let before = stored(&world).await;
        let commits = world.host.commits();
        operation(&world).await.unwrap();
        assert_eq!(world.host.commits() - commits, 1, "{name}");
        let after = stored(&world).await;
        assert_devices_have_sessions(&world, name).await;
        for (failure, expected) in [(Fate::Refused, &before), (Fate::WrittenAndFailed, &after)] {
            let world = lived_in().await;
            world.host.next_commit(failure);
            operation(&world).await.unwrap_err();
            // In the same object, which must not trust its memory, and in one that is built anew.
            assert_eq!(stored(&world).await, *expected, "{name}: {failure:?}");
            let same = answers(&world).await;
            let world = world.restarted();
            assert_eq!(answers(&world).await, same, "{name}: {failure:?}");
        }
    }
}

/// C10: the answer to an operation is lost, and the operation is repeated: at once, or by an object
/// that has crashed in between. What is stored is what one operation would have come to.
#[tokio::test]
async fn c10_an_operation_whose_answer_was_lost_may_be_repeated() {
    for (name, operation) in OPERATIONS {
        let world = lived_in().await;
        operation(&world).await.unwrap();
        let once = stored(&world).await;
        for crashes in [false, true] {
            let mut world = lived_in().await;
            world.host.next_commit(Fate::WrittenAndFailed);
            operation(&world).await.unwrap_err();
            if crashes {
                world = world.restarted();
            }
            let again = operation(&world).await;
            again.unwrap_or_else(|error| panic!("{name}, crashes: {crashes}: {error:?}"));
            assert_eq!(stored(&world).await, once, "{name}, crashes: {crashes}");
        }
    }
}

#[tokio::test]
async fn a_registration_is_whole_or_has_not_been() {
    for (failure, exists) in [(Fate::Refused, false), (Fate::WrittenAndFailed, true)] {
        let world = World::new().await;
        assert_eq!(world.ask(GetAccount {}).await, None);
        world.host.next_commit(failure);
        world.try_ask(register(Some(session("D", "d")))).await.unwrap_err();
        assert_eq!(world.ask(GetAccount {}).await.is_some(), exists);
        assert_eq!(is_valid(&world, "d").await, exists);
        assert_eq!(world.ask(ListDevices {}).await.len(), usize::from(exists));
        assert_devices_have_sessions(&world, "registration").await;
        assert_eq!(world.try_ask(register(None)).await.is_err(), exists);
    }
}

#[tokio::test]
async fn of_two_registrations_of_one_name_one_makes_the_account() {
    let world = World::new().await;
    let (first, second) = tokio::join!(
        world.try_ask(register(Some(session("D", "first")))),
        world.try_ask(register(Some(session("D", "second")))),
    );
    assert!(first.is_ok() != second.is_ok());
    let loser = [first, second].into_iter().find_map(Result::err).unwrap();
    assert_eq!(loser.to_json()["errcode"], "M_USER_IN_USE");
    assert!(is_valid(&world, "first").await != is_valid(&world, "second").await);
}

#[tokio::test]
async fn a_name_is_taken_for_ever() {
    let world = lived_in().await;
    world.ask(deactivate()).await;
    world.ask(deactivate()).await;
    let refusal = world.try_ask(register(None)).await.unwrap_err();
    assert_eq!(refusal.to_json()["errcode"], "M_USER_IN_USE");
    let refusal = world.try_ask(login("D", "d")).await.unwrap_err();
    assert_eq!(refusal.to_json()["errcode"], "M_FORBIDDEN");
    assert!(!is_password(&world, PASSWORD).await);
    assert!(world.ask(GetAccount {}).await.unwrap().is_deactivated);
    assert_eq!(world.ask(GetProfile {}).await, None);
}

#[tokio::test]
async fn nobody_is_refused_as_a_wrong_password_is() {
    let nobody = World::new().await;
    let unknown = nobody.try_ask(login("D", "d")).await.unwrap_err();
    assert_eq!(stored(&nobody).await, [""; 0], "nothing is made of who does not exist");
    let world = lived_in().await;
    let wrong = Login { password: secret("wrong"), ..login("D", "x") };
    let wrong = world.try_ask(wrong).await.unwrap_err();
    assert_eq!(wrong.to_json(), unknown.to_json());
    assert!(is_valid(&world, "d").await && !is_valid(&world, "x").await);
}

#[tokio::test]
async fn a_reserved_use_is_too_old_at_last() {
    let world = World::new().await;
    let until_ms = BEGIN_MS + 5;
    let with = || {
        let reservation = Some(Reservation { token_hash: "t".to_owned(), until_ms });
        Register { reservation, is_admin: true, ..register(None) }
    };
    world.host.pass(5);
    world.try_ask(with()).await.unwrap_err();
    assert_eq!(world.ask(GetAccount {}).await, None);
}
