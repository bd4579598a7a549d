//! Full text: the one file that knows both dialects' indexes.
//!
//! Words are found here, not by the databases, so that both agree to the letter: a word is a run of
//! letters and digits, everything else separates, case does not count, and a query's word finds what begins with it. The
//! databases are given words with one blank between them and keep each as it is.

use diesel::RunQueryDsl;
use diesel::sql_types::{BigInt, Bool};

use crate::conn::DbConn;
use crate::error::DbError;
use crate::fixed::{Fixed, around};
use crate::value::fold;

/// Longest word that is kept; of longer ones the beginning counts. PostgreSQL takes words of 2046 bytes at most.
const WORD_CHARS: usize = 255;

/// The words of a text in order, case folded.
fn words(text: &str) -> impl Iterator<Item = String> {
    // Folding first: it can turn one character into several, of which some are marks.
    fold(text)
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(|w| w.chars().take(WORD_CHARS).collect())
        .collect::<Vec<String>>()
        .into_iter()
}

/// What is kept of a description for searching.
pub(crate) fn search_text(description: &str) -> String {
    words(description).collect::<Vec<_>>().join(" ")
}

/// What a query asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// Empty: no filter.
    Everything,
    /// No word in it: nothing matches, and the database is not asked.
    Nothing,
    /// Every one of these begins a word.
    Words(Vec<String>),
}

impl Search {
    pub(crate) fn parse(q: Option<&str>) -> Self {
        match q {
            None | Some("") => Self::Everything,
            Some(q) => {
                let mut all: Vec<String> = words(q).collect();
                all.sort();
                all.dedup();
                if all.is_empty() { Self::Nothing } else { Self::Words(all) }
            }
        }
    }
}

/// A condition on `event`: its description has a word for each of these.
pub(crate) type WordsCondition = Fixed<Bool>;

/// The condition in the dialect of the connection, by way of the index.
pub(crate) fn condition(words: &[String], postgres: bool) -> WordsCondition {
    let query = query(words, postgres);
    if postgres {
        // A plan that is kept would be one for any word; a rare one wants another than a common one.
        around("event.search_words @@ CAST(", query, " AS tsquery)").kept(false)
    } else {
        around("event.seq IN (SELECT rowid FROM event_fts WHERE event_fts MATCH ", query, ")")
    }
}

/// That a word begins with this one, seen in the text itself: for rows that are passed anyway. Only for SQLite.
pub(crate) fn in_text(word: &str) -> WordsCondition {
    around("instr(' ' || event.search_text, ", format!(" {word}"), ") > 0")
}

/// The same for a text in memory.
pub(crate) fn begins_a_word(search_text: &str, word: &str) -> bool {
    search_text.split(' ').any(|w| w.starts_with(word))
}

/// How many events have a word for each of these. The index alone knows.
pub(crate) fn count(conn: &mut DbConn, words: &[String]) -> Result<i64, DbError> {
    let postgres = conn.is_postgres();
    let query = query(words, postgres);
    let count = if postgres {
        around::<BigInt>("(SELECT count(*) FROM event WHERE search_words @@ CAST(", query, " AS tsquery))").kept(false)
    } else {
        around::<BigInt>("(SELECT count(*) FROM event_fts WHERE event_fts MATCH ", query, ")")
    };
    Ok(diesel::select(count).get_result(conn)?)
}

/// The words in the language of the index. They hold only letters and digits, so quoting cannot be broken out of; they
/// are quoted because `AND`, `NEAR` and the like are words too.
fn query(words: &[String], postgres: bool) -> String {
    if postgres {
        words.iter().map(|w| format!("'{w}':*")).collect::<Vec<_>>().join(" & ")
    } else {
        words.iter().map(|w| format!("\"{w}\"*")).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(q: &str, expected: &[&str]) {
        let got = match Search::parse(Some(q)) {
            Search::Words(words) => words,
            Search::Nothing => Vec::new(),
            Search::Everything => vec!["everything".into()],
        };
        assert_eq!(got, expected, "{q:?}");
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        check("A person, at the door!", &["a", "at", "door", "person", "the"]);
        check("red-car.3 RED", &["3", "car", "red"]);
        check("\"*'()&|!:\\", &[]);
        check("NEAR(a b) OR c", &["a", "b", "c", "near", "or"]);
        check("Ärger groß ΟΔΟΣ 人物", &["gross", "ärger", "οδοσ", "人物"]);
        check("", &["everything"]);
        check("\0", &[]);
    }

    #[test]
    fn nothing_to_search_is_no_filter() {
        assert_eq!(Search::parse(None), Search::Everything);
        assert_eq!(search_text("A person -- at 10:30"), "a person at 10 30");
        assert_eq!(search_text(&"x".repeat(5000)).len(), WORD_CHARS);
    }
}
