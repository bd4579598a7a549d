//! Configuration: command line over environment over one TOML file over defaults (contract 3.2). Read once, here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use argus_core::Secret;
use serde::Deserialize;

use crate::Failure;

/// What the file may hold; an unknown key ends the start.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileConfig {
    listen: Option<OneOrMany>,
    data_dir: Option<PathBuf>,
    database_url: Option<String>,
    log: Option<String>,
    log_format: Option<String>,
    media_dirs: Option<Vec<PathBuf>>,
    packet_gate: Option<bool>,
    ai: AiFile,
}

/// The table `[ai]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AiFile {
    base_url: Option<String>,
    model: Option<String>,
    api_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// A vision model behind an OpenAI-compatible endpoint.
#[derive(Clone, Debug)]
pub struct AiConfig {
    /// Such as `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    /// Such as `gpt-4o-mini`.
    pub model: String,
    /// Where the endpoint wants one.
    pub api_key: Option<Secret>,
}

/// Everything that is configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to listen on; empty: all, IPv6 where there is any.
    pub listen: Vec<SocketAddr>,
    /// Database, media, secrets.
    pub data_dir: PathBuf,
    /// `sqlite:PATH` or `postgres://…`; the data directory's `argus.db` when absent.
    pub database_url: Option<Secret>,
    /// Level or filter.
    pub log: String,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Directories from which `file` cameras may read.
    pub media_dirs: Vec<PathBuf>,
    /// Decode only when packet sizes tell that something may be happening.
    pub packet_gate: bool,
    /// Beside the built-in describer.
    pub ai: Option<AiConfig>,
    /// Variables that begin with `ARGUS_` and mean nothing; logged once the log runs.
    pub unknown_variables: Vec<String>,
}

/// Every variable that means something, with its key in the file, or what it stands for.
const VARIABLES: [&str; 11] = [
    "ARGUS_CONFIG",
    "ARGUS_LISTEN",
    "ARGUS_DATA_DIR",
    "ARGUS_DATABASE_URL",
    "ARGUS_LOG",
    "ARGUS_LOG_FORMAT",
    "ARGUS_MEDIA_DIRS",
    "ARGUS_PACKET_GATE",
    "ARGUS_AI_BASE_URL",
    "ARGUS_AI_MODEL",
    "ARGUS_AI_API_KEY",
];

impl Config {
    /// Reads file and environment; the command line's values win.
    ///
    /// # Errors
    /// `Failure` with code 2 when a value is wrong or a key unknown; the message says where.
    pub fn load(file: Option<&Path>, data_dir: Option<PathBuf>, listen: Option<&str>) -> Result<Self, Failure> {
        let environment = std::env::vars_os().filter_map(|(k, v)| {
            let name = k.into_string().ok()?;
            name.starts_with("ARGUS_").then(|| (name, v.to_string_lossy().into_owned()))
        });
        Self::from_parts(file, data_dir, listen, environment.collect())
    }

