//! Shrinks a decoder's Y plane to the small picture that detection works on.

#![expect(clippy::cast_possible_truncation, reason = "means of bytes are bytes; sums are bounded by 16 * 16 * 255")]
#![expect(clippy::indexing_slicing, reason = "row bounds are checked against the slice once, before the loops")]

use argus_core::LumaPlane;

use crate::MotionError;
use crate::simd::{Kernel, widest};

/// The largest factor: sums of 16 x 16 bytes still fit 16 bits.
const FACTOR_MAX: u32 = 16;

/// Averages boxes of `factor` x `factor` pixels.
///
/// The factor brings the picture nearest to 320 x 180 from above; columns and rows that do not fill a box are left
/// out. One reducer serves one size of picture.
#[derive(Debug)]
pub struct Reducer {
    factor: usize,
    width: u16,
    height: u16,
    src_width: usize,
    /// Sums of a row of boxes, by column or by pair of columns.
    sums: Vec<u16>,
}

impl Reducer {
    /// A reducer for pictures of `src_width` x `src_height` pixels.
    #[must_use]
    pub fn new(src_width: u32, src_height: u32) -> Self {
        let factor = (src_width / 320).min(src_height / 180).clamp(1, FACTOR_MAX);
        let side = |src: u32| u16::try_from(src / factor).unwrap_or(u16::MAX);
        let (width, height) = (side(src_width), side(src_height));
        let factor = factor as usize;
        Self { factor, width, height, src_width: src_width as usize, sums: vec![0; usize::from(width) * factor] }
    }

    /// Width and height of the reduced picture.
    #[must_use]
    pub fn out_size(&self) -> (u16, u16) {
        (self.width, self.height)
    }

    /// Pixels of the source that make one of the reduced picture, in each direction.
    #[must_use]
    pub fn factor(&self) -> usize {
        self.factor
    }

    /// Reduces `y`, whose rows begin every `stride` bytes. `out` gives its memory to the picture; what was in it is gone.
    ///
    /// # Errors
    /// `StrideTooShort` or `PlaneTooShort` when the bytes do not hold the picture, `Empty` when it has no pixels.
    pub fn reduce(&mut self, y: &[u8], stride: usize, out: Vec<u8>) -> Result<LumaPlane, MotionError> {
        let mut out = out;
        let (w, h) = (usize::from(self.width), usize::from(self.height));
        if stride < self.src_width {
            return Err(MotionError::StrideTooShort { stride, width: self.src_width });
        }
        let rows = h * self.factor;
        // the last row needs no padding behind it
        let needed = rows.saturating_sub(1).saturating_mul(stride).saturating_add(w * self.factor);
        if rows > 0 && y.len() < needed {
            return Err(MotionError::PlaneTooShort { needed, given: y.len() });
        }
        out.resize(w * h, 0);
        if w > 0 && h > 0 {
            widest(Boxes { factor: self.factor, width: w, y, stride, sums: &mut self.sums, out: &mut out });
        }
        LumaPlane::new(self.width, self.height, out).map_err(MotionError::Empty)
    }
}

struct Boxes<'a> {
    factor: usize,
    width: usize,
    y: &'a [u8],
    stride: usize,
    sums: &'a mut [u16],
    out: &'a mut [u8],
}

impl Kernel for Boxes<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // the number of columns must be known to the compiler for vector code; odd factors are rare
        match self.factor {
            1 => self.copy(),
            2 => self.even::<1>(),
            4 => self.even::<2>(),
            6 => self.even::<3>(),
            8 => self.even::<4>(),
            10 => self.even::<5>(),
            12 => self.even::<6>(),
            14 => self.even::<7>(),
            16 => self.even::<8>(),
            3 => self.odd::<3>(),
            5 => self.odd::<5>(),
            7 => self.odd::<7>(),
            9 => self.odd::<9>(),
            11 => self.odd::<11>(),
            13 => self.odd::<13>(),
            _ => self.odd::<15>(),
        }
    }
}

/// Adds the two bytes of each pair: a mask, a shift and an addition in 16-bit lanes.
#[inline(always)]
fn pair(bytes: [u8; 2]) -> u16 {
    let v = u16::from_le_bytes(bytes);
    (v & 0xff) + (v >> 8)
}

