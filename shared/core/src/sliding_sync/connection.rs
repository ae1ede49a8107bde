//! What a client has been given on one connection.
//!
//! Two positions are kept: the one that the client has shown last, and the one that it was answered
//! with. As long as it does not show the latter, nobody knows whether the answer has arrived:
//! whoever comes again with the former is answered anew from there.

use std::{collections::BTreeMap, fmt, str::FromStr};

use ruma::{OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};

use super::RequiredState;
use crate::{
    integer,
    sync_token::{EphemeralVersion, Made, SyncToken},
};

/// Rooms that a connection knows of: no more are in any list.
pub const MAX_GIVEN_ROOMS: usize = 10_000;

/// Sets of state that rooms were given with, beyond which those go that no room has any more.
const MAX_SETS: usize = 64;

/// Where a client is on its connection, as it says it: `{token}:{connection}.{number}`. The token
/// is one of the user's stream, so that history can be read from there; of it nothing counts here
/// but how much has been seen of receipts and typing, which no number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pos {
    /// A token of the user's stream.
    pub token: SyncToken,
    /// Which beginning of the connection it is of.
    pub nonce: u64,
    /// The number of the answer that it came with.
    pub number: u64,
}

/// The client has to begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this position is unknown or too old: begin anew, without one")]
pub struct UnknownPos;

/// The state of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connection {
    /// Tells one beginning of the connection from another.
    nonce: u64,
    /// The position that the client has shown.
    shown: u64,
    /// What it has been given up to there.
    given: Given,
    /// The position that it was answered with, and what it is given with that.
    answered: Option<(u64, Given)>,
    /// The newest position.
    newest: u64,
}

/// What a client has been given.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Given {
    /// Up to where of the user's stream; none: nothing.
    pub token: Option<SyncToken>,
    /// When what was given last was looked up: an instant of the server's clock.
    pub at_us: u64,
    rooms: BTreeMap<OwnedRoomId, GivenRoom>,
    /// The sets of state that rooms were given with.
    sets: Vec<RequiredState>,
}

/// What a client has been given of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenRoom {
    /// When in the user's stream the membership was set that they were given.
    #[serde(rename = "m")]
    pub membership_seq: u64,
    /// Up to where of the room; zero: an invitation or a knock.
    #[serde(rename = "t")]
    pub to: u64,
    /// How many of the newest events.
    #[serde(rename = "l")]
    pub timeline_limit: u64,
    /// Whether receipts came with it.
    #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
    pub receipts: bool,
    /// Whether it was said to be a direct one.
    #[serde(rename = "d", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_dm: bool,
    /// Which set of state: [`Given::put`] sees to it.
    #[serde(rename = "s", default)]
    pub set: usize,
}

impl Connection {
    /// A connection that begins. `nonce`: a random number.
    pub fn new(nonce: u64) -> Self {
        // A number that JavaScript and JSON carry exactly.
        let nonce = nonce & ((1 << 53) - 1);
        Self { nonce, shown: 0, given: Given::default(), answered: None, newest: 0 }
    }

    /// The client comes with a position.
    ///
    /// # Errors
    ///
    /// It is neither of the two that are kept.
    pub fn resume(&mut self, pos: Pos) -> Result<(), UnknownPos> {
        if pos.nonce != self.nonce {
            return Err(UnknownPos);
        }
        if pos.number == self.shown {
            // The answer was lost, or is not wanted any more.
            self.answered = None;
            return Ok(());
        }
        let (number, given) = self.answered.take_if(|it| it.0 == pos.number).ok_or(UnknownPos)?;
        self.shown = number;
        self.given.take(given);
        Ok(())
    }

    /// Whether this is the position that the client was answered with last.
    pub fn is_answered_with(&self, number: u64) -> bool {
        self.answered.as_ref().is_some_and(|it| it.0 == number)
    }

    /// What was given of a room, and which state with it.
    pub fn room(&self, room_id: &RoomId) -> Option<(&GivenRoom, &RequiredState)> {
        let answered = self.answered.as_ref().and_then(|(_, given)| given.room(room_id));
        answered.or_else(|| self.given.room(room_id))
    }

    /// Up to where of the user's stream something was given, and when that was looked up.
    pub fn token(&self) -> (Option<SyncToken>, u64) {
        match &self.answered {
            Some((_, given)) => (given.token, given.at_us),
            None => (self.given.token, self.given.at_us),
        }
    }

