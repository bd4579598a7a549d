//! Connected regions of a mask, by runs.

#![expect(
    clippy::cast_possible_truncation,
    reason = "coordinates are below 2^16 by the type of the plane, runs below 2^32"
)]
#![expect(clippy::indexing_slicing, reason = "runs, parents and slots have one length; masks are of one grid")]

use std::ops::Range;

use crate::mask::{Grid, grow, occupied, span};

/// A connected region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    /// Left edge in pixels.
    pub x0: u16,
    /// Upper edge.
    pub y0: u16,
    /// Right edge, not included.
    pub x1: u16,
    /// Lower edge, not included.
    pub y1: u16,
    /// Changed pixels.
    pub area: u32,
    /// Of these, how many lie near a changed pixel of the frame before.
    pub support: u32,
    /// Of these, how many were changed in the frame before.
    pub same: u32,
    /// Changed pixels, each as often as its difference exceeds its limit: what area is when contrast is just enough.
    /// Zero until somebody weighs the region.
    pub weight: u32,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    from: u16,
    to: u16,
    y: u16,
}

/// Finds the regions and keeps the buffers for it.
#[derive(Debug)]
pub(crate) struct Blobs {
    /// The regions of the frame, in the order of their first row.
    pub found: Vec<Blob>,
    near: Vec<u64>,
    spare: Vec<u64>,
    grown: Vec<u64>,
    runs: Vec<Run>,
    parents: Vec<u32>,
    slots: Vec<u32>,
}

impl Blobs {
    pub(crate) fn new(grid: Grid) -> Self {
        // rows hold at most one run for every two pixels; pictures have far fewer, and the vectors grow when they must
        let runs = grid.height * 8;
        Self {
            found: Vec::with_capacity(256),
            near: grid.mask(),
            spare: grid.mask(),
            grown: grid.mask(),
            runs: Vec::with_capacity(runs),
            parents: Vec::with_capacity(runs),
            slots: Vec::with_capacity(runs),
        }
    }

    /// Regions of `mask` grown by two pixels (so that what is nearly joined is one), measured in pixels of `mask` itself;
    /// `before` is the mask of the frame before, near which, within `reach` pixels, is support.
    #[inline(always)]
    pub(crate) fn find(&mut self, grid: Grid, mask: &[u64], before: &[u64], reach: u32) {
        // only rows near changed pixels are looked at; each growth reads its step more on either side than it writes
        let rows = occupied(grid, mask);
        let around = |n: usize| rows.start.saturating_sub(n)..(rows.end + n).min(grid.height);
        // where movement was, with room for more: what was grown by `done` leaves no gap, at the border either, in a step
        // of one more
        self.near.copy_from_slice(before);
        let (reach, mut done) = (reach as usize, 0);
        while done < reach {
            let step = (done + 1).min(reach - done);
            done += step;
            grow(grid, &self.near, &mut self.spare, around(reach - done), step);
            std::mem::swap(&mut self.near, &mut self.spare);
        }
        grow(grid, mask, &mut self.spare, around(3), 1);
        grow(grid, &self.spare, &mut self.grown, around(2), 1);
        self.make_runs(grid, around(2));
        self.measure(grid, mask, before);
    }

    #[inline(always)]
    fn make_runs(&mut self, grid: Grid, rows: Range<usize>) {
        self.runs.clear();
        self.parents.clear();
        let (mut above_from, mut above_to) = (0, 0);
        for y in rows {
            let first = self.runs.len();
            let mut open: Option<u16> = None;
            for (i, &word) in grid.row(&self.grown, y).iter().enumerate() {
                // bits where the state flips
                let mut flips = if open.is_some() { !word } else { word };
                while flips != 0 {
                    let bit = flips.trailing_zeros();
                    let x = (i * 64) as u16 + bit as u16;
                    open = match open {
                        None => Some(x),
                        Some(from) => {
                            self.runs.push(Run { from, to: x, y: y as u16 });
                            None
                        }
                    };
                    flips = !flips & (u64::MAX << bit);
                }
            }
            if let Some(from) = open {
                self.runs.push(Run { from, to: grid.stride.min(usize::from(u16::MAX)) as u16, y: y as u16 });
            }
            for r in first..self.runs.len() {
                self.parents.push(r as u32);
                let run = self.runs[r];
                while above_from < above_to && self.runs[above_from].to <= run.from {
                    above_from += 1;
                }
                let mut a = above_from;
                while a < above_to && self.runs[a].from < run.to {
                    join(&mut self.parents, a as u32, r as u32);
                    a += 1;
                }
            }
            (above_from, above_to) = (first, self.runs.len());
        }
    }

