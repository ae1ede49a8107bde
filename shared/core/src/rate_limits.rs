//! Rate limits: the table of buckets, what the operator may change of it, and how much is left in
//! a bucket.
//!
//! A bucket belongs to somebody: a user, one of their devices, an address, an account, a room. It
//! holds as many requests as its burst says, and is filled again at its rate.

mod address;
mod config;
mod table;

pub use self::{
    address::{Proxies, ProxiesError, address_key, network},
    config::{RateLimits, RateLimitsError},
    table::{MAX_ENTRIES, Table},
};

/// Whose a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// That of an address: of IPv6, a network of 64 bits, which is what one customer is given.
    /// Where no address is known, that of all of those together.
    Address,
    /// That of a user, on whichever device; of who has not said who they are, that of the address.
    User,
    /// That of a device.
    Device,
    /// That of an account that is logged in to. An address from which the account is in use has
    /// one of its own: who guesses a password from elsewhere locks nobody out.
    Account,
    /// That of a room.
    Room,
    /// That of another server.
    Server,
}

/// How many requests, per how long, and how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests in each period.
    pub requests: u32,
    /// The period, in milliseconds.
    pub period_ms: u64,
    /// Requests at once, after a while without any.
    pub burst: u32,
}

/// Makes [`Bucket`] and its tables from one list.
macro_rules! buckets {
    ($(
        $(#[doc = $doc:literal])+
        $bucket:ident = $name:literal, $per:ident, $default:literal;
    )+) => {
        /// A class of requests that are counted together.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bucket {
            $($(#[doc = $doc])+ $bucket,)+
        }

        impl Bucket {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$bucket,)+];

            /// Its name in the configuration.
            pub fn name(self) -> &'static str {
                match self { $(Self::$bucket => $name,)+ }
            }

            /// Whose it is.
            pub fn per(self) -> Per {
                match self { $(Self::$bucket => Per::$per,)+ }
            }

            /// Its rate unless it is configured, as in the configuration.
            pub fn default_text(self) -> &'static str {
                match self { $(Self::$bucket => $default,)+ }
            }

            /// What is counted, for people.
            pub fn what(self) -> &'static str {
                match self { $(Self::$bucket => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

buckets! {
    /// logins
    LoginAddress = "login-address", Address, "12/m:30";
    /// logins to one account
    LoginAccount = "login-account", Account, "12/m:30";
    /// wrong passwords for one account, also those that confirm an operation
    LoginFailed = "login-failed", Account, "3/m:10";
    /// registrations
    Register = "register", Address, "5/m:5";
    /// registration tokens that are tried
    RegistrationToken = "registration-token", Address, "10/m:10";
    /// user names that are tried before a registration
    UserNames = "user-names", Address, "1/s:30";
    /// refreshes of access tokens
    Refresh = "refresh", Address, "2/s:60";
    /// access tokens that nobody has
    UnknownTokens = "unknown-tokens", Address, "5/s:200";
    /// all else that needs no access token
    Open = "open", Address, "20/s:400";
    /// messages, state and redactions of one device
    MessagesDevice = "messages-device", Device, "5/s:100";
    /// messages, state and redactions
    Messages = "messages", User, "10/s:200";
    /// messages into one room
    MessagesRoom = "messages-room", Room, "50/s:1000";
    /// joins and knocks
    Joins = "joins", User, "30/m:50";
    /// joins of one room
    JoinsRoom = "joins-room", Room, "10/s:200";
    /// invitations that a user sends, those of new rooms too
    Invites = "invites", User, "6/m:20";
    /// invitations into one room
    InvitesRoom = "invites-room", Room, "1/s:100";
    /// invitations that a user is sent
    Invited = "invited", User, "12/m:60";
    /// leaving, kicking, banning, unbanning, forgetting
    Memberships = "memberships", User, "2/s:100";
    /// new rooms
    CreateRoom = "create-room", User, "6/m:20";
    /// changes of a profile: each goes into all rooms of the user
    Profile = "profile", User, "10/m:20";
    /// account data, tags
    AccountData = "account-data", User, "5/s:100";
    /// filters that are stored
    Filters = "filters", User, "30/m:30";
    /// the room directory, addresses and summaries of rooms, spaces, profiles elsewhere
    Directory = "directory", User, "2/s:60";
    /// addresses of rooms that are set or removed, and listing in the directory
    Aliases = "aliases", User, "10/m:20";
    /// receipts and read markers
    Receipts = "receipts", User, "10/s:100";
    /// typing notifications
    Typing = "typing", User, "5/s:60";
    /// statuses that are set: each is told in all rooms of the user
    Presence = "presence", User, "12/m:20";
    /// changes of the account and its devices
    Account = "account", User, "10/m:20";
    /// syncs
    Syncs = "syncs", Device, "20/s:200";
    /// all else that is read
    Reads = "reads", User, "50/s:500";
    /// KiB of answers to what is read, and of history that is searched for them
    Answers = "answers", User, "2000/s:100000";
    /// all else that is written
    Writes = "writes", User, "10/s:100";
    /// requests of other servers, before it is known whose they are
    FederationAddress = "federation-address", Address, "400/s:4000";
    /// requests of another server
    Federation = "federation", Server, "200/s:2000";
    /// KiB of answers to another server
    FederationAnswers = "federation-answers", Server, "4000/s:400000";
    /// servers whose keys are asked for here, as of a notary
    Notary = "notary", Address, "2/s:200";
}

impl Bucket {
    /// The bucket of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.name() == name)
    }

    /// Where it stands in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Whether requests are rather counted all together than not at all: those with which a
    /// secret could be guessed, and accounts be made.
    pub fn fails_closed(self) -> bool {
        matches!(
            self,
            Self::LoginAddress
                | Self::LoginAccount
                | Self::LoginFailed
                | Self::Register
                | Self::RegistrationToken
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_is_where_its_index_says() {
        for (index, bucket) in Bucket::ALL.iter().enumerate() {
            assert_eq!(bucket.index(), index, "{bucket:?}");
        }
    }

    #[test]
    fn the_manual_has_the_table() {
        let manual = include_str!("../../../README.md");
        for bucket in Bucket::ALL {
            let per = match bucket.per() {
                Per::Address => "address",
                Per::User => "user",
                Per::Device => "device",
                Per::Account => "account",
                Per::Room => "room",
                Per::Server => "server",
            };
            let (name, default, what) = (bucket.name(), bucket.default_text(), bucket.what());
            let line = format!("| `{name}` | {per} | `{default}` | {what} |");
            assert!(manual.contains(&line), "README.md lacks: {line}");
        }
    }
}
