//! `GET /_matrix/client/*/capabilities` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3capabilities

use ruma::api::client::discovery::get_capabilities::v3::{
    Capabilities, GetLoginTokenCapability, ProfileFieldsCapability, Request, RoomVersionStability,
    RoomVersionsCapability, ThirdPartyIdChangesCapability,
};
use serde_json::json;
use skerry_core::room_version;

use crate::{
    Result,
    api::{
        Cx,
        patched::{AnsweredAsJson, Json, Patched},
    },
    messages::Caller,
};

/// What this server allows its users. What is allowed by default is named too, which ruma's own
/// response would leave out: clients that show it ask for it by name.
pub(super) async fn get_capabilities(
    _: Cx,
    _: Caller,
    _: Patched<Request, AnsweredAsJson>,
) -> Result<Json> {
    let mut capabilities = Capabilities::new();
    let available = room_version::SUPPORTED.map(|it| (it, RoomVersionStability::Stable));
    capabilities.room_versions =
        RoomVersionsCapability::new(room_version::DEFAULT, available.into());
    capabilities.thirdparty_id_changes = ThirdPartyIdChangesCapability::new(false);
    capabilities.get_login_token = GetLoginTokenCapability::new(false);
    capabilities.profile_fields = Some(ProfileFieldsCapability::new(true));
    let mut capabilities = serde_json::to_value(capabilities)?;
    if let Some(capabilities) = capabilities.as_object_mut() {
        for allowed in ["m.change_password", "m.set_displayname", "m.set_avatar_url"] {
            capabilities.insert(allowed.to_owned(), json!({ "enabled": true }));
        }
    }
    Ok(Json::of(&json!({ "capabilities": capabilities }))?)
}
