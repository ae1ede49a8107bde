//! Users of other servers who join, leave or knock by way of this one ([spec][join], [spec][leave],
//! [spec][knock]).
//!
//! Their server asks for the event first, and gets one that the room would accept now. Then it
//! sends the event, signed, and that is received as any other: in between, the room goes on.
//!
//! **Invariant:** this server signs such an event in one case alone: a join of a restricted
//! room in the name of one of its own members, of somebody who is in a room that admits them.
//!
//! [join]: https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
//! [leave]: https://spec.matrix.org/v1.19/server-server-api/#leaving-rooms-rejecting-invites
//! [knock]: https://spec.matrix.org/v1.19/server-server-api/#knocking-upon-a-room

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject, OwnedUserId, RoomVersionId, ServerName, UserId,
    api::error::{ErrorKind, IncompatibleRoomVersionErrorData},
    events::{TimelineEventType, room::member::MembershipState},
    room_version_rules::RoomVersionRules,
};
use serde::Deserialize;
use serde_json::value::{RawValue as RawJsonValue, to_raw_value};
use skerry_core::{
    Pdu, authorize,
    pdu::MAX_PREV_EVENTS,
    receipt::{self, Dropped, Received},
};

use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::{
            Kind, MakeMembership, MembershipAction, Outcome, Receive, SendMembership, Sent,
            StateBefore, Template,
        },
    },
    objects::room::{
        Room,
        author::{needed_state, refused},
        loaded::{Loaded, draft::Draft, plan::Plan},
    },
    store::room::events,
};

impl Room {
    /// Makes the event by which a user of another server would change their own membership.
    pub(crate) async fn make_membership(
        self: &Arc<Self>,
        question: MakeMembership,
    ) -> Result<Box<Template>> {
        let MakeMembership { server, user_id, action, versions } = question;
        check_own(&server, &user_id)?;
        let admitted_by = match action {
            MembershipAction::Join => self.admitted_by(&user_id).await?,
            _ => None,
        };
        let room = self.read().await?;
        self.check_asked_by(&room, &server).await?;
        if versions.is_some_and(|it| !it.contains(&room.version)) {
            return Err(incompatible(&room.version));
        }
        let mut content = CanonicalJsonObject::new();
        content.insert("membership".to_owned(), word(action)?.to_string().into());
        if action == MembershipAction::Join {
            let before = self.membership(&room, &user_id).await?;
            if let Some(member) =
                self.authorising_user(&room, &before, admitted_by.as_ref()).await?
            {
                let key = "join_authorised_via_users_server".to_owned();
                content.insert(key, member.to_string().into());
            }
        }
        let draft = Draft::state(&user_id, "m.room.member", user_id.as_str(), content);
        let pdu = self.template(&room, draft).await?;
        let event = without_signatures(&pdu)?;
        Ok(Box::new(Template { room_version: room.version.clone(), event }))
    }

    /// Makes an event behind the newest of the forward extremities, if the current state allows it.
    pub(super) async fn template(&self, room: &Loaded, draft: Draft<'_>) -> Result<Pdu> {
        let needed = needed_state(&draft, &room.rules)?;
        let plan = Plan::new(room);
        let state = self.authorizing_state(room, &plan, &needed).await?;
        let oldest = plan.extremities.len().saturating_sub(MAX_PREV_EVENTS);
        let newest = plan.extremities.get(oldest..).unwrap_or_default();
        let pdu = self.build(room, plan.head, draft, newest, &state)?;
        let state: Vec<_> = state.into_iter().map(|(key, (_, it))| (key, it)).collect();
        authorize::check(&pdu, &state, &room.rules).map_err(refused)?;
        Ok(pdu)
    }

    /// Receives the event by which a user of another server changes their own membership.
    pub(crate) async fn send_membership(
        self: &Arc<Self>,
        question: SendMembership,
    ) -> Result<Box<Sent>> {
        let SendMembership { server, event_id, action, event, keys, omit_members } = question;
        check_own(&server, &sender_of(&event)?)?;
        let (received, event) = {
            let room = self.read().await?;
            self.check_asked_by(&room, &server).await?;
            self.read_sent(event, action, &room.rules)?
        };
        check_sent(&received.pdu, &server, action)?;
        if received.pdu.event_id != event_id {
            return Err(Error::invalid_param("this is not the ID of the event"));
        }
        if action == MembershipAction::Join {
            self.check_vouched(&received.pdu).await?;
        }
        let receive = Receive {
            origin: Some(server.clone()),
            hand_on: true,
            events: vec![event.clone()],
            keys,
            kind: Kind::Live,
            states: Vec::new(),
        };
        let outcome = self.receive(receive).await?.pop().map(|it| it.outcome);
        check_outcome(outcome)?;
        let omits_members = omit_members.then_some(&*server);
        self.sent(&received.pdu, action, event, omits_members).await
    }

    /// What is answered to a server whose event was accepted, now or before. `omits_members`: a
    /// server that goes on with a state without members.
    async fn sent(
        self: &Arc<Self>,
        pdu: &Pdu,
        action: MembershipAction,
        event: RawJson,
        omits_members: Option<&ServerName>,
    ) -> Result<Box<Sent>> {
        let (sql, scope) = (self.sql(), self.scope());
        let stored = events::find(sql, scope, &pdu.event_id).await?;
        let stored =
            stored.ok_or_else(|| Error::forbidden("the room does not allow this event"))?;
        let (mut before, mut servers_in_room) = (StateBefore::default(), None);
        if action == MembershipAction::Join
            && let Some(states) = stored.states
        {
            let reduced = match omits_members {
                Some(server) => {
                    let at = (states.before, stored.position);
                    self.reduced_state(pdu, at, server).await?
                }
                None => None,
            };
            match reduced {
                Some((state, servers)) => (before, servers_in_room) = (state, Some(servers)),
                None => before = self.state_at(states.before, &pdu.auth_events).await?,
            }
        }
        let shown_state = match action {
            MembershipAction::Knock => self.shown_state(pdu).await?,
            _ => Vec::new(),
        };
        let raw = |it: &Arc<Pdu>| RawJsonValue::from_string(it.json.to_string());
        let shown_state = shown_state.iter().map(raw).collect::<Result<_, _>>()?;
        Ok(Box::new(Sent { event, before, servers_in_room, shown_state }))
    }

