//! `GET /_matrix/key/v2/server` ([spec][own]),
//! `GET /_matrix/key/v2/query/{serverName}` ([spec][one]),
//! `POST /_matrix/key/v2/query` ([spec][many])
//!
//! Who asks for the keys of another server asks this one as a notary: it answers what that server
//! has signed, and signs it too.
//!
//! [own]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server
//! [one]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2queryservername
//! [many]: https://spec.matrix.org/v1.19/server-server-api/#post_matrixkeyv2query

use futures_util::{StreamExt as _, stream};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedServerName, OwnedServerSigningKeyId,
    api::federation::discovery::{
        ServerSigningKeys, get_remote_server_keys, get_remote_server_keys_batch, get_server_keys,
    },
    serde::Raw,
};
use skerry_core::{rate_limits::Bucket, server_keys::published};

use crate::{
    Error, Result,
    api::{Client, Cx, mount::Routes},
    messages::{RawJson, destination::GetKeyAnswer},
};

/// Servers whose keys are asked for by one request.
const MAX_SERVERS: usize = 100;

/// Servers that are asked at the same time for one request.
const ASKED_AT_ONCE: usize = 10;

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_server_keys).mount(get_remote_server_keys).mount(get_remote_server_keys_batch)
}

async fn get_server_keys(
    cx: Cx,
    _: get_server_keys::v2::Request,
) -> Result<get_server_keys::v2::Response> {
    Ok(get_server_keys::v2::Response::new(Raw::from_json(own(&cx)?)))
}

async fn get_remote_server_keys(
    cx: Cx,
    client: Client,
    request: get_remote_server_keys::v2::Request,
) -> Result<get_remote_server_keys::v2::Response> {
    let get_remote_server_keys::v2::Request { server_name, minimum_valid_until_ts, .. } = request;
    let wanted = Wanted {
        server: server_name,
        key_ids: Vec::new(),
        valid_until: Some(minimum_valid_until_ts),
    };
    count(&cx, &client, 1).await?;
    let answer = notarized(&cx, wanted).await?;
    Ok(get_remote_server_keys::v2::Response::new(answer.into_iter().collect()))
}

async fn get_remote_server_keys_batch(
    cx: Cx,
    client: Client,
    request: get_remote_server_keys_batch::v2::Request,
) -> Result<get_remote_server_keys_batch::v2::Response> {
    let servers = request.server_keys;
    if servers.len() > MAX_SERVERS {
        let message = format!("a request asks for the keys of {MAX_SERVERS} servers at most");
        return Err(Error::invalid_param(message));
    }
    count(&cx, &client, servers.len()).await?;
    let asked = servers.into_iter().map(|(server, criteria)| {
        let valid_until = criteria.values().filter_map(|it| it.minimum_valid_until_ts).max();
        let wanted = Wanted { server, key_ids: criteria.into_keys().collect(), valid_until };
        notarized(&cx, wanted)
    });
    let answers: Vec<_> = stream::iter(asked).buffered(ASKED_AT_ONCE).collect().await;
    // One that cannot be asked takes nothing from the others.
    let answers = answers.into_iter().filter_map(|answer| {
        answer.inspect_err(|error| tracing::debug!(%error, "there are no keys")).ok().flatten()
    });
    Ok(get_remote_server_keys_batch::v2::Response::new(answers.collect()))
}

/// Whose keys are wanted of a notary.
struct Wanted {
    server: OwnedServerName,
    key_ids: Vec<OwnedServerSigningKeyId>,
    /// None: until now.
    valid_until: Option<MilliSecondsSinceUnixEpoch>,
}

/// Counts servers that are asked for: each may have to be asked, by the wish of whoever comes.
async fn count(cx: &Cx, client: &Client, servers: usize) -> Result<()> {
    let servers = u32::try_from(servers).unwrap_or(u32::MAX);
    cx.ports.limiter.take(Bucket::Notary, &client.counted_address(), servers).await
}

/// What a server has signed of its keys, signed by this one too.
async fn notarized(cx: &Cx, wanted: Wanted) -> Result<Option<Raw<ServerSigningKeys>>> {
    let Wanted { server, key_ids, valid_until } = wanted;
    if server == cx.server.name {
        return Ok(Some(Raw::from_json(own(cx)?)));
    }
    let now_ms = cx.ports.clock.now_ms();
    let valid_until_ms = valid_until.map_or(now_ms, |it| it.get().into());
    let question = GetKeyAnswer { key_ids, valid_until_ms };
    let answer = cx.ports.objects.ask(&*server, question).await?;
    let keys = cx.server.keys();
    let signed = answer.map(|it| published::notarize(&it, &cx.server.name, &keys.current));
    Ok(signed.transpose().map_err(Error::internal)?.map(Raw::from_json))
}

fn own(cx: &Cx) -> Result<RawJson> {
    let (keys, now_ms) = (cx.server.keys(), cx.ports.clock.now_ms());
    published::own(&cx.server.name, &keys, now_ms).map_err(Error::internal)
}
