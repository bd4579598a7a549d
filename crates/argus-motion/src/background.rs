//! What the picture looks like when nothing moves: per pixel a running mean and a running mean absolute deviation.
//!
//! All grey values are 8.7 fixed point in 16 bits, so that one vector instruction serves sixteen pixels.

#![expect(
    clippy::cast_possible_truncation,
    reason = "results are clamped to 8.7 fixed point, or are sums of 2^9 such values"
)]
#![expect(clippy::cast_possible_wrap, reason = "8.7 values are at most 32,640")]
#![expect(clippy::cast_sign_loss, reason = "8.7 grey values are never negative")]
#![expect(clippy::indexing_slicing, reason = "every buffer is made for the one grid in `new`")]

mod blocks;

use blocks::{BlockLight, BlockSums, eighths, total};

use crate::light::{self, GAIN_ONE, LEVEL, Light};
use crate::mask::Grid;

/// Side of the blocks in which light is looked at.
pub(crate) const BLOCK: usize = 16;
/// One grey level.
pub(crate) const GREY: i16 = 1 << 7;
/// The largest 8.7 value: white.
const WHITE: i32 = 255 << 7;
/// The largest deviation that is told apart from larger ones.
const DEVIATION_MAX: i16 = 40 << 7;
/// Beyond these, a pixel may have been clipped, or be now, so that a gain does not tell what it should be.
const NEARLY_WHITE: i16 = 215 << 7;
const NEARLY_BLACK: i16 = 22 << 7;
/// What a jump of the exposure leaves of the difference at most, where nothing clips; more is a thing.
const THING_MIN: u16 = 24 << 7;

/// Mean brightness up to which a picture is dark, in levels.
const DARK: i32 = 72;

/// How one frame is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compare {
    /// Least difference that counts, 8.7, in black ...
    pub floor: i16,
    /// ... and how much more for each level of brightness, 8.7: light errs in proportion to it.
    pub glare: i16,
    /// Deviations beyond the floor that count, in sixteenths.
    pub deviations_16: i16,
    /// The mean moves by difference >> this where nothing moves ...
    pub mean_shift: u32,
    /// ... and by difference >> this where something does.
    pub moving_shift: u32,
    /// The deviation falls by this ...
    pub fall_shift: u32,
    /// ... and rises by this: quicker, so that what flashes now and then (rain, leaves, trembling edges) counts. In
    /// blocks with confirmed motion what is over the limit raises it two shifts slower than it falls.
    pub rise_shift: u32,
}

impl Compare {
    /// The comparison while a shadow passes: what light does to a block is only about one gain.
    pub(crate) fn in_restless_light(self) -> Self {
        Self { glare: self.glare * 7 / 4, ..self }
    }

    /// The comparison in the dark: noise is all that trembles there, and its deviation tells how far.
    pub(crate) fn in_the_dark(self) -> Self {
        Self { deviations_16: self.deviations_16 * 3 / 4, ..self }
    }

    /// The difference above which a pixel has changed.
    #[inline(always)]
    fn limit(self, mean: i16, deviation: i16) -> i16 {
        self.floor + (mean >> 7) * self.glare + (deviation >> 4) * self.deviations_16
    }
}

/// What light did in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lighting {
    /// Over the whole picture.
    pub light: Light,
    /// Blocks that only light changed.
    pub lit_blocks: usize,
    /// Whether that is an eighth of all blocks or more.
    pub is_restless: bool,
    /// Whether the picture is dark.
    pub is_dark: bool,
    /// Whether it was so much at once that what clips black or white cannot be followed.
    pub jump: bool,
}

impl Lighting {
    /// No change.
    pub(crate) const SAME: Self =
        Self { light: Light::SAME, lit_blocks: 0, is_restless: false, is_dark: false, jump: false };
}

