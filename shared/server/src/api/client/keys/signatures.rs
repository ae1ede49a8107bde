//! `POST /_matrix/client/*/keys/signatures/upload` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keyssignaturesupload

use std::collections::BTreeMap;

use ruma::{
    OwnedUserId,
    api::client::keys::upload_signatures::{self, v3::Failure},
};
use serde_json::json;

use super::{Asked, query};
use crate::{
    Error, Result,
    api::{Cx, access::Verified},
    messages::user::{AddSignatures, SignedMaster},
};

/// Keys that one request signs.
const MAX_SIGNED: usize = 1_000;

/// `POST /_matrix/client/*/keys/signatures/upload`
pub(super) async fn upload_signatures(
    cx: Cx,
    Verified(caller): Verified,
    request: upload_signatures::v3::Request,
) -> Result<upload_signatures::v3::Response> {
    let (mut own, mut others) = (Vec::new(), Vec::new());
    let mut asked = Asked::new();
    for (user_id, keys) in &request.signed_keys {
        for (key, signed) in keys {
            let (key, signed) = (key.to_owned(), signed.to_owned());
            if *user_id == caller.user_id {
                own.push((key, signed));
            } else {
                asked.insert(user_id.clone(), Vec::new());
                let user_id = user_id.clone();
                others.push(SignedMaster { user_id, key, known: None, signed });
            }
        }
    }
    if own.len() + others.len() > MAX_SIGNED {
        return Err(Error::invalid_param("there are too many keys in one request"));
    }
    if !asked.is_empty() {
        let (found, _) = query::find(&cx, &caller.user_id, asked, None).await?;
        for it in &mut others {
            it.known = found.get(&it.user_id).and_then(|it| it.cross_signing.master.clone());
        }
    }
    let question = AddSignatures { own, others };
    let refused = cx.ports.objects.ask(&*caller.user_id, question).await?;
    let mut response = upload_signatures::v3::Response::new();
    let failures: &mut BTreeMap<OwnedUserId, BTreeMap<String, Failure>> = &mut response.failures;
    for (user_id, key, errcode, error) in refused {
        let failure = serde_json::from_value(json!({ "errcode": errcode, "error": error }))?;
        failures.entry(user_id).or_default().insert(key, failure);
    }
    Ok(response)
}
