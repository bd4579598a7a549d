//! Every key of the configuration, once: variables are read by this table, and `docs/config.md` shows it.

/// How the value of a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One text.
    Text,
    /// One text that is never shown.
    Secret,
    /// `true` or `false`.
    Flag,
    /// Several texts, with commas between them where they stand in one.
    List,
    /// Several paths, with colons between them in a variable.
    Paths,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// In the file, such as `tls.cert`.
    pub name: &'static str,
    /// On the command line, such as `--listen`; empty where it is not.
    pub option: &'static str,
    /// How its value is written.
    pub kind: Kind,
    /// The same for people.
    pub form: &'static str,
    /// What holds when it is absent.
    pub default: &'static str,
    /// What it is for.
    pub meaning: &'static str,
}

impl Key {
    /// Its environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("ARGUS_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

/// The path of the file itself, which is no key of it.
pub const CONFIG: Key = Key {
    name: "config",
    option: "--config",
    kind: Kind::Text,
    form: "path",
    default: "none",
    meaning: "the file itself",
};

/// The keys, in the order in which they are described.
pub const KEYS: &[Key] = &[
    Key {
        name: "listen",
        option: "--listen",
        kind: Kind::List,
        form: "`ADDR:PORT`, or a list (commas in the variable)",
        default: "`[::]:8000`, without IPv6 `0.0.0.0:8000`",
        meaning: "addresses to listen on; port 0 picks a free one",
    },
    Key {
        name: "data_dir",
        option: "--data-dir",
        kind: Kind::Text,
        form: "path",
        default: "`./data`",
        meaning: "database, media, secrets; made with mode 0700",
    },
    Key {
        name: "database_url",
        option: "",
        kind: Kind::Secret,
        form: "`sqlite:PATH`, or `postgres://…` when built with the feature `postgres`",
        default: "`argus.db` in the data directory",
        meaning: "the database",
    },
    Key {
        name: "log",
        option: "",
        kind: Kind::Text,
        form: "level or filter, such as `info,argus_ai=debug`",
        default: "`info`",
        meaning: "what goes to standard error",
    },
    Key {
        name: "log_format",
        option: "",
        kind: Kind::Text,
        form: "`text` or `json`",
        default: "`text`",
        meaning: "how it is written there: for people, or one JSON object a line",
    },
    Key {
        name: "media_dirs",
        option: "",
        kind: Kind::Paths,
        form: "list of paths (`:` between them in the variable)",
        default: "`media` in the data directory",
        meaning: "directories from which `file` cameras may read; relative paths are below the first",
    },
    Key {
        name: "packet_gate",
        option: "",
        kind: Kind::Flag,
        form: "`true` or `false`",
        default: "`false`",
        meaning: "decode only when the sizes of compressed pictures tell that something may be happening",
    },
    Key {
        name: "tls.cert",
        option: "",
        kind: Kind::Text,
        form: "path of a PEM file",
        default: "none",
        meaning: "certificate, followed by those that lead to its root; with `tls.key`, `listen` speaks HTTPS only, \
                  TLS 1.2 and up; read again when it changes",
    },
    Key {
        name: "tls.key",
        option: "",
        kind: Kind::Text,
        form: "path of a PEM file",
        default: "none",
        meaning: "private key of the certificate",
    },
    Key {
        name: "tls.self_signed",
        option: "",
        kind: Kind::Flag,
        form: "`true` or `false`",
        default: "`false`",
        meaning: "instead of both: a certificate made by the server itself, kept in the data directory and renewed \
                  before it ends",
    },
    Key {
        name: "tls.redirect_listen",
        option: "",
        kind: Kind::Text,
        form: "`ADDR:PORT`",
        default: "none",
        meaning: "address at which plain HTTP is redirected to HTTPS (308)",
    },
    Key {
        name: "trusted_proxies",
        option: "",
        kind: Kind::List,
        form: "list of networks or addresses (commas in the variable)",
        default: "none",
        meaning: "proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed",
    },
    Key {
        name: "cors_origins",
        option: "",
        kind: Kind::List,
        form: "list of origins, such as `https://home.example:8123` (commas in the variable)",
        default: "none",
        meaning: "origins whose pages may call the API from a browser, with credentials",
    },
    Key {
        name: "metrics_allow",
        option: "",
        kind: Kind::List,
        form: "list of networks or addresses (commas in the variable)",
        default: "none",
        meaning: "who may read `/metrics` without credentials",
    },
];

/// The table of `docs/config.md`.
#[must_use]
pub fn table() -> String {
    let mut lines = vec![
        "| TOML key | Environment | Command line | Type | Default | Meaning |".to_owned(),
        "| --- | --- | --- | --- | --- | --- |".to_owned(),
    ];
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}` ") };
    for key in std::iter::once(&CONFIG).chain(KEYS) {
        let name = if key.name == CONFIG.name { "" } else { key.name };
        lines.push(format!(
            "| {}| `{}` | {}| {} | {} | {} |",
            code(name),
            key.variable(),
            code(key.option),
            key.form,
            key.default,
            key.meaning
        ));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn variables_follow_from_the_names() {
        assert_eq!(KEYS.iter().find(|k| k.name == "tls.cert").unwrap().variable(), "ARGUS_TLS_CERT");
        assert_eq!(CONFIG.variable(), "ARGUS_CONFIG");
    }

    /// The document shows the table between two marks. With `UPDATE_DOCS` set, the test writes it anew.
    #[test]
    fn the_document_shows_this_table() {
        const BEGIN: &str = "<!-- keys: begin -->\n";
        const END: &str = "<!-- keys: end -->";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (shown, after) = rest.split_once(END).unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
            return;
        }
        assert!(
            shown == table(),
            "docs/config.md is not what the table of keys says: run this test with UPDATE_DOCS=1"
        );
    }
}