    /// Reads an event that was sent, and gives it as it is to be received: a join that lacks
    /// nothing but this server's signature has it then.
    fn read_sent(
        &self,
        event: RawJson,
        action: MembershipAction,
        rules: &RoomVersionRules,
    ) -> Result<(Received, RawJson)> {
        let (name, keys) = (&self.server.name, self.server.keys());
        let read = match receipt::read(&event, &self.id, rules) {
            Err(Dropped::Signature(_)) if action == MembershipAction::Join => {
                receipt::countersigned(&event, &self.id, rules, (name, &keys.current))
            }
            read => read.map(|it| (it, event)),
        };
        read.map_err(|dropped| Error::bad_json(dropped.to_string()))
    }

    /// Refuses a join in the name of one of this server's members whom nobody here admits.
    async fn check_vouched(self: &Arc<Self>, pdu: &Pdu) -> Result<()> {
        #[derive(Deserialize)]
        struct Content {
            join_authorised_via_users_server: Option<OwnedUserId>,
        }
        let content: Content = serde_json::from_str(pdu.content.get())
            .map_err(|_| Error::bad_json("the content is no membership"))?;
        let member = content.join_authorised_via_users_server;
        if !member.is_some_and(|it| self.server.is_local(&it)) {
            return Ok(());
        }
        let admitted_by = self.admitted_by(&pdu.sender).await?;
        let room = self.read().await?;
        let before = self.membership(&room, &pdu.sender).await?;
        self.authorising_user(&room, &before, admitted_by.as_ref()).await.map(drop)
    }

    /// Refuses a server that the room keeps out, and all where no user of this server is in the
    /// room: what is known of it is out of date.
    pub(super) async fn check_asked_by(&self, room: &Loaded, server: &ServerName) -> Result<()> {
        if !self.is_resident().await? {
            return Err(Error::not_found("no user of this server is in this room"));
        }
        match self.is_let_in(room, server).await? {
            true => Ok(()),
            false => Err(Error::forbidden("the room keeps this server out")),
        }
    }
}

/// Who is said to have sent an event.
fn sender_of(event: &RawJsonValue) -> Result<OwnedUserId> {
    #[derive(Deserialize)]
    struct Event {
        sender: OwnedUserId,
    }
    let event: Event = serde_json::from_str(event.get())
        .map_err(|_| Error::bad_json("the event does not say who has sent it"))?;
    Ok(event.sender)
}

/// A server asks for its own users alone.
fn check_own(server: &ServerName, user_id: &UserId) -> Result<()> {
    match user_id.server_name() == server {
        true => Ok(()),
        false => Err(Error::forbidden("this is a user of another server")),
    }
}

/// The membership that a user gives themselves.
fn word(action: MembershipAction) -> Result<MembershipState> {
    match action {
        MembershipAction::Join => Ok(MembershipState::Join),
        MembershipAction::Leave => Ok(MembershipState::Leave),
        MembershipAction::Knock => Ok(MembershipState::Knock),
        _ => Err(Error::internal("this is nobody's own doing")),
    }
}

/// The event is what the endpoint is for, by a user of the server that sends it.
fn check_sent(pdu: &Pdu, server: &ServerName, action: MembershipAction) -> Result<()> {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
    }
    check_own(server, &pdu.sender)?;
    let membership = serde_json::from_str::<Content>(pdu.content.get()).map(|it| it.membership);
    let is_meant = pdu.event_type == TimelineEventType::RoomMember
        && pdu.state_key.as_deref() == Some(pdu.sender.as_str())
        && membership.is_ok_and(|it| word(action).is_ok_and(|word| word == it));
    match is_meant {
        true => Ok(()),
        false => Err(Error::invalid_param("the event is not what this endpoint is for")),
    }
}

/// What the sender of an event is told of what became of it.
fn check_outcome(outcome: Option<Outcome>) -> Result<()> {
    match outcome {
        Some(Outcome::Accepted { .. } | Outcome::Known) => Ok(()),
        Some(Outcome::SoftFailed { reason } | Outcome::Rejected { reason }) => {
            Err(Error::forbidden(reason))
        }
        Some(Outcome::Dropped { reason }) => Err(Error::bad_json(reason)),
        Some(Outcome::NeedsKeys { .. }) => {
            Err(Error::forbidden("the keys that signed the event are not to be had"))
        }
        Some(Outcome::Waits { .. }) => {
            Err(Error::invalid_param("the event builds on events that are not known here"))
        }
        None => Err(Error::internal("nothing was received")),
    }
}

fn incompatible(version: &RoomVersionId) -> Error {
    let data = IncompatibleRoomVersionErrorData::new(version.clone());
    let message = format!("the room is of version {version}, which is not among those you know");
    Error::api(ErrorKind::IncompatibleRoomVersion(data), message)
}

/// The event as its sender is to complete it.
fn without_signatures(pdu: &Pdu) -> Result<Box<RawJsonValue>> {
    let mut event: CanonicalJsonObject = serde_json::from_str(&pdu.json)?;
    for added in ["hashes", "signatures", "event_id"] {
        event.remove(added);
    }
    Ok(to_raw_value(&event)?)
}
