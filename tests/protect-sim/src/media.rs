//! Pictures and clips that say which moment they show.
//!
//! A JPEG carries it twice: as a comment segment, and as a field of 8 × 8 light and dark cells that survives recoding (48
//! bits of the time in milliseconds since 1970, 16 bits of a sum over it and the camera; most significant first). A clip
//! carries it in the creation time of its `mvhd` box, and in full in a `free` box at its end.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

const MARK: &str = "protect-sim";
const LIGHT: u8 = 220;
const DARK: u8 = 30;
/// Seconds between 1904, where MP4 counts from, and 1970.
const MP4_EPOCH: i64 = 2_082_844_800;
/// Consoles cut at key frames, which come that often.
const KEY_FRAMES_MS: i64 = 5000;

/// What a picture shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Such as `snapshot`, `recording`, `thumbnail`, `package`.
    pub kind: String,
    /// Id of the camera.
    pub camera: String,
    /// Milliseconds since 1970, by the console's clock.
    pub at_ms: i64,
}

/// What a clip holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipShown {
    /// Id of the camera.
    pub camera: String,
    /// Channel, or `lens2`.
    pub channel: String,
    /// The true start: what was asked for, moved back to a key frame. Milliseconds since 1970.
    pub start_ms: i64,
    /// As asked for.
    pub end_ms: i64,
}

/// Reads a picture's comment.
#[must_use]
pub fn read_picture(jpeg: &[u8]) -> Option<Shown> {
    let text = comment(jpeg)?;
    let mut words = text.strip_prefix(MARK)?.split_whitespace();
    let shown = Shown { kind: words.next()?.into(), camera: words.next()?.into(), at_ms: words.next()?.parse().ok()? };
    Some(shown)
}

/// Reads the cells of a picture, whatever was done to it: the time, when the sum over it and the camera is right.
#[must_use]
pub fn read_cells(picture: &[u8], camera: &str) -> Option<i64> {
    let luma = image::load_from_memory(picture).ok()?.to_luma8();
    let mut bits = 0_u64;
    for cell in 0..64_u32 {
        let x = (luma.width() * (2 * (cell % 8) + 1)) / 16;
        let y = (luma.height() * (2 * (cell / 8) + 1)) / 16;
        let is_light = luma.get_pixel_checked(x, y)?.0.first()? > &((LIGHT + DARK) / 2);
        bits = (bits << 1) | u64::from(is_light);
    }
    let at_ms = i64::try_from(bits >> 16).ok()?;
    (cells(camera, at_ms) == bits).then_some(at_ms)
}

/// Reads what a clip says of itself.
#[must_use]
pub fn read_clip(mp4: &[u8]) -> Option<ClipShown> {
    let (at, size) = boxes(mp4).filter(|(kind, ..)| kind == b"free").map(|(_, at, size)| (at, size)).last()?;
    let text = std::str::from_utf8(mp4.get(at + 8..at + size)?).ok()?;
    let mut words = text.strip_prefix(MARK)?.split_whitespace();
    Some(ClipShown {
        camera: words.next()?.into(),
        channel: words.next()?.into(),
        start_ms: words.next()?.parse().ok()?,
        end_ms: words.next()?.parse().ok()?,
    })
}

/// A picture of a moment.
pub(crate) fn picture(shown: &Shown, (width, height): (u32, u32)) -> Vec<u8> {
    let bits = cells(&shown.camera, shown.at_ms);
    let across = |n: u32, whole: u32| (n * 8 / whole.max(1)).min(7);
    let mut pixels = Vec::with_capacity(usize::try_from(width * height).unwrap_or(0));
    for y in 0..height {
        for x in 0..width {
            let cell = across(y, height) * 8 + across(x, width);
            pixels.push(if (bits >> (63 - cell)) & 1 == 1 { LIGHT } else { DARK });
        }
    }
    let mut jpeg = Vec::new();
    if JpegEncoder::new_with_quality(&mut jpeg, 60).encode(&pixels, width, height, ExtendedColorType::L8).is_err() {
        return Vec::new();
    }
    // The comment goes right behind the start marker.
    let text = format!("{MARK} {} {} {}", shown.kind, shown.camera, shown.at_ms);
    let length = u16::try_from(text.len() + 2).unwrap_or(2).to_be_bytes();
    let rest = jpeg.split_off(2.min(jpeg.len()));
    jpeg.extend([0xff, 0xfe]);
    jpeg.extend(length);
    jpeg.extend(text.into_bytes());
    jpeg.extend(rest);
    jpeg
}

