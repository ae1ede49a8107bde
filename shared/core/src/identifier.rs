//! How long identifiers may be.

/// The most bytes of any identifier, sigil and server name included ([spec]). The type and the
/// state key of an event have as many.
///
/// [spec]: https://spec.matrix.org/v1.19/appendices/#common-identifier-format
pub const MAX_ID_BYTES: usize = 255;
