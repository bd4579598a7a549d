//! A picture that somebody sent: decoded within bounds, and brought into the form that describers take.

use std::io::Cursor;
use std::sync::Arc;

use argus_core::Invalid;
use argus_core::describe::{DescribeFrame, PictureFacts};
use argus_core::ports::ControlError;
use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use sha2::{Digest, Sha256};

use crate::Engine;
use crate::lifecycle::hex;

/// Largest picture.
const PIXELS: u64 = 50_000_000;
/// Longest side: no picture has more than this many pixels in a row or column.
const SIDE_PX: u32 = 65_500;
/// What decoding may take: four bytes for each pixel, and as much again for the decoder.
const MEMORY: u64 = 400 << 20;
/// Describers see no more than this; larger pictures are made smaller.
const SENT_SIDE_PX: u32 = 2048;
/// Points on a side by which the light of a picture is measured.
const GRID: u32 = 32;
/// Of the JPEG that is made of another format, or of a picture that was made smaller.
const QUALITY: u8 = 90;

/// The picture as it is sent.
struct Prepared {
    jpeg: Bytes,
    width: u32,
    height: u32,
    measured: PictureFacts,
}

fn bad(reason: impl Into<String>) -> ControlError {
    ControlError::Invalid(Invalid::new("image", reason).into())
}

fn unreadable(error: image::ImageError) -> ControlError {
    match error {
        image::ImageError::Limits(_) => bad("takes too much memory to be decoded"),
        other => bad(format!("cannot be decoded: {other}")),
    }
}

/// Decodes a picture, whatever its format, and gives a JPEG: the file itself where nothing has to be changed.
fn prepare(file: Bytes) -> Result<Prepared, ControlError> {
    let mut reader = ImageReader::new(Cursor::new(file.as_ref()));
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY);
    limits.max_image_width = Some(SIDE_PX);
    limits.max_image_height = Some(SIDE_PX);
    reader.limits(limits);
    let reader = reader.with_guessed_format().map_err(|e| bad(format!("cannot be read: {e}")))?;
    let format = match reader.format() {
        Some(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) => format,
        _ => return Err(bad("is neither JPEG nor PNG nor WebP")),
    };
    if format == ImageFormat::Jpeg && !is_whole(&file) {
        return Err(bad("cannot be decoded: the JPEG is cut off"));
    }
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS {
        return Err(bad(format!("has {width} x {height} pixels, more than {} million", PIXELS / 1_000_000)));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    let measured = measured(&picture, orientation);
    let large = width > SENT_SIDE_PX || height > SENT_SIDE_PX;
    if format == ImageFormat::Jpeg && !large && orientation == Orientation::NoTransforms {
        return Ok(Prepared { jpeg: file, width, height, measured });
    }
    picture.apply_orientation(orientation);
    if large {
        picture = picture.resize(SENT_SIDE_PX, SENT_SIDE_PX, image::imageops::FilterType::Triangle);
    }
    let picture = picture.into_rgb8();
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&picture).map_err(unreadable)?;
    Ok(Prepared { width: picture.width(), height: picture.height(), jpeg: jpeg.into(), measured })
}

/// Whether a JPEG comes to its end marker; the decoder fills up with grey what is missing. Segments are stepped over by
/// their length: a thumbnail inside one has an end marker of its own (ITU-T T.81, annex B).
fn is_whole(jpeg: &[u8]) -> bool {
    const END: u8 = 0xD9;
    const SCAN: u8 = 0xDA;
    let mut at = 2;
    loop {
        match (jpeg.get(at), jpeg.get(at + 1)) {
            (Some(0xFF), Some(&END)) => return true,
            // Fill bytes, and markers without a segment.
            (Some(0xFF), Some(0xFF)) => at += 1,
            (Some(0xFF), Some(0x01 | 0xD0..=0xD8)) => at += 2,
            (Some(0xFF), Some(&marker)) => {
                let Some([high, low]) = jpeg.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([*high, *low]).max(2));
                if marker == SCAN {
                    at = scan_end(jpeg, at);
                }
            }
            // What should not be between segments, and is of no consequence.
            (Some(_), _) => at += 1,
            (None, _) => return false,
        }
    }
}

/// Where the data of a scan end: at a marker that is neither a stuffed byte nor a restart.
fn scan_end(jpeg: &[u8], from: usize) -> usize {
    let data = jpeg.get(from..).unwrap_or_default();
    let is_marker = |pair: &[u8]| matches!(pair, [0xFF, next] if !matches!(next, 0x00 | 0xD0..=0xD7 | 0xFF));
    data.windows(2).position(is_marker).map_or(jpeg.len(), |place| from + place)
}

/// What every picture has: its size as it is looked at, and its light.
fn measured(picture: &DynamicImage, orientation: Orientation) -> PictureFacts {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let lies = matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
    let (width, height) = if lies { (picture.height(), picture.width()) } else { (picture.width(), picture.height()) };
    let small = picture.thumbnail_exact(GRID, GRID).into_luma8();
    let sum: u32 = small.pixels().map(|pixel| u32::from(pixel.0[0])).sum();
    let mean = sum / (GRID * GRID);
    PictureFacts { width, height, brightness: u8::try_from(mean).unwrap_or(u8::MAX) }
}

