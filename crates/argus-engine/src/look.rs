//! What a still looks like: a coarse fingerprint, by which near-duplicates are known, and how sharp it is.
//!
//! The fingerprint is a grid of mean luma, 32 x 18. Two pictures differ by their third largest difference among the
//! cells, after a change of the light that all cells share is taken away: something that moves covers more than two
//! cells, and a drop of rain does not. A hash of the whole picture, such as the usual 64 bits, would hardly notice a
//! person who fills a hundredth of it.

use image::codecs::jpeg::JpegDecoder;
use image::{DynamicImage, ImageDecoder};
use serde::{Deserialize, Serialize};

/// Cells in a row.
const COLUMNS: usize = 32;
/// Rows of cells.
const ROWS: usize = 18;
/// So many cells may differ without a difference of the picture.
const STRAY_CELLS: usize = 2;
/// Pictures that differ by no more than this many luma levels show the same. Measured on the scenes of `frame_choice`
/// (2026-11-28): two pictures of an empty scene differ by 2 by day and by 8 at night, two in which somebody has moved on
/// for a second by 28 or more by day and by 12 or more at night, in three of four pairs.
pub const SAME_LEVELS: u8 = 9;
/// Half of the cells of a picture by day lie within so many levels. A picture with less is taken to be dark, and
/// differences in it count for more, up to four times.
const FULL_CONTRAST: u16 = 48;
/// Largest still that is looked at; ours are 2048 pixels wide at most.
const PIXELS: u64 = 8_000_000;

/// What a still looks like.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Mean luma of each cell, row by row.
    cells: Vec<u8>,
    /// Variance of the Laplacian: how much detail there is. Comparable between pictures of one camera and size.
    sharpness: u32,
}

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Look(sharpness {})", self.sharpness)
    }
}

impl Look {
    /// That of a JPEG; `None` when it cannot be read.
    #[must_use]
    pub fn of_jpeg(jpeg: &[u8]) -> Option<Self> {
        let decoder = JpegDecoder::new(std::io::Cursor::new(jpeg)).ok()?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > PIXELS {
            return None;
        }
        let luma = DynamicImage::from_decoder(decoder).ok()?.into_luma8();
        Self::of_luma(usize::try_from(width).ok()?, luma.as_raw())
    }

    /// That of rows of `width` luma bytes; `None` for less than a pixel in each cell.
    #[must_use]
    pub fn of_luma(width: usize, luma: &[u8]) -> Option<Self> {
        let height = luma.len().checked_div(width)?;
        if width < COLUMNS || height < ROWS {
            return None;
        }
        let mut sums = vec![(0_u32, 0_u32); COLUMNS * ROWS];
        for (y, row) in luma.chunks_exact(width).enumerate() {
            let line = y * ROWS / height * COLUMNS;
            for (x, value) in row.iter().enumerate() {
                if let Some((sum, n)) = sums.get_mut(line + x * COLUMNS / width) {
                    *sum += u32::from(*value);
                    *n += 1;
                }
            }
        }
        let cells = sums.into_iter().map(|(sum, n)| u8::try_from(sum / n.max(1)).unwrap_or(u8::MAX)).collect();
        Some(Self { cells, sharpness: sharpness(width, luma) })
    }

    /// How sharp the picture is.
    #[must_use]
    pub fn sharpness(&self) -> u32 {
        self.sharpness
    }

    /// How far the light and the dark parts are from one another, levels: half of the cells lie between.
    fn contrast(&self) -> u16 {
        let mut sorted = self.cells.clone();
        sorted.sort_unstable();
        let at = |quarter: usize| sorted.get(sorted.len() * quarter / 4).copied().map_or(0, u16::from);
        at(3) - at(1)
    }

