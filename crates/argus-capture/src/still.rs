//! Stills from the ring: one decode a group of pictures, however many moments and sizes are wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use argus_core::Timestamp;
use argus_core::ports::{FeedError, Still, StillSpec};
use gstreamer as gst;

use crate::CaptureError;
use crate::gst::decode::Decode;
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
    if shared.newest_arrival().is_none_or(|t| t.elapsed() > FRESH_MAX) {
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
    let mut encoders: Vec<Option<Jpeg>> = specs.iter().map(|_| None).collect();
    let mut stills = Vec::with_capacity(picks.len());
    for (key, members) in groups {
        let last = members.iter().copied().max().unwrap_or(key);
        let group = units.get(key..=last).unwrap_or_default();
        let times: BTreeMap<i64, Timestamp> =
            members.iter().filter_map(|&i| units.get(i)).map(|u| (u.pts_us, u.at)).collect();
        let mut made = decode_group(group, &times, specs, &mut encoders, 0)?;
        if made.is_empty() {
            // A hardware decoder may refuse what the next one takes.
            made = decode_group(group, &times, specs, &mut encoders, 1)?;
        }
        stills.append(&mut made);
    }
    if stills.is_empty() {
        return Err(CaptureError::Decode("no picture came out of the decoder".to_owned()));
    }
    stills.sort_by_key(|sizes: &Vec<Still>| sizes.first().map(|s| s.taken_at));
    Ok(stills)
}

fn decode_group(
    group: &[AccessUnit],
    times: &BTreeMap<i64, Timestamp>,
    specs: &[StillSpec],
    encoders: &mut [Option<Jpeg>],
    nth: usize,
) -> Result<Vec<Vec<Still>>, CaptureError> {
    let Some(first) = group.first() else { return Ok(Vec::new()) };
    let decode = Decode::new(first.format.codec, first.pts_us, nth, None)?;
    for unit in group {
        if !decode.push(unit) {
            break;
        }
    }
    decode.end();
    let mut made = Vec::with_capacity(times.len());
    while made.len() < times.len() {
        let Some((sample, pts_us)) = decode.pull(PATIENCE) else { break };
        let Some(&taken_at) = times.get(&pts_us) else { continue };
        let mut sizes = Vec::with_capacity(specs.len());
        for (spec, slot) in specs.iter().zip(encoders.iter_mut()) {
            sizes.push(encode(&sample, *spec, slot, taken_at)?);
        }
        made.push(sizes);
    }
    Ok(made)
}

fn encode(
    sample: &gst::Sample,
    spec: StillSpec,
    slot: &mut Option<Jpeg>,
    taken_at: Timestamp,
) -> Result<Still, CaptureError> {
    let caps = sample.caps().ok_or_else(|| CaptureError::Decode("a picture without a format".to_owned()))?;
    let encoder = match slot.take() {
        Some(known) if known.takes(caps) => known,
        _ => Jpeg::new(caps.to_owned(), spec)?,
    };
    let encoder = slot.insert(encoder);
    let jpeg = encoder.encode(sample)?;
    let (width, height) = encoder.size();
    Ok(Still { taken_at, width, height, jpeg })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
