//! Stills from the ring: one decode a group of pictures, however many moments and sizes are wanted. What the mask of a
//! picture hides is painted over before anything is made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use argus_core::Timestamp;
use argus_core::ports::{FeedError, Still, StillSpec};
use gstreamer as gst;

use crate::CaptureError;
use crate::gst::brush::Brush;
use crate::gst::decode::Decode;
use crate::gst::element::decoders;
use crate::gst::jpeg::Jpeg;
use crate::ring::AccessUnit;
use crate::shared::Shared;

/// A moment further than that from every picture in memory has left it.
const NEAR_MAX: Duration = Duration::from_secs(2);
/// A snapshot is at most that old.
const FRESH_MAX: Duration = Duration::from_secs(10);
/// A decoder that gives nothing for so long is given up.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(5);
/// Good enough for a snapshot, a third of the bytes of 95.
const SNAPSHOT_QUALITY: u8 = 85;

/// Makes the stills of the moments nearest to `wanted`, in order of time.
pub(crate) async fn stills(
    units: Vec<AccessUnit>,
    wanted: Vec<Timestamp>,
    specs: Vec<StillSpec>,
) -> Result<Vec<Vec<Still>>, FeedError> {
    let picks = pick(&units, &wanted);
    if picks.is_empty() || specs.is_empty() {
        return Ok(Vec::new());
    }
    let work = crate::blocking::spawn(move || render(&units, &picks, &specs));
    let stopping = |_e: tokio::task::JoinError| FeedError::Stream("a still could not be made".to_owned());
    work.await.map_err(stopping)?.map_err(|e| FeedError::Stream(argus_core::chain(&e)))
}

/// The newest picture.
pub(crate) async fn newest(shared: &Shared, max_width: Option<u32>) -> Result<Still, FeedError> {
    let none = || FeedError::NoPicture("there is no picture from the last 10 s".to_owned());
    // Not by what arrived: after a loss that may be units that nothing can be made of before the next key frame.
    if shared.newest_kept().is_none_or(|t| t.elapsed() > FRESH_MAX) {
        return Err(none());
    }
    let group = shared.newest_group();
    let newest = group.iter().map(|u| u.at).max().ok_or_else(none)?;
    let spec = StillSpec { max_width: max_width.unwrap_or(u32::MAX), quality: SNAPSHOT_QUALITY };
    let mut made = stills(group, vec![newest], vec![spec]).await?;
    made.pop().and_then(|mut sizes| sizes.pop()).ok_or_else(none)
}

/// The places in `units` of the pictures nearest to the wanted moments, in order of time, without repeats.
fn pick(units: &[AccessUnit], wanted: &[Timestamp]) -> Vec<usize> {
    let distance = |a: Timestamp, b: Timestamp| a.since(b).max(b.since(a));
    let mut picks: Vec<(Timestamp, usize)> = wanted
        .iter()
        .filter_map(|&t| {
            let nearest = units.iter().enumerate().min_by_key(|(_, u)| distance(u.at, t))?;
            (distance(nearest.1.at, t) <= NEAR_MAX).then_some((nearest.1.at, nearest.0))
        })
        .collect();
    picks.sort_unstable();
    picks.dedup();
    picks.into_iter().map(|(_, i)| i).collect()
}

/// Decodes and encodes; blocks.
fn render(units: &[AccessUnit], picks: &[usize], specs: &[StillSpec]) -> Result<Vec<Vec<Still>>, CaptureError> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &i in picks {
        let key = units.iter().take(i + 1).rposition(|u| u.key).unwrap_or(0);
        groups.entry(key).or_default().push(i);
    }
    let mut desk = Desk { brush: Brush::default(), encoders: specs.iter().map(|spec| (*spec, None)).collect() };
    let mut stills = Vec::with_capacity(picks.len());
    let mut failure = None;
    for (key, members) in groups {
        let last = members.iter().copied().max().unwrap_or(key);
        let group = units.get(key..=last).unwrap_or_default();
        let wanted: BTreeMap<i64, &AccessUnit> =
            members.iter().filter_map(|&i| units.get(i)).map(|u| (u.pts_us, u)).collect();
        match first_that_decodes(group, &wanted, &mut desk) {
            Ok(mut made) => stills.append(&mut made),
            Err(e) => failure = Some(e),
        }
    }
    if stills.is_empty() {
        let none = || CaptureError::Decode("no picture came out of the decoder".to_owned());
        return Err(failure.unwrap_or_else(none));
    }
    stills.sort_by_key(|sizes: &Vec<Still>| sizes.first().map(|s| s.taken_at));
    Ok(stills)
}

