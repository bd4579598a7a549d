//! Bit masks of a picture: 64 pixels a word, the leftmost in the lowest bit.

#![expect(clippy::indexing_slicing, reason = "every mask has `words * height` words, made together in `Grid::mask`")]

use std::ops::Range;

/// The size of a picture and of its masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Pixels in a padded row: a multiple of 64.
    pub stride: usize,
    /// Words in a row of a mask.
    pub words: usize,
}

impl Grid {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        let words = width.div_ceil(64);
        Self { width, height, stride: words * 64, words }
    }

    /// A mask without any pixel.
    pub(crate) fn mask(self) -> Vec<u64> {
        vec![0; self.words * self.height]
    }

    /// Pixels in the picture.
    pub(crate) fn area(self) -> usize {
        self.width * self.height
    }

    /// The words of row `y`.
    #[inline(always)]
    pub(crate) fn row(self, mask: &[u64], y: usize) -> &[u64] {
        &mask[y * self.words..(y + 1) * self.words]
    }
}

/// Pixels set in a mask.
#[inline(always)]
pub(crate) fn count(mask: &[u64]) -> usize {
    mask.iter().map(|v| v.count_ones() as usize).sum()
}

/// The bits `from..to` of word `word` of a row.
#[inline(always)]
pub(crate) fn span(word: usize, from: usize, to: usize) -> u64 {
    let (low, high) = (word * 64, word * 64 + 64);
    if to <= low || from >= high {
        return 0;
    }
    let mut bits = u64::MAX;
    if from > low {
        bits &= u64::MAX << (from - low);
    }
    if to < high {
        bits &= (1 << (to - low)) - 1;
    }
    bits
}

/// The word left of `i`, this one and the one right of it, each shifted so that neighbours lie on one bit.
#[inline(always)]
fn beside(row: &[u64], i: usize) -> (u64, u64) {
    let v = row[i];
    let left = (v << 1) | if i > 0 { row[i - 1] >> 63 } else { 0 };
    let right = (v >> 1) | if i + 1 < row.len() { row[i + 1] << 63 } else { 0 };
    (left, right)
}

/// Keeps pixels of which at least three of the four neighbours are set: lines one pixel wide go (rain), and single dots.
#[inline(always)]
pub(crate) fn thin(grid: Grid, src: &[u64], dst: &mut [u64]) {
    for y in 0..grid.height {
        let row = grid.row(src, y);
        for i in 0..grid.words {
            let v = row[i];
            let at = y * grid.words + i;
            if v == 0 {
                dst[at] = 0;
                continue;
            }
            let (left, right) = beside(row, i);
            let up = if y > 0 { src[at - grid.words] } else { 0 };
            let down = if y + 1 < grid.height { src[at + grid.words] } else { 0 };
            dst[at] = v & ((left & right & (up | down)) | (up & down & (left | right)));
        }
    }
}

/// Word `i` of row `y` of the mask grown by one pixel in all eight directions.
#[inline(always)]
pub(crate) fn grown_word(grid: Grid, src: &[u64], y: usize, i: usize) -> u64 {
    let column = |i: usize| {
        let at = y * grid.words + i;
        let mut v = src[at];
        if y > 0 {
            v |= src[at - grid.words];
        }
        if y + 1 < grid.height {
            v |= src[at + grid.words];
        }
        v
    };
    let v = column(i);
    let left = if i > 0 { column(i - 1) >> 63 } else { 0 };
    let right = if i + 1 < grid.words { column(i + 1) << 63 } else { 0 };
    v | (v << 1) | (v >> 1) | left | right
}

/// Adds to `rows` of a mask what lies exactly `step` pixels away in the eight directions: a growth by `step` of what was
/// grown by one less before. `step` is below 64. Bits beyond the width may become set.
///
/// The rows themselves and those `step` above and below are read from `src`; other rows of `dst` stay as they are.
#[inline(always)]
pub(crate) fn grow(grid: Grid, src: &[u64], dst: &mut [u64], rows: Range<usize>, step: usize) {
    let words = grid.words;
    for y in rows.start..rows.end.min(grid.height) {
        let out = &mut dst[y * words..(y + 1) * words];
        out.copy_from_slice(grid.row(src, y));
        for near in [y.checked_sub(step), Some(y + step).filter(|&y| y < grid.height)].into_iter().flatten() {
            for (o, v) in out.iter_mut().zip(grid.row(src, near)) {
                *o |= v;
            }
        }
        let mut left = 0;
        for i in 0..words {
            let (v, right) = (out[i], out.get(i + 1).copied().unwrap_or(0));
            out[i] = v | (v << step) | (v >> step) | (left >> (64 - step)) | (right << (64 - step));
            left = v;
        }
    }
}

/// The rows that have a pixel, from the first to the last.
#[inline(always)]
pub(crate) fn occupied(grid: Grid, mask: &[u64]) -> Range<usize> {
    let Some(first) = mask.iter().position(|&v| v != 0) else { return 0..0 };
    let last = mask.iter().rposition(|&v| v != 0).unwrap_or(first);
    first / grid.words..last / grid.words + 1
}

/// Gives what is left after [`thin`] its edge back: the pixels of `src` that touch `core`.
#[inline(always)]
pub(crate) fn restore(grid: Grid, src: &[u64], core: &[u64], dst: &mut [u64]) {
    for y in 0..grid.height {
        for i in 0..grid.words {
            let at = y * grid.words + i;
            dst[at] = if src[at] == 0 { 0 } else { src[at] & grown_word(grid, core, y, i) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(grid: Grid, pixels: &[(usize, usize)]) -> Vec<u64> {
        let mut m = grid.mask();
        for &(x, y) in pixels {
            m[y * grid.words + x / 64] |= 1 << (x % 64);
        }
        m
    }

    #[test]
    fn spans_are_cut_to_the_word() {
        assert_eq!(span(0, 0, 64), u64::MAX);
        assert_eq!(span(0, 3, 5), 0b11000);
        assert_eq!(span(1, 3, 65), 1);
        assert_eq!(span(1, 66, 400), u64::MAX << 2);
        assert_eq!(span(2, 0, 128), 0);
        assert_eq!(span(0, 64, 70), 0);
    }

    #[test]
    fn lines_go_and_blocks_stay() {
        let grid = Grid::new(130, 6);
        let mut dst = grid.mask();
        let line: Vec<_> = (0..6).map(|y| (64, y)).collect();
        thin(grid, &mask(grid, &line), &mut dst);
        assert_eq!(count(&dst), 0);
        let block: Vec<_> = (1..5).flat_map(|y| (62..67).map(move |x| (x, y))).collect();
        thin(grid, &mask(grid, &block), &mut dst);
        assert_eq!(count(&dst), 20 - 4, "a block loses its corners, also across words");
    }

    #[test]
    fn growing_crosses_words() {
        let grid = Grid::new(130, 3);
        let mut dst = grid.mask();
        grow(grid, &mask(grid, &[(63, 1)]), &mut dst, 0..3, 1);
        assert_eq!(dst, mask(grid, &(0..3).flat_map(|y| (62..65).map(move |x| (x, y))).collect::<Vec<_>>()));
        grow(grid, &mask(grid, &[(0, 0)]), &mut dst, 0..9, 1);
        assert_eq!(count(&dst), 4);
        dst.fill(0);
        grow(grid, &mask(grid, &[(129, 2)]), &mut dst, 1..2, 1);
        assert_eq!(dst, mask(grid, &[(128, 1), (129, 1), (130, 1)]));
        assert_eq!(occupied(grid, &dst), 1..2);
        assert_eq!(occupied(grid, &grid.mask()), 0..0);
    }
}
