//! What it costs to find out who asks.

use crate::Site;
use crate::numbers::{table, us};

pub(crate) async fn run(site: &Site) {
    let requests = site.options.amount(40_000).to_string();
    let mut costs = Vec::new();
    // Both are answered 404 with a body of the same shape; before the second the key is looked at and counted.
    for path in ["!/api/v1/nothing/here", "/api/v1/cameras/nothing"] {
        site.ask(&["load", "4", "2000", "404", path]).await;
        let before = site.server.cpu_time();
        let numbers = site.ask(&["load", "4", &requests, "404", path]).await;
        let [_, _, _, wrong, asked] = numbers[..] else { panic!("five numbers") };
        assert!(wrong == 0.0, "{wrong} requests for {path} were not answered 404");
        costs.push(us(site.server.cpu_time() - before) / asked);
    }
    let [open, keyed] = costs[..] else { panic!("two costs") };
    let cost = keyed - open;
    let met = if cost <= 20.0 { "met" } else { "**missed**" };
    table(
        "Processor time of the server",
        &["a request", "µs"],
        &[
            vec!["without a route".into(), format!("{open:.1}")],
            vec!["without such a camera, with an API key".into(), format!("{keyed:.1}")],
            vec![format!("authentication by API key (target ≤ 20: {met})"), format!("{cost:.1}")],
        ],
    );
}
