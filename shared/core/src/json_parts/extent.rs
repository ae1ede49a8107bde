//! Where a value ends.

use super::PartsError;

/// Brackets that may be open within each other.
const MAX_DEPTH: usize = 128;

/// How far a value has come.
#[derive(Debug, Default)]
pub(super) struct Extent {
    has_begun: bool,
    /// The brackets that close those which are open.
    open: Vec<u8>,
    is_in_string: bool,
    /// Whether the next byte of a string is taken as it is.
    is_escaped: bool,
}

impl Extent {
    /// How many of these bytes belong to the value, where it ends among them or before the last of
    /// them: a number ends before what is none.
    pub(super) fn end_in(&mut self, bytes: &[u8]) -> Result<Option<usize>, PartsError> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.is_in_string {
                match (self.is_escaped, byte) {
                    (true, _) => self.is_escaped = false,
                    (false, b'\\') => self.is_escaped = true,
                    (false, b'"') => {
                        self.is_in_string = false;
                        if self.open.is_empty() {
                            return Ok(Some(at + 1));
                        }
                    }
                    (false, _) => {}
                }
                continue;
            }
            match byte {
                b'"' if self.has_begun && self.open.is_empty() => return Err(PartsError::Syntax),
                b'"' => self.is_in_string = true,
                b'{' => self.open_with(b'}')?,
                b'[' => self.open_with(b']')?,
                b'}' | b']' if self.open.is_empty() => return self.end_before(at),
                b'}' | b']' => {
                    if self.open.pop() != Some(*byte) {
                        return Err(PartsError::Syntax);
                    }
                    if self.open.is_empty() {
                        return Ok(Some(at + 1));
                    }
                }
                b',' | b' ' | b'\t' | b'\n' | b'\r' if self.open.is_empty() => {
                    return self.end_before(at);
                }
                _ => {}
            }
            self.has_begun = true;
        }
        Ok(None)
    }

    /// A number or a word ends before this byte.
    fn end_before(&self, at: usize) -> Result<Option<usize>, PartsError> {
        if self.has_begun { Ok(Some(at)) } else { Err(PartsError::Syntax) }
    }

    fn open_with(&mut self, closing: u8) -> Result<(), PartsError> {
        match (self.has_begun && self.open.is_empty(), self.open.len() < MAX_DEPTH) {
            (true, _) => return Err(PartsError::Syntax),
            (false, false) => return Err(PartsError::TooDeep),
            (false, true) => self.open.push(closing),
        }
        Ok(())
    }
}
