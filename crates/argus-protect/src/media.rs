//! Pictures and recordings: what each interface gives, which one is asked, and how often.

mod clip;
mod jpeg;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use argus_core::Timestamp;
use argus_core::ports::{ClipFile, Still};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::ProtectError;
use crate::error::of_status;
use crate::http::{Answer, again};
use crate::hub::Hub;
use crate::local::Local;
use crate::state::{Interface, Side};

/// Most bytes of a picture.
const MAX_PICTURE: usize = 16 * 1024 * 1024;

/// Pictures at the same time: each makes a camera encode.
const PICTURES: usize = 3;

/// Clips at the same time.
const CLIPS: usize = 3;

/// Most cameras whose ways are remembered.
const MOST: usize = 2000;

/// Fetches pictures and clips of one controller.
pub(crate) struct Media {
    hub: Arc<Hub>,
    temp_dir: PathBuf,
    pictures: Semaphore,
    clips: Semaphore,
    /// Cameras that refuse wishes for a size.
    plain: Mutex<HashSet<String>>,
}

fn no_account() -> ProtectError {
    ProtectError::Unsupported(
        "recordings need a local account on the controller: add a user name and a password".into(),
    )
}

impl Media {
    pub(crate) fn new(hub: Arc<Hub>, temp_dir: PathBuf) -> Self {
        Self {
            hub,
            temp_dir,
            pictures: Semaphore::new(PICTURES),
            clips: Semaphore::new(CLIPS),
            plain: Mutex::default(),
        }
    }

    fn account(&self) -> Result<&Local, ProtectError> {
        self.hub.client.local().ok_or_else(no_account)
    }

    /// What a camera sees now. The local interface is asked first, because it makes pictures of the size that is wanted.
    pub(crate) async fn snapshot(&self, device: &str, max_width: Option<u32>) -> Result<Still, ProtectError> {
        let _turn = self.pictures.acquire().await.map_err(|_closed| ProtectError::Stopped)?;
        let official = self.hub.client.official();
        let refused = self.hub.standing(|s| matches!(s.side(Interface::Local), Some(Side::Refused(_))));
        let first = match self.hub.client.local().filter(|_| !(refused && official.is_some())) {
            Some(local) => self.local_snapshot(local, device, max_width).await,
            None => Err(no_account()),
        };
        match (first, official) {
            (Ok(still), _) => Ok(still),
            (Err(e), None) => Err(e),
            (Err(_), Some(official)) => {
                // Only in two sizes: a little one for little wishes.
                let high = max_width.is_none_or(|w| w > 640);
                let fetch = || async {
                    let answer = official.snapshot(device, high, MAX_PICTURE).await?;
                    still(answer, self.hub.now())
                };
                again(&self.hub.tuning, fetch).await
            }
        }
    }

    async fn local_snapshot(&self, local: &Local, device: &str, max_width: Option<u32>) -> Result<Still, ProtectError> {
        let mut query =
            vec![("ts", self.hub.client.clock().theirs(self.hub.now()).to_string()), ("force", "true".into())];
        if let Some(width) = max_width {
            query.push(("w", width.to_string()));
        } else if let Some(width) = self.full_width(device) {
            // Without a size newer versions answer with 360 lines.
            query.push(("w", width.to_string()));
        }
        self.picture(local, device, "live pictures", "snapshot", query).await
    }

    fn full_width(&self, device: &str) -> Option<i64> {
        let inventory = self.hub.inventory.read().unwrap_or_else(PoisonError::into_inner);
        inventory.camera(device)?.best()?.width.map(|w| w.min(1920))
    }

    /// What a camera saw then.
    pub(crate) async fn recorded(&self, device: &str, at: Timestamp) -> Result<Still, ProtectError> {
        let local = self.account()?;
        let _turn = self.pictures.acquire().await.map_err(|_closed| ProtectError::Stopped)?;
        let query = vec![("ts", self.hub.client.clock().theirs(at).to_string())];
        let picture = self.picture(local, device, "recorded pictures", "recording-snapshot", query.clone()).await;
        let still = match picture {
            // Before Protect 4 there was one path for both.
            Err(ProtectError::NotFound(_)) if self.is_old() => {
                self.picture(local, device, "recorded pictures", "snapshot", query).await
            }
            other => other,
        }?;
        Ok(Still { taken_at: at, ..still })
    }

