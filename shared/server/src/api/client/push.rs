//! Push rules ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#push-rules-api

use std::collections::BTreeMap;

use ruma::{
    api::{
        client::push::{
            PushRule, RuleKind, delete_pushrule, get_pushrule, get_pushrule_actions,
            get_pushrule_enabled, get_pushrules_all, get_pushrules_global_scope, set_pushrule,
            set_pushrule_actions, set_pushrule_enabled,
        },
        error::DeserializationError,
    },
    push::{NewPushRule, Ruleset},
};
use serde_json::{json, value::to_raw_value};
use skerry_core::push_rules::{Change, NewRule, render};

use super::super::{
    Cx,
    mount::Routes,
    patched::{AnsweredAsJson, Body, Json, Patch, Patched},
};
use crate::{
    Error, Result,
    messages::{
        Caller,
        user::{ChangePushRule, GetPushRules},
    },
};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes
        .mount(get_pushrules_all)
        .mount(get_pushrules_global_scope)
        .mount(get_pushrule)
        .mount(set_pushrule)
        .mount(delete_pushrule)
        .mount(get_pushrule_actions)
        .mount(set_pushrule_actions)
        .mount(get_pushrule_enabled)
        .mount(set_pushrule_enabled)
}

/// `GET /_matrix/client/*/pushrules/`
pub async fn get_pushrules_all(
    cx: Cx,
    caller: Caller,
    _: Patched<get_pushrules_all::v3::Request, AnsweredAsJson>,
) -> Result<Json> {
    Ok(Json::of(&json!({ "global": render(&rules(&cx, &caller).await?)? }))?)
}

/// `GET /_matrix/client/*/pushrules/global/`
pub async fn get_pushrules_global_scope(
    cx: Cx,
    caller: Caller,
    _: Patched<get_pushrules_global_scope::v3::Request, AnsweredAsJson>,
) -> Result<Json> {
    Ok(Json::of(&render(&rules(&cx, &caller).await?)?)?)
}

/// `GET /_matrix/client/*/pushrules/global/{kind}/{ruleId}`
pub async fn get_pushrule(
    cx: Cx,
    caller: Caller,
    Patched { request, .. }: Patched<get_pushrule::v3::Request, AnsweredAsJson>,
) -> Result<Json> {
    Ok(Json::of(&rule(&cx, &caller, request.kind, &request.rule_id).await?)?)
}

/// `PUT /_matrix/client/*/pushrules/global/{kind}/{ruleId}`
pub async fn set_pushrule(
    cx: Cx,
    caller: Caller,
    Patched { request, .. }: Patched<set_pushrule::v3::Request, Unconditional>,
) -> Result<set_pushrule::v3::Response> {
    let set_pushrule::v3::Request { rule, before, after, .. } = request;
    let (kind, rule_id) = (rule.kind(), rule.rule_id().to_owned());
    let mut new = NewRule { before, after, ..NewRule::default() };
    match rule {
        NewPushRule::Override(it) | NewPushRule::Underride(it) => {
            (new.conditions, new.actions) = (it.conditions, it.actions);
        }
        NewPushRule::Content(it) => {
            (new.pattern, new.actions) = (Some(it.pattern), it.actions);
        }
        NewPushRule::Room(it) => new.actions = it.actions,
        NewPushRule::Sender(it) => new.actions = it.actions,
        _ => return Err(Error::invalid_param("there is no such kind of push rules")),
    }
    change(&cx, &caller, (kind, rule_id), Change::Put(new)).await?;
    Ok(set_pushrule::v3::Response::new())
}

/// `DELETE /_matrix/client/*/pushrules/global/{kind}/{ruleId}`
pub async fn delete_pushrule(
    cx: Cx,
    caller: Caller,
    request: delete_pushrule::v3::Request,
) -> Result<delete_pushrule::v3::Response> {
    change(&cx, &caller, (request.kind, request.rule_id), Change::Remove).await?;
    Ok(delete_pushrule::v3::Response::new())
}

/// `GET /_matrix/client/*/pushrules/global/{kind}/{ruleId}/actions`
pub async fn get_pushrule_actions(
    cx: Cx,
    caller: Caller,
    Patched { request, .. }: Patched<get_pushrule_actions::v3::Request, AnsweredAsJson>,
) -> Result<Json> {
    let rule = rule(&cx, &caller, request.kind, &request.rule_id).await?;
    Ok(Json::of(&BTreeMap::from([("actions", to_raw_value(&rule.actions)?)]))?)
}

/// `PUT /_matrix/client/*/pushrules/global/{kind}/{ruleId}/actions`
pub async fn set_pushrule_actions(
    cx: Cx,
    caller: Caller,
    request: set_pushrule_actions::v3::Request,
) -> Result<set_pushrule_actions::v3::Response> {
    let rule = (request.kind, request.rule_id);
    change(&cx, &caller, rule, Change::SetActions(request.actions)).await?;
    Ok(set_pushrule_actions::v3::Response::new())
}

/// `GET /_matrix/client/*/pushrules/global/{kind}/{ruleId}/enabled`
pub async fn get_pushrule_enabled(
    cx: Cx,
    caller: Caller,
    request: get_pushrule_enabled::v3::Request,
) -> Result<get_pushrule_enabled::v3::Response> {
    let rule = rule(&cx, &caller, request.kind, &request.rule_id).await?;
    Ok(get_pushrule_enabled::v3::Response::new(rule.enabled))
}

/// `PUT /_matrix/client/*/pushrules/global/{kind}/{ruleId}/enabled`
pub async fn set_pushrule_enabled(
    cx: Cx,
    caller: Caller,
    request: set_pushrule_enabled::v3::Request,
) -> Result<set_pushrule_enabled::v3::Response> {
    let rule = (request.kind, request.rule_id);
    change(&cx, &caller, rule, Change::SetEnabled(request.enabled)).await?;
    Ok(set_pushrule_enabled::v3::Response::new())
}

/// A rule may come without conditions: it matches always. ruma wants a list.
#[derive(Debug)]
pub struct Unconditional;

impl Patch<set_pushrule::v3::Request> for Unconditional {
    type Response = set_pushrule::v3::Response;

    fn patch(body: &mut Body<'_>) -> Result<Self, DeserializationError> {
        body.set_default("conditions", [(); 0])?;
        Ok(Self)
    }
}

/// All rules of who asks.
pub(super) async fn rules(cx: &Cx, caller: &Caller) -> Result<Ruleset> {
    let found = cx.ports.objects.ask(&*caller.user_id, GetPushRules {}).await?;
    Ok(found.rules.all(&caller.user_id))
}

async fn rule(cx: &Cx, caller: &Caller, kind: RuleKind, rule_id: &str) -> Result<PushRule> {
    let rules = rules(cx, caller).await?;
    let rule = rules.get(kind, rule_id);
    Ok(rule.ok_or_else(|| Error::not_found("the push rule does not exist"))?.into())
}

async fn change(
    cx: &Cx,
    caller: &Caller,
    (kind, rule_id): (RuleKind, String),
    change: Change,
) -> Result<()> {
    let question = ChangePushRule { kind, rule_id, change };
    cx.ports.objects.ask(&*caller.user_id, question).await
}