    fn from_parts(
        file: Option<&Path>,
        data_dir: Option<PathBuf>,
        listen: Option<&str>,
        environment: BTreeMap<String, String>,
    ) -> Result<Self, Failure> {
        let var = |name: &str| environment.get(name).cloned();
        let path = file.map(Path::to_owned).or_else(|| var("ARGUS_CONFIG").map(PathBuf::from));
        let file = match &path {
            None => FileConfig::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| Failure::usage(format!("cannot read the configuration {}: {e}", path.display())))?;
                toml::from_str(&text).map_err(|e| {
                    // Not the error's own text: it quotes the line, and the line may hold a secret.
                    let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                    let line = before.matches('\n').count() + 1;
                    Failure::usage(format!("{} line {line}: {}", path.display(), e.message()))
                })?
            }
        };
        let listen = match (listen.map(str::to_owned).or_else(|| var("ARGUS_LISTEN")), file.listen) {
            (Some(list), _) => list.split(',').map(|a| a.trim().to_owned()).collect(),
            (None, Some(OneOrMany::One(one))) => vec![one],
            (None, Some(OneOrMany::Many(many))) => many,
            (None, None) => Vec::new(),
        };
        let listen = listen
            .iter()
            .map(|a| {
                a.parse()
                    .map_err(|_e| Failure::usage(format!("listen: {a:?} is not ADDR:PORT, such as 127.0.0.1:8000")))
            })
            .collect::<Result<_, _>>()?;
        let data_dir = data_dir
            .or_else(|| var("ARGUS_DATA_DIR").map(PathBuf::from))
            .or(file.data_dir)
            .unwrap_or_else(|| PathBuf::from("data"));
        let media_dirs = var("ARGUS_MEDIA_DIRS")
            .map(|list| list.split(':').map(PathBuf::from).collect())
            .or(file.media_dirs)
            .unwrap_or_else(|| vec![data_dir.join("media")]);
        let packet_gate = match var("ARGUS_PACKET_GATE").as_deref() {
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            Some(other) => {
                return Err(Failure::usage(format!("ARGUS_PACKET_GATE: {other:?} is neither true nor false")));
            }
            None => file.packet_gate.unwrap_or(false),
        };
        let log_format = match var("ARGUS_LOG_FORMAT").or(file.log_format).as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => return Err(Failure::usage(format!("log_format: {other:?} is neither text nor json"))),
        };
        let base_url = var("ARGUS_AI_BASE_URL").or(file.ai.base_url);
        let model = var("ARGUS_AI_MODEL").or(file.ai.model);
        let api_key = var("ARGUS_AI_API_KEY").or(file.ai.api_key).map(Secret::new);
        let ai = match (base_url, model) {
            (Some(base_url), Some(model)) => Some(AiConfig { base_url, model, api_key }),
            (None, None) if api_key.is_none() => None,
            _ => return Err(Failure::usage("ai: base_url and model belong together; set both or neither".into())),
        };
        Ok(Self {
            listen,
            database_url: var("ARGUS_DATABASE_URL").or(file.database_url).map(Secret::new),
            log_format,
            log: var("ARGUS_LOG").or(file.log).unwrap_or_else(|| "info".into()),
            media_dirs,
            packet_gate,
            ai,
            data_dir,
            unknown_variables: environment.into_keys().filter(|k| !VARIABLES.contains(&k.as_str())).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("argus.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::from_parts(Some(&path), None, None, environment)
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = "listen = ['127.0.0.1:1', '[::1]:2']\ndata_dir = '/a'\nlog = 'debug'\n";
        let c = load(file, &[("ARGUS_LISTEN", "127.0.0.1:3"), ("ARGUS_NONSENSE", "1")]).unwrap();
        assert_eq!(c.listen, ["127.0.0.1:3".parse().unwrap()]);
        assert_eq!((c.data_dir.to_str(), c.log.as_str()), (Some("/a"), "debug"));
        assert_eq!(c.media_dirs, [PathBuf::from("/a/media")]);
        assert_eq!(c.unknown_variables, ["ARGUS_NONSENSE"]);
        assert_eq!(load(file, &[]).unwrap().listen.len(), 2);
    }

    #[test]
    fn what_is_wrong_ends_the_start() {
        for bad in ["listn = 'x'", "listen = 'nowhere'", "[ai]\nmodel = 'm'", "[ai]\nkey = 'k'", "packet_gate = 'yes'"]
        {
            assert_eq!(load(bad, &[]).map(drop).unwrap_err().code, 2, "{bad}");
        }
        assert_eq!(load("", &[("ARGUS_PACKET_GATE", "maybe")]).map(drop).unwrap_err().code, 2);
    }

    #[test]
    fn an_error_does_not_quote_the_line() {
        let message = load("log = 'info'\n[ai]\napi_key = \"hunter2\n", &[]).map(drop).unwrap_err().message;
        assert!(message.contains("line 3") && !message.contains("hunter2"), "{message}");
    }

    #[test]
    fn secrets_do_not_show() {
        let c = load(
            "database_url = 'postgres://u:hunter2@h/d'",
            &[("ARGUS_AI_BASE_URL", "http://h/v1"), ("ARGUS_AI_MODEL", "m"), ("ARGUS_AI_API_KEY", "hunter2")],
        );
        assert!(!format!("{:?}", c.unwrap()).contains("hunter2"));
    }
}
