//! A JSON object that is too large to be held, taken apart as it comes: the elements of some of its
//! arrays one by one, and some of its fields.
//!
//! A scanner finds where values begin and end, by quotes and brackets alone. What is wanted is read
//! as JSON when it is whole; what is not wanted is passed over, and is only known to have matching
//! brackets.
//!
//! **Invariant:** no more is held than one wanted value, within its limit, and the brackets that
//! are open.

mod extent;
#[cfg(test)]
mod tests;

use serde_json::value::RawValue as RawJsonValue;

use self::extent::Extent;

/// Bytes that the name of a field may have, as it is written.
const NAME_BYTES: usize = 1_024;

/// What is wanted of an object. Other fields are passed over.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Fields that have to be there and be arrays, whose elements are given one by one.
    pub arrays: &'static [&'static str],
    /// Fields that are given whole, if they are there.
    pub fields: &'static [&'static str],
    /// What they may take.
    pub limits: Limits,
}

/// What an object may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a wanted value, as it is written.
    pub value_bytes: usize,
    /// Elements of all arrays together.
    pub elements: usize,
}

/// What was found.
#[derive(Clone, Debug)]
pub enum Part {
    /// An element of a wanted array.
    Element(&'static str, Box<RawJsonValue>),
    /// A wanted field.
    Field(&'static str, Box<RawJsonValue>),
}

/// Why an object is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartsError {
    /// It is no JSON object.
    #[error("this is no JSON object")]
    Syntax,
    /// It ends before it is whole.
    #[error("the JSON breaks off")]
    BreaksOff,
    /// Brackets are open within brackets, more than anybody needs.
    #[error("the JSON is nested too deeply")]
    TooDeep,
    /// A wanted value or a name is too large.
    #[error("a part of the JSON is too large")]
    TooLarge,
    /// There are too many elements.
    #[error("the JSON has too many elements")]
    TooMany,
    /// A wanted field is there twice.
    #[error("the field {0} is there twice")]
    Twice(&'static str),
    /// A wanted array is not there.
    #[error("the array {0} is missing")]
    Missing(&'static str),
    /// What is to be an array is none.
    #[error("the field {0} is no array")]
    NoArray(&'static str),
}

/// Whose value comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Array(&'static str),
    Field(&'static str),
    Nobody,
}

/// What may come next.
#[derive(Debug)]
enum State {
    /// The bracket that the object begins with.
    Start,
    /// The name of a field; or the end of the object, where nothing came before.
    Name { or_end: bool },
    /// More of a name.
    InName(Extent),
    /// The colon behind a name.
    Colon(Owner),
    /// The value of a field.
    Value(Owner),
    /// An element of an array; or its end, where nothing came before.
    Element { of: &'static str, or_end: bool },
    /// More of a value.
    InValue(Owner, Extent),
    /// A comma behind an element, or the end of the array.
    AfterElement(&'static str),
    /// A comma behind a field, or the end of the object.
    AfterField,
    /// Nothing more.
    End,
}

/// An object on its way.
#[derive(Debug)]
pub struct Parts {
    wanted: Wanted,
    state: State,
    /// What has come of the name or the wanted value that is on its way.
    held: Vec<u8>,
    seen: Vec<&'static str>,
    elements: usize,
}

impl Parts {
    /// Nothing has come yet.
    pub fn new(wanted: Wanted) -> Self {
        Self { wanted, state: State::Start, held: Vec::new(), seen: Vec::new(), elements: 0 }
    }

    /// Takes what has come, and gives what is whole by that.
    ///
    /// # Errors
    ///
    /// See [`PartsError`]. Nothing more can be found then.
    pub fn feed(&mut self, mut bytes: &[u8], found: &mut Vec<Part>) -> Result<(), PartsError> {
        while !bytes.is_empty() {
            bytes = match &mut self.state {
                State::InName(_) | State::InValue(..) => self.go_on(bytes, found)?,
                _ => {
                    let is_space = |it: &u8| matches!(it, b' ' | b'\t' | b'\n' | b'\r');
                    let spaces = bytes.iter().take_while(|it| is_space(it)).count();
                    match bytes.get(spaces..).and_then(|it| it.split_first()) {
                        Some((first, rest)) if self.step(*first)? => rest,
                        // The first byte of a value is part of it.
                        Some(_) => bytes.get(spaces..).unwrap_or_default(),
                        None => &[],
                    }
                }
            };
        }
        Ok(())
    }

    /// Nothing more comes.
    ///
    /// # Errors
    ///
    /// [`PartsError::BreaksOff`] or [`PartsError::Missing`].
    pub fn finish(self) -> Result<(), PartsError> {
        if !matches!(self.state, State::End) {
            return Err(PartsError::BreaksOff);
        }
        match self.wanted.arrays.iter().find(|it| !self.seen.contains(it)) {
            Some(missing) => Err(PartsError::Missing(missing)),
            None => Ok(()),
        }
    }

    /// What a byte between values means. Whether it was taken: else it begins a value or a name.
    fn step(&mut self, byte: u8) -> Result<bool, PartsError> {
        let (state, is_taken) = match (&self.state, byte) {
            (State::Start, b'{') => (State::Name { or_end: true }, true),
            (State::Name { or_end: true } | State::AfterField, b'}') => (State::End, true),
            (State::Name { .. }, b'"') => (State::InName(Extent::default()), false),
            (State::Colon(owner), b':') => (State::Value(*owner), true),
            (State::Value(Owner::Array(name)), b'[') => {
                (State::Element { of: name, or_end: true }, true)
            }
            (State::Value(Owner::Array(name)), _) => return Err(PartsError::NoArray(name)),
            (State::Value(owner), _) => (State::InValue(*owner, Extent::default()), false),
            (State::Element { or_end: true, .. } | State::AfterElement(_), b']') => {
                (State::AfterField, true)
            }
            (State::Element { of, .. }, _) => {
                (State::InValue(Owner::Array(of), Extent::default()), false)
            }
            (State::AfterElement(of), b',') => (State::Element { of, or_end: false }, true),
            (State::AfterField, b',') => (State::Name { or_end: false }, true),
            _ => return Err(PartsError::Syntax),
        };
        self.state = state;
        Ok(is_taken)
    }

    /// More of a name or a value. Gives what is behind it.
    fn go_on<'a>(
        &mut self,
        bytes: &'a [u8],
        found: &mut Vec<Part>,
    ) -> Result<&'a [u8], PartsError> {
        let (extent, most) = match &mut self.state {
            State::InName(extent) => (extent, Some(NAME_BYTES)),
            State::InValue(Owner::Nobody, extent) => (extent, None),
            State::InValue(_, extent) => (extent, Some(self.wanted.limits.value_bytes)),
            _ => return Err(PartsError::Syntax),
        };
        let end = extent.end_in(bytes)?;
        let (own, rest) = bytes.split_at_checked(end.unwrap_or(bytes.len())).unwrap_or_default();
        if let Some(most) = most {
            if self.held.len() + own.len() > most {
                return Err(PartsError::TooLarge);
            }
            self.held.extend_from_slice(own);
        }
        if end.is_some() {
            self.end(found)?;
        }
        Ok(rest)
    }

    /// A name or a value is whole.
    fn end(&mut self, found: &mut Vec<Part>) -> Result<(), PartsError> {
        let held = std::mem::take(&mut self.held);
        let read = |held| {
            let text = String::from_utf8(held).map_err(|_| PartsError::Syntax)?;
            RawJsonValue::from_string(text).map_err(|_| PartsError::Syntax)
        };
        self.state = match std::mem::replace(&mut self.state, State::End) {
            State::InName(_) => State::Colon(self.owner(&held)?),
            State::InValue(Owner::Array(name), _) => {
                self.elements += 1;
                if self.elements > self.wanted.limits.elements {
                    return Err(PartsError::TooMany);
                }
                found.push(Part::Element(name, read(held)?));
                State::AfterElement(name)
            }
            State::InValue(Owner::Field(name), _) => {
                found.push(Part::Field(name, read(held)?));
                State::AfterField
            }
            _ => State::AfterField,
        };
        Ok(())
    }

    /// To whom the value behind a name belongs.
    fn owner(&mut self, name: &[u8]) -> Result<Owner, PartsError> {
        let name: String = serde_json::from_slice(name).map_err(|_| PartsError::Syntax)?;
        let Wanted { arrays, fields, .. } = self.wanted;
        let owner = match arrays.iter().find(|it| **it == name) {
            Some(array) => Owner::Array(array),
            None => match fields.iter().find(|it| **it == name) {
                Some(field) => Owner::Field(field),
                None => return Ok(Owner::Nobody),
            },
        };
        if let Owner::Array(name) | Owner::Field(name) = owner {
            if self.seen.contains(&name) {
                return Err(PartsError::Twice(name));
            }
            self.seen.push(name);
        }
        Ok(owner)
    }
}
