//! Answers that say nothing: too short, a refusal in the clothes of a description, or only what was asked.
//!
//! They are recognised by few and plain signs: a good description that is taken for a vague one costs a second call.

/// From this many words on a text can say something.
const MIN_WORDS: usize = 3;
/// The same in characters, for languages that are written without spaces.
const MIN_LETTERS: usize = 6;
/// In a text of at most so many words a phrase of helplessness is all that it says.
const SHORT: usize = 15;

/// With these words a model begins that has nothing to say.
const OPENINGS: &[&str] = &[
    "i see an image",
    "i see a picture",
    "i cannot",
    "i can t",
    "i can not",
    "i am unable",
    "i m unable",
    "i m sorry",
    "i am sorry",
    "i do not see",
    "i don t see",
    "as an ai",
    "unable to",
    "not able to",
    "no description",
    "description unavailable",
    "description not available",
    "not enough information",
    "insufficient information",
    "ich kann nicht",
    "ich kann keine",
    "ich sehe ein bild",
    "es tut mir leid",
    "keine beschreibung",
    "je ne peux pas",
    "je suis désolé",
    "aucune description",
    "no puedo",
    "lo siento",
    "sin descripción",
];

/// With these it says in a short text that it cannot tell.
const HELPLESS: &[&str] = &[
    "unable to determine",
    "unable to describe",
    "cannot determine",
    "cannot be determined",
    "can t be determined",
    "cannot describe",
    "cannot be described",
    "impossible to determine",
    "impossible to tell",
    "not possible to determine",
    "not possible to tell",
    "nicht möglich zu",
    "nicht feststellen",
    "nicht zu bestimmen",
    "impossible de déterminer",
    "imposible determinar",
];

/// Words that say only that there is a picture.
const EMPTY_WORDS: &[&str] = &[
    "a",
    "an",
    "and",
    "at",
    "by",
    "camera",
    "captured",
    "detected",
    "event",
    "footage",
    "frame",
    "frames",
    "from",
    "here",
    "image",
    "images",
    "in",
    "is",
    "it",
    "motion",
    "movement",
    "of",
    "on",
    "photo",
    "picture",
    "pictures",
    "recorded",
    "scene",
    "see",
    "seen",
    "shown",
    "shows",
    "something",
    "surveillance",
    "the",
    "there",
    "this",
    "video",
    "view",
    "was",
];

/// Why a text says nothing, as the end of the sentence "an earlier answer was of no use: …"; `None` when it does.
pub(crate) fn vague(text: &str, camera_name: &str) -> Option<&'static str> {
    let words = words(text);
    let unspaced = text.chars().filter(|c| written_without_spaces(*c)).count();
    if words.len() < MIN_WORDS && unspaced < MIN_LETTERS {
        return Some("it is shorter than three words");
    }
    let said = words.join(" ");
    let begins =
        |phrase: &&&str| said.strip_prefix(**phrase).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    if OPENINGS.iter().any(|phrase| begins(&phrase)) {
        return Some("it says that there is nothing to say");
    }
    let padded = format!(" {said} ");
    if words.len() <= SHORT && HELPLESS.iter().any(|phrase| padded.contains(&format!(" {phrase} "))) {
        return Some("it says that nothing can be told");
    }
    let name = self::words(camera_name);
    if unspaced == 0 && words.iter().all(|word| EMPTY_WORDS.contains(&word.as_str()) || name.contains(word)) {
        return Some("it says only that there is a picture, or what the camera is called");
    }
    None
}

/// In lower case, without marks.
fn words(text: &str) -> Vec<String> {
    text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// Chinese, Japanese, Thai, Lao, Khmer and Burmese.
fn written_without_spaces(c: char) -> bool {
    matches!(c, '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{3040}'..='\u{30FF}'
        | '\u{3400}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: bool) {
        assert_eq!(vague(text, "Front door").is_some(), expected, "{text}");
    }

    #[test]
    fn what_says_nothing_is_vague() {
        for text in [
            "",
            "Motion.",
            "A person.",
            "text",
            "I see an image.",
            "I see an image of a driveway",
            "Unable to determine what is happening.",
            "It is unable to determine what is shown.",
            "I'm sorry, but I can't help with that.",
            "I can\u{2019}t see anything in these pictures.",
            "The content cannot be determined.",
            "Front door.",
            "Motion on Front door.",
            "The camera Front Door shows a picture.",
            "This is a surveillance camera image of the front door.",
            "Ich kann nicht erkennen, was geschieht.",
            "人。",
        ] {
            check(text, true);
        }
    }

    #[test]
    fn what_says_something_is_not() {
        for text in [
            "A person walks past.",
            "A man is unable to open the door and walks away.",
            "Two dogs run across the lawn.",
            "Nobody is in sight; the branches move in the wind.",
            "A cat sits at the front door.",
            "It is dark; headlights sweep from left to right.",
            "Ein Mann trägt ein Paket zur Tür.",
            "一个男人把包裹放在门口。",
            "A woman in a red coat stands at the gate for a minute, it cannot be determined whether she rings, then she leaves.",
            "Icannot is printed on a van that passes.",
        ] {
            check(text, false);
        }
    }
}
