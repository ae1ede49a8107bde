//! Who is next, where one after the other does what takes long: in turn by address, so that whoever
//! comes often from one waits for themselves, and others do not wait for them.

use std::collections::VecDeque;

/// How many may wait.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// In all.
    pub all: usize,
    /// From one address.
    pub per_address: usize,
    /// For one account, of those who are strangers to it.
    pub per_account: usize,
}

/// Who asks for a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// From where.
    pub address: String,
    /// For which account.
    pub account: String,
    /// Whether the account is in use there: such a one is not counted among those who guess.
    pub is_known: bool,
}

/// Those who wait, each with what is theirs.
#[derive(Debug)]
pub struct Turns<T> {
    places: Places,
    /// By address, none empty; whose turn it is stands first.
    shares: VecDeque<Share<T>>,
    next_ticket: u64,
}

/// Those of one address, in the order in which they came.
type Share<T> = VecDeque<Waiting<T>>;

#[derive(Debug)]
struct Waiting<T> {
    ticket: u64,
    asker: Asker,
    item: T,
}

/// A place that was given.
#[derive(Debug, PartialEq, Eq)]
pub struct Place<T> {
    /// Names it.
    pub ticket: u64,
    /// What is of somebody who has lost theirs: the last one of the address that had the most.
    pub displaced: Option<T>,
}

impl<T> Turns<T> {
    /// Nobody waits.
    pub const fn new(places: Places) -> Self {
        Self { places, shares: VecDeque::new(), next_ticket: 0 }
    }

    /// Gives a place, if there is one for such an asker.
    pub fn push(&mut self, asker: Asker, item: T) -> Option<Place<T>> {
        let own = self.share(&asker.address).map_or(0, |it| it.len());
        let is_stranger = |it: &Asker| !it.is_known && it.account == asker.account;
        let strangers = self.shares.iter().flatten().filter(|it| is_stranger(&it.asker)).count();
        let is_one_more = is_stranger(&asker) && strangers >= self.places.per_account;
        if is_one_more || own >= self.places.per_address {
            return None;
        }
        let displaced = match self.len() < self.places.all {
            true => None,
            false => Some(self.displace(own + 1)?),
        };
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let address = asker.address.clone();
        let waiting = Waiting { ticket, asker, item };
        match self.share(&address) {
            Some(share) => share.push_back(waiting),
            None => self.shares.push_back(VecDeque::from([waiting])),
        }
        Some(Place { ticket, displaced })
    }

    /// Takes out who is next.
    pub fn pop(&mut self) -> Option<T> {
        let mut share = self.shares.pop_front()?;
        let next = share.pop_front();
        if !share.is_empty() {
            self.shares.push_back(share);
        }
        next.map(|it| it.item)
    }

    /// Takes out who does not wait any longer.
    pub fn remove(&mut self, ticket: u64) {
        for share in &mut self.shares {
            share.retain(|it| it.ticket != ticket);
        }
        self.shares.retain(|it| !it.is_empty());
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.shares.iter().map(VecDeque::len).sum()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }

    /// Takes out the last one of the address that has the most, if that is more than `than`.
    fn displace(&mut self, than: usize) -> Option<T> {
        let largest = self.shares.iter_mut().max_by_key(|it| it.len())?;
        if largest.len() <= than {
            return None;
        }
        largest.pop_back().map(|it| it.item)
    }

    fn share(&mut self, address: &str) -> Option<&mut Share<T>> {
        self.shares.iter_mut().find(|it| it.iter().any(|it| it.asker.address == address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Places = Places { all: 8, per_address: 5, per_account: 3 };

    fn asker(address: &str, account: &str) -> Asker {
        Asker { address: address.to_owned(), account: account.to_owned(), is_known: false }
    }

    fn known(address: &str, account: &str) -> Asker {
        Asker { is_known: true, ..asker(address, account) }
    }

    fn order(mut turns: Turns<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| turns.pop()).collect()
    }

    #[test]
    fn addresses_take_turns() {
        let mut turns = Turns::new(PLACES);
        for (address, item) in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1")] {
            turns.push(asker(address, item), item).unwrap();
        }
        turns.push(asker("b", "b2"), "b2").unwrap();
        assert_eq!(order(turns), ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn who_does_not_wait_any_longer_is_passed_over() {
        let mut turns = Turns::new(PLACES);
        let first = turns.push(asker("a", "x"), "a1").unwrap();
        turns.push(asker("b", "y"), "b1").unwrap();
        turns.remove(first.ticket);
        turns.remove(first.ticket);
        assert_eq!(turns.len(), 1);
        assert_eq!(order(turns), ["b1"]);
    }

    #[test]
    fn an_address_has_its_share_and_so_have_strangers_to_an_account() {
        let mut turns = Turns::new(PLACES);
        for account in ["1", "2", "3", "4", "5"] {
            turns.push(asker("a", account), "a").unwrap();
        }
        assert_eq!(turns.push(asker("a", "6"), "a"), None);
        let mut turns = Turns::new(PLACES);
        for address in ["a", "b", "c"] {
            turns.push(asker(address, "ann"), "x").unwrap();
        }
        assert_eq!(turns.push(asker("d", "ann"), "x"), None);
        assert!(turns.push(known("e", "ann"), "x").is_some());
        assert!(turns.push(asker("d", "bob"), "x").is_some());
    }

    #[test]
    fn where_no_place_is_left_one_is_taken_from_whoever_has_the_most() {
        let mut turns = Turns::new(PLACES);
        for (account, item) in [("1", "a1"), ("2", "a2"), ("3", "a3"), ("4", "a4")] {
            turns.push(asker("a", account), item).unwrap();
        }
        for (account, item) in [("5", "b1"), ("6", "b2"), ("7", "b3"), ("8", "b4")] {
            turns.push(asker("b", account), item).unwrap();
        }
        let place = turns.push(asker("c", "9"), "c1").unwrap();
        assert_eq!(place.displaced, Some("b4"));
        let place = turns.push(asker("c", "10"), "c2").unwrap();
        assert_eq!(place.displaced, Some("a4"));
        assert_eq!(turns.push(asker("a", "11"), "a5"), None, "they have as many as anybody");
        assert_eq!(turns.push(asker("c", "12"), "c3"), None);
        assert_eq!(turns.len(), PLACES.all);
        assert_eq!(order(turns), ["a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3"]);
    }

    #[test]
    fn where_everybody_has_one_place_nobody_else_gets_one() {
        let mut turns = Turns::new(PLACES);
        for address in ["1", "2", "3", "4", "5", "6", "7", "8"] {
            turns.push(asker(address, address), "x").unwrap();
        }
        assert_eq!(turns.push(asker("9", "9"), "x"), None);
    }
}