/// What turns decoded pictures into JPEGs.
struct Desk {
    brush: Brush,
    encoders: Vec<(StillSpec, Option<Jpeg>)>,
}

/// Decodes with the best decoder that gives anything: one may not start, or refuse what the next one takes.
fn first_that_decodes(
    group: &[AccessUnit],
    wanted: &BTreeMap<i64, &AccessUnit>,
    desk: &mut Desk,
) -> Result<Vec<Vec<Still>>, CaptureError> {
    let Some(first) = group.first() else { return Ok(Vec::new()) };
    let mut failure = None;
    for nth in 0..decoders(first.format.codec).len() {
        match decode_group(first, group, wanted, desk, nth) {
            Ok(made) if made.is_empty() => {}
            Ok(made) => return Ok(made),
            Err(e) => {
                tracing::debug!(error = %argus_core::chain(&e), nth, "a decoder made no still");
                failure = Some(e);
            }
        }
    }
    failure.map_or(Ok(Vec::new()), Err)
}

fn decode_group(
    first: &AccessUnit,
    group: &[AccessUnit],
    wanted: &BTreeMap<i64, &AccessUnit>,
    desk: &mut Desk,
    nth: usize,
) -> Result<Vec<Vec<Still>>, CaptureError> {
    let decode = Decode::new(first.format.codec, first.pts_us, nth, None)?;
    for unit in group {
        if !decode.push(unit) {
            break;
        }
    }
    decode.end();
    let mut made = Vec::with_capacity(wanted.len());
    while made.len() < wanted.len() {
        let Some((sample, pts_us)) = decode.pull(PATIENCE) else { break };
        let Some(unit) = wanted.get(&pts_us) else { continue };
        let picture = desk.brush.paint(&sample, &unit.mask)?;
        let caps = sample.caps().ok_or_else(|| CaptureError::Decode("a picture without a format".to_owned()))?;
        let mut sizes = Vec::with_capacity(desk.encoders.len());
        for (spec, slot) in &mut desk.encoders {
            let encoder = match slot.take() {
                Some(known) if known.takes(caps) => known,
                _ => Jpeg::new(caps.to_owned(), *spec)?,
            };
            let encoder = slot.insert(encoder);
            let jpeg = encoder.encode(picture.clone())?;
            let (width, height) = encoder.size();
            sizes.push(Still { taken_at: unit.at, width, height, jpeg });
        }
        made.push(sizes);
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use argus_core::PrivacyMask;

    use super::*;
    use crate::ring::{Codec, StreamFormat};

    #[test]
    fn nearest_in_order_without_repeats() {
        let format = Arc::new(StreamFormat { codec: Codec::H264, source_codec: "h264".into(), width: 0, height: 0 });
        let units: Vec<AccessUnit> = [1000, 1200, 1100, 5000]
            .into_iter()
            .map(|ms| AccessUnit {
                at: Timestamp::from_millis(ms),
                pts_us: ms * 1000,
                dts_us: None,
                key: ms == 1000,
                session: 1,
                data: bytes::Bytes::new(),
                format: format.clone(),
                mask: PrivacyMask::default(),
            })
            .collect();
        let check = |wanted: &[i64], expected: &[usize]| {
            let wanted: Vec<Timestamp> = wanted.iter().map(|ms| Timestamp::from_millis(*ms)).collect();
            assert_eq!(pick(&units, &wanted), expected, "{wanted:?}");
        };
        check(&[1190, 1090, 1210, 990], &[0, 2, 1]);
        check(&[0, 7000], &[0, 3]);
        check(&[-1500, 7001], &[]);
        check(&[], &[]);
    }
}
