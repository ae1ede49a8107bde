//! What a handler may be given of who sends a request, by its type:
//!
//! | type | what the endpoint asks of the sender |
//! |---|---|
//! | [`Caller`] | an access token |
//! | [`Verified`] | the same, checked for this very request: the account is changed |
//! | [`UncheckedToken`] | an access token, which the user's object checks |
//! | `Option<Caller>` | an access token that is right, or none |
//! | [`Origin`] | the signature of another server |
//! | [`Client`] | nothing: a token is not looked at; address and user agent matter |
//! | nothing | nothing: a token is not looked at |

use std::future::{Future, ready};

use super::{
    Client, Cx,
    access::{Access, UncheckedToken, Verified},
    input::Input,
    origin::Origin,
};
use crate::{Error, Result, messages::Caller};

/// What a handler is given of who sends a request.
pub(super) trait Sender: Sized + Send + 'static {
    /// What is asked of the sender before anything of the body is read.
    const ACCESS: Access;

    /// The sender of a request that was let in by [`Self::ACCESS`].
    fn from_input(input: &mut Input) -> Result<Self>;

    /// What this sender is told of a request that cannot be read.
    fn refusal(self, _: &Cx, error: Error) -> impl Future<Output = Error> + Send {
        ready(error)
    }
}

impl Sender for () {
    const ACCESS: Access = Access::Anyone;

    fn from_input(_: &mut Input) -> Result<Self> {
        Ok(())
    }
}

impl Sender for Client {
    const ACCESS: Access = Access::Anyone;

    fn from_input(input: &mut Input) -> Result<Self> {
        Ok(input.client())
    }
}

impl Sender for Option<Caller> {
    const ACCESS: Access = Access::Optional;

    fn from_input(input: &mut Input) -> Result<Self> {
        Ok(input.caller.take())
    }
}

impl Sender for Caller {
    const ACCESS: Access = Access::Required;

    fn from_input(input: &mut Input) -> Result<Self> {
        input.caller.take().ok_or_else(|| Error::internal("let in without a token"))
    }
}

impl Sender for Verified {
    const ACCESS: Access = Access::Account;

    fn from_input(input: &mut Input) -> Result<Self> {
        Caller::from_input(input).map(Self)
    }
}

impl Sender for Origin {
    const ACCESS: Access = Access::Server;

    fn from_input(input: &mut Input) -> Result<Self> {
        input.origin.take().ok_or_else(|| Error::internal("let in without a signature"))
    }
}

impl Sender for UncheckedToken {
    const ACCESS: Access = Access::Unchecked;

    fn from_input(input: &mut Input) -> Result<Self> {
        input.unchecked_token()
    }

    /// Who has no session learns nothing else.
    async fn refusal(self, cx: &Cx, error: Error) -> Error {
        self.check(cx).await.err().unwrap_or(error)
    }
}