/// The model of one size of picture.
#[derive(Debug)]
pub(crate) struct Background {
    grid: Grid,
    blocks_x: usize,
    blocks_y: usize,
    /// The frame, smoothed, rows padded to the stride.
    now: Vec<i16>,
    mean: Vec<i16>,
    deviation: Vec<i16>,
    /// A row of vertical sums, with one pixel more on either side.
    tall: Vec<u16>,
    low: Vec<u16>,
    /// Sums down the columns of a row of blocks.
    columns: Vec<u16>,
    blocks: Vec<BlockSums>,
    /// Whether the mean was changed without its sums.
    sums_are_old: bool,
    /// Light that has been found and that the mean does not show yet.
    pending: Light,
    lit: Vec<BlockLight>,
    lit_found: Vec<BlockLight>,
    /// Blocks with confirmed motion.
    busy: Vec<bool>,
    pairs: Vec<(i32, i32)>,
    scratch: Vec<i32>,
    over: Vec<u8>,
}

impl Background {
    pub(crate) fn new(grid: Grid) -> Self {
        let padded = grid.stride * grid.height;
        let (blocks_x, blocks_y) = (grid.stride / BLOCK, grid.height.div_ceil(BLOCK));
        Self {
            grid,
            blocks_x,
            blocks_y,
            now: vec![0; padded],
            mean: vec![0; padded],
            deviation: vec![0; padded],
            tall: vec![0; grid.width + 2],
            low: vec![0; grid.width + 2],
            columns: vec![0; grid.stride],
            blocks: vec![BlockSums::default(); blocks_x * blocks_y],
            sums_are_old: false,
            pending: Light::SAME,
            lit: vec![BlockLight::SAME; blocks_x * blocks_y],
            lit_found: vec![BlockLight::SAME; blocks_x * blocks_y],
            busy: vec![false; blocks_x * blocks_y],
            pairs: Vec::with_capacity(blocks_x * blocks_y),
            scratch: Vec::with_capacity(blocks_x * blocks_y),
            over: vec![0; grid.stride],
        }
    }

    /// Takes a frame, smoothed by 1 2 1 in both directions: sensor noise becomes less by more than half, and so do
    /// differences at edges when the camera trembles. The sum of weights, 16, times 8 is the 8.7 format. Between the two
    /// directions bright lines up to two pixels wide are taken out (a grey opening along the row): drops of rain.
    #[inline(always)]
    pub(crate) fn load(&mut self, pixels: &[u8]) {
        for by in 0..self.blocks_y {
            self.columns.fill(0);
            for y in self.rows_of(by) {
                self.load_row(pixels, y);
            }
            let row = &mut self.blocks[by * self.blocks_x..(by + 1) * self.blocks_x];
            for (block, columns) in row.iter_mut().zip(self.columns.as_chunks().0) {
                block.now = total(columns);
            }
        }
    }

    /// The rows of pixels of a row of blocks.
    #[inline(always)]
    fn rows_of(&self, by: usize) -> std::ops::Range<usize> {
        by * BLOCK..((by + 1) * BLOCK).min(self.grid.height)
    }

    #[inline(always)]
    fn load_row(&mut self, pixels: &[u8], y: usize) {
        let Grid { width, height, stride, .. } = self.grid;
        let row = |y: usize| &pixels[y * width..(y + 1) * width];
        let tall = &mut self.tall[..width + 2];
        let (up, middle, down) = (row(y.saturating_sub(1)), row(y), row((y + 1).min(height - 1)));
        for (((t, &u), &m), &d) in tall[1..=width].iter_mut().zip(up).zip(middle).zip(down) {
            *t = u16::from(u) + 2 * u16::from(m) + u16::from(d);
        }
        tall[0] = tall[1];
        tall[width + 1] = tall[width];
        let low = &mut self.low[..width + 2];
        for (((o, &l), &m), &r) in low[1..=width].iter_mut().zip(&tall[..width]).zip(&tall[1..=width]).zip(&tall[2..]) {
            *o = l.min(m).min(r);
        }
        low[0] = low[1];
        low[width + 1] = low[width];
        for (((o, &l), &m), &r) in tall[1..=width].iter_mut().zip(&low[..width]).zip(&low[1..=width]).zip(&low[2..]) {
            *o = l.max(m).max(r);
        }
        tall[0] = tall[1];
        tall[width + 1] = tall[width];
        let (out, padding) = self.now[y * stride..(y + 1) * stride].split_at_mut(width);
        let (columns, beyond) = self.columns.split_at_mut(width);
        let sums = tall[..width].iter().zip(&tall[1..=width]).zip(&tall[2..]);
        for ((o, column), ((&l, &m), &r)) in out.iter_mut().zip(columns).zip(sums) {
            let sum = l + 2 * m + r;
            *o = (sum << 3) as i16;
            *column += sum >> 1;
        }
        let last = out[width - 1];
        padding.fill(last);
        for column in beyond {
            *column += eighths(last);
        }
    }

