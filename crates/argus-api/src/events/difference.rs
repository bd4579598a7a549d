//! How two texts differ, word by word.

use serde::Serialize;
use utoipa::ToSchema;

/// What became of some words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// In both texts.
    Same,
    /// In the earlier one only.
    Removed,
    /// In the later one only.
    Added,
}

/// Words that follow one another and share their fate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Words {
    /// What became of them.
    pub change: Change,
    /// The words, with single blanks between them.
    pub text: String,
}

/// Most pairs of words that are compared: the square of what a description can hold. Beyond, a text counts as replaced.
const MOST: usize = 2_500 * 2_500;

/// The difference of two texts: the longest row of words that both have stays, removed words stand before added ones.
pub(super) fn difference(before: &str, after: &str) -> Vec<Words> {
    let before: Vec<&str> = before.split_whitespace().collect();
    let after: Vec<&str> = after.split_whitespace().collect();
    let head = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let (same, before) = before.split_at(head);
    let (_, after) = after.split_at(head);
    let tail = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    let (before, end) = before.split_at(before.len() - tail);
    let (after, _) = after.split_at(after.len() - tail);
    let mut changes: Vec<(Change, &str)> = Vec::new();
    changes.extend(same.iter().map(|word| (Change::Same, *word)));
    changes.extend(compare(before, after));
    changes.extend(end.iter().map(|word| (Change::Same, *word)));
    join(&changes)
}

/// Walks along the longest row of words that both have.
fn compare<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<(Change, &'a str)> {
    let width = after.len() + 1;
    let all = |change: Change, words: &[&'a str]| words.iter().map(|word| (change, *word)).collect::<Vec<_>>();
    if before.len().saturating_mul(after.len()) > MOST {
        return [all(Change::Removed, before), all(Change::Added, after)].concat();
    }
    // How long that row is from each pair of words on, the last pair first.
    let mut lengths = vec![0_u16; (before.len() + 1) * width];
    let at = |lengths: &[u16], i: usize, j: usize| lengths.get(i * width + j).copied().unwrap_or(0);
    for (i, old) in before.iter().enumerate().rev() {
        for (j, new) in after.iter().enumerate().rev() {
            let length = if old == new {
                at(&lengths, i + 1, j + 1).saturating_add(1)
            } else {
                at(&lengths, i + 1, j).max(at(&lengths, i, j + 1))
            };
            if let Some(place) = lengths.get_mut(i * width + j) {
                *place = length;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut changes = Vec::new();
    loop {
        match (before.get(i), after.get(j)) {
            (Some(old), Some(new)) if old == new => {
                changes.push((Change::Same, *old));
                (i, j) = (i + 1, j + 1);
            }
            (Some(old), new) if new.is_none() || at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) => {
                changes.push((Change::Removed, *old));
                i += 1;
            }
            (_, Some(new)) => {
                changes.push((Change::Added, *new));
                j += 1;
            }
            _ => return changes,
        }
    }
}

/// Puts words of the same fate together: between two that stay, first what was removed, then what was added.
fn join(changes: &[(Change, &str)]) -> Vec<Words> {
    let mut joined: Vec<Words> = Vec::new();
    for run in changes.chunk_by(|(a, _), (b, _)| (*a == Change::Same) == (*b == Change::Same)) {
        for change in [Change::Same, Change::Removed, Change::Added] {
            let words: Vec<&str> = run.iter().filter(|(c, _)| *c == change).map(|(_, word)| *word).collect();
            if !words.is_empty() {
                joined.push(Words { change, text: words.join(" ") });
            }
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `=` stays, `-` was removed, `+` was added.
    fn check(before: &str, after: &str, expected: &[&str]) {
        let sign = |w: &Words| match w.change {
            Change::Same => '=',
            Change::Removed => '-',
            Change::Added => '+',
        };
        let got: Vec<String> = difference(before, after).iter().map(|w| format!("{}{}", sign(w), w.text)).collect();
        assert_eq!(got, expected, "{before} / {after}");
    }

    #[test]
    fn words_stay_go_and_come() {
        check("", "", &[]);
        check("a b", "a  b\n", &["=a b"]);
        check("", "a", &["+a"]);
        check("a", "", &["-a"]);
        check("a man walks", "a woman walks", &["=a", "-man", "+woman", "=walks"]);
        check("a b c d", "b c x d", &["-a", "=b c", "+x", "=d"]);
        check("a a a", "a a", &["=a a", "-a"]);
        check("x y", "p q", &["-x y", "+p q"]);
        check("one two three four", "two one three five four", &["-one", "=two", "+one", "=three", "+five", "=four"]);
    }

    #[test]
    fn both_texts_can_be_read_back() {
        let before = "the quick brown fox jumps over the lazy dog and the cat";
        let after = "a quick fox jumps high over the dog and a lazy cat";
        let read = |gone: Change| {
            let words: Vec<_> = difference(before, after).into_iter().filter(|w| w.change != gone).collect();
            words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((read(Change::Added).as_str(), read(Change::Removed).as_str()), (before, after));
    }

    #[test]
    fn the_longest_descriptions_are_compared() {
        let long = |word: &str| vec![word; 2_498].join(" ");
        assert_eq!(difference(&format!("x {} y", long("a")), &format!("p {} q", long("a"))).len(), 5);
        check("a", &long("b"), &["-a", &format!("+{}", long("b"))]);
    }
}
