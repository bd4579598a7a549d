//! What it costs to find out who asks.

use crate::Site;
use crate::numbers::{quantile, table, us};

/// Open to everybody, and answered in the same words to everybody: with a key, the key is hashed, looked up, counted
/// against its limit and as used, and the three headers are written; nothing else is done that is not done without one.
const OPEN: &str = "/api/v1/auth/setup-status";
/// Pairs of measurements, one after the other, so that what drifts does so in both; every other pair begins with the key.
const ROUNDS: u32 = 15;

pub(crate) async fn run(site: &Site) {
    let requests = (site.options.amount(150_000) / ROUNDS).to_string();
    let paths = [format!("!{OPEN}"), OPEN.to_owned()];
    for path in &paths {
        site.ask(&["load", "4", "2000", "200", path]).await;
    }
    let (mut all, mut differences) = ([Vec::new(), Vec::new()], Vec::new());
    for round in 0..ROUNDS {
        let mut pair = [0.0; 2];
        let mut order: Vec<_> = pair.iter_mut().zip(&paths).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for (cost, path) in order {
            let before = site.server.cpu_time();
            let numbers = site.ask(&["load", "4", &requests, "200", path]).await;
            let [_, _, _, wrong, asked] = numbers[..] else { panic!("five numbers") };
            assert!(wrong == 0.0, "{wrong} requests for {path} were not answered 200");
            *cost = us(site.server.cpu_time() - before) / asked;
        }
        let [open, keyed] = pair;
        all.iter_mut().zip(pair).for_each(|(all, cost)| all.push(cost));
        differences.push(keyed - open);
    }
    let [mut open, mut keyed] = all;
    for costs in [&mut open, &mut keyed, &mut differences] {
        costs.sort_by(f64::total_cmp);
    }
    let cost = quantile(&differences, 50);
    let met = if cost <= 20.0 { "met" } else { "**missed**" };
    let row = |name: String, costs: &[f64]| {
        let figures = [0, 25, 50, 75, 100].map(|percent| format!("{:.1}", quantile(costs, percent)));
        [vec![name], figures.to_vec()].concat()
    };
    table(
        "Processor time of the server for one request, µs",
        &["", "least", "a quarter below", "middle", "a quarter above", "most"],
        &[
            row(format!("`{OPEN}` without a key"), &open),
            row("the same with an API key".into(), &keyed),
            row(format!("authentication by API key (middle of the differences, target ≤ 20: {met})"), &differences),
        ],
    );
}
