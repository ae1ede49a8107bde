//! Sessions over the router and a real database: expiry, soft logout, refresh, and what a login may
//! not overlap; authentication, and who may register first.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and indexing JSON cannot panic"
)]

mod sessions {
    mod authentication;
    mod first_account;
    mod house;
    mod tokens;
}