    /// Something is given: the position that says so.
    pub fn answer(&mut self, given: Given) -> Pos {
        self.newest += 1;
        let answered = match self.answered.take() {
            Some((_, mut before)) => {
                before.take(given);
                before
            }
            None => given,
        };
        self.answered = Some((self.newest, answered));
        self.pos()
    }

    /// The newest position, for a client that is given nothing that has to be remembered.
    pub fn pos(&self) -> Pos {
        let number = self.answered.as_ref().map_or(self.shown, |it| it.0);
        let (token, us) = self.token();
        // Of rooms that it was not given nothing but the time says where they were.
        let made = Made { us, is_partial: true };
        let token = token.unwrap_or(SyncToken::at(0)).with_made(made);
        Pos { token, nonce: self.nonce, number }
    }

    /// The bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        let answered = self.answered.as_ref().map_or(0, |it| it.1.bytes());
        self.given.bytes() + answered
    }
}

impl Given {
    /// What is given up to here of the user's stream, which was looked up at this instant.
    pub fn new(token: SyncToken, at_us: u64) -> Self {
        Self { token: Some(token), at_us, ..Self::default() }
    }

    /// Notes what is given of a room.
    pub fn put(&mut self, room_id: OwnedRoomId, room: GivenRoom, required: &RequiredState) {
        let known = self.sets.iter().position(|it| it == required);
        let set = known.unwrap_or(self.sets.len());
        if set == self.sets.len() {
            self.sets.push(required.clone());
        }
        self.rooms.insert(room_id, GivenRoom { set, ..room });
    }

    /// Whether nothing is noted of any room.
    pub fn has_no_rooms(&self) -> bool {
        self.rooms.is_empty()
    }

    fn room(&self, room_id: &RoomId) -> Option<(&GivenRoom, &RequiredState)> {
        let room = self.rooms.get(room_id)?;
        Some((room, self.sets.get(room.set)?))
    }

    /// Takes in what was given after it.
    fn take(&mut self, later: Self) {
        let Self { token, at_us, rooms, sets } = later;
        (self.token, self.at_us) = (token, at_us);
        for (room_id, room) in rooms {
            if let Some(required) = sets.get(room.set) {
                self.put(room_id, room, required);
            }
        }
        if self.sets.len() > MAX_SETS {
            self.drop_unused_sets();
        }
        // Beyond what any request can ask for: rooms that were left.
        while self.rooms.len() > 2 * MAX_GIVEN_ROOMS && self.rooms.pop_first().is_some() {}
    }

    fn drop_unused_sets(&mut self) {
        let rooms = std::mem::take(&mut self.rooms);
        let sets = std::mem::take(&mut self.sets);
        for (room_id, room) in rooms {
            if let Some(required) = sets.get(room.set) {
                self.put(room_id, room, required);
            }
        }
    }

    fn bytes(&self) -> usize {
        const ROOM_BYTES: usize = 80;
        let rooms = self.rooms.keys().map(|it| ROOM_BYTES + it.as_str().len());
        let sets = self.sets.iter().map(|it| it.bytes() + it.len() * ROOM_BYTES);
        rooms.chain(sets).sum()
    }
}

impl Pos {
    /// The same position of a client that has seen so much of receipts and typing.
    #[must_use]
    pub fn with_ephemeral(self, ephemeral: EphemeralVersion) -> Self {
        Self { token: self.token.with_ephemeral(ephemeral), ..self }
    }
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.token, self.nonce, self.number)
    }
}

impl FromStr for Pos {
    type Err = UnknownPos;

