//! The sessions of one user: which tokens are valid, and what every use of one changes ([spec]).
//!
//! A session is a device with its tokens. A device has the pair of tokens in use, and after a
//! refresh new ones for as long as the client has not shown which of them it received: a client
//! that has got no answer refreshes again, and what was on its way may be carried out in either
//! order. The first of them that is used is all that its device has. Tokens are known by their
//! hashes only.
//!
//! **Invariant:** everything here is a decision in memory. A [`SessionPlan`] says what the store
//! has to take in; it is applied when it has been written.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens

use std::collections::{BTreeMap, BTreeSet};

use ruma::{DeviceId, OwnedDeviceId};

use crate::{gather::Gather as _, token};

/// New pairs of one device of which none has been used, at most: one more makes the one end that
/// would expire first.
pub const MAX_UNCONFIRMED: usize = 8;

/// An access token and the refresh token that was given together with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPair {
    /// Hash of the access token.
    pub access_hash: String,
    /// Hash of the refresh token, if the client can use one.
    pub refresh_hash: Option<String>,
    /// The device.
    pub device_id: OwnedDeviceId,
    /// When the access token expires, in milliseconds since the Unix epoch; none: never.
    pub expires_at_ms: Option<u64>,
    /// Made by a refresh and not used yet: the pair it replaces is still valid.
    pub is_unconfirmed: bool,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is none of this user's, or no longer.
    Unknown,
    /// It has expired; its session goes on with a refresh.
    Expired,
}

/// The tokens of a new pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTokens {
    /// Hash of the access token.
    pub access_hash: String,
    /// Hash of the refresh token, if the client can use one.
    pub refresh_hash: Option<String>,
    /// When the access token expires, in milliseconds since the Unix epoch; none: never.
    pub expires_at_ms: Option<u64>,
}

impl NewTokens {
    fn into_pair(self, device_id: OwnedDeviceId, is_unconfirmed: bool) -> TokenPair {
        let Self { access_hash, refresh_hash, expires_at_ms } = self;
        TokenPair { access_hash, refresh_hash, device_id, expires_at_ms, is_unconfirmed }
    }
}

/// What changes: pairs that end, by the hashes of their access tokens, and then pairs that begin
/// or are no longer what they were.
#[must_use = "a plan does nothing until it is written"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionPlan {
    /// Access hashes of the pairs that end.
    pub removed: Vec<String>,
    /// Pairs as they are from then on.
    pub stored: Vec<TokenPair>,
}

impl SessionPlan {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.stored.is_empty()
    }
}

/// All pairs of one user.
#[derive(Debug, Default)]
pub struct Sessions {
    by_access_hash: BTreeMap<String, TokenPair>,
}

impl Sessions {
    /// The pairs as the store has them.
    pub fn new(pairs: impl IntoIterator<Item = TokenPair>) -> Self {
        let pairs = pairs.into_iter().map(|pair| (pair.access_hash.clone(), pair));
        Self { by_access_hash: pairs.gather() }
    }

