//! The private store of a `User` object.

pub mod account;
pub mod account_data;
pub mod backup_keys;
pub mod backups;
pub mod cross_signing;
pub mod dehydrated;
pub mod device_keys;
pub mod devices;
pub mod filters;
pub mod meta;
pub mod one_time_keys;
pub mod openid_tokens;
pub mod outbox;
pub mod presence;
pub mod profile;
pub mod rooms;
pub mod to_device;
pub mod tokens;
