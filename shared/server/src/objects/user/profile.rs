//! The profile ([spec]). What membership events repeat of it is carried into the user's rooms by
//! the outbox.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#profiles

use std::sync::Arc;

use ruma::{OwnedMxcUri, api::error::ErrorKind, profile::ProfileFieldName};
use serde_json::Value as JsonValue;

use super::{User, limits, outbox::Effect};
use crate::{
    Error, Result,
    messages::user::{Profile, SetProfileField},
    objects::agenda::AgendaPlan,
    store::user::profile,
};

/// Whether membership events repeat a field.
fn is_in_rooms(field: &str) -> bool {
    let field = ProfileFieldName::from(field);
    matches!(field, ProfileFieldName::DisplayName | ProfileFieldName::AvatarUrl)
}

/// The bytes that a field has in a profile.
fn size(field: &str, value: &JsonValue) -> usize {
    field.len() + value.to_string().len()
}

impl User {
    /// The profile of an account that is in use.
    pub(super) async fn get_profile(&self) -> Result<Option<Profile>> {
        let mut state = self.lock().await?;
        match self.account(&mut state).await?.active() {
            Some(_) => profile::list(self.sql(), self.scope()).await.map(Some),
            None => Ok(None),
        }
    }

    /// Sets or removes a field.
    pub(super) async fn set_profile_field(self: &Arc<Self>, set: SetProfileField) -> Result<()> {
        let SetProfileField { field, value } = set;
        let mut state = self.lock().await?;
        if self.account(&mut state).await?.active().is_none() {
            return Err(Error::not_found("this server knows no such user"));
        }
        let profile = profile::list(self.sql(), self.scope()).await?;
        if profile.get(&field) == value.as_ref() {
            return Ok(());
        }
        let change = match &value {
            Some(value) => {
                let others = profile.iter().filter(|(name, _)| **name != field);
                let others: usize = others.map(|(name, value)| size(name, value)).sum();
                if others + size(&field, value) > limits::PROFILE_BYTES {
                    let message = format!("a profile has at most {} bytes", limits::PROFILE_BYTES);
                    return Err(Error::api(ErrorKind::ProfileTooLarge, message));
                }
                profile::upsert(self.scope(), &field, value)
            }
            None => profile::remove(self.scope(), &field),
        };
        let mut agenda = AgendaPlan::default();
        if !is_in_rooms(&field) {
            return self.write(&mut state, vec![change], agenda).await;
        }
        let carry = self.outbox_entry(&state, &Effect::UpdateProfile {}, &mut agenda)?;
        self.commit_with(&mut state, vec![change, carry], agenda).await?;
        drop(state);
        self.drain_outbox_later();
        Ok(())
    }

    /// What membership events repeat: display name and avatar URL.
    pub(super) async fn profile_in_rooms(&self) -> Result<(Option<String>, Option<OwnedMxcUri>)> {
        let mut fields = profile::list(self.sql(), self.scope()).await?;
        let mut text = |field: ProfileFieldName| match fields.remove(field.as_str()) {
            Some(JsonValue::String(text)) => Some(text),
            _ => None,
        };
        let displayname = text(ProfileFieldName::DisplayName);
        Ok((displayname, text(ProfileFieldName::AvatarUrl).map(Into::into)))
    }
}