    fn from_str(text: &str) -> Result<Self, UnknownPos> {
        let (token, numbers) = text.rsplit_once(':').ok_or(UnknownPos)?;
        let (nonce, number) = numbers.split_once('.').ok_or(UnknownPos)?;
        let token = token.parse().map_err(|_| UnknownPos)?;
        let nonce = integer::parse(nonce).ok_or(UnknownPos)?;
        Ok(Self { token, nonce, number: integer::parse(number).ok_or(UnknownPos)? })
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_room_id;

    use super::*;

    fn given(to: u64, base: u64) -> Given {
        let token = Some(SyncToken::at(base));
        let mut given = Given { token, at_us: base, ..Given::default() };
        let room = GivenRoom { membership_seq: 1, to, timeline_limit: 1, ..GivenRoom::default() };
        let name = ("m.room.name".to_owned(), String::new());
        given.put(owned_room_id!("!a:x.y"), room, &[name].into_iter().collect());
        given
    }

    fn to(connection: &Connection) -> Option<u64> {
        connection.room(&owned_room_id!("!a:x.y")).map(|(room, required)| {
            assert_eq!(required.len(), 1);
            room.to
        })
    }

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let seen = EphemeralVersion { epoch: 9, version: 3 };
        let pos = Pos { token: SyncToken::at(42), nonce: 7, number: 5 }.with_ephemeral(seen);
        assert_eq!(pos.to_string(), "s42~9.3:7.5");
        assert_eq!(pos.to_string().parse(), Ok(pos));
        for text in ["", "5", "s42", "s42:7", "s42:7.", "s42:.5", "x:7.5", "s42:7.5.6", "s42:7.-5"]
        {
            assert_eq!(text.parse::<Pos>(), Err(UnknownPos), "{text}");
        }
    }

    #[test]
    fn what_was_given_counts_when_the_client_shows_that_it_has_it() {
        let mut connection = Connection::new(7);
        let first = connection.answer(given(10, 3));
        assert_eq!(connection.resume(first), Ok(()));
        assert_eq!((to(&connection), connection.token().0), (Some(10), Some(SyncToken::at(3))));
        let second = connection.answer(given(20, 4));
        // It was lost: the client comes with the first again.
        assert_eq!(connection.resume(first), Ok(()));
        assert_eq!((to(&connection), connection.token().0), (Some(10), Some(SyncToken::at(3))));
        let third = connection.answer(given(30, 5));
        assert_ne!(second, third, "an answer that comes late all the same is not taken for it");
        assert_eq!(connection.resume(second), Err(UnknownPos));
        assert_eq!(connection.resume(third), Ok(()));
        assert_eq!(connection.resume(first), Err(UnknownPos), "too old");
        assert_eq!(connection.resume(third), Ok(()), "as often as it likes");
        assert_eq!(to(&connection), Some(30));
    }

    #[test]
    fn what_is_given_in_steps_is_one_answer() {
        let mut connection = Connection::new(7);
        let first = connection.answer(given(10, 3));
        connection.resume(first).unwrap();
        let step = connection.answer(given(20, 4));
        assert!(connection.is_answered_with(step.number));
        assert_eq!(to(&connection), Some(20), "the next step goes on from there");
        let second = connection.answer(Given { token: Some(SyncToken::at(6)), ..Given::default() });
        assert!(!connection.is_answered_with(step.number));
        assert_eq!(connection.pos().number, second.number);
        let mut lost = connection.clone();
        lost.resume(first).unwrap();
        assert_eq!(to(&lost), Some(10), "none of it has arrived");
        connection.resume(second).unwrap();
        assert_eq!((to(&connection), connection.token().0), (Some(20), Some(SyncToken::at(6))));
    }

    #[test]
    fn another_beginning_is_another_connection() {
        let mut old = Connection::new(7);
        let pos = old.answer(given(10, 3));
        let mut new = Connection::new(8);
        new.answer(given(10, 3));
        assert_eq!(new.resume(pos), Err(UnknownPos));
        let json = serde_json::to_string(&old).unwrap();
        let mut read: Connection = serde_json::from_str(&json).unwrap();
        assert_eq!(read.resume(pos), Ok(()), "it outlives the process");
        assert_eq!(to(&read), Some(10));
    }

    #[test]
    fn settings_that_no_room_has_any_more_are_forgotten() {
        let mut connection = Connection::new(7);
        for number in 0..3 * MAX_SETS as u64 {
            let mut given = given(number, number);
            let name = (number.to_string(), String::new());
            let room = GivenRoom { to: number, ..GivenRoom::default() };
            given.put(owned_room_id!("!a:x.y"), room, &[name].into_iter().collect());
            let pos = connection.answer(given);
            connection.resume(pos).unwrap();
        }
        assert!(connection.given.sets.len() <= MAX_SETS + 2);
        assert!(connection.bytes() < 100 * 200);
    }
}
