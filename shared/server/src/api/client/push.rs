//! Push rules ([spec]), as far as every client asks for them when it starts: the rules that a
//! user has who never changed any. Changing them is not offered.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#push-rules-api

use ruma::{
    UserId,
    api::client::push::{get_pushrules_all, get_pushrules_global_scope},
    push::Ruleset,
};
use serde_json::{Value as JsonValue, json};

use super::super::{
    Cx,
    mount::Routes,
    patched::{AnsweredAsJson, Json, Patched},
};
use crate::{Result, messages::Caller};

/// The kinds of rules. Each is always there, which ruma leaves out where it has no rules.
const KINDS: [&str; 5] = ["content", "override", "room", "sender", "underride"];

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(get_pushrules_all).mount(get_pushrules_global_scope)
}

/// `GET /_matrix/client/*/pushrules/`
pub async fn get_pushrules_all(
    _: Cx,
    caller: Caller,
    _: Patched<get_pushrules_all::v3::Request, AnsweredAsJson>,
) -> Result<Json> {
    Ok(Json::of(&json!({ "global": rules(&caller.user_id)? }))?)
}

/// `GET /_matrix/client/*/pushrules/global/`
pub async fn get_pushrules_global_scope(
    _: Cx,
    caller: Caller,
    _: Patched<get_pushrules_global_scope::v3::Request, AnsweredAsJson>,
) -> Result<Json> {
    Ok(Json::of(&rules(&caller.user_id)?)?)
}

/// The rules of a user.
pub fn rules(user_id: &UserId) -> Result<JsonValue> {
    let mut rules = serde_json::to_value(Ruleset::server_default(user_id))?;
    if let Some(rules) = rules.as_object_mut() {
        for kind in KINDS {
            rules.entry(kind).or_insert_with(|| json!([]));
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_rules_is_there() {
        let rules = rules(ruma::user_id!("@a:x.y")).unwrap();
        let kinds: std::collections::BTreeSet<_> =
            rules.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(kinds, KINDS.into());
        assert_eq!(rules["room"], json!([]));
        assert_eq!(rules["override"][0]["rule_id"], ".m.rule.master");
    }

    /// Version 1.17 of the specification took them out.
    #[test]
    fn no_rule_looks_for_names_in_the_text() {
        let rules = rules(ruma::user_id!("@a:x.y")).unwrap().to_string();
        for id in ["contains_display_name", "contains_user_name", "roomnotif"] {
            assert!(!rules.contains(id), "{id}");
        }
    }
}
