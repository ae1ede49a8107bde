//! A room of many users, most of whom cannot be reached: how long the others wait, and how much
//! work it is. Whenever the room is idle for long, it leaves memory.

use super::super::super::*;

/// Memberships that are delivered side by side.
const AT_ONCE: usize = 32;
/// How long an idle object stays in memory, in milliseconds.
const IDLE_MS: u64 = 10_000;
/// What one part may take, with the wait for the next one.
const PART_MS: u64 = ANSWER_TIMEOUT_MS + NEXT_PART_MS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    Reachable,
    Unreachable,
    Hanging,
}

struct Crowd {
    now_ms: u64,
    /// By their positions, from one on, and whether each is stored as delivered.
    users: Vec<(User, bool)>,
    alarm: Option<u64>,
    memory: Option<Memberships<u64>>,
    idle_since_ms: u64,
    leaves_memory: bool,
    asked: usize,
    alarms: usize,
}

impl Crowd {
    fn new(users: impl IntoIterator<Item = User>, leaves_memory: bool) -> Self {
        Self {
            now_ms: 0,
            users: users.into_iter().map(|user| (user, false)).collect(),
            alarm: Some(0),
            memory: None,
            idle_since_ms: 0,
            leaves_memory,
            asked: 0,
            alarms: 0,
        }
    }

    fn rows(&self, overdue: Overdue) -> Vec<(u64, u64)> {
        let users = (1..).zip(&self.users).filter(|(at, it)| *at > overdue.after && !it.1);
        users.map(|(at, _)| (at, at)).take(overdue.limit).collect()
    }

    /// Time passes until the alarm, and it comes.
    fn alarm(&mut self) {
        self.now_ms = self.now_ms.max(self.alarm.take().expect("somebody is undelivered"));
        let is_idle = self.now_ms - self.idle_since_ms >= IDLE_MS;
        if is_idle && self.leaves_memory {
            self.memory = None;
        }
        let now_ms = self.now_ms;
        let mut room = self.memory.take().unwrap_or_else(|| Memberships::load(Some(now_ms)));
        if let Some(overdue) = room.alarm(now_ms, MEMBERSHIPS_PER_PART) {
            let part = room.listed(overdue, &self.rows(overdue), now_ms);
            self.store(&mut room);
            self.deliver(&mut room, &part);
        }
        self.store(&mut room);
        self.memory = Some(room);
        self.idle_since_ms = self.now_ms;
        self.alarms += 1;
    }

    fn deliver(&mut self, room: &mut Memberships<u64>, part: &[(u64, u64)]) {
        assert!(part.len() <= MEMBERSHIPS_PER_PART);
        let mut hanging = 0;
        for (user, position) in part {
            if hanging == AT_ONCE {
                break;
            }
            assert!(room.begin(user, *position));
            self.asked += 1;
            match self.user(*user).0 {
                User::Reachable => room.delivered(user, *position),
                User::Unreachable => room.failed(user, *position, self.now_ms),
                User::Hanging => hanging += 1,
            }
        }
        if hanging > 0 {
            self.now_ms += ANSWER_TIMEOUT_MS;
        }
        room.ended(part, self.now_ms);
    }

    fn user(&mut self, user: u64) -> &mut (User, bool) {
        &mut self.users[usize::try_from(user).unwrap() - 1]
    }

    fn store(&mut self, room: &mut Memberships<u64>) {
        let marks = room.marks_for_batch();
        for (user, _) in &marks {
            self.user(*user).1 = true;
        }
        room.marks_committed(&marks);
        if let Some(due_ms) = room.next_due(self.now_ms) {
            self.alarm = Some(self.alarm.map_or(due_ms, |at_ms| at_ms.min(due_ms)));
            room.alarm_set(due_ms);
        }
    }

    /// How long it takes until everybody who can be reached is stored as delivered.
    fn until_all_have_heard(&mut self) -> u64 {
        while self.users.contains(&(User::Reachable, false)) {
            assert!(self.alarms < 1_000, "somebody waits for ever");
            self.alarm();
        }
        self.now_ms
    }
}

fn behind(user: User, count: usize) -> impl Iterator<Item = User> {
    std::iter::repeat_n(user, count).chain([User::Reachable])
}

#[test]
fn thousands_who_cannot_be_reached_delay_others_by_one_wait_for_each_part() {
    for leaves_memory in [false, true] {
        let mut crowd = Crowd::new(behind(User::Unreachable, 4_200), leaves_memory);
        let parts = 4_200 / MEMBERSHIPS_PER_PART as u64;
        assert_eq!(crowd.until_all_have_heard(), parts * NEXT_PART_MS, "{leaves_memory}");
        assert_eq!(crowd.asked, 4_201, "each once");
    }
}

#[test]
fn those_who_hang_delay_others_by_one_time_limit_for_as_many_as_are_asked_at_once() {
    for leaves_memory in [false, true] {
        for count in [AT_ONCE - 1, AT_ONCE, 200, 700] {
            let mut crowd = Crowd::new(behind(User::Hanging, count), leaves_memory);
            let bound_ms = (count / AT_ONCE + 2) as u64 * PART_MS;
            let waited_ms = crowd.until_all_have_heard();
            assert!(waited_ms <= bound_ms, "{count}: {waited_ms} of {bound_ms}");
        }
    }
}

#[test]
fn whoever_can_be_reached_again_hears_within_the_longest_wait() {
    let kinds = [User::Unreachable, User::Hanging, User::Reachable];
    let users: Vec<User> = (0..1_300).map(|it| kinds[it % 3]).collect();
    let mut crowd = Crowd::new(users, false);
    crowd.until_all_have_heard();
    for _ in 0..200 {
        crowd.alarm();
    }
    assert!(crowd.users.iter().all(|(user, delivered)| *delivered == (*user == User::Reachable)));
    let last = crowd.users.iter().rposition(|(user, _)| *user == User::Unreachable).unwrap();
    crowd.users[last].0 = User::Reachable;
    let begin_ms = crowd.now_ms;
    let waited_ms = crowd.until_all_have_heard() - begin_ms;
    // Fourteen parts of those who hang, and what is left of the wait before the turn.
    assert!(waited_ms <= RETRY_MAX_MS + 16 * PART_MS, "{waited_ms}");
    for (user, _) in &mut crowd.users {
        *user = User::Reachable;
    }
    crowd.until_all_have_heard();
    for _ in 0..4 {
        if crowd.alarm.is_some() {
            crowd.alarm();
        }
    }
    assert_eq!(crowd.alarm, None, "alarms have an end");
}

#[test]
fn one_who_is_never_reached_is_asked_about_a_hundred_times_a_day() {
    let mut crowd = Crowd::new([User::Unreachable], false);
    while crowd.now_ms < 24 * 60 * 60 * 1_000 {
        crowd.alarm();
    }
    assert!((96..=104).contains(&crowd.asked), "{}", crowd.asked);
    assert_eq!(crowd.alarms, crowd.asked, "no alarm comes for nothing");
}
