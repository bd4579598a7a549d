//! Text from outside made fit for a sentence, a log line or a database.

/// One line: white space of any kind becomes a single space; control characters and the characters that turn the
/// direction of writing around (they make a text look like another) are left out; at most `max` characters.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let mut out = String::new();
    let mut gap = false;
    let mut left = max;
    for c in text.chars() {
        if c.is_whitespace() {
            gap = !out.is_empty();
        } else if !(c.is_control() || turns_direction(c)) {
            let cost = if gap { 2 } else { 1 };
            if left < cost {
                break;
            }
            if gap {
                out.push(' ');
                gap = false;
            }
            out.push(c);
            left -= cost;
        }
    }
    out
}

/// The first `max` characters, with NUL, which PostgreSQL cannot store, replaced.
pub(crate) fn stored(text: &str, max: usize) -> String {
    text.chars().take(max).map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Embeddings, overrides and isolates (Unicode Standard Annex 9, 2.1 to 2.4); the plain marks stay, right-to-left
/// languages need them.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_one_line() {
        let check = |input: &str, expected: &str| assert_eq!(one_line(input, 12), expected, "{input:?}");
        check("  a\r\n\tb  ", "a b");
        check("a\0b\u{7}c\u{1b}[31m", "abc[31m");
        check("ab\u{202E}dc\u{2066}", "abdc");
        check("", "");
        check(" \n ", "");
        check("äöüäöüäöüäöüäöü", "äöüäöüäöüäöü");
        check("aaaaaaaaaaa b", "aaaaaaaaaaa");
    }

    #[test]
    fn stored_text_has_no_nul_and_a_length() {
        assert_eq!(stored("a\0ßc", 3), "a\u{FFFD}ß");
    }
}
