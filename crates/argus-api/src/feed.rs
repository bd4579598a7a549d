//! What the two readers of the journal, WebSocket and long poll, have in common.

use argus_core::Timestamp;
use argus_core::api_key::Scope;
use argus_core::journal::{Message, MessageType};
use argus_core::notification::NotificationKind;
use argus_db::{Audience, JournalBounds};
use serde_json::json;

use crate::auth::Identity;
use crate::error::ApiError;
use crate::query::Query;

/// What this caller gets: the types that are named, or all that the caller may see; of notifications, those of the kinds
/// that the caller may see.
///
/// # Errors
/// `Forbidden` when a type is named of which the caller may see nothing; what cannot be read is a fault of the query.
pub(crate) fn types(caller: &Identity, query: &mut Query) -> Result<Audience, ApiError> {
    let may = |kind: MessageType| kind.needs().is_none_or(|scope| caller.may(scope));
    let named = query.names::<MessageType>("types");
    if let Some(scope) = named.iter().filter(|&&kind| !may(kind)).find_map(|kind| kind.needs()) {
        return Err(ApiError::Forbidden(scope));
    }
    let wanted = |kind: &MessageType| may(*kind) && (named.is_empty() || named.contains(kind));
    let notices = NotificationKind::ALL.iter().copied().filter(|kind| caller.may(kind.needs())).collect();
    Ok(Audience { types: MessageType::ALL.iter().copied().filter(wanted).collect(), notices })
}

/// A permission that all of that needs and these scopes do not give any more.
pub(crate) fn lost(audience: &Audience, scopes: &[Scope]) -> Option<Scope> {
    let has_notices = audience.types.contains(&MessageType::NotificationNew);
    let notices = audience.notices.iter().filter(|_| has_notices).map(|kind| kind.needs());
    let needed = audience.types.iter().filter_map(|kind| kind.needs()).chain(notices);
    needed.into_iter().find(|&wanted| !scopes.iter().any(|s| s.gives(wanted)))
}

/// The position `after`, a number from 0 on.
pub(crate) fn after(query: &mut Query) -> Option<i64> {
    query.int("after", 0..=i64::MAX)
}

/// The message that something after `after` is missing, if it is; the stream goes on behind its `seq`.
pub(crate) fn gap(after: i64, bounds: JournalBounds, now: Timestamp) -> Option<Message> {
    let (reason, seq) = if after > bounds.newest {
        ("unknown", bounds.newest)
    } else if after.saturating_add(1) < bounds.oldest {
        ("expired", bounds.oldest - 1)
    } else {
        return None;
    };
    Some(Message {
        seq,
        r#type: MessageType::JournalGap,
        timestamp: now,
        data: json!({ "after": after, "oldest_seq": bounds.oldest, "reason": reason }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(after: i64, oldest: i64, newest: i64, expected: Option<(&str, i64)>) {
        let got = gap(after, JournalBounds { oldest, newest }, Timestamp::from_millis(0));
        let got = got.map(|m| (m.data["reason"].as_str().unwrap_or_default().to_owned(), m.seq));
        assert_eq!(got, expected.map(|(r, s)| (r.to_owned(), s)), "{after} in {oldest}..{newest}");
    }

    #[test]
    fn gaps_are_told_where_they_are() {
        check(0, 1, 9, None);
        check(9, 1, 9, None);
        check(10, 1, 9, Some(("unknown", 9)));
        check(3, 5, 9, Some(("expired", 4)));
        check(4, 5, 9, None);
        check(0, 1, 0, None);
        check(1, 1, 0, Some(("unknown", 0)));
        check(i64::MAX, 5, 9, Some(("unknown", 9)));
    }
}
