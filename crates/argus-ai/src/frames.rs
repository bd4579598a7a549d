//! Which pictures a provider gets, and in which form.
//!
//! A picture goes out byte for byte as it is stored wherever the provider takes it, so that what left can be shown. Only
//! one that is too large is made smaller. When the movement covers a small part of the picture, that part is sent once
//! more, enlarged: vendors shrink what they get, and a person in the distance would be lost by it.
//!
//! What was made of a stored picture is written down as geometry ([`Shot`]) and made again from it when the request is
//! repeated.

use argus_core::describe::DescribeFrame;
use argus_core::event::Area;
use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{ImageFormat, ImageReader};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Pictures are shrunk to this, longer side, pixels: Anthropic refuses larger ones when there are more than 20
/// (<https://platform.claude.com/docs/en/build-with-claude/vision>), the others shrink them themselves, and a Full HD
/// picture passes.
const MAX_SIDE_PX: u32 = 2000;
/// Larger files are packed anew; the strictest vendor takes 5 MB after base64 (Anthropic).
const MAX_FILE_BYTES: usize = 3_700_000;
/// All files together; the strictest vendor takes requests of 20 MB with base64 (Gemini,
/// <https://ai.google.dev/gemini-api/docs/image-understanding>).
const MAX_TOTAL_BYTES: usize = 14_000_000;
/// Of what is made anew.
const JPEG_QUALITY: u8 = 85;
/// A movement that is lower than that in the picture as it is sent is shown enlarged, pixels: a person of 1.7 m at 125
/// pixels a metre, from which on somebody known is recognised (EN 62676-4, annex B).
const SMALL_PX: f64 = 212.0;
/// It is enlarged at least so many times, or it is not sent once more: it costs as much as another picture.
const MIN_GAIN: f64 = 2.0;
/// So much of the movement's own size is shown around it on each side.
const MARGIN: f64 = 0.5;
/// No smaller part is shown, pixels.
const MIN_CROP_PX: f64 = 160.0;
/// A part that is not much smaller than the whole shows nothing new.
const MAX_CROP_RATIO: f64 = 0.4;
/// An enlarged part's longer side, pixels.
const CROP_SIDE_PX: u32 = 1024;
/// A part is enlarged at most so many times: more is only blur.
const MAX_ENLARGED: u32 = 3;

/// A part of a picture, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Crop {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// How a picture is made of a stored one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shot {
    /// The stored picture.
    pub(crate) index: u32,
    /// When that was taken, from the event's start.
    pub(crate) offset_ms: i64,
    /// The part that is shown; `None`: all of it.
    pub(crate) crop: Option<Crop>,
    /// In which size, pixels.
    pub(crate) width: u32,
    /// The same upright.
    pub(crate) height: u32,
    /// Whether the stored file itself is sent.
    pub(crate) as_stored: bool,
}

/// A picture as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) shot: Shot,
    pub(crate) bytes: Bytes,
    /// Of the bytes, hex.
    pub(crate) sha256: String,
}

/// Chooses what is sent to a provider that takes at most so many pictures.
pub(crate) fn choose(frames: &[DescribeFrame], area: Option<Area>, max_images: u32) -> Vec<Shot> {
    let most = usize::try_from(max_images).unwrap_or(usize::MAX);
    let mut chosen = spread(frames, most);
    let total = |chosen: &[&DescribeFrame]| chosen.iter().map(|f| f.jpeg.len().min(MAX_FILE_BYTES)).sum::<usize>();
    while chosen.len() > 1 && total(&chosen) > MAX_TOTAL_BYTES {
        chosen = spread(frames, chosen.len() - 1);
    }
    let mut shots: Vec<Shot> = chosen.iter().map(|frame| whole(frame)).collect();
    if shots.len() < most
        && let Some(shot) = chosen.get(chosen.len() / 2).zip(area).and_then(|(frame, area)| part(frame, area))
    {
        shots.push(shot);
    }
    shots
}

/// At most so many, evenly, the first and the last among them.
fn spread(frames: &[DescribeFrame], most: usize) -> Vec<&DescribeFrame> {
    if frames.len() <= most {
        return frames.iter().collect();
    }
    match most {
        0 => Vec::new(),
        1 => frames.get(frames.len() / 2).into_iter().collect(),
        _ => (0..most).filter_map(|n| frames.get(n * (frames.len() - 1) / (most - 1))).collect(),
    }
}

fn whole(frame: &DescribeFrame) -> Shot {
    let (width, height) = within(frame.width, frame.height, MAX_SIDE_PX);
    let as_stored = (width, height) == (frame.width, frame.height) && frame.jpeg.len() <= MAX_FILE_BYTES;
    Shot { index: frame.index, offset_ms: frame.offset_ms, crop: None, width, height, as_stored }
}