    fn is_old(&self) -> bool {
        let version = self.hub.inventory.read().unwrap_or_else(PoisonError::into_inner).nvr().version;
        version.and_then(|v| v.split('.').next()?.parse::<u32>().ok()).is_some_and(|major| major < 4)
    }

    /// A picture of a camera; without any wish where wishes are refused, as behind an AI Port.
    async fn picture(
        &self,
        local: &Local,
        device: &str,
        what: &'static str,
        path: &str,
        query: Vec<(&str, String)>,
    ) -> Result<Still, ProtectError> {
        let plain = || self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        // The moment is no wish about the size, and recordings need it.
        let bare: Vec<(&str, String)> = match path {
            "snapshot" if what == "live pictures" => Vec::new(),
            _ => query.iter().filter(|(key, _)| *key == "ts").cloned().collect(),
        };
        let fetch = |query: Vec<(&'static str, String)>| async move {
            still(local.fetch(what, &["cameras", device, path], &query, MAX_PICTURE).await?, self.hub.now())
        };
        let own = |q: &[(&str, String)]| -> Vec<(&'static str, String)> {
            q.iter().filter_map(|(k, v)| Some((*["ts", "force", "w"].iter().find(|n| *n == k)?, v.clone()))).collect()
        };
        let known = plain().contains(device);
        if !known && bare.len() < query.len() {
            match fetch(own(&query)).await {
                Err(ProtectError::Busy { status: 500, .. }) => {
                    let still = fetch(own(&bare)).await?;
                    let mut plain = plain();
                    if plain.len() < MOST {
                        plain.insert(device.to_owned());
                    }
                    return Ok(still);
                }
                Err(e) if e.retry().is_some() => {}
                done => return done,
            }
        }
        let query = if known { own(&bare) } else { own(&query) };
        again(&self.hub.tuning, || fetch(query.clone())).await
    }

    /// The controller's picture of a detection, which is made after its end.
    pub(crate) async fn thumbnail(&self, happening: &str) -> Result<Still, ProtectError> {
        let local = self.account()?;
        // One prefix, once: there are ids that hold the same two characters further on.
        let id = happening.strip_prefix("e-").unwrap_or(happening);
        let until = Instant::now() + self.hub.tuning.thumbnail_within;
        loop {
            let answer = local.fetch("recorded pictures", &["events", id, "thumbnail"], &[], MAX_PICTURE).await;
            let failure = match answer.and_then(|a| still(a, self.hub.now())) {
                Ok(still) => return Ok(still),
                Err(e) => e,
            };
            let soon = matches!(failure, ProtectError::NotFound(_) | ProtectError::Unusable { .. })
                || failure.retry().is_some();
            if !soon || Instant::now() >= until {
                return Err(failure);
            }
            sleep(self.hub.tuning.thumbnail_every).await;
        }
    }

    /// The recording of a span of time.
    pub(crate) async fn clip(&self, device: &str, from: Timestamp, until: Timestamp) -> Result<ClipFile, ProtectError> {
        let local = self.account()?;
        clip::fetch(&self.hub, local, &self.clips, &self.temp_dir, device, from, until).await
    }
}

fn still(answer: Answer, taken_at: Timestamp) -> Result<Still, ProtectError> {
    if !(200..300).contains(&answer.status) {
        return Err(of_status(answer.what, answer.status));
    }
    let Some((width, height)) = jpeg::size(&answer.body) else {
        return Err(ProtectError::Unusable { what: answer.what, reason: "it is no whole JPEG".into() });
    };
    Ok(Still { taken_at, width, height, jpeg: answer.body })
}
