//! The command line.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use argus_core::camera::Sensitivity;

use crate::scenes::{RATE, Scene};

/// Where Debian's opencv-doc puts its film of people walking.
const FILM: &str = "/usr/share/doc/opencv-doc/examples/data/vtest.avi";

/// What was asked for.
pub(crate) struct Options {
    pub(crate) seeds: Option<RangeInclusive<u64>>,
    pub(crate) held_out: Option<RangeInclusive<u64>>,
    pub(crate) seconds: usize,
    pub(crate) rate: usize,
    pub(crate) scene: Option<Scene>,
    pub(crate) drawn_only: bool,
    pub(crate) filmed_only: bool,
    pub(crate) film: Option<PathBuf>,
    pub(crate) coded: Option<bool>,
    pub(crate) sensitivity: Sensitivity,
    pub(crate) keep: Option<PathBuf>,
    pub(crate) verbose: bool,
    pub(crate) explain: bool,
    pub(crate) dump: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) check: bool,
}

impl Options {
    /// Reads the arguments after the program's name.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut o = Self {
            seeds: None,
            held_out: None,
            seconds: 60,
            rate: RATE,
            scene: None,
            drawn_only: false,
            filmed_only: false,
            film: Some(PathBuf::from(FILM)).filter(|f| f.exists()),
            coded: None,
            sensitivity: Sensitivity::Medium,
            keep: None,
            verbose: false,
            explain: false,
            dump: false,
            json: None,
            check: false,
        };
        let mut quick = false;
        while let Some(flag) = args.next() {
            let mut value = || args.next().ok_or(format!("{flag} needs a value"));
            match flag.as_str() {
                "--seeds" => o.seeds = Some(range(&value()?)?),
                "--held-out" => o.held_out = Some(range(&value()?)?),
                "--fps" => {
                    let rate = value()?;
                    o.rate = rate.parse().ok().filter(|r| [1, 2, 5, 10].contains(r)).ok_or("--fps is 1, 2, 5 or 10")?;
                }
                "--scene" => {
                    let name = value()?;
                    let found = Scene::ALL.into_iter().find(|s| s.name() == name);
                    o.scene = Some(found.ok_or(format!("there is no scene {name}"))?);
                }
                "--stage" => match value()?.as_str() {
                    "auto" => {}
                    "vtest" => o.filmed_only = true,
                    "drawn" => o.drawn_only = true,
                    other => return Err(format!("--stage is auto, vtest or drawn, not {other}")),
                },
                "--film" => o.film = Some(PathBuf::from(value()?)),
                "--coded" => match value()?.as_str() {
                    "auto" => o.coded = None,
                    "yes" => o.coded = Some(true),
                    "no" => o.coded = Some(false),
                    other => return Err(format!("--coded is auto, yes or no, not {other}")),
                },
                "--sensitivity" => match value()?.as_str() {
                    "low" => o.sensitivity = Sensitivity::Low,
                    "medium" => o.sensitivity = Sensitivity::Medium,
                    "high" => o.sensitivity = Sensitivity::High,
                    other => return Err(format!("--sensitivity is low, medium or high, not {other}")),
                },
                "--keep" => o.keep = Some(PathBuf::from(value()?)),
                "--json" => o.json = Some(PathBuf::from(value()?)),
                "--quick" => quick = true,
                "--dump" => o.dump = true,
                "--explain" => o.explain = true,
                "--verbose" => o.verbose = true,
                "--check" => o.check = true,
                other => return Err(format!("unknown argument {other}")),
            }
        }
        if quick {
            o.seconds = 24;
            o.seeds = o.seeds.or(Some(1..=1));
        }
        if o.seeds.is_none() && o.held_out.is_none() {
            (o.seeds, o.held_out) = (Some(1..=5), Some(101..=110));
        }
        Ok(o)
    }

    /// The scenes asked for.
    pub(crate) fn scenes(&self) -> impl Iterator<Item = Scene> + use<> {
        let only = self.scene;
        Scene::ALL.into_iter().filter(move |s| only.is_none_or(|o| o == *s))
    }
}

/// `a..b`, both included, or one number.
fn range(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) if from <= to => Ok(from..=to),
        _ => Err(format!("{text} is no range of seeds")),
    }
}
