//! Moves the beginning of an MP4's presentation without touching its media: the edit list (ISO/IEC 14496-12, 8.6.6).

use std::time::Duration;

/// Changes the one edit of a one-track `moov` box so that `skip` of the presentation lies before its beginning and
/// `length` of it is shown, and sets the durations that follow from it.
///
/// `moov` is the whole box with its header. `None`, and nothing is changed, when it is not laid out as expected.
pub(crate) fn trim(moov: &mut [u8], skip: Duration, length: Duration) -> Option<()> {
    let (mvhd, _) = child(moov, whole(moov)?, b"mvhd")?;
    let (trak, trak_end) = child(moov, whole(moov)?, b"trak")?;
    let (tkhd, _) = child(moov, (trak, trak_end), b"tkhd")?;
    let edts = child(moov, (trak, trak_end), b"edts")?;
    let (elst, _) = child(moov, edts, b"elst")?;
    let mdia = child(moov, (trak, trak_end), b"mdia")?;
    let (mdhd, _) = child(moov, mdia, b"mdhd")?;
    // All of them as version 0, whose times have 32 bits; the muxer writes others only for files of weeks.
    for full_box in [mvhd, tkhd, elst, mdhd] {
        if *moov.get(full_box)? != 0 {
            return None;
        }
    }
    let movie_scale = read(moov, mvhd + 12)?;
    let media_scale = read(moov, mdhd + 12)?;
    // The last edit shows the media; an empty one before it (media time -1) would delay it.
    if read(moov, elst + 4)? != 1 {
        return None;
    }
    let old_length = read(moov, elst + 8)?;
    let old_media_time = read(moov, elst + 12)?;
    if old_media_time == u32::MAX {
        return None;
    }
    let skipped = old_length.saturating_sub(ticks(skip, movie_scale)?);
    let new_length = ticks(length, movie_scale)?.min(skipped).max(1);
    let new_media_time = old_media_time.checked_add(ticks(skip, media_scale)?)?;
    let places =
        [(elst + 8, new_length), (elst + 12, new_media_time), (tkhd + 20, new_length), (mvhd + 16, new_length)];
    for (at, _) in places {
        read(moov, at)?;
    }
    for (at, value) in places {
        moov.get_mut(at..at + 4)?.copy_from_slice(&value.to_be_bytes());
    }
    Some(())
}

/// The place of the `moov` box in a file that begins with these bytes: offset and size. `None`: it is not within
/// them, or comes after the media.
pub(crate) fn find_moov(head: &[u8]) -> Option<(u64, u64)> {
    let mut at = 0_usize;
    loop {
        let size = usize::try_from(read(head, at)?).ok()?;
        match head.get(at + 4..at + 8)? {
            b"moov" => return Some((u64::try_from(at).ok()?, u64::try_from(size).ok()?)),
            b"mdat" => return None,
            _ if size < 8 => return None,
            _ => at = at.checked_add(size)?,
        }
    }
}

fn ticks(d: Duration, scale: u32) -> Option<u32> {
    u32::try_from((d.as_micros() * u128::from(scale) + 500_000) / 1_000_000).ok()
}

fn read(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The content of the box that `bytes` is.
fn whole(bytes: &[u8]) -> Option<(usize, usize)> {
    let size = usize::try_from(read(bytes, 0)?).ok()?;
    (size >= 8 && size <= bytes.len()).then_some((8, size))
}

/// The content of the first box of that kind within a range.
fn child(bytes: &[u8], (begin, end): (usize, usize), kind: &[u8; 4]) -> Option<(usize, usize)> {
    let mut at = begin;
    while at + 8 <= end {
        let size = usize::try_from(read(bytes, at)?).ok()?;
        let next = at.checked_add(size)?;
        if size < 8 || next > end {
            return None;
        }
        if bytes.get(at + 4..at + 8)? == kind {
            return Some((at + 8, next));
        }
        at = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(content.len() + 8).unwrap().to_be_bytes().to_vec();
        out.extend_from_slice(kind);
        out.extend_from_slice(content);
        out
    }

    fn words(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_be_bytes()).collect()
    }

    fn moov(edits: &[u32]) -> Vec<u8> {
        let mvhd = boxed(b"mvhd", &words(&[0, 1, 2, 3000, 12_000, 0]));
        let tkhd = boxed(b"tkhd", &words(&[7, 1, 2, 1, 0, 12_000, 0]));
        let elst = boxed(b"elst", &words(edits));
        let mdhd = boxed(b"mdhd", &words(&[0, 1, 2, 90_000, 360_000, 0]));
        let trak = [tkhd, boxed(b"edts", &elst), boxed(b"mdia", &mdhd)].concat();
        boxed(b"moov", &[mvhd, boxed(b"trak", &trak)].concat())
    }

    fn at(bytes: &[u8], kind: &[u8; 4], word: usize) -> u32 {
        let i = bytes.windows(4).position(|w| w == kind).unwrap();
        read(bytes, i + 4 + 4 * word).unwrap()
    }

    #[test]
    fn begins_later_and_ends_earlier() {
        let mut m = moov(&[0, 1, 12_000, 6000, 0x1_0000]);
        trim(&mut m, Duration::from_millis(1500), Duration::from_secs(2)).unwrap();
        assert_eq!(at(&m, b"elst", 2), 6000);
        assert_eq!(at(&m, b"elst", 3), 6000 + 135_000);
        assert_eq!(at(&m, b"tkhd", 5), 6000);
        assert_eq!(at(&m, b"mvhd", 4), 6000);
        assert_eq!(at(&m, b"mdhd", 4), 360_000, "the media is as it was");
    }

    #[test]
    fn shows_no_more_than_there_is() {
        let mut m = moov(&[0, 1, 12_000, 0, 0x1_0000]);
        trim(&mut m, Duration::from_millis(500), Duration::from_secs(60)).unwrap();
        assert_eq!(at(&m, b"elst", 2), 10_500);
    }

    #[test]
    fn what_is_laid_out_otherwise_stays_as_it_is() {
        for edits in [&[0, 2, 5, u32::MAX, 1, 12_000, 0, 1][..], &[0, 1, 5, u32::MAX, 1], &[0x0100_0000, 1, 5, 0, 1]] {
            let mut m = moov(edits);
            let before = m.clone();
            assert_eq!(trim(&mut m, Duration::from_secs(1), Duration::from_secs(1)), None);
            assert_eq!(m, before);
        }
        let whole = moov(&[0, 1, 12_000, 0, 0x1_0000]);
        for cut in 0..whole.len() {
            assert_eq!(trim(&mut whole[..cut].to_vec(), Duration::ZERO, Duration::from_secs(1)), None);
        }
    }

    #[test]
    fn the_index_is_found_before_the_media_only() {
        let ftyp = boxed(b"ftyp", &[0; 16]);
        let index = moov(&[0, 1, 1, 0, 1]);
        let size = u64::try_from(index.len()).unwrap();
        assert_eq!(find_moov(&[ftyp.clone(), index.clone()].concat()), Some((24, size)));
        assert_eq!(find_moov(&[ftyp, boxed(b"mdat", &[0; 9]), index].concat()), None);
        assert_eq!(find_moov(&[0, 0, 0, 1]), None);
    }
}
