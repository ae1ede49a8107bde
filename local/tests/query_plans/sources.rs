//! Finds the statements in the sources of a store: every text that is written there in one piece
//! or by `concat!`, macros of the sources included. Another way to come by a statement's text
//! there is none: it is `&'static str`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::query_plans::tokens::{Token, tokens};

/// What a statement begins with.
const VERBS: [&str; 10] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "REPLACE", "CREATE", "ALTER", "DROP", "PRAGMA",
];

/// Words that no text has which is not of a statement.
const CLAUSES: [&str; 9] = [
    "SELECT ",
    " FROM ",
    " WHERE ",
    "INSERT ",
    "UPDATE ",
    "DELETE ",
    " JOIN ",
    "ORDER BY ",
    "GROUP BY ",
];

/// A statement of the sources.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Where it stands: modules and the function or constant, and a number where that has several.
    pub(crate) name: String,
    /// Its text, without what only breaks lines.
    pub(crate) sql: String,
}

/// The statements of all files at and below a path, under the names of their modules below another.
pub(crate) fn statements_of(path: &Path, below: &Path) -> Vec<Statement> {
    let mut files = Vec::new();
    rust_files(path, &mut files);
    files.sort();
    let sources = files.iter().map(|file| {
        let module = file.strip_prefix(below).unwrap().with_extension("");
        let module: Vec<_> = module.iter().map(|it| it.to_string_lossy().into_owned()).collect();
        (module.join("::"), fs::read_to_string(file).unwrap())
    });
    statements(&sources.collect::<Vec<_>>())
}

fn rust_files(path: &Path, into: &mut Vec<PathBuf>) {
    if path.is_file() {
        into.extend(path.extension().is_some_and(|it| it == "rs").then(|| path.to_owned()));
        return;
    }
    for entry in fs::read_dir(path).unwrap() {
        rust_files(&entry.unwrap().path(), into);
    }
}

/// The statements of these sources, each with the name of its module.
pub(crate) fn statements(sources: &[(String, String)]) -> Vec<Statement> {
    let parsed = sources.iter().map(|(module, text)| (module.as_str(), tokens(text)));
    let parsed: Vec<(&str, Vec<Token>)> = parsed.collect();
    let mut macros = Macros::new();
    for (module, tokens) in &parsed {
        define_macros(module, tokens, &mut macros);
    }
    let mut found = Vec::new();
    for (module, tokens) in &parsed {
        let mut reader = Reader { module, macros: &macros, item: String::new(), found: Vec::new() };
        reader.read(tokens);
        found.extend(reader.found);
    }
    number(&mut found);
    found
}

/// Tells apart the statements of one name.
fn number(found: &mut [Statement]) {
    let mut times = BTreeMap::new();
    for it in &*found {
        *times.entry(it.name.clone()).or_insert(0) += 1;
    }
    times.retain(|_, times| *times > 1);
    let mut numbers = BTreeMap::new();
    for it in found.iter_mut().filter(|it| times.contains_key(&it.name)) {
        let number = numbers.entry(it.name.clone()).or_insert(0);
        *number += 1;
        it.name = format!("{} {number}", it.name);
    }
}

/// The macros of the sources, by module and name.
type Macros = BTreeMap<(String, String), Macro>;

/// A macro with one rule, which makes a text.
struct Macro {
    parameters: Vec<String>,
    body: Vec<Token>,
}

fn define_macros(module: &str, tokens: &[Token], macros: &mut Macros) {
    for window in tokens.windows(4) {
        if let [word, _, Token::Word(name), Token::Group(_, rules)] = window
            && word.is_word("macro_rules")
        {
            let [Token::Group(_, pattern), _, _, Token::Group(_, body), rest @ ..] = &**rules
            else {
                panic!("{module}: {name} is no rule");
            };
            assert!(rest.len() < 2, "{module}: {name} has several rules");
            let parameters = pattern.windows(2).filter_map(|it| match it {
                [Token::Sign('$'), Token::Word(name)] => Some(name.clone()),
                _ => None,
            });
            let made = Macro { parameters: parameters.collect(), body: body.clone() };
            macros.insert((module.to_owned(), name.clone()), made);
        }
    }
}

/// Reads one file from its beginning to its end.
struct Reader<'a> {
    module: &'a str,
    macros: &'a Macros,
    /// The function or constant that is being read.
    item: String,
    found: Vec<Statement>,
}

