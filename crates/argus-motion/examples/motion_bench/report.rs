//! Prints what was measured.

use std::fmt::Write;
use std::ops::RangeInclusive;

use crate::Judged;
use crate::judge::Tally;
use crate::options::Options;
use crate::scenes::{Scene, Seen};

/// Least share of moving pictures that must be found.
const RECALL_MIN: f32 = 0.95;
/// Greatest share of empty pictures that may be called moving.
const WRONG_MAX: f32 = 0.01;
/// Longest time to the first report, at the 95th of a hundred passages, s.
const ONSET_MAX: f32 = 0.3;

fn is_met(t: &Tally) -> bool {
    t.recall() >= RECALL_MIN && t.wrong_share() <= WRONG_MAX && t.missed == 0 && t.onset(0.95) <= ONSET_MAX + 1e-3
}

/// Prints the table of a group of seeds; answers whether every scene meets the targets.
pub(crate) fn table(name: &str, seeds: &RangeInclusive<u64>, judged: &[Judged]) -> bool {
    println!("\n{name}: seeds {} to {}", seeds.start(), seeds.end());
    println!(
        "{:<9} {:>7} {:>7} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7} {:>7} {:>8}",
        "scene", "recall", "worst", "false %", "worst %", "alarms/h", "missed", "onset", "p95", "max s", "ms/frame"
    );
    let mut met = true;
    let mut all = Tally::default();
    let mut worst = (1.0f32, 0.0f32);
    for scene in Scene::ALL {
        let of: Vec<&Judged> = judged.iter().filter(|j| j.scene == scene).collect();
        if of.is_empty() {
            continue;
        }
        let mut sum = Tally::default();
        let (mut recall, mut wrong) = (1.0f32, 0.0f32);
        for j in &of {
            sum.add(&j.tally);
            recall = recall.min(j.tally.recall());
            wrong = wrong.max(j.tally.wrong_share());
        }
        worst = (worst.0.min(recall), worst.1.max(wrong));
        met &= is_met(&sum);
        row(scene.name(), &sum, recall, wrong);
        all.add(&sum);
    }
    row("all", &all, worst.0, worst.1);
    met
}

fn row(name: &str, t: &Tally, recall: f32, wrong: f32) {
    let hours = t.empty as f32 / 36_000.0;
    println!(
        "{:<9} {:>7.3} {:>7.3} {:>8.2} {:>8.2} {:>8.1} {:>4} of {:>2} {:>6.2} {:>7.2} {:>7.2} {:>8.3} {}",
        name,
        t.recall(),
        recall,
        t.wrong_share() * 100.0,
        wrong * 100.0,
        t.alarms as f32 / hours.max(1e-6),
        t.missed,
        t.passages,
        t.onset(0.5),
        t.onset(0.95),
        t.onset(1.0),
        t.ms(),
        if is_met(t) { "" } else { "<" },
    );
}

/// Prints one picture of which truth and report differ.
pub(crate) fn picture(seed: u64, scene: Scene, i: usize, seen: &[Seen], said: &[[usize; 4]]) {
    if seen.is_empty() == said.is_empty() {
        return;
    }
    let kind = if said.is_empty() { "not found" } else { "false" };
    println!("{} {seed} {i:>3} {kind}: truth {seen:?} said {said:?}", scene.name());
}

/// All clips, for machines.
pub(crate) fn json(options: &Options, coded: bool, groups: &[(&str, Vec<Judged>)]) -> String {
    let mut out =
        format!("{{\"fps\": {}, \"seconds\": {}, \"coded\": {coded}, \"clips\": [", options.rate, options.seconds);
    let mut first = true;
    for (group, judged) in groups {
        for j in judged {
            let t = &j.tally;
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            // writing to a string cannot fail
            let _ = write!(
                out,
                "{comma}\n{{\"group\": \"{group}\", \"scene\": \"{}\", \"seed\": {}, \"recall\": {:.4}, \"false_share\": {:.5}, \
                 \"moving\": {}, \"empty\": {}, \"alarms\": {}, \"passages\": {}, \"missed\": {}, \"onset_median_s\": {:.2}, \
                 \"onset_max_s\": {:.2}, \"detect_ms\": {:.4}}}",
                j.scene.name(),
                j.seed,
                t.recall(),
                t.wrong_share(),
                t.moving,
                t.empty,
                t.alarms,
                t.passages,
                t.missed,
                t.onset(0.5),
                t.onset(1.0),
                t.ms(),
            );
        }
    }
    out.push_str("\n]}\n");
    out
}

/// Prints what was followed in every picture wrongly said to move, and while a passage was not met for longer than it may be.
pub(crate) fn explain(seed: u64, scene: Scene, rate: f32, tally: &Tally, truth: &[Vec<Seen>], followed: &[String]) {
    let mut out = String::new();
    let name = scene.name();
    for &i in &tally.wrong_at {
        let _ = writeln!(out, "{name} {seed} {i} false: {}", followed[i]);
    }
    for &(counted, met) in &tally.met {
        let longest = (ONSET_MAX * rate + 1e-3) as usize;
        if met.is_none_or(|met| met > counted + longest) {
            let last = met.unwrap_or(counted + 12).min(counted + 12);
            let _ = writeln!(out, "{name} {seed} late: counted in {counted}, met in {met:?}");
            for i in counted.saturating_sub(2)..=last.min(truth.len() - 1) {
                let _ = writeln!(out, "  late {name} {seed} {i}: truth {:?}; {}", truth[i], followed[i]);
            }
        }
    }
    print!("{out}");
}
