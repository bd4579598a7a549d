//! The one rule for texts: a length in characters, and no NUL, which PostgreSQL cannot store.

use std::ops::RangeInclusive;

/// Checks a text that was trimmed before; the reason reads as the end of "this value …".
pub(crate) fn text(value: &str, length: RangeInclusive<usize>) -> Result<(), String> {
    if value.contains('\0') {
        return Err("contains the character U+0000".into());
    }
    let n = value.chars().count();
    if length.contains(&n) {
        Ok(())
    } else if n == 0 {
        Err("must not be empty".into())
    } else {
        Err(format!("has {n} characters, allowed are {} to {}", length.start(), length.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn counts_characters_not_bytes() {
        assert!(text("ööö", 1..=3).is_ok());
        assert!(text("öööö", 1..=3).is_err());
        assert!(text("", 1..=3).is_err());
        assert!(text("a\0b", 1..=3).is_err());
    }
}
