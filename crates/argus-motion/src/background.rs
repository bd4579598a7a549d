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
/// Where black may lie: at 0 in full-range luma, at 16 in limited-range luma.
const BLACK: [i32; 2] = [16 << 7, 0];

/// What light did to one block: `frame = background * gain + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockLight {
    /// 2.13 fixed point.
    gain: i16,
    /// 8.7 fixed point.
    offset: i16,
}

impl BlockLight {
    /// No change.
    const SAME: Self = Self { gain: GAIN_ONE as i16, offset: 0 };
    /// A change that light does not explain.
    const UNEXPLAINED: Self = Self { gain: 0, offset: 0 };

    /// Whether it is a change by light.
    #[inline(always)]
    fn is_lit(self) -> bool {
        self != Self::SAME && self != Self::UNEXPLAINED
    }

    #[inline(always)]
    fn apply(self, mean: i16) -> i32 {
        ((i32::from(mean) * i32::from(self.gain)) >> 13) + i32::from(self.offset)
    }
}

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
    /// Whether it was so much at once that what clips black or white cannot be followed.
    pub jump: bool,
}

impl Lighting {
    /// No change.
    pub(crate) const SAME: Self = Self { light: Light::SAME, lit_blocks: 0, is_restless: false, jump: false };
}

/// Block means of a frame and of the background, as sums of a quarter level times 32 over the block.
#[derive(Clone, Copy, Debug, Default)]
struct BlockSums {
    now: u32,
    mean: u32,
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
    sums_now: Vec<u16>,
    sums_mean: Vec<u16>,
    blocks: Vec<BlockSums>,
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
            sums_now: vec![0; grid.stride],
            sums_mean: vec![0; grid.stride],
            blocks: vec![BlockSums::default(); blocks_x * blocks_y],
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
        let Grid { width, height, stride, .. } = self.grid;
        let row = |y: usize| &pixels[y * width..(y + 1) * width];
        let tall = &mut self.tall[..width + 2];
        for y in 0..height {
            let (up, middle, down) = (row(y.saturating_sub(1)), row(y), row((y + 1).min(height - 1)));
            for (((t, &u), &m), &d) in tall[1..=width].iter_mut().zip(up).zip(middle).zip(down) {
                *t = u16::from(u) + 2 * u16::from(m) + u16::from(d);
            }
            tall[0] = tall[1];
            tall[width + 1] = tall[width];
            let low = &mut self.low[..width + 2];
            for (((o, &l), &m), &r) in
                low[1..=width].iter_mut().zip(&tall[..width]).zip(&tall[1..=width]).zip(&tall[2..])
            {
                *o = l.min(m).min(r);
            }
            low[0] = low[1];
            low[width + 1] = low[width];
            for (((o, &l), &m), &r) in tall[1..=width].iter_mut().zip(&low[..width]).zip(&low[1..=width]).zip(&low[2..])
            {
                *o = l.max(m).max(r);
            }
            tall[0] = tall[1];
            tall[width + 1] = tall[width];
            let out = &mut self.now[y * stride..(y + 1) * stride];
            let (out, padding) = out.split_at_mut(width);
            for (((o, &l), &m), &r) in out.iter_mut().zip(&tall[..width]).zip(&tall[1..=width]).zip(&tall[2..]) {
                *o = ((l + 2 * m + r) << 3) as i16;
            }
            padding.fill(out[width - 1]);
        }
    }

    /// Takes the frame as the background, with `deviation` (8.7) everywhere.
    pub(crate) fn relearn(&mut self, deviation: i16) {
        self.mean.copy_from_slice(&self.now);
        self.deviation.fill(deviation);
    }

    /// Takes the frame as the background except in the boxes `keep` (left, upper, right, lower; right and lower not
    /// included), and trusts it less by `deviation`.
    pub(crate) fn adopt(&mut self, keep: &[[u16; 4]], deviation: i16) {
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

    /// Moves the background to the light of the frame: first by one gain and offset for the whole picture, then, in
    /// `gains`, block by block where a gain alone explains the change because the texture is the same.
    #[inline(always)]
    pub(crate) fn lighting(&mut self) -> Lighting {
        self.sum_blocks();
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
            let (gain, offset) = (light.gain, light.offset * i32::from(GREY) / LEVEL);
            for mean in &mut self.mean {
                *mean = (((i32::from(*mean) * gain) >> 13) + offset).clamp(0, WHITE) as i16;
            }
            for (i, block) in self.blocks.iter_mut().enumerate() {
                // pixels of the block, fewer in the last row; 8ths of a level
                let n = (self.grid.height - i / self.blocks_x * BLOCK).min(BLOCK) * BLOCK;
                let offset = i64::from(light.offset) * n as i64 / 2;
                block.mean = (((i64::from(block.mean) * i64::from(gain)) >> 13) + offset).max(1) as u32;
            }
        }
        let jump = (light.gain - GAIN_ONE).abs() > GAIN_ONE * 12 / 100 || light.offset.abs() > 14 * LEVEL;
        let lit_blocks = self.local_light();
        let is_restless = lit_blocks * 8 >= self.blocks_x * self.blocks_y;
        Lighting { light, lit_blocks, is_restless, jump }
    }

    #[inline(always)]
    fn sum_blocks(&mut self) {
        let stride = self.grid.stride;
        for by in 0..self.blocks_y {
            let (y0, y1) = (by * BLOCK, ((by + 1) * BLOCK).min(self.grid.height));
            self.sums_now.fill(0);
            self.sums_mean.fill(0);
            // down the columns first: sixteen values in 8ths of a level fit 16 bits
            for y in y0..y1 {
                let row = y * stride..(y + 1) * stride;
                for (s, &v) in self.sums_now.iter_mut().zip(&self.now[row.clone()]) {
                    *s += (v >> 4) as u16;
                }
                for (s, &v) in self.sums_mean.iter_mut().zip(&self.mean[row]) {
                    *s += (v >> 4) as u16;
                }
            }
            let total = |columns: &[u16; BLOCK]| columns.iter().map(|&v| u32::from(v)).sum::<u32>();
            let row = &mut self.blocks[by * self.blocks_x..(by + 1) * self.blocks_x];
            let columns = self.sums_now.as_chunks::<BLOCK>().0.iter().zip(self.sums_mean.as_chunks::<BLOCK>().0);
            for (block, (now, mean)) in row.iter_mut().zip(columns) {
                *block = BlockSums { now: total(now), mean: total(mean) };
            }
        }
    }

    /// Finds blocks that only light changed, such as by a cloud's shadow; answers how many.
    ///
    /// A block counts when a quarter of its neighbours do too (with one of eight, the two blocks under an even car were taken
    /// for light, and their background stayed wrong for five seconds after it had gone), and a block between three that count takes their light,
    /// because something may stand in it.
    #[inline(always)]
    fn local_light(&mut self) -> usize {
        let mut any = false;
        for by in 0..self.blocks_y {
            for bx in 0..self.blocks_x {
                let found = self.block_light(bx, by);
                any |= found.is_lit();
                self.lit_found[by * self.blocks_x + bx] = found;
            }
        }
        if !any {
            return 0;
        }
        let mut lit = 0;
        for by in 0..self.blocks_y {
            for bx in 0..self.blocks_x {
                let (mut n, mut all, mut gain, mut offset) = (0, 0, 0, 0);
                for y in by.saturating_sub(1)..(by + 2).min(self.blocks_y) {
                    for x in bx.saturating_sub(1)..(bx + 2).min(self.blocks_x) {
                        let near = self.lit_found[y * self.blocks_x + x];
                        all += 1;
                        if (x, y) != (bx, by) && near.is_lit() {
                            n += 1;
                            gain += i32::from(near.gain);
                            offset += i32::from(near.offset);
                        }
                    }
                }
                let at = by * self.blocks_x + bx;
                self.lit[at] = match self.lit_found[at] {
                    BlockLight::UNEXPLAINED if n >= 3 => {
                        BlockLight { gain: (gain / n) as i16, offset: (offset / n) as i16 }
                    }
                    own if own.is_lit() && n * 4 >= all - 1 => own,
                    _ => BlockLight::SAME,
                };
                lit += usize::from(self.lit[at] != BlockLight::SAME);
            }
        }
        lit
    }

    /// The light of a block, when its texture is the same as before and only its brightness is not.
    #[inline(always)]
    fn block_light(&self, bx: usize, by: usize) -> BlockLight {
        let (y0, y1) = (by * BLOCK, ((by + 1) * BLOCK).min(self.grid.height));
        let n = ((y1 - y0) * BLOCK) as i32;
        let BlockSums { now, mean } = self.blocks[by * self.blocks_x + bx];
        // only where the block's mean has moved by two levels
        if (now.abs_diff(mean) as i32) < 2 * 8 * n {
            return BlockLight::SAME;
        }
        let (now, mean) = ((now as i32 / n) << 4, (mean as i32 / n) << 4);
        let mut best = (i32::MAX, BlockLight::SAME);
        for black in BLACK {
            if now <= black || mean <= black {
                continue;
            }
            // by no more than light does between two frames
            let gain = (now - black) * GAIN_ONE / (mean - black);
            if (gain - GAIN_ONE).abs() > GAIN_ONE * 3 / 10 {
                continue;
            }
            let light = BlockLight { gain: gain as i16, offset: (black - ((black * gain) >> 13)) as i16 };
            let mut misfit = 0;
            for y in y0..y1 {
                let at = y * self.grid.stride + bx * BLOCK;
                for (&now, &mean) in self.now[at..at + BLOCK].iter().zip(&self.mean[at..at + BLOCK]) {
                    misfit += (i32::from(now) - light.apply(mean)).abs();
                }
            }
            if misfit < best.0 {
                best = (misfit, light);
            }
        }
        if best.0 == i32::MAX {
            return BlockLight::UNEXPLAINED;
        }
        // how well light explains it (mean |frame - background in that light|), against the texture that is there
        let mut texture = 0;
        for y in y0..y1 {
            let at = y * self.grid.stride + bx * BLOCK;
            for &v in &self.now[at..at + BLOCK] {
                texture += (i32::from(v) - now).abs();
            }
        }
        if best.0 < n * (now / 36 + i32::from(GREY) * 3 / 4) + texture / 4 { best.1 } else { BlockLight::UNEXPLAINED }
    }

    /// Sets the bits of changed pixels in `mask` and moves the model. `lit`: whether any block has a gain.
    #[inline(always)]
    pub(crate) fn compare(&mut self, by: Compare, lit: bool, mask: &mut [u64]) {
        let Grid { width, height, stride, words } = self.grid;
        for y in 0..height {
            let row = y * stride..(y + 1) * stride;
            let now = self.now[row.clone()].as_chunks::<BLOCK>().0;
            let mean = self.mean[row.clone()].as_chunks_mut::<BLOCK>().0;
            let deviation = self.deviation[row].as_chunks_mut::<BLOCK>().0;
            let over = self.over.as_chunks_mut::<BLOCK>().0;
            let of_row = y / BLOCK * self.blocks_x..(y / BLOCK + 1) * self.blocks_x;
            let blocks = self.lit[of_row.clone()].iter().zip(&self.busy[of_row]);
            for ((((now, mean), deviation), over), (&light, &busy)) in
                now.iter().zip(mean).zip(deviation).zip(over).zip(blocks)
            {
                if lit && light != BlockLight::SAME {
                    // light on this block: move the model with it
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
            let row = &mut mask[y * words..(y + 1) * words];
            for (word, bytes) in row.iter_mut().zip(self.over.as_chunks::<64>().0) {
                *word = gather(bytes);
            }
            if width % 64 != 0 {
                row[words - 1] &= (1 << (width % 64)) - 1;
            }
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

    /// How many of 10 by 6 blocks count as lit, when some are brighter and in others stands something.
    fn check_lit(brighter: &[(usize, usize)], covered: &[(usize, usize)], expected: usize) {
        let grid = Grid::new(10 * BLOCK, 6 * BLOCK);
        let scene: Vec<u8> = (0..grid.width * grid.height)
            .map(|i| (60 + (i % grid.width * 7 + i / grid.width * 13) % 60) as u8)
            .collect();
        let mut b = Background::new(grid);
        b.load(&scene);
        b.relearn(GREY);
        let mut frame = scene;
        for (i, v) in frame.iter_mut().enumerate() {
            let (x, y) = (i % grid.width, i / grid.width);
            let block = (x / BLOCK, y / BLOCK);
            if covered.contains(&block) {
                *v = if x % 4 < 2 { 230 } else { 20 };
            } else if brighter.contains(&block) {
                *v = (u16::from(*v) * 5 / 4) as u8;
            }
        }
        b.load(&frame);
        assert_eq!(b.lighting().lit_blocks, expected, "{brighter:?} {covered:?}");
    }

    #[test]
    fn light_falls_on_neighbours_too() {
        check_lit(&[], &[], 0);
        // alone, or two side by side as under an even car: no light
        check_lit(&[(4, 3)], &[], 0);
        check_lit(&[(4, 3), (5, 3)], &[], 0);
        // a quarter of the neighbours: two of eight, one of three in a corner
        check_lit(&[(4, 3), (5, 3), (4, 4)], &[], 3);
        check_lit(&[(0, 0), (1, 0), (0, 1)], &[], 3);
    }

    #[test]
    fn what_stands_in_the_light_is_lit_as_all_around_it() {
        let around: Vec<(usize, usize)> =
            (3..6).flat_map(|x| (2..5).map(move |y| (x, y))).filter(|at| *at != (4, 3)).collect();
        check_lit(&around, &[(4, 3)], 9);
        check_lit(&around[..2], &[(4, 3)], 0);
        check_lit(&[], &[(4, 3)], 0);
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