    /// Takes the frame as the background, with `deviation` (8.7) everywhere.
    pub(crate) fn relearn(&mut self, deviation: i16) {
        self.mean.copy_from_slice(&self.now);
        self.deviation.fill(deviation);
        self.pending = Light::SAME;
        self.sums_are_old = false;
        for block in &mut self.blocks {
            block.mean = block.now;
        }
    }

    /// Takes the frame as the background except in the boxes `keep` (left, upper, right, lower; right and lower not
    /// included), and trusts it less by `deviation`.
    pub(crate) fn adopt(&mut self, keep: &[[u16; 4]], deviation: i16) {
        self.show_light();
        let stride = self.grid.stride;
        for y in 0..self.grid.height {
            let row = y * stride..(y + 1) * stride;
            let (now, mean) = (&self.now[row.clone()], &mut self.mean[row.clone()]);
            let spread = &mut self.deviation[row];
            let mut x = 0;
            while x < stride {
                // the box that covers this pixel and reaches furthest
                let covers = |b: &&[u16; 4]| {
                    (usize::from(b[1])..usize::from(b[3])).contains(&y)
                        && (usize::from(b[0])..usize::from(b[2])).contains(&x)
                };
                if let Some(kept) = keep.iter().find(covers) {
                    x = usize::from(kept[2]);
                    continue;
                }
                // a thing that nobody follows yet stays a difference, and so does not become a ghost when it goes
                let unclipped = mean[x] < NEARLY_WHITE && now[x] > NEARLY_BLACK;
                if unclipped && now[x].abs_diff(mean[x]) > THING_MIN {
                    x += 1;
                    continue;
                }
                mean[x] = now[x];
                spread[x] = (spread[x] + deviation).min(DEVIATION_MAX);
                x += 1;
            }
        }
    }

    /// Finds the light of the frame, to which [`Self::compare`] moves the background: first one gain and offset for the
    /// whole picture, then, block by block, a gain alone where it explains the change because the texture is the same.
    #[inline(always)]
    pub(crate) fn lighting(&mut self) -> Lighting {
        self.show_light();
        if self.sums_are_old {
            self.sum_means();
        }
        self.pairs.clear();
        // sums of 256 values in 8ths of a level; down to 16ths of the mean
        let (inside_x, inside_y) = (self.grid.width / BLOCK, self.grid.height / BLOCK);
        for by in 0..inside_y {
            for block in &self.blocks[by * self.blocks_x..by * self.blocks_x + inside_x] {
                let (now, mean) = ((block.now >> 7) as i32, (block.mean >> 7) as i32);
                // clipped blocks tell nothing about a gain
                if (4 * LEVEL..250 * LEVEL).contains(&now) {
                    self.pairs.push((mean, now));
                }
            }
        }
        let light = light::fit(&self.pairs, &mut self.scratch);
        // a third of a percent, half a level: less is noise of the fit
        let moved = (light.gain - GAIN_ONE).abs() >= 32 || light.offset.abs() >= LEVEL / 2;
        if moved {
            self.pending = light;
            for (i, block) in self.blocks.iter_mut().enumerate() {
                // pixels of the block, fewer in the last row; 8ths of a level
                let n = (self.grid.height - i / self.blocks_x * BLOCK).min(BLOCK) * BLOCK;
                let offset = i64::from(light.offset) * n as i64 / 2;
                block.mean = (((i64::from(block.mean) * i64::from(light.gain)) >> 13) + offset).max(1) as u32;
            }
        }
        let jump = (light.gain - GAIN_ONE).abs() > GAIN_ONE * 12 / 100 || light.offset.abs() > 14 * LEVEL;
        let lit_blocks = self.local_light();
        let is_restless = lit_blocks * 8 >= self.blocks_x * self.blocks_y;
        let brightness: i64 = self.pairs.iter().map(|&(_, now)| i64::from(now)).sum();
        let is_dark = brightness <= self.pairs.len() as i64 * i64::from(DARK * LEVEL);
        Lighting { light, lit_blocks, is_restless, is_dark, jump }
    }

