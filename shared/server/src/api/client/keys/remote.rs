//! Keys of users of other servers: those are asked side by side, until a deadline, for what is not
//! kept of them here. Of what they answer only that is believed which they were asked for.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, stream};
use ruma::{
    OwnedDeviceId, OwnedServerName, OwnedUserId, ServerName, UserId,
    api::federation::keys::claim_keys,
};
use serde_json::{Value as JsonValue, json};
use skerry_core::device_keys::{
    answers::remote_one_time_key, cross_signing::CrossSigningKeys, lists::DeviceList,
};

use super::{Asked, Devices};
use crate::{
    api::Cx,
    messages::{
        destination::{DeviceLists, GetDeviceLists},
        user::{ClaimedKeys, UserKeys},
    },
    peers::Limits,
};

/// The longest that other servers are waited for, and how long where the client does not say.
const MAX_WAIT: Duration = Duration::from_secs(20);
const DEFAULT_WAIT: Duration = Duration::from_secs(10);

/// Bytes of one server's answer.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// Servers that are asked at once for one request.
const SERVERS_AT_ONCE: usize = 16;

/// Servers that have not answered.
pub(super) type Failures = BTreeMap<String, JsonValue>;

/// What one server has answered, and whether that is all that it was asked for.
type Answer<T> = (Vec<T>, bool);

/// The keys of users of other servers, by user, for a reader: as they are kept, else as the servers
/// answer.
pub(super) async fn query(
    cx: &Cx,
    reader: &UserId,
    asked: BTreeMap<OwnedServerName, Asked>,
    timeout: Option<Duration>,
) -> (Vec<(OwnedUserId, UserKeys)>, Failures) {
    let ask = |server: OwnedServerName, mut asked: Asked, limits: Limits| async move {
        let question = GetDeviceLists {
            user_ids: asked.keys().cloned().collect(),
            reader: reader.to_owned(),
            wait_ms: u64::try_from(limits.timeout.as_millis()).unwrap_or(0),
        };
        match cx.ports.objects.ask(&*server, question).await {
            Ok(answer) => {
                let DeviceLists { lists, has_failed } = *answer;
                let of_user = |(user_id, list): (OwnedUserId, DeviceList)| {
                    let device_ids = asked.remove(&user_id)?;
                    Some((user_id, keys_of(list, &device_ids)))
                };
                (lists.into_iter().filter_map(of_user).collect(), !has_failed)
            }
            Err(error) => {
                tracing::warn!(%server, %error, "lists of devices cannot be read");
                (Vec::new(), false)
            }
        }
    };
    ask_all(cx, asked, timeout, ask).await
}

/// One-time keys of devices of users of other servers.
pub(super) async fn claim(
    cx: &Cx,
    asked: BTreeMap<OwnedServerName, BTreeMap<OwnedUserId, Devices>>,
    timeout: Option<Duration>,
) -> (Vec<(OwnedUserId, ClaimedKeys)>, Failures) {
    let ask = |server: OwnedServerName, asked: BTreeMap<_, Devices>, limits| async move {
        let request = claim_keys::v1::Request::new(asked.clone());
        match cx.peers().ask(&server, request, limits).await {
            Ok(answer) => (believed_claims(&answer, asked), true),
            Err(error) => {
                tracing::debug!(%server, %error, "a server was not asked for keys");
                (Vec::new(), false)
            }
        }
    };
    ask_all(cx, asked, timeout, ask).await
}

/// Asks servers side by side, until the deadline.
async fn ask_all<A, T, F>(
    cx: &Cx,
    asked: BTreeMap<OwnedServerName, A>,
    timeout: Option<Duration>,
    ask: impl Fn(OwnedServerName, A, Limits) -> F,
) -> (Vec<T>, Failures)
where
    F: Future<Output = Answer<T>>,
{
    let wait = timeout.unwrap_or(DEFAULT_WAIT).min(MAX_WAIT);
    let now_ms = || cx.ports.clock.now_ms();
    let deadline_ms = now_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(0));
    let ask = &ask;
    let of_server = |(server, asked): (OwnedServerName, A)| async move {
        // What is kept is given also where there is no time left.
        let left = Duration::from_millis(deadline_ms.saturating_sub(now_ms()));
        let limits = Limits { max_answer_bytes: MAX_ANSWER_BYTES, timeout: left };
        let answer = ask(server.clone(), asked, limits).await;
        (server, answer)
    };
    let mut answers = stream::iter(asked).map(of_server).buffer_unordered(SERVERS_AT_ONCE);
    let (mut found, mut failures) = (Vec::new(), Failures::new());
    while let Some((server, (answer, is_whole))) = answers.next().await {
        found.extend(answer);
        if !is_whole {
            failures.insert(server.to_string(), failure(&server));
        }
    }
    (found, failures)
}

fn failure(server: &ServerName) -> JsonValue {
    json!({ "errcode": "M_UNKNOWN", "error": format!("{server} has not answered"), "status": 503 })
}

/// What is given of a list: these devices, or all.
fn keys_of(list: DeviceList, device_ids: &[OwnedDeviceId]) -> UserKeys {
    let DeviceList { mut devices, master, self_signing } = list;
    devices.retain(|it, _| device_ids.is_empty() || device_ids.contains(it));
    let cross_signing = CrossSigningKeys { master, self_signing, user_signing: None };
    UserKeys { devices, cross_signing, ..UserKeys::default() }
}

/// What is believed of an answer: one key of each device that was asked for.
fn believed_claims(
    answer: &claim_keys::v1::Response,
    asked: BTreeMap<OwnedUserId, Devices>,
) -> Vec<(OwnedUserId, ClaimedKeys)> {
    let of_user = |(user_id, devices): (OwnedUserId, Devices)| {
        let given = answer.one_time_keys.get(&user_id);
        let of_device = |(device_id, algorithm): (ruma::OwnedDeviceId, _)| {
            let algorithm = ruma::OneTimeKeyAlgorithm::to_string(&algorithm);
            let key = given?.get(&device_id)?.iter().find_map(|(name, key)| {
                let of = (&*user_id, &*device_id);
                remote_one_time_key(name.as_str(), key.json().get(), of, &algorithm)
            });
            Some((device_id, key?))
        };
        let keys = devices.into_iter().filter_map(of_device).collect();
        (user_id, keys)
    };
    asked.into_iter().map(of_user).collect()
}
