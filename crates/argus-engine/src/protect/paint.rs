//! What nobody may see is painted over in the controller's pictures, and pictures are made smaller.

use std::io::Cursor;

use argus_core::PrivacyMask;
use argus_core::ports::Still;
use argus_core::zone::Zone;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader, Limits, Rgb, RgbImage};

/// Quality of pictures that had to be encoded anew.
const QUALITY: u8 = 85;
/// Widest and highest picture that is decoded.
const SIDE: u32 = 8192;

/// The picture with everything painted over that `mask` touches, and no wider than wanted. `None` when it cannot be
/// painted: then it must not leave.
pub(crate) async fn painted(still: Still, mask: PrivacyMask, max_width: Option<u32>) -> Option<Still> {
    let fits = max_width.is_none_or(|width| still.width <= width);
    if mask.is_empty() && fits {
        return Some(still);
    }
    let whole = mask.is_empty().then(|| still.clone());
    #[expect(clippy::disallowed_methods, reason = "decoding and encoding a picture takes longer than a task may")]
    let made = tokio::task::spawn_blocking(move || remade(&still, &mask, max_width)).await;
    // A picture in which nothing is hidden is better as it came than not at all.
    made.ok().flatten().or(whole)
}

fn remade(still: &Still, mask: &PrivacyMask, max_width: Option<u32>) -> Option<Still> {
    let mut reader = ImageReader::with_format(Cursor::new(&still.jpeg), ImageFormat::Jpeg);
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE);
    limits.max_image_height = Some(SIDE);
    reader.limits(limits);
    let mut picture = reader.decode().ok()?.into_rgb8();
    for zone in mask.zones() {
        hide(&mut picture, zone);
    }
    let mut picture = DynamicImage::ImageRgb8(picture);
    if let Some(width) = max_width.filter(|width| *width < picture.width()) {
        picture = picture.resize(width, SIDE, FilterType::Triangle);
    }
    let mut jpeg = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY)).ok()?;
    Some(Still { taken_at: still.taken_at, width: picture.width(), height: picture.height(), jpeg: jpeg.into() })
}

/// Paints every pixel black that the zone touches, and the ones around: a rim too much rather than one too little.
fn hide(picture: &mut RgbImage, zone: &Zone) {
    let (width, height) = picture.dimensions();
    let (w, h) = (f64::from(width), f64::from(height));
    for y in 0..height {
        // Edges cross a row anywhere between its upper and its lower border.
        for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let mut crossings: Vec<f64> = zone.crossings((f64::from(y) + part) / h).collect();
            crossings.sort_unstable_by(f64::total_cmp);
            for pair in crossings.chunks_exact(2) {
                let [from, until] = *pair else { continue };
                for x in 0..width {
                    let (left, right) = (f64::from(x) / w, (f64::from(x) + 1.0) / w);
                    if right + 1.0 / w >= from && left - 1.0 / w <= until {
                        picture.put_pixel(x, y, Rgb([0, 0, 0]));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use argus_core::Timestamp;
    use argus_core::zone::{Point, ZoneKind};

    use super::*;

    fn white(width: u32, height: u32) -> Still {
        let picture = DynamicImage::ImageRgb8(RgbImage::from_pixel(width, height, Rgb([255, 255, 255])));
        let mut jpeg = Vec::new();
        picture.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, 90)).unwrap();
        Still { taken_at: Timestamp::from_millis(0), width, height, jpeg: jpeg.into() }
    }

    fn left_half() -> PrivacyMask {
        let vertices = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)].map(|(x, y)| Point { x, y }).to_vec();
        let kind = ZoneKind::Privacy;
        PrivacyMask::from_zones(&[Zone { id: "z".into(), name: "z".into(), kind, enabled: true, vertices }])
    }

    #[tokio::test]
    async fn what_is_hidden_is_black_and_the_rest_stays() {
        let still = painted(white(64, 36), left_half(), None).await.unwrap();
        let picture = image::load_from_memory(&still.jpeg).unwrap().into_rgb8();
        for y in 0..36 {
            assert!((0..32).all(|x| picture.get_pixel(x, y).0.iter().all(|c| *c < 40)), "row {y}");
            assert!((48..64).all(|x| picture.get_pixel(x, y).0.iter().all(|c| *c > 215)), "row {y}");
        }
    }

    #[tokio::test]
    async fn pictures_get_smaller_never_larger() {
        let size = |still: Still| (still.width, still.height);
        let none = PrivacyMask::default;
        assert_eq!(size(painted(white(640, 360), none(), Some(320)).await.unwrap()), (320, 180));
        assert_eq!(painted(white(64, 36), none(), Some(320)).await.unwrap(), white(64, 36));
    }

    #[tokio::test]
    async fn what_cannot_be_painted_does_not_leave() {
        let broken = Still { jpeg: "no picture".into(), ..white(64, 36) };
        assert_eq!(painted(broken.clone(), left_half(), None).await, None);
        assert_eq!(painted(broken.clone(), PrivacyMask::default(), Some(32)).await, Some(broken));
    }
}
