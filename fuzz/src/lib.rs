//! What the fuzz targets do. `shared/core/tests/fuzz_corpus.rs` does the same with the corpus that
//! is committed, under an ordinary `cargo test`.

pub mod bodies;
