//! Configuration: command line over environment over one TOML file over defaults. Read once, here.

mod keys;
mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use argus_api::{HttpConfig, Origin, TlsFiles, network};
use argus_core::{Invalid, Secret};

use crate::Failure;
use values::Values;

pub use keys::{CONFIG, KEYS, Key, Kind, table};

/// Name of the certificate that the server makes itself, in the data directory.
const SELF_SIGNED_CERT: &str = "self-signed.crt";
/// Name of its key.
const SELF_SIGNED_KEY: &str = "self-signed.key";

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
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
    /// Proxies, origins, encryption.
    pub http: HttpConfig,
    /// The certificate is made by the server itself, where `http` says that it lies.
    pub self_signed: bool,
    /// Variables that begin with `ARGUS_` and mean nothing; logged once the log runs.
    pub unknown_variables: Vec<String>,
}

impl Config {
    /// Reads file and environment; the command line's values win.
    ///
    /// # Errors
    /// `Failure` with code 2 when a value is wrong or a key unknown; the message says where.
    pub fn load(file: Option<&Path>, data_dir: Option<PathBuf>, listen: Option<&str>) -> Result<Self, Failure> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            name.starts_with("ARGUS_").then_some((name, value))
        });
        Self::from_parts(file, data_dir, listen, &environment.collect())
    }

    /// Which kind of database, without where and as whom.
    #[must_use]
    pub fn database(&self) -> &'static str {
        match &self.database_url {
            Some(url) if url.expose().starts_with("postgres") => "postgres",
            _ => "sqlite",
        }
    }

    fn from_parts(
        file: Option<&Path>,
        data_dir: Option<PathBuf>,
        listen: Option<&str>,
        environment: &BTreeMap<String, OsString>,
    ) -> Result<Self, Failure> {
        let from_variable = || environment.get(&CONFIG.variable()).filter(|v| !v.is_empty()).map(PathBuf::from);
        let file = file.map(Path::to_owned).or_else(from_variable);
        let mut values = Values::read(file.as_deref(), environment)?;
        if let (Some(text), Some(key)) = (listen, KEYS.iter().find(|k| k.name == "listen")) {
            values.set(key, key.option.to_owned(), text);
        }
        let data_dir = data_dir.or_else(|| values.one("data_dir").map(PathBuf::from)).unwrap_or_else(|| "data".into());
        let media_dirs = values.each("media_dirs", |text| Ok(PathBuf::from(text)))?;
        let (tls, self_signed) = tls(&mut values, &data_dir)?;
        let http = HttpConfig {
            trusted_proxies: networks(&mut values, "trusted_proxies")?,
            cors_origins: values.each("cors_origins", |text| text.parse::<Origin>().map_err(said))?.unwrap_or_default(),
            metrics_allow: networks(&mut values, "metrics_allow")?,
            tls,
        };
        let log_format = values.read_one("log_format", |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(format!("is {other:?}, must be text or json")),
        })?;
        Ok(Self {
            listen: values.each("listen", address)?.unwrap_or_default(),
            database_url: values.one("database_url").map(Secret::new),
            log: values.one("log").unwrap_or_else(|| "info".into()),
            log_format: log_format.unwrap_or_default(),
            media_dirs: media_dirs.unwrap_or_else(|| vec![data_dir.join("media")]),
            packet_gate: values.flag("packet_gate")?,
            http,
            self_signed,
            data_dir,
            unknown_variables: values::unknown(environment),
        })
    }
}

/// Certificate and key, and whether the server makes them itself.
fn tls(values: &mut Values, data_dir: &Path) -> Result<(Option<TlsFiles>, bool), Failure> {
    let self_signed = values.flag("tls.self_signed")?;
    let redirect = values.place("tls.redirect_listen").cloned();
    let redirect_listen = values.read_one("tls.redirect_listen", address)?;
    let (cert, key) = (values.many("tls.cert"), values.many("tls.key"));
    let path = |texts: Vec<String>| PathBuf::from(texts.into_iter().next().unwrap_or_default());
    let files = match (cert, key) {
        (Some((given, _)), _) | (_, Some((given, _))) if self_signed => {
            return Err(given.fault("and tls.self_signed exclude each other; set one of them"));
        }
        (Some((_, cert)), Some((_, key))) => Some((path(cert), path(key))),
        (Some((given, _)), None) => return Err(given.fault("needs tls.key as well")),
        (None, Some((given, _))) => return Err(given.fault("needs tls.cert as well")),
        (None, None) => self_signed.then(|| (data_dir.join(SELF_SIGNED_CERT), data_dir.join(SELF_SIGNED_KEY))),
    };
    match (files, redirect) {
        (Some((cert, key)), _) => Ok((Some(TlsFiles { cert, key, redirect_listen }), self_signed)),
        (None, Some(given)) => Err(given.fault("needs tls.cert and tls.key, or tls.self_signed")),
        (None, None) => Ok((None, false)),
    }
}

fn networks(values: &mut Values, name: &str) -> Result<Vec<ipnet::IpNet>, Failure> {
    Ok(values.each(name, |text| network(text).map_err(said))?.unwrap_or_default())
}

