//! What must hold of a world: at every step, and when its network heals.

use super::*;

/// Steps within which a world must come to rest when its network heals.
const STEPS_TO_REST: usize = 20_000;
/// Alarms that may come to a room in which everything was delivered.
const ALARMS_TO_REST: usize = 4;

impl World {
    pub(super) fn check(&mut self) {
        self.check_memberships();
        self.check_wake_ups();
    }

    /// No membership is forgotten, and none counts as delivered that was not.
    fn check_memberships(&self) {
        for (number, room) in self.rooms.iter().enumerate() {
            assert_eq!(room.is_forgotten(), None, "no alarm in room {number}: {self:#?}");
            for (user, it) in room.memberships.iter().enumerate() {
                let heard = self.users[user].membership_position(number);
                assert!(heard >= it.delivered, "user {user} does not know of room {number}");
            }
        }
    }

    /// No lost wake-up.
    fn check_wake_ups(&mut self) {
        for (number, device) in self.devices.iter().enumerate() {
            let user = number / DEVICES_PER_USER;
            let (None, Some(_)) = (&device.request, device.token) else { continue };
            let mut changes = None;
            for (room, at) in self.rooms.iter().enumerate() {
                let is_behind = at.memberships[user].is_joined && device.seen[room] < at.head;
                if !is_behind || self.lacks_membership(room, user) || at.will_deliver_to(user) {
                    continue;
                }
                let changes =
                    changes.get_or_insert_with(|| self.users[user].changes(device.token).rooms);
                let has_something = changes.iter().any(|given| given.room == room);
                assert!(has_something, "user {user} waits for room {room}: {self:#?}");
            }
        }
    }

    fn lacks_membership(&self, room: usize, user: usize) -> bool {
        let position = self.rooms[room].memberships[user].position;
        self.users[user].membership_position(room) < position
    }

    /// The network heals and nobody crashes; nobody asks before they are woken. One user cannot be
    /// reached until the others have everything.
    pub(super) fn finish(&mut self) {
        let last = (!self.is_calm).then_some(self.dice.below(USERS));
        let hangs = self.dice.once_in(2);
        self.is_calm = true;
        for (number, user) in self.users.iter_mut().enumerate() {
            let is_last = Some(number) == last;
            (user.is_unreachable, user.is_hanging) = (is_last && !hangs, is_last && hangs);
        }
        self.come_to_rest(last);
        self.check_everything_was_read(last);
        for user in &mut self.users {
            (user.is_unreachable, user.is_hanging) = (false, false);
        }
        self.come_to_rest(None);
        self.check_everything_was_read(None);
        for room in &mut self.rooms {
            Self::let_alarms_come(room);
        }
    }

    /// Alarms may still come, to find that nobody waits.
    fn let_alarms_come(room: &mut Room) {
        for _ in 0..ALARMS_TO_REST {
            let Some(due_ms) = room.alarm else { break };
            room.alarm(due_ms, false, true, Outcome::Committed);
            assert_eq!(room.round(due_ms, ROUND), [], "everything was delivered");
            while room.membership_rounds() > 0 {
                let told = room.membership_round(0, due_ms, Outcome::Committed);
                assert_eq!(told, None, "everybody was told");
            }
        }
        assert_eq!(room.alarm, None, "alarms have an end");
        assert!(room.memberships_are_at_rest());
    }

    fn come_to_rest(&mut self, without: Option<usize>) {
        for _ in 0..STEPS_TO_REST {
            let room = self.dice.below(ROOMS);
            match self.dice.below(7) {
                0 => self.step_round(room),
                1..=2 => self.step_mail(),
                6 => self.step_memberships(room),
                3 => {
                    self.step_time();
                    self.step_alarm(room);
                }
                _ => {
                    let number = self.dice.below(self.devices.len());
                    self.step_device(number);
                }
            }
            self.check();
            if self.is_at_rest(without) {
                return;
            }
        }
        panic!("no rest: {self:#?}");
    }

    fn is_at_rest(&mut self, without: Option<usize>) -> bool {
        let concerns = |mail: &Mail| match *mail {
            Mail::Delivery { user, .. }
            | Mail::Answer { user, .. }
            | Mail::MembershipAnswer { user, .. }
            | Mail::Membership { told: Told { user, .. }, .. } => Some(user) != without,
        };
        !self.mail.iter().any(concerns)
            && self.rooms.iter().all(|room| room.is_at_rest(without))
            && self.devices.iter().enumerate().all(|(number, device)| {
                let user = number / DEVICES_PER_USER;
                let is_at_rest = device.request.is_none()
                    && device.token.is_some()
                    && self.users[user].changes(device.token).rooms.is_empty();
                is_at_rest || Some(user) == without
            })
    }

    fn check_everything_was_read(&self, without: Option<usize>) {
        for (number, device) in self.devices.iter().enumerate() {
            let user = number / DEVICES_PER_USER;
            for (room, at) in self.rooms.iter().enumerate() {
                let is_joined = at.memberships[user].is_joined && Some(user) != without;
                assert!(
                    !is_joined || device.seen[room] == at.head,
                    "device {number} lacks events of room {room} in the end: {self:#?}"
                );
            }
        }
    }
}