/// A picture without a moment, for heat maps.
pub(crate) fn heatmap() -> Vec<u8> {
    let mut png = Vec::new();
    let pixels = [0_u8; 64 * 36];
    // Writing into a vector cannot fail.
    let _ = PngEncoder::new(&mut png).write_image(&pixels, 64, 36, ExtendedColorType::L8);
    png
}

/// The smallest GIF there is, for moving thumbnails.
pub(crate) const GIF: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x00\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// A clip of a time: the given film, marked with it.
pub(crate) fn clip(film: &[u8], camera: &str, channel: &str, start_ms: i64, end_ms: i64) -> Vec<u8> {
    let start_ms = start_ms.div_euclid(KEY_FRAMES_MS) * KEY_FRAMES_MS;
    let mut mp4 = film.to_vec();
    let header = boxes(film).find(|(kind, ..)| kind == b"moov").and_then(|(_, at, size)| {
        let inner = film.get(at + 8..at + size)?;
        let (_, inside, _) = boxes(inner).find(|(kind, ..)| kind == b"mvhd")?;
        Some(at + 8 + inside)
    });
    let seconds = u32::try_from(start_ms.div_euclid(1000) + MP4_EPOCH).unwrap_or(0);
    // A version 0 box: 8 bytes of head, 4 of version and flags, then the time.
    if let Some(place) = header.and_then(|at| mp4.get_mut(at + 12..at + 16)) {
        place.copy_from_slice(&seconds.to_be_bytes());
    }
    let text = format!("{MARK} {camera} {channel} {start_ms} {end_ms}");
    let size = u32::try_from(text.len() + 8).unwrap_or(8);
    mp4.extend(size.to_be_bytes());
    mp4.extend(b"free");
    mp4.extend(text.into_bytes());
    mp4
}

fn cells(camera: &str, at_ms: i64) -> u64 {
    let time = u64::try_from(at_ms).unwrap_or(0) & 0xffff_ffff_ffff;
    let sum =
        camera.bytes().chain(time.to_be_bytes()).fold(0x1d0f_u64, |sum, byte| (sum * 31 + u64::from(byte)) & 0xffff);
    (time << 16) | sum
}

/// The text of the first comment segment of a JPEG.
fn comment(jpeg: &[u8]) -> Option<String> {
    let mut rest = jpeg.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let [0xff, marker, high, low, ..] = rest else { return None };
        let size = usize::from(u16::from_be_bytes([*high, *low]));
        if *marker == 0xfe {
            return String::from_utf8(rest.get(4..2 + size)?.to_vec()).ok();
        }
        rest = rest.get(2 + size..)?;
    }
}

/// Kind, place and size of each box that follows another.
fn boxes(mp4: &[u8]) -> impl Iterator<Item = ([u8; 4], usize, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let [a, b, c, d, k, i, n, e, ..] = mp4.get(at..)? else { return None };
        let size = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?;
        let found = ([*k, *i, *n, *e], at, size);
        // Sizes 0 and 1 have a meaning that no film here uses.
        at += size.max(8);
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_says_what_it_shows() {
        let shown = Shown { kind: "snapshot".into(), camera: "1c9a2db4".into(), at_ms: 1_785_563_290_740 };
        for size in [(640, 360), (320, 180), (97, 53)] {
            let jpeg = picture(&shown, size);
            assert_eq!(read_picture(&jpeg), Some(shown.clone()));
            assert_eq!(read_cells(&jpeg, "1c9a2db4"), Some(shown.at_ms));
            assert_eq!(read_cells(&jpeg, "another"), None);
            assert!(jpeg.ends_with(&[0xff, 0xd9]));
        }
    }

    #[test]
    fn a_clip_says_what_it_holds() {
        let mp4 = clip(crate::fixtures::CLIP, "1c9a", "0", 1_785_563_293_740, 1_785_563_299_999);
        let shown = ClipShown {
            camera: "1c9a".into(),
            channel: "0".into(),
            start_ms: 1_785_563_290_000,
            end_ms: 1_785_563_299_999,
        };
        assert_eq!(read_clip(&mp4), Some(shown));
        let differ = mp4.iter().zip(crate::fixtures::CLIP).filter(|(a, b)| a != b).count();
        assert!((1..=4).contains(&differ), "the creation time alone: {differ}");
    }
}
