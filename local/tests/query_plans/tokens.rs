//! A Rust source as tokens, as far as its texts are concerned.

use std::{iter::Peekable, str::Chars};

/// A token of a source without comments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name, a keyword or a number.
    Word(String),
    /// What a text literal says.
    Text(String),
    /// A sign.
    Sign(char),
    /// What stands in brackets of this kind.
    Group(char, Vec<Token>),
}

impl Token {
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(it) if it == word)
    }

    pub(crate) fn is_sign(&self, sign: char) -> bool {
        matches!(self, Self::Sign(it) if *it == sign)
    }
}

/// The tokens of a source.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut letters = source.chars().peekable();
    let tokens = group(&mut letters);
    assert_eq!(letters.next(), None, "a bracket is closed that was not opened");
    tokens
}

/// The tokens up to the end of a group.
fn group(letters: &mut Peekable<Chars<'_>>) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some(letter) = letters.next_if(|it| !")]}".contains(*it)) {
        match letter {
            it if it.is_whitespace() => {}
            '/' if letters.next_if_eq(&'/').is_some() => {
                while letters.next_if(|it| *it != '\n').is_some() {}
            }
            '/' if letters.peek() == Some(&'*') => panic!("comments in blocks are not known here"),
            '"' => tokens.push(Token::Text(text(letters))),
            '\'' => lifetime_or_letter(letters),
            '(' | '[' | '{' => {
                let inner = group(letters);
                letters.next().expect("the bracket is closed");
                tokens.push(Token::Group(letter, inner));
            }
            it if is_of_word(it) => {
                let mut word = String::from(it);
                while let Some(it) = letters.next_if(|it| is_of_word(*it)) {
                    word.push(it);
                }
                tokens.push(raw_text(&word, letters).unwrap_or(Token::Word(word)));
            }
            sign => tokens.push(Token::Sign(sign)),
        }
    }
    tokens
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The rest of a text literal.
fn text(letters: &mut Peekable<Chars<'_>>) -> String {
    let mut text = String::new();
    loop {
        match letters.next().expect("the text ends") {
            '"' => return text,
            '\\' => match letters.next().expect("the text ends") {
                '\n' => while letters.next_if(|it| it.is_whitespace()).is_some() {},
                'n' => text.push('\n'),
                // No statement has any of the others; what they stand for does not matter.
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

/// A raw text, after the word that begins it.
fn raw_text(word: &str, letters: &mut Peekable<Chars<'_>>) -> Option<Token> {
    if word != "r" || !matches!(letters.peek(), Some('"' | '#')) {
        return None;
    }
    let mut end = String::from('"');
    while letters.next_if_eq(&'#').is_some() {
        end.push('#');
    }
    assert_eq!(letters.next(), Some('"'), "raw names are not known here");
    let mut text = String::new();
    while !text.ends_with(&end) {
        text.push(letters.next().expect("the text ends"));
    }
    text.truncate(text.len() - end.len());
    Some(Token::Text(text))
}

/// Neither is a token here: `'a` and `'a'`.
fn lifetime_or_letter(letters: &mut Peekable<Chars<'_>>) {
    if letters.next() == Some('\\') {
        letters.next();
        while letters.next().expect("the letter ends") != '\'' {}
        return;
    }
    if letters.next_if_eq(&'\'').is_none() {
        while letters.next_if(|it| is_of_word(*it)).is_some() {}
    }
}