    /// Moves the mean to the light found, when that has not been done by comparing.
    fn show_light(&mut self) {
        let light = std::mem::replace(&mut self.pending, Light::SAME);
        if light != Light::SAME {
            for mean in &mut self.mean {
                *mean = light.move_grey(*mean);
            }
            self.sums_are_old = true;
        }
    }

    /// Sums the mean up anew; comparing does it on its way.
    fn sum_means(&mut self) {
        let stride = self.grid.stride;
        for by in 0..self.blocks_y {
            self.columns.fill(0);
            for y in self.rows_of(by) {
                for (column, &v) in self.columns.iter_mut().zip(&self.mean[y * stride..(y + 1) * stride]) {
                    *column += eighths(v);
                }
            }
            let row = &mut self.blocks[by * self.blocks_x..(by + 1) * self.blocks_x];
            for (block, columns) in row.iter_mut().zip(self.columns.as_chunks().0) {
                block.mean = total(columns);
            }
        }
        self.sums_are_old = false;
    }

    /// Sets the bits of changed pixels in `mask` and moves the model. `lit`: whether any block has a gain.
    #[inline(always)]
    pub(crate) fn compare(&mut self, by: Compare, lit: bool, mask: &mut [u64]) {
        let light = std::mem::replace(&mut self.pending, Light::SAME);
        for block_row in 0..self.blocks_y {
            self.columns.fill(0);
            for y in self.rows_of(block_row) {
                self.compare_row(by, light, lit, y, mask);
            }
            let row = &mut self.blocks[block_row * self.blocks_x..(block_row + 1) * self.blocks_x];
            for (block, columns) in row.iter_mut().zip(self.columns.as_chunks().0) {
                block.mean = total(columns);
            }
        }
        self.sums_are_old = false;
    }

    #[inline(always)]
    fn compare_row(&mut self, by: Compare, everywhere: Light, lit: bool, y: usize, mask: &mut [u64]) {
        let Grid { width, stride, words, .. } = self.grid;
        let row = y * stride..(y + 1) * stride;
        let now = self.now[row.clone()].as_chunks::<BLOCK>().0;
        let mean = self.mean[row.clone()].as_chunks_mut::<BLOCK>().0;
        let deviation = self.deviation[row.clone()].as_chunks_mut::<BLOCK>().0;
        let over = self.over.as_chunks_mut::<BLOCK>().0;
        let of_row = y / BLOCK * self.blocks_x..(y / BLOCK + 1) * self.blocks_x;
        let blocks = self.lit[of_row.clone()].iter().zip(&self.busy[of_row]);
        let moved = everywhere != Light::SAME;
        for ((((now, mean), deviation), over), (&light, &busy)) in
            now.iter().zip(mean).zip(deviation).zip(over).zip(blocks)
        {
            // move the model with the light
            if moved {
                for mean in mean.iter_mut() {
                    *mean = everywhere.move_grey(*mean);
                }
            }
            if lit && light != BlockLight::SAME {
                for mean in mean.iter_mut() {
                    *mean = light.apply(*mean).clamp(0, WHITE) as i16;
                }
            }
            if busy {
                compare_block::<true>(by, now, mean, deviation, over);
            } else {
                compare_block::<false>(by, now, mean, deviation, over);
            }
        }
        for (column, &mean) in self.columns.iter_mut().zip(&self.mean[row]) {
            *column += eighths(mean);
        }
        let row = &mut mask[y * words..(y + 1) * words];
        for (word, bytes) in row.iter_mut().zip(self.over.as_chunks::<64>().0) {
            // nearly all are empty
            *word = if bytes.iter().fold(0, |all, byte| all | byte) == 0 { 0 } else { gather(bytes) };
        }
        if width % 64 != 0 {
            row[words - 1] &= (1 << (width % 64)) - 1;
        }
    }

