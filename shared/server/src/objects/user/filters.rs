//! Stored filters. The same filter gets the same ID; the oldest go when there are too
//! many, or they are too large together.

use ruma::api::error::ErrorKind;
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::integer;

use super::{User, limits};
use crate::{Error, Result, messages::RawJson, store::user::filters};

impl User {
    /// Stores a filter.
    pub(super) async fn create_filter(&self, filter: &RawJsonValue) -> Result<String> {
        let json = filter.get();
        if json.len() > limits::FILTER_BYTES {
            return Err(Error::api(ErrorKind::TooLarge, "the filter is too large"));
        }
        let _state = self.lock_in_use().await?;
        let (sql, scope) = (self.sql(), self.scope());
        if let Some(known) = filters::find_by_json(sql, scope, json).await? {
            return Ok(known.to_string());
        }
        let sizes = filters::list_sizes(sql, scope).await?;
        let filter_id = sizes.first().map_or(0, |(last, _)| last + 1);
        let mut stmts = vec![filters::insert(scope, filter_id, json)];
        let (mut count, mut bytes) = (1, json.len());
        let surplus = sizes.iter().find(|(_, size)| {
            count += 1;
            bytes += size;
            count > limits::FILTERS || bytes > limits::FILTERS_BYTES
        });
        stmts.extend(surplus.map(|(filter_id, _)| filters::remove_until(scope, *filter_id)));
        self.host.commit(stmts, None).await?;
        Ok(filter_id.to_string())
    }

    /// A stored filter, or none.
    pub(super) async fn get_filter(&self, filter_id: &str) -> Result<Option<RawJson>> {
        let Some(filter_id) = integer::parse(filter_id) else { return Ok(None) };
        let _state = self.lock().await?;
        let json = filters::find(self.sql(), self.scope(), filter_id).await?;
        Ok(json.map(RawJsonValue::from_string).transpose()?)
    }
}
