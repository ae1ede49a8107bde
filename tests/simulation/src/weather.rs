//! What the network does with a request: chance, as bad as the weather is.

use std::{collections::BTreeSet, time::Duration};

use crate::rng::Rng;

/// What becomes of a request and of its answer.
#[expect(clippy::struct_excessive_bools, reason = "each may befall it beside the others")]
#[derive(Clone, Debug, Default)]
pub struct Fate {
    /// How long the request is on its way, and how long the answer.
    pub there: Duration,
    /// See `there`.
    pub back: Duration,
    /// The request never arrives.
    pub is_lost: bool,
    /// The answer never does.
    pub answer_is_lost: bool,
    /// The answer breaks off.
    pub answer_breaks: bool,
    /// A copy arrives so much later, and nobody hears what is answered.
    pub copy: Option<Duration>,
    /// The copy goes to another server.
    pub copy_is_misdirected: bool,
    /// Somebody changes what is said on its way.
    pub is_altered: bool,
    /// Who does not wait for the answer any more ends what is done for it.
    pub ends_with_caller: bool,
}

/// How bad it is: of a hundred requests so many meet that.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// Lost, on the way there or back.
    pub loss: usize,
    /// Repeated, sometimes much later or elsewhere.
    pub copies: usize,
    /// Changed on the way.
    pub alterations: usize,
    /// Late by seconds.
    pub delays: usize,
    /// Between which servers nothing comes through, in this direction.
    pub cuts: BTreeSet<(String, String)>,
}

impl Weather {
    /// Whether nothing comes from one server to another.
    pub fn is_cut(&self, from: &str, to: &str) -> bool {
        self.cuts.contains(&(from.to_owned(), to.to_owned()))
    }

    /// What becomes of the next request.
    pub fn fate(&self, rng: &mut Rng) -> Fate {
        let late = |rng: &mut Rng| {
            let most = if rng.percent(self.delays) { 20_000 } else { 80 };
            Duration::from_millis(1 + rng.below(most) as u64)
        };
        let (there, back) = (late(rng), late(rng));
        let copy = rng.percent(self.copies).then(|| {
            let most = [100, 10_000, 600_000][rng.below(3)];
            Duration::from_millis(1 + rng.below(most) as u64)
        });
        Fate {
            there,
            back,
            is_lost: rng.percent(self.loss),
            answer_is_lost: rng.percent(self.loss),
            answer_breaks: rng.percent(self.loss / 2),
            copy,
            copy_is_misdirected: rng.percent(20),
            is_altered: rng.percent(self.alterations),
            ends_with_caller: rng.percent(50),
        }
    }
}
