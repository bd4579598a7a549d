//! Blocks of the picture: how bright each is, and whether only light changed it.

#![expect(
    clippy::cast_possible_truncation,
    reason = "gains are within a third of one, offsets and means are means of 8.7 values"
)]
#![expect(clippy::cast_possible_wrap, reason = "sums of 256 values of 12 bits are below 2^31")]
#![expect(clippy::cast_sign_loss, reason = "8.7 grey values are never negative")]
#![expect(clippy::indexing_slicing, reason = "every buffer is made for the one grid in `Background::new`")]

use super::{BLOCK, Background, GREY};
use crate::light::GAIN_ONE;

/// So few lit blocks may all lie under one thing that is as even as the ground.
const UNDER_A_THING: usize = 4;
/// Where black may lie: at 0 in full-range luma, at 16 in limited-range luma.
const BLACK: [i32; 2] = [16 << 7, 0];

/// What light did to one block: `frame = background * gain + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockLight {
    /// 2.13 fixed point.
    gain: i16,
    /// 8.7 fixed point.
    offset: i16,
}

impl BlockLight {
    /// No change.
    pub(super) const SAME: Self = Self { gain: GAIN_ONE as i16, offset: 0 };
    /// A change that light does not explain.
    const UNEXPLAINED: Self = Self { gain: 0, offset: 0 };

    /// Whether it is a change by light.
    #[inline(always)]
    fn is_lit(self) -> bool {
        self != Self::SAME && self != Self::UNEXPLAINED
    }

    #[inline(always)]
    pub(super) fn apply(self, mean: i16) -> i32 {
        ((i32::from(mean) * i32::from(self.gain)) >> 13) + i32::from(self.offset)
    }
}

/// Brightness of a block in the frame and in the background: sums over its pixels, in 8ths of a level.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BlockSums {
    pub(super) now: u32,
    pub(super) mean: u32,
}

impl Background {
    /// Finds blocks that only light changed, such as by a cloud's shadow; answers how many.
    ///
    /// A block counts when a quarter of its neighbours do too (with one of eight, the two blocks under an even car were taken
    /// for light, and their background stayed wrong for five seconds after it had gone), and a block between three that count takes their light,
    /// because something may stand in it. Where only a few are found, those where something moves are no light: an even car in
    /// the dark was learnt, and its ghost stood for two seconds.
    #[inline(always)]
    pub(super) fn local_light(&mut self) -> usize {
        let mut any = 0;
        for by in 0..self.blocks_y {
            for bx in 0..self.blocks_x {
                let found = self.block_light(bx, by);
                any += usize::from(found.is_lit());
                self.lit_found[by * self.blocks_x + bx] = found;
            }
        }
        if any <= UNDER_A_THING {
            for (found, _) in self.lit_found.iter_mut().zip(&self.busy).filter(|(found, busy)| **busy && found.is_lit())
            {
                *found = BlockLight::UNEXPLAINED;
                any -= 1;
            }
        }
        if any == 0 {
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
                    misfit += (i32::from(now) - light.apply(self.pending.move_grey(mean))).abs();
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
}

/// An 8.7 value in 8ths of a level: sixteen of them fit 16 bits.
#[inline(always)]
pub(super) fn eighths(v: i16) -> u16 {
    (v >> 4) as u16
}

/// The sum of a block from the sums of its columns.
#[inline(always)]
pub(super) fn total(columns: &[u16; BLOCK]) -> u32 {
    columns.iter().map(|&v| u32::from(v)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::background::Compare;
    use crate::mask::Grid;

    /// Checks that what is kept of the blocks is what their pixels add up to.
    fn check_sums(b: &Background, when: &str) {
        for (i, block) in b.blocks.iter().enumerate() {
            let (bx, by) = (i % b.blocks_x, i / b.blocks_x);
            let sum = |of: &[i16]| -> u32 {
                let rows = b.rows_of(by).map(|y| &of[y * b.grid.stride + bx * BLOCK..][..BLOCK]);
                rows.flatten().map(|&v| u32::from(eighths(v))).sum()
            };
            assert_eq!(block.now, sum(&b.now), "{when}: frame, {bx} {by}");
            assert!(b.sums_are_old || block.mean == sum(&b.mean), "{when}: background, {bx} {by}");
        }
    }

    #[test]
    fn sums_of_blocks_follow_their_pixels() {
        // neither side a multiple of a block's
        let grid = Grid::new(150, 70);
        let mut b = Background::new(grid);
        let scene: Vec<u8> = (0..150 * 70).map(|i| 50 + (i * 7 % 120) as u8).collect();
        b.load(&scene);
        b.relearn(GREY);
        check_sums(&b, "learnt");
        let by = Compare {
            floor: 6 * GREY,
            glare: 0,
            deviations_16: 48,
            mean_shift: 5,
            moving_shift: 8,
            fall_shift: 5,
            rise_shift: 4,
        };
        let mut mask = grid.mask();
        for (gain, means_change) in [(100, false), (90, false), (70, true), (100, true)] {
            let frame: Vec<u8> = scene.iter().map(|&v| (u32::from(v) * gain / 100) as u8).collect();
            b.load(&frame);
            let lighting = b.lighting();
            if lighting.jump {
                b.adopt(&[[8, 8, 20, 20]], GREY);
            }
            b.compare(by, lighting.lit_blocks > 0, &mut mask);
            check_sums(&b, "compared");
            if means_change {
                b.absorb(30..60, 5..40);
                assert!(b.sums_are_old);
                b.sum_means();
                check_sums(&b, "absorbed");
            }
        }
    }

    /// How many of 10 by 6 blocks count as lit, when some are brighter and in others stands something.
    fn check_lit(brighter: &[(usize, usize)], covered: &[(usize, usize)], expected: usize) {
        check_lit_beside(&[], brighter, covered, expected);
    }

    /// The same, when something moves in boxes of pixels.
    fn check_lit_beside(busy: &[[u16; 4]], brighter: &[(usize, usize)], covered: &[(usize, usize)], expected: usize) {
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
        b.set_busy(busy.iter().copied());
        assert_eq!(b.lighting().lit_blocks, expected, "{busy:?} {brighter:?} {covered:?}");
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
    fn a_few_lit_blocks_where_something_moves_are_no_light() {
        let few = [(4, 3), (5, 3), (4, 4), (5, 4)];
        check_lit_beside(&[[64, 48, 96, 80]], &few, &[], 0);
        check_lit_beside(&[[0, 0, 32, 32]], &few, &[], 4);
        // one of them lies beside it: too few
        check_lit_beside(&[[64, 48, 80, 80], [80, 48, 96, 64]], &few, &[], 0);
        // a shadow over more than a thing
        let many: Vec<(usize, usize)> = (3..6).flat_map(|x| (2..5).map(move |y| (x, y))).collect();
        check_lit_beside(&[[64, 48, 96, 80]], &many, &[], 9);
    }

    #[test]
    fn what_stands_in_the_light_is_lit_as_all_around_it() {
        let around: Vec<(usize, usize)> =
            (3..6).flat_map(|x| (2..5).map(move |y| (x, y))).filter(|at| *at != (4, 3)).collect();
        check_lit(&around, &[(4, 3)], 9);
        check_lit(&around[..2], &[(4, 3)], 0);
        check_lit(&[], &[(4, 3)], 0);
    }
}