/// The part of a picture where something moved, when that is small and can be shown much larger.
fn part(frame: &DescribeFrame, area: Area) -> Option<Shot> {
    let whole = whole(frame);
    let sane = [area.x, area.y, area.width, area.height].iter().all(|v| (0.0..=1.0).contains(v));
    if !sane || area.width * area.height <= 0.0 || frame.width == 0 || frame.height == 0 {
        return None;
    }
    if area.height * f64::from(whole.height) >= SMALL_PX {
        return None;
    }
    let (x, width) = stretch(area.x, area.width, frame.width);
    let (y, height) = stretch(area.y, area.height, frame.height);
    if f64::from(width) * f64::from(height) > MAX_CROP_RATIO * f64::from(frame.width) * f64::from(frame.height) {
        return None;
    }
    let times = (CROP_SIDE_PX / width.max(height).max(1)).clamp(1, MAX_ENLARGED);
    let (out_width, out_height) = within(width * times, height * times, CROP_SIDE_PX);
    let scale = |out: u32, of: u32| f64::from(out) / f64::from(of.max(1));
    if scale(out_height, height) < MIN_GAIN * scale(whole.height, frame.height) {
        return None;
    }
    Some(Shot {
        index: frame.index,
        offset_ms: frame.offset_ms,
        crop: Some(Crop { x, y, width, height }),
        width: out_width,
        height: out_height,
        as_stored: false,
    })
}

/// Begin and length of a side with its margins, pixels inside of the picture.
fn stretch(begin: f64, length: f64, side: u32) -> (u32, u32) {
    let full = f64::from(side);
    let long = (length * (1.0 + 2.0 * MARGIN) * full).max(MIN_CROP_PX).min(full);
    let from = ((begin + length / 2.0) * full - long / 2.0).clamp(0.0, full - long);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both lie between 0 and a u32")]
    let (from, long) = (from.floor() as u32, long.floor() as u32);
    (from, long.clamp(1, side - from.min(side - 1)))
}

/// The size that fits into a square, with the same proportions.
fn within(width: u32, height: u32, side: u32) -> (u32, u32) {
    let longer = width.max(height);
    if longer <= side {
        return (width, height);
    }
    let scale = |px: u32| u32::try_from(u64::from(px) * u64::from(side) / u64::from(longer)).unwrap_or(side).max(1);
    (scale(width), scale(height))
}

/// Makes the pictures; takes milliseconds for each that is not sent as it is stored. One that cannot be made is left
/// out when it is a part, and sent as it is stored when it is not.
pub(crate) fn make(frames: &[DescribeFrame], shots: &[Shot]) -> Vec<Picture> {
    shots
        .iter()
        .filter_map(|shot| {
            let frame = frames.iter().find(|frame| frame.index == shot.index)?;
            if shot.as_stored {
                return Some(stored(frame, shot));
            }
            let made = remade(frame, shot);
            if made.is_none() && shot.crop.is_none() {
                return Some(stored(frame, shot));
            }
            made
        })
        .collect()
}

fn stored(frame: &DescribeFrame, shot: &Shot) -> Picture {
    let shot = Shot { width: frame.width, height: frame.height, as_stored: true, ..shot.clone() };
    Picture { shot, bytes: frame.jpeg.clone(), sha256: frame.sha256.clone() }
}

fn remade(frame: &DescribeFrame, shot: &Shot) -> Option<Picture> {
    let reader = ImageReader::with_format(std::io::Cursor::new(&frame.jpeg), ImageFormat::Jpeg);
    let mut image = reader.decode().ok()?;
    if let Some(Crop { x, y, width, height }) = shot.crop {
        if u64::from(x) + u64::from(width) > image.width().into()
            || u64::from(y) + u64::from(height) > image.height().into()
        {
            return None;
        }
        image = image.crop_imm(x, y, width, height);
    }
    if (image.width(), image.height()) != (shot.width, shot.height) {
        image = image.resize_exact(shot.width, shot.height, FilterType::Triangle);
    }
    let mut bytes = Vec::new();
    image.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)).ok()?;
    let sha256 = hex(&bytes);
    Some(Picture { shot: shot.clone(), bytes: bytes.into(), sha256 })
}