    #[inline(always)]
    fn measure(&mut self, grid: Grid, mask: &[u64], before: &[u64]) {
        self.found.clear();
        self.slots.clear();
        self.slots.resize(self.runs.len(), u32::MAX);
        for r in 0..self.runs.len() {
            let root = root_of(&mut self.parents, r as u32) as usize;
            if self.slots[root] == u32::MAX {
                self.slots[root] = self.found.len() as u32;
                self.found.push(Blob {
                    x0: u16::MAX,
                    y0: u16::MAX,
                    x1: 0,
                    y1: 0,
                    area: 0,
                    support: 0,
                    same: 0,
                    weight: 0,
                });
            }
            let run = self.runs[r];
            let (from, to) = (usize::from(run.from), usize::from(run.to));
            let blob = &mut self.found[self.slots[root] as usize];
            let base = usize::from(run.y) * grid.words;
            for i in from / 64..=(to - 1) / 64 {
                let bits = mask[base + i] & span(i, from, to);
                if bits == 0 {
                    continue;
                }
                blob.area += bits.count_ones();
                blob.support += (bits & self.near[base + i]).count_ones();
                blob.same += (bits & before[base + i]).count_ones();
                blob.x0 = blob.x0.min((i * 64) as u16 + bits.trailing_zeros() as u16);
                blob.x1 = blob.x1.max((i * 64) as u16 + (64 - bits.leading_zeros()) as u16);
                blob.y0 = blob.y0.min(run.y);
                blob.y1 = blob.y1.max(run.y + 1);
            }
        }
    }
}

fn root_of(parents: &mut [u32], run: u32) -> u32 {
    let mut i = run;
    while parents[i as usize] != i {
        let grand = parents[parents[i as usize] as usize];
        parents[i as usize] = grand;
        i = grand;
    }
    i
}

fn join(parents: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root_of(parents, a), root_of(parents, b));
    // the earlier run stays the root, so that regions come in the order of their first row
    parents[a.max(b) as usize] = a.min(b);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(grid: Grid, boxes: &[(usize, usize, usize, usize)]) -> Vec<u64> {
        let mut m = grid.mask();
        for &(x0, y0, x1, y1) in boxes {
            for y in y0..y1 {
                for i in 0..grid.words {
                    m[y * grid.words + i] |= span(i, x0, x1);
                }
            }
        }
        m
    }

    fn check(boxes: &[(usize, usize, usize, usize)], expected: &[(u16, u16, u16, u16, u32)]) {
        let grid = Grid::new(200, 40);
        let mut blobs = Blobs::new(grid);
        blobs.find(grid, &mask(grid, boxes), &grid.mask(), 3);
        let got: Vec<_> = blobs.found.iter().map(|b| (b.x0, b.y0, b.x1, b.y1, b.area)).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn regions_are_joined_within_four_pixels() {
        check(&[], &[]);
        check(&[(10, 5, 20, 9)], &[(10, 5, 20, 9, 40)]);
        check(&[(0, 0, 200, 40)], &[(0, 0, 200, 40, 8000)]);
        check(&[(60, 5, 70, 9), (74, 5, 80, 9)], &[(60, 5, 80, 9, 64)]);
        check(&[(60, 5, 70, 9), (75, 5, 80, 9)], &[(60, 5, 70, 9, 40), (75, 5, 80, 9, 20)]);
        // a U: two arms that meet only in the last row
        check(&[(60, 0, 62, 30), (80, 0, 82, 30), (60, 28, 82, 30)], &[(60, 0, 82, 30, 60 + 60 + 36)]);
    }

    #[test]
    fn support_reaches_exactly_as_far_as_asked() {
        let grid = Grid::new(150, 40);
        let mut blobs = Blobs::new(grid);
        for reach in 0..=9 {
            blobs.find(grid, &mask(grid, &[(0, 0, 150, 40)]), &mask(grid, &[(66, 20, 67, 21), (0, 39, 1, 40)]), reach);
            let side = 2 * reach + 1;
            assert_eq!(blobs.found[0].support, side * side + (reach + 1).pow(2), "{reach}");
        }
    }

    #[test]
    fn support_and_sameness_look_at_the_frame_before() {
        let grid = Grid::new(128, 20);
        let mut blobs = Blobs::new(grid);
        blobs.find(grid, &mask(grid, &[(60, 5, 70, 9)]), &mask(grid, &[(50, 5, 62, 9)]), 3);
        assert_eq!((blobs.found[0].same, blobs.found[0].support), (8, 20));
    }
}