impl Boxes<'_> {
    #[inline(always)]
    fn copy(self) {
        for (out, src) in self.out.chunks_exact_mut(self.width).zip(self.y.chunks(self.stride)) {
            out.copy_from_slice(&src[..self.width]);
        }
    }

    /// `PAIRS` pairs of columns a box. Rows are added up in pairs of columns first (that part is vector code without
    /// shuffles), and groups of columns only once a row of boxes.
    #[inline(always)]
    fn even<const PAIRS: usize>(self) {
        let factor = 2 * PAIRS;
        let columns = self.width * factor;
        let recip = 65_536 / (factor * factor) as u32 + 1;
        let sums = &mut self.sums[..self.width * PAIRS];
        for (r, out) in self.out.chunks_exact_mut(self.width).enumerate() {
            let row = |k: usize| self.y[(r * factor + k) * self.stride..][..columns].as_chunks::<2>().0;
            for ((s, &a), &b) in sums.iter_mut().zip(row(0)).zip(row(1)) {
                *s = pair(a) + pair(b);
            }
            // two rows a pass: half the loads and stores of the sums
            for k in 1..PAIRS {
                for ((s, &a), &b) in sums.iter_mut().zip(row(2 * k)).zip(row(2 * k + 1)) {
                    *s += pair(a) + pair(b);
                }
            }
            for (o, group) in out.iter_mut().zip(sums.as_chunks::<PAIRS>().0) {
                let mut total = 0;
                for &s in group {
                    total += u32::from(s);
                }
                *o = ((total * recip) >> 16).min(255) as u8;
            }
        }
    }

    #[inline(always)]
    fn odd<const FACTOR: usize>(self) {
        let columns = self.width * FACTOR;
        let recip = 65_536 / (FACTOR * FACTOR) as u32 + 1;
        let sums = &mut self.sums[..columns];
        for (r, out) in self.out.chunks_exact_mut(self.width).enumerate() {
            sums.fill(0);
            for k in 0..FACTOR {
                let row = &self.y[(r * FACTOR + k) * self.stride..][..columns];
                for (s, &v) in sums.iter_mut().zip(row) {
                    *s += u16::from(v);
                }
            }
            for (o, group) in out.iter_mut().zip(sums.as_chunks::<FACTOR>().0) {
                let mut total = 0;
                for &s in group {
                    total += u32::from(s);
                }
                *o = ((total * recip) >> 16).min(255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, one pixel after the other.
    fn plain(y: &[u8], stride: usize, factor: usize, w: usize, h: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for r in 0..h {
            for c in 0..w {
                let mut t = 0u32;
                for i in 0..factor {
                    for j in 0..factor {
                        t += u32::from(y[(r * factor + i) * stride + c * factor + j]);
                    }
                }
                out.push((t / (factor * factor) as u32) as u8);
            }
        }
        out
    }

    fn check(src_w: u32, src_h: u32, padding: usize, size: (u16, u16)) {
        let mut reducer = Reducer::new(src_w, src_h);
        assert_eq!(reducer.out_size(), size, "{src_w} x {src_h}");
        let stride = src_w as usize + padding;
        let y: Vec<u8> = (0..stride * src_h as usize).map(|i| (i * 31 % 251) as u8 ^ (i / stride) as u8).collect();
        let got = reducer.reduce(&y, stride, Vec::new()).unwrap();
        let (w, h) = (usize::from(size.0), usize::from(size.1));
        let want = plain(&y, stride, reducer.factor(), w, h);
        for (g, w) in got.pixels().iter().zip(&want) {
            assert!(g.abs_diff(*w) <= 1, "{src_w} x {src_h}: {g} for {w}");
        }
        let white = vec![255; stride * src_h as usize];
        let got = reducer.reduce(&white, stride, got.into_pixels()).unwrap();
        assert!(got.pixels().iter().all(|&v| v == 255), "white stays white at {src_w} x {src_h}");
    }

    #[test]
    fn means_of_boxes_at_every_factor() {
        check(320, 180, 0, (320, 180));
        check(640, 360, 32, (320, 180));
        check(704, 576, 0, (352, 288));
        check(1280, 720, 0, (320, 180));
        check(1920, 1080, 128, (320, 180));
        check(1000, 562, 3, (333, 187));
        check(1, 1, 0, (1, 1));
        check(16, 9, 5, (16, 9));
        check(161, 121, 0, (161, 121));
        for factor in 2..=16 {
            check(320 * factor + 1, 180 * factor + 1, 7, (320, 180));
        }
        check(7680, 4320, 0, (480, 270));
    }

    #[test]
    fn short_planes_are_refused() {
        let mut reducer = Reducer::new(640, 360);
        let full = vec![9; 639 * 640 + 640];
        assert_eq!(
            reducer.reduce(&full, 639, Vec::new()),
            Err(MotionError::StrideTooShort { stride: 639, width: 640 })
        );
        let needed = 359 * 700 + 640;
        assert_eq!(
            reducer.reduce(&full[..needed - 1], 700, Vec::new()),
            Err(MotionError::PlaneTooShort { needed, given: needed - 1 })
        );
        assert!(reducer.reduce(&full[..needed], 700, Vec::new()).is_ok(), "no padding is needed behind the last row");
        assert!(matches!(Reducer::new(0, 0).reduce(&[], 0, Vec::new()), Err(MotionError::Empty(_))));
        assert!(matches!(Reducer::new(640, 0).reduce(&[], 640, Vec::new()), Err(MotionError::Empty(_))));
    }
}