    /// Names the boxes (left, upper, right, lower) with confirmed motion, in place of those named before.
    pub(crate) fn set_busy(&mut self, boxes: impl Iterator<Item = [u16; 4]>) {
        self.busy.fill(false);
        for [x0, y0, x1, y1] in boxes {
            for by in usize::from(y0) / BLOCK..usize::from(y1).div_ceil(BLOCK) {
                let row = by * self.blocks_x;
                self.busy[row + usize::from(x0) / BLOCK..row + usize::from(x1).div_ceil(BLOCK)].fill(true);
            }
        }
    }

    /// Moves the background in a box a quarter of the way to the frame: something has come to stay.
    pub(crate) fn absorb(&mut self, x: std::ops::Range<usize>, y: std::ops::Range<usize>) {
        for y in y {
            let row = y * self.grid.stride;
            let row = row + x.start..row + x.end;
            for (mean, &now) in self.mean[row.clone()].iter_mut().zip(&self.now[row]) {
                *mean += (now - *mean) >> 2;
            }
        }
        self.sums_are_old = true;
    }

    /// By how much the set pixels of word `word` of row `y` exceed their limits: the sum of difference / limit, in 16ths.
    pub(crate) fn excess_16(&self, by: Compare, y: usize, word: usize, bits: u64) -> u32 {
        let at = y * self.grid.stride + word * 64;
        let (mut sum, mut left) = (0, bits);
        while left != 0 {
            let i = at + left.trailing_zeros() as usize;
            let size = u32::from(self.now[i].abs_diff(self.mean[i]));
            sum += size * 16 / u32::from(by.limit(self.mean[i], self.deviation[i]).max(1) as u16);
            left &= left - 1;
        }
        sum
    }
}

/// Compares a row of a block and moves its model.
///
/// The forms look roundabout: a choice between two shifts of one value would be turned into a shift by a chosen amount,
/// which vector instructions have for 32 bits only, at three times the time of the whole loop. So the shifted values
/// differ (magnitude and signed value, positive and negative part), and the choice stays a choice.
#[inline(always)]
fn compare_block<const BUSY: bool>(
    by: Compare,
    now: &[i16; BLOCK],
    mean: &mut [i16; BLOCK],
    deviation: &mut [i16; BLOCK],
    over: &mut [u8; BLOCK],
) {
    for i in 0..BLOCK {
        let difference = now[i] - mean[i];
        let size = difference.abs();
        let limit = by.limit(mean[i], deviation[i]);
        let is_over = size > limit;
        let sign = difference >> 15;
        let slow = ((size >> by.moving_shift) ^ sign) - sign;
        mean[i] += if is_over { slow } else { difference >> by.mean_shift };
        // never more than twice the limit counts
        let change = size.min(limit.min(i16::MAX / 2) * 2) - deviation[i];
        let (up, down) = (change.max(0), change.min(0));
        let rise = if BUSY && is_over { up >> (by.fall_shift + 2) } else { up >> by.rise_shift };
        deviation[i] = (deviation[i] + rise + (down >> by.fall_shift)).clamp(0, DEVIATION_MAX);
        over[i] = u8::from(is_over);
    }
}

