//! The interface as programs see it that know only its description: the description is valid, its examples are, and what
//! schemathesis makes of it finds nothing.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use argus_tests::server::{ServerProcess, api_key};
use serde_json::json;
use tokio::process::Command;

use crate::common::{Site, id_of, test_camera};

/// Where `cargo xtask test` puts the programs; `None`, said loudly, where it could not.
fn tools() -> Option<PathBuf> {
    let folder =
        std::env::var_os("ARGUS_TEST_TOOLS").map(PathBuf::from).filter(|folder| folder.join("python").exists());
    if folder.is_none() {
        argus_tests::skip(
            "schemathesis is not there",
            &"run `cargo xtask test`, which installs it where PyPI is in reach",
        );
    }
    folder
}

async fn python(tools: &Path, script: &str, argument: &Path) -> String {
    let done = Command::new(tools.join("python"))
        .args(["-c", script])
        .arg(argument)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_valid_and_so_are_its_examples() {
    const CHECK: &str = "
import json, sys
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
document = json.load(open(sys.argv[1]))
faults = [str(fault) for fault in OpenAPIV31SpecValidator(document).iter_errors()]
count = 0
def look(value, place):
    global count
    if isinstance(value, dict):
        if 'schema' in value and 'example' in value and place[-1].startswith('application/json'):
            count += 1
            schema = {**value['schema'], 'components': document['components']}
            faults.extend(f'{\"/\".join(place)}: {fault.message}' for fault in Draft202012Validator(schema).iter_errors(value['example']))
        for key, inner in value.items():
            look(inner, place + [key])
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            look(inner, place + [str(at)])
look({key: document[key] for key in ('paths', 'components')}, ['#'])
print('\\n'.join(faults))
assert count > 50, count
sys.exit(bool(faults))
";
    let Some(tools) = tools() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(dir.path()).await;
    let answer = argus_tests::http::Client::new(server.origin(), "").root().get("/openapi.json").await.expect(200);
    let file = dir.path().join("openapi.json");
    std::fs::write(&file, &answer.bytes).unwrap();
    python(&tools, CHECK, &file).await;
}

/// Examples for each operation and phase: enough that every rule of a schema is broken once, few enough for minutes.
const EXAMPLES: &str = "12";

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let Some(tools) = tools() else { return };
    let site = Site::with_env(&[("ARGUS_LOG", "warn,argus_api::access_log=warn")]).await;
    // Whatever it makes of providers, none outside is asked.
    site.client.put("/system/settings", &json!({"ai": {"local_only": true}})).await.expect(200);
    let mut live = site.listen(None).await;
    let camera = site.camera(test_camera("Tried", 3, 1)).await;
    let event = id_of(&live.created(&camera).await);
    live.finished(&event).await;
    let folder = site.dir.path().join("schemathesis");
    std::fs::create_dir(&folder).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis");
    std::fs::copy(kept.join("hooks.py"), folder.join("hooks.py")).unwrap();
    let config = std::fs::read_to_string(kept.join("schemathesis.toml")).unwrap();
    let config = config.replace("\"CAMERA\"", &format!("\"{camera}\"")).replace("\"EVENT\"", &format!("\"{event}\""));
    std::fs::write(folder.join("schemathesis.toml"), config).unwrap();
    let key = api_key(site.dir.path(), "admin").await;
    let own = argus_tests::http::Client::new(site.server.origin(), &key).get("/auth/me").await.expect(200).json;
    let own_id = own["api_key"]["id"].as_str().unwrap();
    let done = Command::new(tools.join("schemathesis"))
        .current_dir(&folder)
        .args(["--config-file", "schemathesis.toml", "run", &format!("{}/openapi.json", site.server.origin())])
        .args(["--checks", "all", "--max-examples", EXAMPLES, "--header", &format!("X-API-Key: {key}")])
        // Below what a key may ask for in a minute.
        .args(["--rate-limit", "9500/m", "--seed", "1", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("ARGUS_OWN_KEY_ID", own_id)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{text}");
    // Until the end it was let in everywhere.
    argus_tests::http::Client::new(site.server.origin(), &key).get("/auth/me").await.expect(200);
    // All of what it reads in the document; it counts one operation less than stands there.
    let operations = operations(&site).await;
    let whole = |n: usize| text.contains(&format!("{n} selected / {n} total"));
    assert!(whole(operations) || whole(operations - 1), "{operations} operations: {text}");
}

async fn operations(site: &Site) -> usize {
    let document = site.client.root().get("/openapi.json").await.expect(200).json;
    document["paths"].as_object().unwrap().values().map(|item| item.as_object().map_or(0, serde_json::Map::len)).sum()
}
