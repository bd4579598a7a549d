//! What was written for each key, and where: command line over environment over file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{CONFIG, KEYS, Key, Kind};
use crate::Failure;

/// The values of one key.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    key: &'static Key,
    /// Where they stand, such as `argus.toml line 3`.
    place: String,
    texts: Vec<String>,
}

impl Given {
    /// A fault of the value. It shows no secret, whatever `reason` quotes.
    pub(crate) fn fault(&self, reason: &str) -> Failure {
        let reason = if self.key.kind == Kind::Secret { "is not valid" } else { reason };
        Failure::usage(format!("{}: {} {reason}", self.place, self.key.name))
    }
}

/// All that was written.
#[derive(Debug, Default)]
pub(crate) struct Values(BTreeMap<&'static str, Given>);

impl Values {
    /// Reads the file, and over it the variables.
    pub(crate) fn read(file: Option<&Path>, environment: &BTreeMap<String, OsString>) -> Result<Self, Failure> {
        let mut values = Self::default();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|e| Failure::usage(format!("cannot read the configuration {}: {e}", path.display())))?;
            values.read_file(path, &text)?;
        }
        for key in KEYS {
            let name = key.variable();
            let Some(value) = environment.get(&name) else { continue };
            let Some(text) = value.to_str() else {
                return Err(Failure::usage(format!("{name}: is not UTF-8")));
            };
            values.set(key, name, text);
        }
        Ok(values)
    }

    /// Sets what a variable or the command line says; empty text says nothing.
    pub(crate) fn set(&mut self, key: &'static Key, place: String, text: &str) {
        let parts = |separator: char| text.split(separator).map(|part| part.trim().to_owned()).collect();
        let texts = match key.kind {
            Kind::List => parts(','),
            Kind::Paths => parts(':'),
            Kind::Text | Kind::Secret | Kind::Flag => vec![text.to_owned()],
        };
        if !text.is_empty() {
            self.0.insert(key.name, Given { key, place, texts });
        }
    }

    fn read_file(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        let file = File { path, text };
        // Not the error's own text: it quotes the line, and the line may hold a secret.
        let table =
            DeTable::parse(text).map_err(|e| file.fault(e.span().map_or(0, |span| span.start), "", e.message()))?;
        self.walk(&file, "", table.get_ref())
    }

    fn walk(&mut self, file: &File<'_>, above: &str, table: &DeTable<'_>) -> Result<(), Failure> {
        for (key, value) in table {
            let at = key.span().start;
            let name = if above.is_empty() { key.get_ref().to_string() } else { format!("{above}.{}", key.get_ref()) };
            let inner = format!("{name}.");
            match (KEYS.iter().find(|k| k.name == name), value.get_ref()) {
                (Some(key), _) => {
                    let texts = texts(key, value).map_err(|reason| file.fault(at, &name, reason))?;
                    self.0.insert(key.name, Given { key, place: file.place(at), texts });
                }
                (None, DeValue::Table(below)) if KEYS.iter().any(|k| k.name.starts_with(&inner)) => {
                    self.walk(file, &name, below)?;
                }
                (None, _) => return Err(file.fault(at, &name, unknown_key(&name))),
            }
        }
        Ok(())
    }

    /// The values of a key, with what is needed to complain about them.
    pub(crate) fn many(&mut self, name: &str) -> Option<(Given, Vec<String>)> {
        let mut given = self.0.remove(name)?;
        let texts = std::mem::take(&mut given.texts);
        Some((given, texts))
    }

    /// The values of a key, each read by itself.
    pub(crate) fn each<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, Failure> {
        let Some((given, texts)) = self.many(name) else { return Ok(None) };
        let read = texts.iter().map(|text| read(text).map_err(|reason| given.fault(&reason)));
        read.collect::<Result<_, _>>().map(Some)
    }

    /// The value of a key.
    pub(crate) fn one(&mut self, name: &str) -> Option<String> {
        self.many(name).and_then(|(_, texts)| texts.into_iter().next())
    }

    /// The value of a key, read.
    pub(crate) fn read_one<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Failure> {
        Ok(self.each(name, read)?.and_then(|values| values.into_iter().next()))
    }

    /// Whether a flag is set; false when it is absent.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Failure> {
        let read = |text: &str| match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(format!("is {other:?}, must be true or false")),
        };
        Ok(self.read_one(name, read)?.unwrap_or(false))
    }

    /// Where a key was set, for faults that concern several.
    pub(crate) fn place(&self, name: &str) -> Option<&Given> {
        self.0.get(name)
    }
}

/// What is told of a key that means nothing. Those of the one provider that could once be set up here are told more.
fn unknown_key(name: &str) -> &'static str {
    if name == "ai" || name.starts_with("ai.") {
        "is not known: providers are added with POST /api/v1/ai/providers, see docs/ai.md"
    } else {
        "is not known: see docs/config.md for the keys"
    }
}

/// Variables that begin with `ARGUS_` and mean nothing.
pub(crate) fn unknown(environment: &BTreeMap<String, OsString>) -> Vec<String> {
    let known: Vec<String> = std::iter::once(&CONFIG).chain(KEYS).map(Key::variable).collect();
    environment.keys().filter(|name| !known.contains(name)).cloned().collect()
}

/// The file, for telling places in it.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        format!("{} line {}", self.path.display(), before.matches('\n').count() + 1)
    }

    fn fault(&self, at: usize, name: &str, reason: &str) -> Failure {
        let name = if name.is_empty() { String::new() } else { format!("{name} ") };
        Failure::usage(format!("{}: {name}{reason}", self.place(at)))
    }
}

/// The value of a key in the file, by its kind.
fn texts(key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, &'static str> {
    let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err("must be a text in quotes, or a list of such"),
    };
    match (key.kind, value.get_ref()) {
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(vec![flag.to_string()]),
        (Kind::Flag, _) => Err("must be true or false, without quotes"),
        (Kind::List | Kind::Paths, DeValue::Array(items)) => items.iter().map(text).collect(),
        (Kind::List, _) => Ok(text(value)?.split(',').map(|part| part.trim().to_owned()).collect()),
        (Kind::Paths, _) => Ok(vec![text(value)?]),
        (Kind::Text | Kind::Secret, DeValue::String(text)) => Ok(vec![text.to_string()]),
        (Kind::Text | Kind::Secret, _) => Err("must be a text in quotes"),
    }
}