/// Packs 64 bytes of 0 or 1 into bits: each multiplication collects eight of them in its highest byte.
#[inline(always)]
fn gather(bytes: &[u8; 64]) -> u64 {
    let mut word = 0;
    for (i, eight) in bytes.as_chunks::<8>().0.iter().enumerate() {
        word |= (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (i * 8);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY: Compare = Compare {
        floor: 6 * GREY,
        glare: 0,
        deviations_16: 48,
        mean_shift: 5,
        moving_shift: 8,
        fall_shift: 5,
        rise_shift: 4,
    };

    #[test]
    fn bits_are_gathered_in_order() {
        let mut bytes = [0u8; 64];
        for i in [0, 1, 9, 23, 62, 63] {
            bytes[i] = 1;
        }
        assert_eq!(gather(&bytes), 1 | 2 | 1 << 9 | 1 << 23 | 1 << 62 | 1 << 63);
    }

    #[test]
    fn smoothing_spreads_things_and_drops_thin_bright_lines() {
        let grid = Grid::new(70, 9);
        let mut b = Background::new(grid);
        b.load(&[200; 630]);
        assert!(b.now.iter().all(|&v| v == 200 << 7));
        // two pixels wide, as a drop of rain is: gone
        let mut line = [40; 630];
        for y in 0..9 {
            line[y * 70 + 30..y * 70 + 32].fill(160);
        }
        b.load(&line);
        assert!(b.now.iter().all(|&v| v == 40 << 7));
        // three pixels wide: kept, its edge by 3/4, its corner by 9/16
        let mut dot = [0; 630];
        for y in 3..6 {
            dot[y * 70 + 30..y * 70 + 33].fill(160);
        }
        b.load(&dot);
        let at = |x: usize, y: usize| b.now[y * grid.stride + x];
        assert_eq!((at(31, 4), at(30, 4), at(30, 3), at(29, 4)), (160 << 7, 120 << 7, 90 << 7, 40 << 7));
    }

    #[test]
    fn a_box_is_marked_and_light_is_not() {
        let grid = Grid::new(100, 64);
        let mut b = Background::new(grid);
        let scene: Vec<u8> = (0..6400).map(|i| 40 + (i % 100) as u8).collect();
        b.load(&scene);
        b.relearn(GREY);
        let mut mask = grid.mask();
        let mut brighter: Vec<u8> = scene.iter().map(|&v| (u16::from(v) * 5 / 4) as u8).collect();
        for y in 20..40 {
            brighter[y * 100 + 50..y * 100 + 60].fill(10);
        }
        b.load(&brighter);
        let lighting = b.lighting();
        assert!(lighting.jump);
        assert!((lighting.light.gain - GAIN_ONE * 5 / 4).abs() < 100, "{lighting:?}");
        b.compare(BY, lighting.lit_blocks > 0, &mut mask);
        for y in 0..64 {
            for x in 0..100 {
                let inside = (21..39).contains(&y) && (51..59).contains(&x);
                let outside = !(19..41).contains(&y) || !(49..61).contains(&x);
                let bit = mask[y * 2 + x / 64] >> (x % 64) & 1 == 1;
                assert!(!inside || bit, "missed at {x} {y}");
                assert!(!(outside && bit), "marked at {x} {y}");
            }
        }
    }

    #[test]
    fn a_dark_picture_is_compared_more_finely() {
        let grid = Grid::new(100, 64);
        for (level, dark) in [(20, true), (DARK as u8, true), (DARK as u8 + 1, false), (200, false)] {
            let mut b = Background::new(grid);
            b.load(&[level; 6400]);
            b.relearn(GREY);
            assert_eq!(b.lighting().is_dark, dark, "{level}");
        }
        let (day, night) = (BY.limit(40 << 7, 2 * GREY), BY.in_the_dark().limit(40 << 7, 2 * GREY));
        assert_eq!((day, night), (12 * GREY, 10 * GREY + GREY / 2));
    }

    #[test]
    fn adopting_leaves_boxes_alone() {
        let grid = Grid::new(64, 8);
        let mut b = Background::new(grid);
        b.load(&[100; 512]);
        b.relearn(GREY);
        b.load(&[120; 512]);
        b.adopt(&[[4, 2, 10, 5], [60, 0, 64, 8]], GREY);
        for y in 0..8 {
            for x in 0..64 {
                let kept = ((4..10).contains(&x) && (2..5).contains(&y)) || x >= 60;
                assert_eq!(b.mean[y * 64 + x], if kept { 100 } else { 120 } << 7, "{x} {y}");
            }
        }
    }
}
