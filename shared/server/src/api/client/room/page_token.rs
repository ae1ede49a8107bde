//! Where a page of a room's history begins or ends.
//!
//! `t7` is position 7 of the room. A token of `/sync` is a place in the user's own stream. Where
//! their client was given the room, their object knows how far; where it was not, the room is asked
//! where it was at the time of the token.

use ruma::RoomId;
use skerry_core::{integer, sync_token::SyncToken, user_stream::Whereabouts};

use super::ask;
use crate::{
    Error, Result,
    api::Cx,
    messages::{
        Caller,
        room::{GetPositionBefore, Position},
        user::GetWhereabouts,
    },
};

/// The token of a position in a room.
pub(super) fn of(position: Position) -> String {
    format!("t{position}")
}

/// The position in the room that a token stands for.
pub(super) async fn resolve(
    cx: &Cx,
    caller: &Caller,
    room_id: &RoomId,
    token: Option<&str>,
) -> Result<Option<Position>> {
    let Some(token) = token else { return Ok(None) };
    match parse(token) {
        Some(Token::Room(position)) => Ok(Some(position)),
        Some(Token::Sync(token)) => {
            let question = GetWhereabouts { room_id: room_id.to_owned(), token };
            let Whereabouts { at_least, is_exact } =
                cx.ports.objects.ask(&*caller.user_id, question).await?;
            let position = match token.made {
                Some(made) if !is_exact => {
                    ask(cx, room_id, GetPositionBefore { instant_us: made.us }).await?
                }
                _ => at_least,
            };
            Ok(Some(position.max(at_least)))
        }
        None => Err(Error::invalid_param("this is not a token of a page or of a sync")),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Room(Position),
    Sync(SyncToken),
}

fn parse(token: &str) -> Option<Token> {
    let Some(position) = token.strip_prefix('t') else {
        return token.parse().ok().map(Token::Sync);
    };
    integer::parse(position).map(Token::Room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_both_kinds_are_read() {
        assert_eq!(parse(&of(7)), Some(Token::Room(7)));
        assert_eq!(parse("s12"), Some(Token::Sync(SyncToken::at(12))));
        assert_eq!(parse("t0"), Some(Token::Room(0)));
    }

    #[test]
    fn anything_else_is_refused() {
        let beyond = format!("t{}", integer::MAX_SAFE + 1);
        for token in ["", "t", "s", "7", "t-1", "t+1", "t1.5", "x1", "t 1", "ß1", &beyond] {
            assert_eq!(parse(token), None, "{token:?}");
        }
    }
}
