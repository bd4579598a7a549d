//! The pages about the interface in a real browser that may reach this machine only.

use argus_tests::browser::Browser;
use argus_tests::server::{ServerProcess, api_key};
use serde_json::{Value, json};

/// Every operation of the document: tag and operation id.
async fn operations(server: &ServerProcess) -> Vec<(String, String)> {
    let document =
        argus_tests::http::Client::new(server.origin(), "").root().get("/openapi.json").await.expect(200).json;
    let items = document["paths"].as_object().unwrap().values();
    let all = items.flat_map(|item| item.as_object().unwrap().values());
    let name = |v: &Value| v.as_str().unwrap().to_owned();
    let found: Vec<_> = all.map(|o| (name(&o["tags"][0]), name(&o["operationId"]))).collect();
    assert!(found.len() > 20);
    found
}

/// Only this server was asked, and the browser had nothing to complain of.
async fn check_traffic(browser: &Browser, server: &ServerProcess) {
    let requested = browser.requested().await;
    assert!(requested.iter().any(|url| url.ends_with("/openapi.json")), "{requested:?}");
    // The browser's own first page is no request to anybody.
    for url in requested.iter().filter(|url| !url.starts_with("chrome:")) {
        let own = url.strip_prefix(server.origin()).is_some_and(|rest| rest.starts_with('/'));
        assert!(own || url.starts_with("data:") || url.starts_with("blob:"), "{url}");
    }
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Puts the picture of the window where it can be looked at, when somebody asked for that.
async fn keep_picture(browser: &Browser, name: &str) {
    let picture = browser.screenshot().await;
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000, "{} bytes", picture.len());
    if let Some(folder) = std::env::var_os("ARGUS_TEST_PICTURES") {
        std::fs::write(std::path::Path::new(&folder).join(name), picture).unwrap();
    }
}

/// Sets the value of a field as typing does: React listens to the event, and knows a value that it set itself.
const TYPE: &str = "const type = (field, text) => {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, text);
    field.dispatchEvent(new Event('input', {bubbles: true}));
    field.dispatchEvent(new Event('change', {bubbles: true}));
};";

#[tokio::test(flavor = "multi_thread")]
async fn swagger_ui_lists_every_operation_and_tries_them_with_a_key() {
    let Some(browser) = Browser::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let key = api_key(dir.path(), "read:cameras").await;
    let server = ServerProcess::start(dir.path()).await;
    let wanted = operations(&server).await;
    browser.open(&format!("{}/docs", server.origin())).await;
    let script = format!("return document.querySelectorAll('.opblock').length >= {}", wanted.len());
    browser.until("every operation", &script).await;
    let ids = browser.run("return [...document.querySelectorAll('.opblock')].map(block => block.id)").await;
    for (tag, operation) in &wanted {
        let id = json!(format!("operations-{tag}-{operation}"));
        assert!(ids.as_array().unwrap().contains(&id), "{id} in {ids}");
    }
    keep_picture(&browser, "docs.png").await;

    let first = "const block = document.querySelector('#operations-cameras-list_cameras');";
    browser.run(&format!("{first} block.querySelector('.opblock-summary-control').click()")).await;
    browser
        .until(
            "its button",
            &format!(
                "{first} const b = block.querySelector('.try-out__btn'); if (!b) return false; b.click(); return true"
            ),
        )
        .await;
    // Without a key first: the page shows what the server says.
    let execute =
        format!("{first} const b = block.querySelector('.execute'); if (!b) return false; b.click(); return true");
    browser.until("the way to execute", &execute).await;
    let status = |code: u16| {
        format!(
            "{first} const cell = block.querySelector('.live-responses-table tr.response .response-col_status'); \
             return !!cell && cell.textContent.trim().startsWith('{code}')"
        )
    };
    browser.until("the refusal", &status(401)).await;
    // Refused requests are complaints to the browser; from here on there may be none.
    let refused = browser.complaints().await;
    assert!(refused.iter().all(|line| line.contains("401")), "{refused:?}");

    browser.run("document.querySelector('.btn.authorize').click()").await;
    let authorize = format!(
        "{TYPE} const forms = [...document.querySelectorAll('.auth-container')]; \
         const form = forms.find(form => form.textContent.includes('X-API-Key')); \
         if (!form) return false; \
         type(form.querySelector('input'), '{key}'); form.querySelector('.btn.authorize').click(); return true"
    );
    browser.until("the dialogue", &authorize).await;
    let done = "const b = document.querySelector('.btn-done'); if (!b) return false; b.click(); return true";
    browser.until("its end", done).await;
    browser.until("the way to execute", &execute).await;
    browser.until("the answer", &status(200)).await;
    let body = browser.run(&format!("{first} return block.querySelector('.live-responses-table').textContent")).await;
    assert!(body.as_str().unwrap().contains("\"total\": 0"), "{body}");
    keep_picture(&browser, "docs-tried.png").await;
    check_traffic(&browser, &server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redoc_shows_every_operation() {
    let Some(browser) = Browser::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(dir.path()).await;
    let wanted = operations(&server).await;
    browser.open(&format!("{}/redoc", server.origin())).await;
    let count =
        format!("return document.querySelectorAll('[data-section-id*=\"operation/\"]').length >= {}", wanted.len());
    browser.until("every operation", &count).await;
    let all = "return [...document.querySelectorAll('[data-section-id]')].map(part => part.dataset.sectionId)";
    let sections = browser.run(all).await;
    for (tag, operation) in &wanted {
        let id = json!(format!("tag/{tag}/operation/{operation}"));
        assert!(sections.as_array().unwrap().contains(&id), "{id} in {sections}");
    }
    keep_picture(&browser, "redoc.png").await;
    check_traffic(&browser, &server).await;
}