    /// By how many luma levels two pictures differ, whatever the light: as they would in a picture of full contrast.
    #[must_use]
    pub fn distance(&self, other: &Self) -> u8 {
        let differences = || self.cells.iter().zip(&other.cells).map(|(a, b)| i16::from(*a) - i16::from(*b));
        let mut sorted: Vec<i16> = differences().collect();
        sorted.sort_unstable();
        let shared = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        let mut local: Vec<u16> = differences().map(|d| (d - shared).unsigned_abs()).collect();
        local.sort_unstable_by(|a, b| b.cmp(a));
        let contrast = self.contrast().max(other.contrast()).clamp(FULL_CONTRAST / 4, FULL_CONTRAST);
        let full = |d: u16| u8::try_from(d * FULL_CONTRAST / contrast).unwrap_or(u8::MAX);
        local.get(STRAY_CELLS).copied().map_or(0, full)
    }

    /// Whether both pictures show the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.distance(other) <= SAME_LEVELS
    }
}

/// Variance of the Laplacian of the four neighbours.
fn sharpness(width: usize, luma: &[u8]) -> u32 {
    let rows: Vec<&[u8]> = luma.chunks_exact(width).collect();
    let (mut sum, mut squares, mut n) = (0_i64, 0_i64, 0_i64);
    for three in rows.windows(3) {
        let [above, row, below] = three else { continue };
        let middles = row.windows(3).zip(above.iter().skip(1)).zip(below.iter().skip(1));
        for ((beside, up), down) in middles {
            let [left, here, right] = beside else { continue };
            let around = i64::from(*left) + i64::from(*right) + i64::from(*up) + i64::from(*down);
            let edge = 4 * i64::from(*here) - around;
            sum += edge;
            squares += edge * edge;
            n += 1;
        }
    }
    if n == 0 {
        return 0;
    }
    u32::try_from((squares - sum * sum / n) / n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A textured picture with a bright box in it.
    fn picture(box_at: usize, light: u8, blurred: bool) -> Vec<u8> {
        let (w, h) = (640, 360);
        let mut luma = vec![0; w * h];
        for y in 0..h {
            for x in 0..w {
                let texture = if blurred { 6 } else { u8::try_from((x * 7 + y * 13) % 12).unwrap() };
                luma[y * w + x] = 90 + light + texture;
                if (box_at..box_at + 40).contains(&x) && (100..180).contains(&y) {
                    luma[y * w + x] = 200 + light;
                }
            }
        }
        luma
    }

    fn look(box_at: usize, light: u8, blurred: bool) -> Look {
        Look::of_luma(640, &picture(box_at, light, blurred)).unwrap()
    }

    #[test]
    fn light_makes_no_difference_and_somebody_who_moves_does() {
        let here = look(100, 0, false);
        assert_eq!(here.distance(&here), 0);
        assert!(here.is_same(&look(100, 20, false)), "{}", here.distance(&look(100, 20, false)));
        assert!(here.distance(&look(300, 0, false)) > 60);
        assert!(here.distance(&look(140, 0, false)) > SAME_LEVELS);
        assert!(here.distance(&look(640, 0, false)) > 60, "who is gone");
    }

    #[test]
    fn detail_is_sharp() {
        assert!(look(640, 0, false).sharpness() > 10 * look(640, 0, true).sharpness().max(1));
    }

    #[test]
    fn a_drop_of_rain_is_no_difference() {
        let mut wet = picture(100, 0, false);
        for at in [5_000, 100_000] {
            wet[at..at + 12].fill(255);
        }
        assert!(Look::of_luma(640, &wet).unwrap().is_same(&look(100, 0, false)));
    }

    #[test]
    fn what_is_no_picture_has_no_look() {
        assert_eq!(Look::of_jpeg(b"no JPEG"), None);
        assert_eq!(Look::of_luma(0, &[]), None);
        assert_eq!(Look::of_luma(16, &[0; 16 * 16]), None);
        let mut jpeg = Vec::new();
        let grey = image::GrayImage::from_raw(640, 360, picture(100, 0, false)).unwrap();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 85).encode_image(&grey).unwrap();
        assert!(Look::of_jpeg(&jpeg).unwrap().is_same(&look(100, 0, false)));
        assert!(!Look::of_jpeg(&jpeg[..jpeg.len() / 3]).is_some_and(|l| l.is_same(&look(100, 0, false))));
    }
}