fn said(fault: Invalid) -> String {
    format!("holds what is not right: {}", fault.reason)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_e| format!("is {text:?}, must be ADDR:PORT, such as 127.0.0.1:8000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("argus.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())).collect();
        Config::from_parts(Some(&path), None, None, &environment)
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
    fn every_key_is_read_from_the_file_and_from_its_variable() {
        let file = "
            listen = '127.0.0.1:1, [::1]:2'
            media_dirs = ['/m', '/n:o']
            log_format = 'json'
            packet_gate = true
            trusted_proxies = ['10.0.0.0/8', '::1']
            cors_origins = 'https://a.example'
            metrics_allow = '127.0.0.1'
            database_url = 'sqlite:/x'
            tls.cert = '/c'
            tls.redirect_listen = '127.0.0.1:80'";
        let c = load(file, &[("ARGUS_TLS_KEY", "/k"), ("ARGUS_LOG", "")]).unwrap();
        assert_eq!((c.listen.len(), c.media_dirs.len(), c.log_format), (2, 2, LogFormat::Json));
        assert_eq!((c.packet_gate, c.http.trusted_proxies.len(), c.http.metrics_allow.len()), (true, 2, 1));
        assert!(c.http.allows_origin("https://a.example") && c.log == "info" && !c.self_signed);
        let redirect_listen = Some("127.0.0.1:80".parse().unwrap());
        assert_eq!(c.http.tls, Some(TlsFiles { cert: "/c".into(), key: "/k".into(), redirect_listen }));
        let variables = [
            ("ARGUS_LISTEN", "127.0.0.1:3"),
            ("ARGUS_MEDIA_DIRS", "/a:/b:/c"),
            ("ARGUS_LOG_FORMAT", "text"),
            ("ARGUS_PACKET_GATE", "0"),
            ("ARGUS_TRUSTED_PROXIES", "10.0.0.0/8, 192.168.0.0/16,::1"),
            ("ARGUS_CORS_ORIGINS", "https://b.example"),
            ("ARGUS_TLS_CERT", "/d"),
            ("ARGUS_TLS_KEY", "/k"),
        ];
        let c = load(file, &variables).unwrap();
        assert_eq!((c.listen.len(), c.media_dirs.len(), c.log_format), (1, 3, LogFormat::Text));
        assert_eq!((c.packet_gate, c.http.trusted_proxies.len()), (false, 3));
        assert!(c.http.allows_origin("https://b.example") && !c.http.allows_origin("https://a.example"));
        assert_eq!(c.http.tls.unwrap().cert, PathBuf::from("/d"));
        assert!(c.unknown_variables.is_empty());
    }

    #[test]
    fn a_self_signed_certificate_lies_in_the_data_directory() {
        let c = load("data_dir = '/a'\n[tls]\nself_signed = true", &[]).unwrap();
        assert!(c.self_signed);
        assert_eq!(c.http.tls.unwrap().key, PathBuf::from("/a/self-signed.key"));
    }

    #[test]
    fn what_is_wrong_ends_the_start_and_says_where() {
        for (bad, line) in [
            ("listn = 'x'", 1),
            ("log = 'info'\nlisten = 'nowhere'", 2),
            ("\n\n[tls]\ncert = '/c'", 4),
            ("[tls]\nkey = '/k'", 2),
            ("[tls]\nself_signed = true\nkey = '/k'\ncert = '/c'", 4),
            ("[tls]\nredirect_listen = '127.0.0.1:80'", 2),
            ("[tls]\nself_signed = true\nredirect_listen = '80'", 3),
            ("[tls]\nca = 'x'", 2),
            ("tls = 'x'", 1),
            ("log = 'info'\n[ai]\nmodel = 'm'", 2),
            ("packet_gate = 'yes'", 1),
            ("listen = 8000", 1),
            ("listen = [8000]", 1),
            ("log_format = 'xml'", 1),
            ("data_dir = ['a']", 1),
            ("trusted_proxies = ['10.0.0.0/33']", 1),
            ("metrics_allow = ['localhost']", 1),
            ("cors_origins = ['*']", 1),
            ("log = 'a'\nlog = 'b'", 2),
            ("database_url = 5", 1),
        ] {
            let failure = load(bad, &[]).map(drop).unwrap_err();
            assert_eq!(failure.code, 2, "{bad}");
            assert!(failure.message.contains(&format!("argus.toml line {line}: ")), "{bad}: {}", failure.message);
        }
        for old in ["[ai]\nmodel = 'm'", "ai.base_url = 'http://h/v1'", "ai = 'x'"] {
            let failure = load(old, &[]).map(drop).unwrap_err();
            assert!(failure.message.contains("/ai/providers"), "{}", failure.message);
        }
        for (name, bad) in [
            ("ARGUS_PACKET_GATE", "maybe"),
            ("ARGUS_LISTEN", "127.0.0.1"),
            ("ARGUS_LISTEN", "127.0.0.1:1,"),
            ("ARGUS_TLS_KEY", "/k"),
            ("ARGUS_TLS_SELF_SIGNED", "yes"),
            ("ARGUS_CORS_ORIGINS", "https://a/b"),
        ] {
            let failure = load("", &[(name, bad)]).map(drop).unwrap_err();
            assert_eq!(failure.code, 2, "{name}={bad}");
            assert!(failure.message.starts_with(name), "{}", failure.message);
        }
    }

    #[test]
    fn an_error_does_not_quote_the_line() {
        let message = load("log = 'info'\n\ndatabase_url = \"hunter2\n", &[]).map(drop).unwrap_err().message;
        assert!(message.contains("line 3") && !message.contains("hunter2"), "{message}");
    }

    #[test]
    fn secrets_do_not_show() {
        let c = load("database_url = 'postgres://u:hunter2@h/d'", &[]);
        let c = c.unwrap();
        assert!(!format!("{c:?}").contains("hunter2"));
        assert_eq!((c.database(), load("", &[]).unwrap().database()), ("postgres", "sqlite"));
    }
}
