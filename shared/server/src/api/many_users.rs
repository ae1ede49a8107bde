//! One question to each of many local users.
//!
//! At the edge each is a request to an object, of which one request may make a bounded number:
//! 10,000 for those who pay, once 1,000. So a request asks few users itself; where there are more,
//! it parts them, and has one object ask those of each part.

use futures_util::{StreamExt as _, stream};
use ruma::OwnedUserId;

use super::Cx;
use crate::{
    Error, Result,
    messages::{
        Ask,
        user::{RunErrands, ToUser},
    },
};

/// Users whom a request asks itself, and whom one object asks for it.
pub(super) const ASKED_DIRECTLY: usize = 500;

/// Parts that are asked at once.
const PARTS_AT_ONCE: usize = 4;

/// An answer, or why there is none, and whose it is where that is known.
pub(super) type Answered<T> = Result<(OwnedUserId, T)>;

/// Asks each of these users, so many at a time. Whoever can be reached is, whatever becomes of the
/// others.
pub(super) async fn ask_each<A>(
    cx: &Cx,
    asked: Vec<(OwnedUserId, A)>,
    at_once: usize,
) -> Vec<Answered<A::Reply>>
where
    A: Ask<Recipient = ToUser>,
    A::Reply: Send,
{
    const { assert!(A::IS_REPEATABLE, "errands are repeated") };
    if asked.len() <= ASKED_DIRECTLY {
        let ask = |(user_id, question): (OwnedUserId, A)| async move {
            let answer = cx.ports.objects.ask(&*user_id, question).await?;
            Ok((user_id, answer))
        };
        return stream::iter(asked).map(ask).buffer_unordered(at_once).collect().await;
    }
    let ask_part = |part| ask_by_way::<A>(cx, part);
    let parts = stream::iter(parts(asked)).map(ask_part).buffer_unordered(PARTS_AT_ONCE);
    parts.collect::<Vec<_>>().await.into_iter().flatten().collect()
}

/// Users who are asked together, and who asks them.
type Part<A> = (OwnedUserId, Vec<(OwnedUserId, A)>);

/// Parts those who are asked. Each part is asked by way of somebody of another one, so that nobody
/// waits for themselves.
fn parts<A>(mut asked: Vec<(OwnedUserId, A)>) -> Vec<Part<A>> {
    let count = asked.len().div_ceil(ASKED_DIRECTLY).max(1);
    let size = asked.len().div_ceil(count).max(1);
    let mut parts = Vec::with_capacity(count);
    while !asked.is_empty() {
        let rest = asked.split_off(size.min(asked.len()));
        parts.push(std::mem::replace(&mut asked, rest));
    }
    let first = |it: &Vec<(OwnedUserId, A)>| it.first().map(|(user_id, _)| user_id.clone());
    let mut by_way: Vec<_> = parts.iter().filter_map(first).collect();
    if by_way.len() > 1 {
        by_way.rotate_left(1);
    }
    by_way.into_iter().zip(parts).collect()
}

async fn ask_by_way<A>(cx: &Cx, (by_way, part): Part<A>) -> Vec<Answered<A::Reply>>
where
    A: Ask<Recipient = ToUser>,
{
    let user_ids: Vec<_> = part.iter().map(|(user_id, _)| user_id.clone()).collect();
    let errands = part.into_iter().map(|(user_id, it)| (user_id, it.into_command())).collect();
    match cx.ports.objects.ask(&*by_way, RunErrands { errands }).await {
        Err(error) => vec![Err(error)],
        Ok(answers) => {
            let read = |(user_id, reply)| match A::from_reply(reply) {
                Some(answer) => Ok((user_id, answer)),
                None => Err(Error::internal("an object has answered another question")),
            };
            user_ids.into_iter().zip(answers).map(read).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_in_one_part_and_asked_by_way_of_somebody_else() {
        for count in [ASKED_DIRECTLY + 1, 1_001, 1_500, 2_000] {
            let user = |it| OwnedUserId::try_from(format!("@{it}:a")).unwrap();
            let asked: Vec<_> = (0..count).map(|it| (user(it), it)).collect();
            let parts = parts(asked);
            let mut all: Vec<_> = parts.iter().flat_map(|it| &it.1).map(|it| it.1).collect();
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
            for (by_way, part) in &parts {
                assert!(part.len() <= ASKED_DIRECTLY);
                assert!(part.iter().all(|(user_id, _)| user_id != by_way), "{count}");
            }
        }
    }
}
