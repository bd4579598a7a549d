//! Prints the OpenAPI document: `cargo run -p argus-api --example openapi`.

use std::io::Write as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = argus_api::openapi::api().to_pretty_json()?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
