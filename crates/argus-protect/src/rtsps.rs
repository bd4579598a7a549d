//! The addresses of live streams. Each is looked up when it is needed: the secret name in it changes when RTSP is
//! switched, when a camera is adopted, and with some updates.

use std::sync::PoisonError;

use argus_core::Secret;
use argus_core::controller::StreamQuality;
use url::Url;

use crate::ProtectError;
use crate::http::base_url;
use crate::hub::Hub;
use crate::wire::{Camera, Nvr, text};

/// Port of RTSP over TLS, unless the controller tells another.
const PORT: u16 = 7441;

/// The address of a live stream.
pub(crate) async fn stream_url(hub: &Hub, device: &str, quality: StreamQuality) -> Result<Secret, ProtectError> {
    let nvr = hub.inventory.read().unwrap_or_else(PoisonError::into_inner).nvr();
    let by_account = match hub.client.local() {
        Some(local) => local.camera(device).await.and_then(|v| {
            let camera = Camera::local(&v, nvr.mac.as_deref())
                .ok_or(ProtectError::Unusable { what: "the camera", reason: "it has no id".into() })?;
            local_url(&camera, &nvr, &hub.client.http().host, quality)
        }),
        None => Err(ProtectError::Unsupported("there is no local account".into())),
    };
    match (by_account, hub.client.official()) {
        (Ok(url), _) => Ok(url),
        (Err(e), None) => Err(e),
        (Err(_), Some(official)) => {
            let name = match quality {
                StreamQuality::High => "high",
                StreamQuality::Medium => "medium",
                StreamQuality::Low => "low",
            };
            let streams = official.streams(device, name).await?;
            let url =
                text(&streams, name).ok_or_else(|| ProtectError::NotFound(format!("{name} stream of this camera")))?;
            plain(&url)
        }
    }
}

/// The best of a camera's streams for a quality that has a name.
fn local_url(camera: &Camera, nvr: &Nvr, host: &str, quality: StreamQuality) -> Result<Secret, ProtectError> {
    let wanted = match quality {
        StreamQuality::High => 0,
        StreamQuality::Medium => 1,
        StreamQuality::Low => 2,
    };
    let named = camera.channels.iter().filter(|c| c.id != 3 && c.rtsp_alias.is_some());
    let alias = named.min_by_key(|c| (c.id.saturating_sub(wanted).abs(), c.id)).and_then(|c| c.rtsp_alias.as_ref());
    let Some(alias) = alias else {
        return Err(ProtectError::NotFound(
            "live stream of this camera: switch RTSPS on in its settings on the controller".into(),
        ));
    };
    // Stacked consoles serve their own cameras; else the address in use is the one that is known to work.
    let host = match (&camera.connection_host, &nvr.host) {
        (Some(serves), Some(own)) if serves != own => serves,
        _ => host,
    };
    let mut url = base_url("rtsps", host, nvr.rtsps_port.unwrap_or(PORT))?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().push(alias.expose());
    }
    Ok(Secret::new(url.as_str()))
}

/// The same address without the wish for encryption inside the encryption, which plain clients do not speak.
fn plain(url: &str) -> Result<Secret, ProtectError> {
    let unusable = || ProtectError::Unusable { what: "the live stream", reason: "its address cannot be read".into() };
    let mut url = Url::parse(url).map_err(|_e| unusable())?;
    let rest: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != "enableSrtp")
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    url.set_query(None);
    if !rest.is_empty() {
        url.query_pairs_mut().extend_pairs(rest);
    }
    Ok(Secret::new(url.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn camera(host: Option<&str>, channels: serde_json::Value) -> Camera {
        Camera::local(&json!({"id": "c", "connectionHost": host, "channels": channels}), None).unwrap()
    }

    #[test]
    fn streams_come_from_the_alias() {
        let nvr = Nvr { host: Some("192.168.1.1".into()), rtsps_port: Some(7441), ..Nvr::default() };
        let channels = json!([
            {"id": 0, "rtspAlias": null}, {"id": 1, "rtspAlias": "midAlias"}, {"id": 2, "rtspAlias": "lowAlias"},
            {"id": 3, "rtspAlias": "packageAlias"}
        ]);
        let check = |c: &Camera, host: &str, quality, expected: Option<&str>| {
            let got = local_url(c, &nvr, host, quality).ok();
            assert_eq!(got.as_ref().map(Secret::expose), expected);
        };
        let c = camera(Some("192.168.1.1"), channels.clone());
        check(&c, "unvr.example.org", StreamQuality::High, Some("rtsps://unvr.example.org:7441/midAlias"));
        check(&c, "fd00::9", StreamQuality::Low, Some("rtsps://[fd00::9]:7441/lowAlias"));
        let stacked = camera(Some("192.168.1.2"), channels);
        check(&stacked, "unvr.example.org", StreamQuality::Medium, Some("rtsps://192.168.1.2:7441/midAlias"));
        check(&camera(None, json!([{"id": 3, "rtspAlias": "p"}])), "h", StreamQuality::High, None);
        check(&camera(None, json!(null)), "h", StreamQuality::High, None);
    }

    #[test]
    fn encryption_inside_encryption_is_not_asked_for() {
        let check = |url, expected| assert_eq!(plain(url).unwrap().expose(), expected);
        check("rtsps://192.168.10.1:7441/abc?enableSrtp", "rtsps://192.168.10.1:7441/abc");
        check("rtsps://[fd00::1]:7441/abc?x=1&enableSrtp", "rtsps://[fd00::1]:7441/abc?x=1");
        assert!(plain("not an address").is_err());
    }
}
