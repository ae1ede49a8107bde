//! Clients that send or take too little, too slowly or too much, over real sockets: their
//! connections end, others are served meanwhile, and who waits for an answer may wait (T1a).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connections {
    mod house;
    mod http1;
    mod http2;
    mod room;
}