impl Engine {
    /// Makes of a file the one picture of a question.
    pub(super) async fn picture(&self, file: Bytes) -> Result<(DescribeFrame, PictureFacts), ControlError> {
        let stopping = |_closed| ControlError::Unavailable("the server is stopping".into());
        let turn = Arc::clone(&self.deps.decoding).acquire_owned().await.map_err(stopping)?;
        #[expect(clippy::disallowed_methods, reason = "decoding takes up to a second of computing")]
        let task = tokio::task::spawn_blocking(move || {
            // Held here: whoever asked may be gone, and the memory is in use until this ends.
            let _turn = turn;
            prepare(file)
        });
        let prepared = task.await.map_err(|_panicked| bad("cannot be decoded"))??;
        let frame = DescribeFrame {
            index: 0,
            offset_ms: 0,
            sha256: hex(&Sha256::digest(&prepared.jpeg)),
            width: prepared.width,
            height: prepared.height,
            jpeg: prepared.jpeg,
        };
        Ok((frame, prepared.measured))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(width: u32, height: u32, format: ImageFormat) -> Bytes {
        let picture = DynamicImage::ImageRgb8(image::RgbImage::from_fn(width, height, |x, y| {
            let at = |v: u32| u8::try_from(v % 256).unwrap();
            image::Rgb([at(x), at(y), at(x + y)])
        }));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner().into()
    }

    #[test]
    fn size_and_light_are_measured_as_the_picture_is_looked_at() {
        let facts = |width, height, level| {
            let picture = image::RgbImage::from_pixel(width, height, image::Rgb([level; 3]));
            let mut bytes = Cursor::new(Vec::new());
            DynamicImage::ImageRgb8(picture).write_to(&mut bytes, ImageFormat::Png).unwrap();
            prepare(bytes.into_inner().into()).unwrap().measured
        };
        // As it was sent, however small it is made for the describers; shrinking rounds.
        for (width, height, level) in [(64, 36, 10), (3000, 3, 250)] {
            let facts = facts(width, height, level);
            assert_eq!((facts.width, facts.height), (width, height));
            assert!(facts.brightness.abs_diff(level) <= 1, "{facts:?}");
        }
        let picture = DynamicImage::ImageRgb8(image::RgbImage::new(64, 36));
        assert_eq!(measured(&picture, Orientation::Rotate90).height, 64);
    }

    fn refusal(file: Bytes) -> String {
        prepare(file).err().unwrap().to_string()
    }

    #[test]
    fn a_jpeg_that_is_cut_off_is_refused() {
        let whole = file(640, 360, ImageFormat::Jpeg);
        for bytes in [700, whole.len() / 2, whole.len() - 2, whole.len() - 1] {
            let reason = refusal(whole.slice(..bytes));
            assert!(reason.contains("cut off"), "{bytes} of {}: {reason}", whole.len());
        }
        // What comes after the end does not matter.
        let more = [&whole[..], b"a camera's own notes"].concat();
        assert!(prepare(more.into()).is_ok());
    }

    #[test]
    fn the_end_of_a_thumbnail_is_not_that_of_its_picture() {
        let thumbnail = [0xFF, 0xE1, 0x00, 0x06, 0xFF, 0xD8, 0xFF, 0xD9];
        let scan = [0xFF, 0xDA, 0x00, 0x02, 0x12, 0xFF, 0x00, 0x34, 0xFF, 0xD0, 0x56];
        let check = |parts: &[&[u8]], expected| assert_eq!(is_whole(&parts.concat()), expected, "{parts:?}");
        check(&[&[0xFF, 0xD8], &thumbnail, &scan, &[0xFF, 0xD9]], true);
        check(&[&[0xFF, 0xD8], &thumbnail, &scan, &[0xFF, 0xFF, 0xD9]], true);
        // Several scans, as of a progressive picture, and padding between segments.
        check(&[&[0xFF, 0xD8], &scan, &scan, &[0, 0], &thumbnail, &[0xFF, 0xD9]], true);
        check(&[&[0xFF, 0xD8], &thumbnail, &scan], false);
        check(&[&[0xFF, 0xD8], &thumbnail], false);
        check(&[&[0xFF, 0xD8], &thumbnail[..6]], false);
        check(&[&[0xFF, 0xD8, 0xFF]], false);
        check(&[&[0xFF, 0xD8]], false);
        check(&[], false);
    }

    #[test]
    fn every_format_becomes_a_jpeg_and_a_jpeg_stays_what_it_is() {
        let jpeg = file(64, 36, ImageFormat::Jpeg);
        assert_eq!(prepare(jpeg.clone()).unwrap().jpeg, jpeg);
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let made = prepare(file(64, 36, format)).unwrap();
            assert_eq!((made.width, made.height), (64, 36));
            assert_eq!(image::guess_format(&made.jpeg).unwrap(), ImageFormat::Jpeg);
        }
        let small = prepare(file(3000, 300, ImageFormat::Jpeg)).unwrap();
        assert_eq!((small.width, small.height), (2048, 205));
    }

    #[test]
    fn what_is_no_picture_or_too_large_is_refused() {
        assert!(refusal(Bytes::from_static(b"GIF89a, says it")).contains("neither JPEG nor PNG nor WebP"));
        let whole = file(640, 360, ImageFormat::Png);
        assert!(refusal(whole.slice(..whole.len() / 2)).contains("cannot be decoded"));
        // A head that promises more than fifty million pixels, and nothing else.
        let mut head = whole.to_vec();
        head[16..24].copy_from_slice(&[0, 0, 0xf0, 0, 0, 0, 0xf0, 0]);
        let sum = crc(&head[12..29]);
        head[29..33].copy_from_slice(&sum.to_be_bytes());
        let said = refusal(head.into());
        assert!(said.contains("61440 x 61440 pixels") || said.contains("memory"), "{said}");
    }

    /// The check sum of a PNG chunk (PNG specification, annex D).
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |s, _| if s & 1 == 1 { 0xedb8_8320 ^ (s >> 1) } else { s >> 1 })
        })
    }
}
