//! Whether an event is in the auth chain of every fork because all forks have it in their state, or
//! an event that cites it, directly or through others.
//!
//! The auth chain of a state counts its own events among it, as Synapse and its followers do: by
//! the spec's letter, an event that all forks have in their state, and that conflicted state of
//! only some cites, would be in the auth difference.
//!
//! An auth chain of a state is that of *all* its events, most of which are not in conflict and
//! never looked at. So the question is turned around: from the event towards those that cite it.

use std::vec::IntoIter;

use rustc_hash::FxHashMap;

use super::context::Context;
use crate::engine::{Num, View};

/// An answer about an event and everything that cites it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cited {
    /// By an event that all forks have in their state; or it is one.
    ByAll,
    /// By none such.
    ByNoneOfAll,
    /// Not in memory.
    Unknown,
}

/// The answers so far.
#[derive(Default)]
pub(super) struct Citers {
    known: FxHashMap<Num, Cited>,
}

/// An event whose citers are being walked.
struct Frame {
    num: Num,
    page: IntoIter<Num>,
    /// Where the next page begins.
    before: Num,
    answer: Cited,
}

impl Citers {
    /// Asks for one event. Every event is walked once in a resolution, however often it is asked
    /// for; newest citers first, since they are the likeliest to be in the state.
    pub(super) fn of<V: View>(&mut self, cx: &Context<'_, V>, num: Num) -> Cited {
        if let Some(answer) = self.known.get(&num) {
            return *answer;
        }
        match is_in_all_states(cx, num) {
            Some(true) => return self.all_by_all(num, &[]),
            Some(false) => {}
            None => return Cited::Unknown,
        }
        let mut stack = vec![Frame::new(num)];
        while let Some(frame) = stack.last_mut() {
            let Some(citer) = frame.page.next() else {
                match frame.turn(cx) {
                    Turn::Page => continue,
                    Turn::End(Cited::ByAll) => return self.all_by_all(num, &stack),
                    Turn::End(answer) => self.end(&mut stack, answer),
                }
                continue;
            };
            match self.known.get(&citer) {
                Some(Cited::ByAll) => return self.all_by_all(num, &stack),
                Some(Cited::ByNoneOfAll) => {}
                Some(Cited::Unknown) => frame.answer = Cited::Unknown,
                None => stack.push(Frame::new(citer)),
            }
        }
        self.known.get(&num).copied().unwrap_or(Cited::Unknown)
    }

    /// The events on the way to one that is cited by all are so too.
    fn all_by_all(&mut self, num: Num, stack: &[Frame]) -> Cited {
        self.known.extend(stack.iter().map(|frame| (frame.num, Cited::ByAll)));
        self.known.insert(num, Cited::ByAll);
        Cited::ByAll
    }

    /// Everything that cites the topmost event has been walked.
    fn end(&mut self, stack: &mut Vec<Frame>, answer: Cited) {
        let Some(frame) = stack.pop() else { return };
        self.known.insert(frame.num, answer);
        if let (Cited::Unknown, Some(below)) = (answer, stack.last_mut()) {
            below.answer = Cited::Unknown;
        }
    }
}

/// What came of turning a page.
enum Turn {
    Page,
    End(Cited),
}

impl Frame {
    fn new(num: Num) -> Self {
        Self { num, page: Vec::new().into_iter(), before: Num::MAX, answer: Cited::ByNoneOfAll }
    }

    /// Takes the next page of citers. A page with one that all forks have in their state ends the
    /// walk; one with citers of which that is not known is not walked any further.
    fn turn<V: View>(&mut self, cx: &Context<'_, V>) -> Turn {
        let Some(page) = cx.view.cited_by(self.num, self.before) else {
            return Turn::End(Cited::Unknown);
        };
        let Some(last) = page.last().copied().filter(|it| *it < self.before) else {
            return Turn::End(self.answer);
        };
        let mut unknown = false;
        for citer in &page {
            match is_in_all_states(cx, *citer) {
                Some(true) => return Turn::End(Cited::ByAll),
                Some(false) => {}
                None => unknown = true,
            }
        }
        if unknown {
            return Turn::End(Cited::Unknown);
        }
        self.before = last;
        self.page = page.into_iter();
        Turn::Page
    }
}

/// Whether all forks have this event in their state.
fn is_in_all_states<V: View>(cx: &Context<'_, V>, num: Num) -> Option<bool> {
    let key = cx.view.edges(num)?.key;
    if cx.in_conflict(key) {
        return Some(false);
    }
    Some(cx.unconflicted(key).ok()? == Some(num))
}