impl Reader<'_> {
    fn read(&mut self, tokens: &[Token]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let rest = &tokens[at..];
            if let Some(length) = passed_over(rest) {
                at += length;
                continue;
            }
            if let Some((text, length)) = self.text(rest, &BTreeMap::new()) {
                self.take(&text);
                at += length;
                continue;
            }
            match token {
                Token::Word(word) if word == "include_str" => {
                    let file = format!("{:?}", tokens.get(at + 2));
                    let is_script = file.contains("/migrations/");
                    assert!(is_script, "{}::{}: what is in {file}?", self.module, self.item);
                }
                Token::Word(word) if word == "fn" || word == "const" => {
                    if let Some(Token::Word(name)) = tokens.get(at + 1) {
                        self.item.clone_from(name);
                    }
                }
                Token::Group(_, inner) => self.read(inner),
                _ => {}
            }
            at += 1;
        }
    }

    fn take(&mut self, text: &str) {
        let sql = squeeze(text);
        let first = sql.split(' ').next().unwrap_or_default();
        if VERBS.contains(&first) && sql != first {
            self.found.push(Statement { name: format!("{}::{}", self.module, self.item), sql });
            return;
        }
        let clause = CLAUSES.iter().find(|it| text.contains(*it));
        assert_eq!(clause, None, "{}::{}: neither a statement nor none", self.module, self.item);
    }

    /// The text that is written at the beginning of these tokens, and how many of them it takes.
    fn text(&self, tokens: &[Token], given: &Given) -> Option<(String, usize)> {
        match tokens {
            [Token::Text(it), ..] => Some((it.clone(), 1)),
            [Token::Sign('$'), Token::Word(name), ..] => Some((given.get(name)?.clone(), 2)),
            [Token::Word(_), ..] => {
                let is_of_path = |it: &Token| matches!(it, Token::Word(_) | Token::Sign(':'));
                let bang = tokens.iter().position(|it| !is_of_path(it))?;
                let [Token::Sign('!'), Token::Group(_, arguments), ..] = &tokens[bang..] else {
                    return None;
                };
                let path = tokens[..bang].iter().filter_map(|it| match it {
                    Token::Word(name) => Some(name.as_str()),
                    _ => None,
                });
                let text = self.called(&path.collect::<Vec<_>>(), arguments, given)?;
                Some((text, bang + 2))
            }
            _ => None,
        }
    }

    /// The text that a macro makes.
    fn called(&self, path: &[&str], arguments: &[Token], given: &Given) -> Option<String> {
        let arguments = self.texts(arguments, given);
        let (name, module) = match path {
            ["concat"] => return arguments.map(|it| it.concat()),
            [name] => (name, self.module.to_owned()),
            [.., beside, name] => {
                let (parent, _) = self.module.rsplit_once("::").unwrap_or_default();
                (name, format!("{parent}::{beside}"))
            }
            [] => return None,
        };
        let called = self.macros.get(&(module, (*name).to_owned()))?;
        let given = called.parameters.iter().cloned().zip(arguments?).collect();
        let (text, length) = self.text(&called.body, &given)?;
        (length == called.body.len()).then_some(text)
    }

    /// Texts between commas. None: something else is among them.
    fn texts(&self, list: &[Token], given: &Given) -> Option<Vec<String>> {
        let parts = list.split(|it| it.is_sign(',')).filter(|it| !it.is_empty());
        let texts = parts.map(|part| {
            let (text, length) = self.text(part, given)?;
            (length == part.len()).then_some(text)
        });
        texts.collect()
    }
}

/// What a macro was given, by its parameters.
type Given = BTreeMap<String, String>;

/// How many tokens these begin with that have no statement: the definition of a macro, an
/// attribute, tests.
fn passed_over(tokens: &[Token]) -> Option<usize> {
    match tokens {
        [word, _, _, Token::Group(..), ..] if word.is_word("macro_rules") => Some(4),
        [Token::Sign('#'), Token::Sign('!'), Token::Group(..), ..] => Some(3),
        [Token::Sign('#'), Token::Group(_, attribute), rest @ ..] => {
            let is_test = attribute.first().is_some_and(|it| it.is_word("cfg"))
                && attribute.last() == Some(&Token::Group('(', vec![Token::Word("test".into())]));
            let body = rest.iter().position(|it| matches!(it, Token::Group('{', _)));
            Some(2 + body.filter(|_| is_test).map_or(0, |at| at + 1))
        }
        _ => None,
    }
}

/// A statement's text in one line.
pub(crate) fn squeeze(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}
