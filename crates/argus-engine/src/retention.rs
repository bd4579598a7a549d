//! Retention: what is too old or too much goes, in the order that `argus_core::retention` decides.
//!
//! Hourly, at once when the settings change or there is too little room; the disk is looked at every ten seconds. Rows
//! change first and put their folders into the trash, then the trash is emptied: after a crash in between it still is.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use argus_core::notification::Notification;
use argus_core::ports::{ComponentHealth, ComponentStatus};
use argus_core::retention::{Disk, Stock, size};
use argus_core::settings::Retention;
use argus_core::{Timestamp, chain};
use argus_db::Expired;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

use crate::Deps;
use crate::account::rules;
use crate::error::EngineError;
use crate::sweep::is_ours;

/// How often the rules are gone through, by themselves.
const EVERY: Duration = Duration::from_secs(3600);
/// How often the disk and the trash are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Events in one transaction: nobody else writes meanwhile.
const AT_ONCE: u32 = 100;

/// So long calls are kept, those of deleted events without their words.
const CALLS_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);
/// No call is under way for so long.
const CALL_ENDS: Duration = Duration::from_secs(3600);

/// Whether a spell of little room was told of.
#[derive(Debug, Default)]
pub(crate) struct Spell(AtomicBool);

/// Keeps to the rules until the server stops.
pub(crate) async fn run(deps: Arc<Deps>) {
    let mut settings = deps.settings.watch();
    let mut due = Instant::now();
    loop {
        let is_due = Instant::now() >= due;
        if is_due {
            due = Instant::now() + EVERY;
        }
        tokio::select! {
            () = round(&deps, is_due) => {}
            () = deps.cancel.cancelled() => return,
        }
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = deps.media.refused.notified() => {}
            () = deps.db.full() => {}
            () = deps.trash.notified() => {}
            _ = settings.changed() => due = Instant::now(),
            () = deps.cancel.cancelled() => return,
        }
    }
}

/// One round: always the trash and the disk, and what is too old when that is due.
async fn round(deps: &Deps, is_due: bool) {
    let rules = deps.settings.now().retention.clone();
    let now = deps.clock.now();
    if let Err(e) = empty_trash(deps).await {
        warn!("media of what was deleted stay for now: {}", chain(&e));
    }
    if is_due && let Err(e) = by_age(deps, &rules, now).await {
        warn!("what is too old stays for now: {}", chain(&e));
    }
    if let Err(e) = make_room(deps, &rules, now).await {
        error!("no room can be made where pictures and clips are stored: {}", chain(&e));
    }
    // Only now: what was just made free is kept for the database before clips take it.
    match deps.db.reserve().await {
        Ok(true) => {}
        Ok(false) => debug!("there is no room yet to be reserved for the database"),
        Err(e) => warn!("no room can be reserved for the database: {}", chain(&e)),
    }
    // Nothing may want to be stored for hours: whether it could be again is tried.
    if deps.media.fault().is_some() {
        deps.media.probe().await;
    }
}

async fn by_age(deps: &Deps, rules: &Retention, now: Timestamp) -> Result<(), EngineError> {
    let ages = rules.ages(now);
    let mut all = Expired::default();
    if let Some(before) = ages.events_before {
        loop {
            let gone = deps.db.events_expire(before, AT_ONCE, now).await?;
            if gone.events == 0 {
                break;
            }
            add(&mut all, gone);
            files_after(deps).await;
        }
        if all.events > 0 {
            info!(events = all.events, bytes = all.bytes, "removed events that were too old");
        }
    }
    if let Some(before) = ages.media_before {
        all = Expired::default();
        loop {
            let gone = deps.db.media_expire(before, AT_ONCE, now).await?;
            if gone.events == 0 {
                break;
            }
            add(&mut all, gone);
            files_after(deps).await;
        }
        if all.events > 0 {
            info!(events = all.events, bytes = all.bytes, "removed media that were too old; their events stay");
        }
    }
    let mut messages = 0;
    loop {
        match deps.db.journal_trim(ages.journal_before).await? {
            0 => break,
            n => messages += n,
        }
    }
    if messages > 0 {
        info!(messages, "removed messages that were too old");
    }
    calls(deps, now).await
}

/// Closes calls whose end could not be stored, and lets go of those that are older than any account is asked for.
async fn calls(deps: &Deps, now: Timestamp) -> Result<(), EngineError> {
    deps.db.ai_calls_interrupt(now.minus(CALL_ENDS), rules(&deps.settings.now()), now).await?;
    let mut gone = 0;
    loop {
        match deps.db.ai_calls_expire(now.minus(CALLS_KEPT)).await? {
            0 => break,
            n => gone += n,
        }
    }
    if gone > 0 {
        info!(calls = gone, "removed calls that were too old");
    }
    Ok(())
}