/// SHA-256, hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::jpeg;

    fn frame(index: u32, width: u32, height: u32) -> DescribeFrame {
        let jpeg = Bytes::from(jpeg(width, height));
        DescribeFrame { index, offset_ms: i64::from(index) * 500, sha256: hex(&jpeg), jpeg, width, height }
    }

    fn area(x: f64, y: f64, width: f64, height: f64) -> Option<Area> {
        Some(Area { x, y, width, height })
    }

    fn indices(shots: &[Shot]) -> Vec<(u32, bool)> {
        shots.iter().map(|s| (s.index, s.crop.is_some())).collect()
    }

    #[test]
    fn a_picture_that_fits_is_sent_as_it_is_stored() {
        let frames = [frame(0, 64, 48), frame(1, 64, 48)];
        let made = make(&frames, &choose(&frames, None, 20));
        assert_eq!(made.len(), 2);
        for (picture, frame) in made.iter().zip(&frames) {
            assert_eq!((&picture.bytes, &picture.sha256), (&frame.jpeg, &frame.sha256));
        }
    }

    #[test]
    fn a_provider_gets_no_more_than_it_takes() {
        let frames: Vec<DescribeFrame> = (0..10).map(|n| frame(n, 16, 16)).collect();
        let of = |most| choose(&frames, None, most).iter().map(|s| s.index).collect::<Vec<_>>();
        assert_eq!(of(20), (0..10).collect::<Vec<_>>());
        assert_eq!(of(4), [0, 3, 6, 9]);
        assert_eq!(of(2), [0, 9]);
        assert_eq!(of(1), [5]);
        assert_eq!(of(0), Vec::<u32>::new());
    }

    #[test]
    fn a_request_does_not_grow_beyond_what_is_taken() {
        let large = |index| DescribeFrame { jpeg: Bytes::from(vec![0; 2_000_000]), ..frame(index, 16, 16) };
        let frames: Vec<DescribeFrame> = (0..20).map(large).collect();
        let shots = choose(&frames, None, 500);
        assert_eq!(shots.iter().map(|s| s.index).collect::<Vec<_>>(), [0, 3, 6, 9, 12, 15, 19]);
    }

    #[test]
    fn a_large_picture_is_shrunk() {
        let frames = [frame(0, 4096, 1024)];
        let made = make(&frames, &choose(&frames, None, 20));
        assert_eq!((made[0].shot.width, made[0].shot.height, made[0].shot.as_stored), (2000, 500, false));
        let image = image::load_from_memory(&made[0].bytes).unwrap();
        assert_eq!((image.width(), image.height()), (2000, 500));
        assert_eq!(made[0].sha256, hex(&made[0].bytes));
    }

    #[test]
    fn a_small_movement_is_shown_enlarged() {
        let frames: Vec<DescribeFrame> = (0..3).map(|n| frame(n, 1280, 720)).collect();
        let shots = choose(&frames, area(0.7, 0.5, 0.1, 0.2), 20);
        assert_eq!(indices(&shots), [(0, false), (1, false), (2, false), (1, true)]);
        let crop = shots[3].crop.unwrap();
        assert_eq!((crop.x, crop.y, crop.width, crop.height), (832, 288, 256, 288));
        assert_eq!((shots[3].width, shots[3].height), (768, 864));
        // Twice the same: a repeated request must be able to make it again.
        assert_eq!(make(&frames, &shots), make(&frames, &shots));
        // No place is left for it.
        assert_eq!(choose(&frames, area(0.7, 0.5, 0.1, 0.2), 3).len(), 3);
    }

    #[test]
    fn a_part_is_shown_only_when_that_helps() {
        let shows = |area, (width, height)| {
            let frames = [frame(0, width, height)];
            choose(&frames, area, 20).len() == 2
        };
        assert!(shows(area(0.0, 0.0, 0.05, 0.05), (1280, 720)));
        assert!(shows(area(0.97, 0.97, 0.03, 0.03), (1280, 720)));
        assert!(!shows(None, (1280, 720)));
        assert!(!shows(area(0.1, 0.1, 0.5, 0.5), (1280, 720)), "the movement is large");
        assert!(shows(area(0.4, 0.4, 0.05, 0.29), (1280, 720)), "a person of 209 pixels");
        assert!(!shows(area(0.4, 0.4, 0.05, 0.3), (1280, 720)), "a person of 216 pixels");
        assert!(!shows(area(0.1, 0.4, 0.4, 0.1), (1280, 720)), "it went so far that it could not be shown larger");
        assert!(shows(area(0.4, 0.4, 0.04, 0.15), (2560, 1440)), "what is shrunk gains the more");
        assert!(!shows(area(0.1, 0.1, 0.1, 0.1), (200, 160)), "the part is nearly the whole");
        for broken in [area(0.1, 0.1, 0.0, 0.1), area(f64::NAN, 0.1, 0.1, 0.1), area(0.1, 1.5, 0.1, 0.1)] {
            assert!(!shows(broken, (1280, 720)), "{broken:?}");
        }
    }

    #[test]
    fn what_is_no_picture_is_sent_as_it_is_and_never_cut() {
        let mut broken = frame(0, 16, 16);
        (broken.jpeg, broken.width, broken.height) = (Bytes::from_static(b"\xff\xd8no"), 4000, 3000);
        let frames = [broken];
        let made = make(&frames, &choose(&frames, area(0.5, 0.5, 0.05, 0.05), 20));
        assert_eq!(made.len(), 1);
        assert_eq!((&made[0].bytes, made[0].shot.as_stored), (&frames[0].jpeg, true));
    }

    #[test]
    fn a_part_never_leaves_the_picture() {
        for (x, w) in [(0.0, 0.01), (0.99, 0.01), (0.5, 0.3), (0.0, 1.0)] {
            for side in [1, 100, 161, 1920] {
                let (from, long) = stretch(x, w, side);
                assert!(long >= 1 && from + long <= side, "{x} {w} {side}: {from} {long}");
            }
        }
    }
}
