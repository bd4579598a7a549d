//! What each kind of provider needs and takes: the table `kinds.json` of this crate.

use std::sync::LazyLock;

use argus_core::provider::{KindInfo, ProviderKind};
use serde::Deserialize;

/// The table; a test reads it whole.
const TABLE: &str = include_str!("../../kinds.json");

#[derive(Deserialize)]
struct Table {
    version: String,
    kinds: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    kind: ProviderKind,
    needs_key: bool,
    needs_base_url: bool,
    default_base_url: Option<String>,
    default_model: Option<String>,
    max_images: u32,
    image_formats: Vec<String>,
    json_output: bool,
}

static KINDS: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(TABLE).unwrap_or_else(|_broken| Table { version: String::new(), kinds: Vec::new() })
});

/// Version of the table, which is its date.
pub(crate) fn kinds_version() -> &'static str {
    &KINDS.version
}

/// What is known of a kind; `configured` is for whoever knows the providers.
pub(crate) fn kind_info(kind: ProviderKind) -> KindInfo {
    let entry = KINDS.kinds.iter().find(|entry| entry.kind == kind);
    KindInfo {
        kind,
        configured: false,
        needs_key: entry.is_some_and(|e| e.needs_key),
        needs_base_url: entry.is_some_and(|e| e.needs_base_url),
        default_base_url: entry.and_then(|e| e.default_base_url.clone()),
        default_model: entry.and_then(|e| e.default_model.clone()),
        max_images: entry.map_or(0, |e| e.max_images),
        image_formats: entry.map(|e| e.image_formats.clone()).unwrap_or_default(),
        json_output: entry.is_some_and(|e| e.json_output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BUILTIN_MODEL;

    #[test]
    fn the_table_holds_every_kind_once() {
        let table: Table = serde_json::from_str(TABLE).unwrap();
        assert!(kinds_version().parse::<jiff::civil::Date>().is_ok(), "{}", table.version);
        for kind in ProviderKind::ALL {
            assert_eq!(table.kinds.iter().filter(|e| e.kind == *kind).count(), 1, "{kind}");
            let info = kind_info(*kind);
            // Whoever has no address of their own must be given one, and only they.
            assert_eq!(
                info.default_base_url.is_none(),
                info.needs_base_url || *kind == ProviderKind::Builtin,
                "{kind}"
            );
            assert_eq!(info.max_images == 0, info.image_formats.is_empty(), "{kind}");
        }
        assert_eq!(kind_info(ProviderKind::Builtin).default_model.as_deref(), Some(BUILTIN_MODEL));
        assert_eq!(kind_info(ProviderKind::OpenAi).default_base_url.as_deref(), Some("https://api.openai.com/v1"));
    }
}