    /// Checks an access token. The plan is not empty at its first use after a refresh, which
    /// proves that the client has the new pair: the others of the device end.
    ///
    /// # Errors
    ///
    /// Why it is not accepted.
    pub fn authenticate(
        &self,
        access_hash: &str,
        now_ms: u64,
    ) -> Result<(&TokenPair, SessionPlan), Refusal> {
        let pair = self.by_access_hash.get(access_hash).ok_or(Refusal::Unknown)?;
        if pair.expires_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            return Err(Refusal::Expired);
        }
        let plan = match pair.is_unconfirmed {
            true => self.plan_confirmed(pair),
            false => SessionPlan::default(),
        };
        Ok((pair, plan))
    }

    /// The pair has been used: it is all that its device has.
    fn plan_confirmed(&self, pair: &TokenPair) -> SessionPlan {
        let is_other =
            |it: &&TokenPair| it.device_id == pair.device_id && it.access_hash != pair.access_hash;
        let stored = match pair.is_unconfirmed {
            true => vec![TokenPair { is_unconfirmed: false, ..pair.clone() }],
            false => Vec::new(),
        };
        SessionPlan { removed: self.hashes(is_other), stored }
    }

    /// Begins a session in place of the one that the device had.
    pub fn plan_open(&self, device_id: &DeviceId, tokens: NewTokens) -> SessionPlan {
        let removed = self.hashes(|it| it.device_id == device_id);
        SessionPlan { removed, stored: vec![tokens.into_pair(device_id.to_owned(), false)] }
    }

    /// Gives a new pair for a refresh token. The pair of that token stays valid until a new one is
    /// used, and so do those that were given for the same token: nobody knows which of the answers
    /// the client will have. None: the refresh token is unknown.
    pub fn plan_refresh(&self, refresh_hash: &str, tokens: NewTokens) -> Option<SessionPlan> {
        let is_meant = |it: &&TokenPair| it.refresh_hash.as_deref() == Some(refresh_hash);
        let used = self.by_access_hash.values().find(is_meant)?;
        let mut plan = match used.is_unconfirmed {
            true => self.plan_confirmed(used),
            false => self.plan_room_for(&used.device_id, &tokens.access_hash),
        };
        plan.stored.push(tokens.into_pair(used.device_id.clone(), true));
        Some(plan)
    }

    /// Ends the unused pairs of a device that are too many when one more comes.
    fn plan_room_for(&self, device_id: &DeviceId, access_hash: &str) -> SessionPlan {
        let is_unused = |it: &&TokenPair| {
            it.is_unconfirmed && it.device_id == device_id && it.access_hash != access_hash
        };
        let mut unused: Vec<_> = self.by_access_hash.values().filter(is_unused).collect();
        unused.sort_by_key(|it| it.expires_at_ms);
        let surplus = (unused.len() + 1).saturating_sub(MAX_UNCONFIRMED);
        let removed = unused.iter().take(surplus).map(|it| it.access_hash.clone()).collect();
        SessionPlan { removed, stored: Vec::new() }
    }

    /// The device whose session must end because somebody shows a refresh token that has been
    /// spent: it was stolen from the client, or the client has stolen it ([RFC 9700]). A token that
    /// was replaced before it was used is none of those: its client may never have received it.
    ///
    /// [RFC 9700]: https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2
    pub fn replayed(&self, refresh_hash: &str) -> Option<OwnedDeviceId> {
        let (family, generation) = token::lineage_in(refresh_hash)?;
        let relatives = self.by_access_hash.values().filter_map(|pair| {
            let (own, number) = token::lineage_in(pair.refresh_hash.as_deref()?)?;
            (own == family).then_some((number, &pair.device_id))
        });
        let (oldest, device_id) = relatives.min_by_key(|(number, _)| *number)?;
        (generation < oldest).then(|| device_id.clone())
    }

    /// Ends the sessions of devices.
    pub fn plan_end(&self, device_ids: &[OwnedDeviceId]) -> SessionPlan {
        let removed = self.hashes(|it| device_ids.contains(&it.device_id));
        SessionPlan { removed, stored: Vec::new() }
    }

    /// All devices that have a session, save for one if so wished.
    pub fn devices_except(&self, except: Option<&DeviceId>) -> Vec<OwnedDeviceId> {
        self.devices().into_iter().filter(|it| Some(*it) != except).map(ToOwned::to_owned).collect()
    }

    /// How many devices have a session.
    pub fn count_devices(&self) -> usize {
        self.devices().len()
    }

    /// Whether this device has a session.
    pub fn has_device(&self, device_id: &DeviceId) -> bool {
        self.by_access_hash.values().any(|it| it.device_id == device_id)
    }

    /// Devices, at most `limit`, whose session has lapsed: for `idle_ms` its access token has
    /// been expired and was not refreshed.
    pub fn lapsed(&self, now_ms: u64, idle_ms: u64, limit: usize) -> Vec<OwnedDeviceId> {
        let lapses = self.lapses(idle_ms).into_iter();
        let lapsed = lapses.filter(|(_, at_ms)| at_ms.is_some_and(|at_ms| at_ms <= now_ms));
        lapsed.map(|(device_id, _)| device_id.to_owned()).take(limit).collect()
    }

    /// When the next session lapses, unless it is refreshed; these devices are left out.
    pub fn next_lapse_ms(&self, idle_ms: u64, without: &[OwnedDeviceId]) -> Option<u64> {
        let mut lapses = self.lapses(idle_ms);
        lapses.retain(|device_id, _| !without.iter().any(|it| it == device_id));
        lapses.into_values().flatten().min()
    }

    /// When the session of each device lapses: when its last pair does. None: never.
    fn lapses(&self, idle_ms: u64) -> BTreeMap<&DeviceId, Option<u64>> {
        let mut lapses: BTreeMap<&DeviceId, Option<u64>> = BTreeMap::new();
        for pair in self.by_access_hash.values() {
            let own = pair.expires_at_ms.map(|at_ms| at_ms.saturating_add(idle_ms));
            let later = |known: Option<u64>| Some(known?.max(own?));
            lapses.entry(&pair.device_id).and_modify(|it| *it = later(*it)).or_insert(own);
        }
        lapses
    }

    /// The plan was written.
    pub fn apply(&mut self, plan: SessionPlan) {
        for access_hash in plan.removed {
            self.by_access_hash.remove(&access_hash);
        }
        for pair in plan.stored {
            self.by_access_hash.insert(pair.access_hash.clone(), pair);
        }
    }

    fn devices(&self) -> BTreeSet<&DeviceId> {
        self.by_access_hash.values().map(|it| &*it.device_id).gather()
    }

    fn hashes(&self, is_meant: impl FnMut(&&TokenPair) -> bool) -> Vec<String> {
        let meant = self.by_access_hash.values().filter(is_meant);
        meant.map(|it| it.access_hash.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, owned_device_id};

    use super::*;

    const LIFETIME_MS: u64 = 60;

    fn tokens(name: &str, now_ms: u64) -> NewTokens {
        NewTokens {
            access_hash: name.to_owned(),
            refresh_hash: Some(format!("{name}-refresh")),
            expires_at_ms: Some(now_ms + LIFETIME_MS),
        }
    }

    fn for_ever(name: &str) -> NewTokens {
        NewTokens { access_hash: name.to_owned(), refresh_hash: None, expires_at_ms: None }
    }

    fn open(sessions: &mut Sessions, device_id: &DeviceId, tokens: NewTokens) {
        let plan = sessions.plan_open(device_id, tokens);
        sessions.apply(plan);
    }

    fn refresh(sessions: &mut Sessions, name: &str, new: &str, now_ms: u64) -> bool {
        let plan = sessions.plan_refresh(&format!("{name}-refresh"), tokens(new, now_ms));
        plan.map(|plan| sessions.apply(plan)).is_some()
    }

    fn authenticate(sessions: &mut Sessions, name: &str, now_ms: u64) -> Result<(), Refusal> {
        let (_, plan) = sessions.authenticate(name, now_ms)?;
        sessions.apply(plan);
        Ok(())
    }

    #[test]
    fn an_expired_token_is_refreshed_not_unknown() {
        let mut sessions = Sessions::default();
        open(&mut sessions, device_id!("D"), tokens("a", 0));
        assert_eq!(authenticate(&mut sessions, "a", 59), Ok(()));
        assert_eq!(authenticate(&mut sessions, "a", 60), Err(Refusal::Expired));
        assert!(refresh(&mut sessions, "a", "b", 60));
        assert_eq!(authenticate(&mut sessions, "b", 61), Ok(()));
        assert_eq!(authenticate(&mut sessions, "a", 61), Err(Refusal::Unknown));
    }

    #[test]
    fn what_a_refresh_replaces_is_valid_until_the_new_pair_is_used() {
        let mut sessions = Sessions::default();
        open(&mut sessions, device_id!("D"), tokens("first", 0));
        assert!(refresh(&mut sessions, "first", "lost", 1));
        assert!(refresh(&mut sessions, "first", "second", 2));
        assert_eq!(authenticate(&mut sessions, "first", 3), Ok(()));
        // Using the new refresh token proves that it arrived, as using the access token would.
        assert!(refresh(&mut sessions, "second", "third", 4));
        assert!(!refresh(&mut sessions, "first", "x", 4));
        assert!(!refresh(&mut sessions, "lost", "x", 4));
        assert_eq!(authenticate(&mut sessions, "lost", 4), Err(Refusal::Unknown));
        assert_eq!(authenticate(&mut sessions, "first", 5), Err(Refusal::Unknown));
        assert_eq!(authenticate(&mut sessions, "second", 5), Ok(()));
        assert_eq!(authenticate(&mut sessions, "third", 5), Ok(()));
        assert_eq!(authenticate(&mut sessions, "second", 5), Err(Refusal::Unknown));
        assert!(!refresh(&mut sessions, "second", "x", 6));
        assert!(refresh(&mut sessions, "third", "fourth", 6));
    }

    /// What got no answer may be carried out after what was asked later, and any answer may be the
    /// one that arrives.
    #[test]
    fn whichever_answer_to_a_repeated_refresh_is_used_first_goes_on() {
        let names = ["b", "c", "d"];
        for arrived in names {
            for uses_access in [true, false] {
                let mut sessions = Sessions::default();
                open(&mut sessions, device_id!("D"), tokens("a", 0));
                for (name, at_ms) in names.into_iter().zip(1..) {
                    assert!(refresh(&mut sessions, "a", name, at_ms));
                }
                match uses_access {
                    true => assert_eq!(authenticate(&mut sessions, arrived, 5), Ok(())),
                    false => assert!(refresh(&mut sessions, arrived, "e", 5)),
                }
                for other in names.into_iter().chain(["a"]).filter(|it| *it != arrived) {
                    let unknown = Err(Refusal::Unknown);
                    assert_eq!(authenticate(&mut sessions, other, 6), unknown, "{other}");
                    assert!(!refresh(&mut sessions, other, "x", 6), "{other}");
                }
                assert!(refresh(&mut sessions, arrived, "f", 7), "{arrived}");
                assert_eq!(authenticate(&mut sessions, "f", 8), Ok(()));
            }
        }
    }

    #[test]
    fn unused_pairs_of_a_device_are_bounded() {
        let mut sessions = Sessions::default();
        open(&mut sessions, device_id!("D"), tokens("a", 0));
        open(&mut sessions, device_id!("E"), tokens("e", 0));
        assert!(refresh(&mut sessions, "e", "e2", 0));
        for number in 0..=MAX_UNCONFIRMED {
            let name = number.to_string();
            assert!(refresh(&mut sessions, "a", &name, number as u64 + 1));
            assert!(refresh(&mut sessions, "a", &name, number as u64 + 1), "the same once more");
        }
        assert_eq!(sessions.by_access_hash.len(), 1 + MAX_UNCONFIRMED + 2);
        assert_eq!(authenticate(&mut sessions, "0", 20), Err(Refusal::Unknown));
        assert_eq!(authenticate(&mut sessions, "1", 20), Ok(()));
        assert_eq!(authenticate(&mut sessions, "e2", 20), Ok(()));
    }

    #[test]
    fn a_refresh_that_is_carried_out_twice_is_one() {
        let mut sessions = Sessions::default();
        open(&mut sessions, device_id!("D"), tokens("a", 0));
        assert!(refresh(&mut sessions, "a", "b", 1));
        assert!(refresh(&mut sessions, "a", "b", 1));
        assert_eq!(sessions.by_access_hash.len(), 2);
        assert_eq!(authenticate(&mut sessions, "b", 2), Ok(()));
        assert_eq!(sessions.by_access_hash.len(), 1);
    }

    #[test]
    fn a_refresh_token_that_was_spent_ends_its_session() {
        let of = |family: &str, generation: u32, name: &str| NewTokens {
            refresh_hash: Some(format!("{family}.{generation}.{name}")),
            ..tokens(name, 0)
        };
        let mut sessions = Sessions::default();
        open(&mut sessions, device_id!("D"), of("f", 0, "first"));
        open(&mut sessions, device_id!("E"), of("g", 0, "other"));
        let mut refresh = |spent: &str, new: NewTokens| {
            let plan = sessions.plan_refresh(spent, new).unwrap();
            sessions.apply(plan);
            let known = ["f.0.first", "f.1.lost", "f.1.second", "f.2.third", "g.0.other"];
            known.map(|it| sessions.replayed(it).is_some())
        };
        // Until the new pair is used, its client may not have received it.
        let none = [false; 5];
        assert_eq!(refresh("f.0.first", of("f", 1, "lost")), none);
        assert_eq!(refresh("f.0.first", of("f", 1, "second")), none);
        // The first one is spent when what came of it is used; what never was used is not.
        assert_eq!(refresh("f.1.second", of("f", 2, "third")), [true, false, false, false, false]);
        let two = [true, true, true, false, false];
        assert_eq!(refresh("f.2.third", of("f", 3, "fourth")), two);
        assert_eq!(sessions.replayed("f.0.first").as_deref(), Some(device_id!("D")));
        for unknown in ["h.0.x", "f.x.first", "first", ""] {
            assert_eq!(sessions.replayed(unknown), None, "{unknown}");
        }
        let plan = sessions.plan_end(&[owned_device_id!("D")]);
        sessions.apply(plan);
        assert_eq!(sessions.replayed("f.0.first"), None, "it has ended");
    }

    #[test]
    fn a_login_on_a_known_device_replaces_its_session_and_no_other() {
        let mut sessions = Sessions::default();
        open(&mut sessions, device_id!("D"), tokens("a", 0));
        open(&mut sessions, device_id!("E"), for_ever("e"));
        assert!(refresh(&mut sessions, "a", "b", 1));
        open(&mut sessions, device_id!("D"), for_ever("c"));
        for (name, expected) in [("a", false), ("b", false), ("c", true), ("e", true)] {
            assert_eq!(authenticate(&mut sessions, name, 2).is_ok(), expected, "{name}");
        }
        assert_eq!(sessions.count_devices(), 2);
    }

    #[test]
    fn sessions_end_with_all_their_tokens() {
        let mut sessions = Sessions::default();
        open(&mut sessions, device_id!("D"), tokens("a", 0));
        open(&mut sessions, device_id!("E"), for_ever("e"));
        assert!(refresh(&mut sessions, "a", "b", 1));
        assert_eq!(sessions.devices_except(Some(device_id!("E"))), [device_id!("D")]);
        let plan = sessions.plan_end(&[owned_device_id!("D"), owned_device_id!("X")]);
        assert_eq!(plan.removed, ["a", "b"]);
        sessions.apply(plan);
        assert!(!sessions.has_device(device_id!("D")) && sessions.has_device(device_id!("E")));
        assert!(!refresh(&mut sessions, "a", "x", 2) && !refresh(&mut sessions, "b", "x", 2));
    }

    #[test]
    fn a_session_lapses_when_nobody_refreshes_it_for_long() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.next_lapse_ms(1_000, &[]), None);
        open(&mut sessions, device_id!("D"), tokens("a", 0));
        open(&mut sessions, device_id!("E"), for_ever("e"));
        assert!(refresh(&mut sessions, "a", "b", 10));
        assert_eq!(sessions.next_lapse_ms(1_000, &[]), Some(10 + LIFETIME_MS + 1_000));
        assert_eq!(sessions.next_lapse_ms(1_000, &[owned_device_id!("D")]), None);
        assert!(sessions.lapsed(1_069, 1_000, 10).is_empty());
        assert_eq!(sessions.lapsed(1_070, 1_000, 10), [device_id!("D")]);
        assert!(sessions.lapsed(1_070, 1_000, 0).is_empty());
    }
}