/// Tells of little room once a spell, and lets the oldest media go.
async fn make_room(deps: &Deps, rules: &Retention, now: Timestamp) -> Result<(), EngineError> {
    let stock = stock(deps).await?;
    let was = deps.spell.0.load(Ordering::Relaxed);
    let is = rules.spell(was, &stock);
    if is
        && !was
        && let Some(disk) = stock.disk
    {
        let wanted = rules.wanted_bytes(stock.refused);
        warn!(free_bytes = disk.free_bytes, wanted_bytes = wanted, "little room is left for pictures and clips");
        // Where the database lies on the same disk, it may have no room for that message: it is tried again.
        if let Err(e) = deps.db.notification_add(Notification::storage_low(disk, wanted, now), now).await {
            warn!("that there is little room cannot be announced yet: {}", chain(&e));
        } else {
            deps.spell.0.store(true, Ordering::Relaxed);
        }
    } else if was && !is {
        info!("there is room for pictures and clips again");
        deps.spell.0.store(false, Ordering::Relaxed);
    }
    let excess = rules.excess_bytes(&stock);
    let mut all = Expired::default();
    while all.bytes < excess {
        // While what was taken away already cannot be removed, taking more frees nothing.
        if deps.db.trash(String::new(), AT_ONCE).await?.len() >= usize::try_from(AT_ONCE).unwrap_or(1) {
            break;
        }
        let gone = deps.db.media_expire_oldest(excess - all.bytes, AT_ONCE, now).await?;
        if gone.events == 0 {
            break;
        }
        add(&mut all, gone);
        empty_trash(deps).await?;
    }
    if all.events > 0 {
        info!(events = all.events, bytes = all.bytes, "removed the oldest media to make room; their events stay");
    }
    Ok(())
}

/// Files follow their rows; those that do not are tried again with the next round.
async fn files_after(deps: &Deps) {
    if let Err(e) = empty_trash(deps).await {
        debug!("media of what was removed stay for now: {}", chain(&e));
    }
}

async fn stock(deps: &Deps) -> Result<Stock, EngineError> {
    let refused = deps.media.fault().is_some_and(|fault| fault.is_full) || database_lacks_room(deps);
    Ok(Stock { media_bytes: deps.db.media_bytes().await?, disk: disk(deps), refused })
}

/// The disk of the media, as far as it can be known.
pub(crate) fn disk(deps: &Deps) -> Option<Disk> {
    deps.disk.measure().unwrap_or_else(|e| {
        warn!("the disk of the media cannot be measured: {e}");
        None
    })
}

/// Whether the database has no room on a disk where media could make some.
fn database_lacks_room(deps: &Deps) -> bool {
    let disk_of = |folder: &Path| std::fs::metadata(folder).map(|meta| meta.dev()).ok();
    deps.db.is_full()
        && match (deps.db.folder().and_then(disk_of), deps.disk.folder().and_then(disk_of)) {
            (Some(database), Some(media)) => database == media,
            _ => false,
        }
}

fn add(all: &mut Expired, gone: Expired) {
    all.events += gone.events;
    all.bytes = all.bytes.saturating_add(gone.bytes);
}

/// Removes the files of rows that are gone. What cannot be removed stays in the trash and does not hold up the rest.
pub(crate) async fn empty_trash(deps: &Deps) -> Result<(), EngineError> {
    let mut after = String::new();
    let mut failed = None;
    loop {
        let prefixes = deps.db.trash(after, AT_ONCE).await?;
        let Some(last) = prefixes.last() else { break };
        after = last.clone();
        let mut done = Vec::new();
        for prefix in prefixes {
            match deps.media.delete_all(&prefix).await {
                Ok(_) => done.push(prefix),
                Err(e) => failed = Some(e),
            }
        }
        deps.db.trash_done(done).await?;
    }
    failed.map_or(Ok(()), Err)
}

/// How storing media is doing.
pub(crate) async fn health(deps: &Deps) -> ComponentHealth {
    match is_ours(deps).await {
        Ok(true) => {}
        Ok(false) => {
            let detail = "the media store holds nothing of what events name: is its disk mounted?";
            return ComponentHealth::new(ComponentStatus::Down, detail);
        }
        Err(e) => return ComponentHealth::new(ComponentStatus::Down, chain(&e)),
    }
    let fault = deps.media.fault();
    if let Some(fault) = fault.as_ref().filter(|fault| !fault.is_full) {
        let detail = format!("pictures and clips cannot be stored: {}", fault.reason);
        return ComponentHealth::new(ComponentStatus::Degraded, detail);
    }
    let rules = deps.settings.now().retention.clone();
    let stock = Stock { media_bytes: 0, disk: disk(deps), refused: fault.is_some() };
    match stock.disk {
        Some(disk) if rules.is_low(&stock) || stock.refused => {
            let (free, wanted) = (size(disk.free_bytes), size(rules.wanted_bytes(stock.refused)));
            let detail = if stock.refused {
                format!("the disk is full, pictures and clips cannot be stored: {free} are free, {wanted} should be")
            } else {
                format!("little room is left for pictures and clips: {free} are free, {wanted} should be")
            };
            ComponentHealth::new(ComponentStatus::Degraded, detail)
        }
        None if stock.refused => {
            ComponentHealth::new(ComponentStatus::Degraded, "there is no room for pictures and clips")
        }
        _ => ComponentHealth::ok(),
    }
}
