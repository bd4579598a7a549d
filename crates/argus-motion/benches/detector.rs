//! Time of reducing a 1080p plane and of looking at one picture of 320 x 180.

#![expect(clippy::unwrap_used, reason = "a benchmark may fail loudly")]
#![expect(clippy::cast_possible_truncation, reason = "noise of a few bits")]

use std::hint::black_box;

use argus_core::LumaPlane;
use argus_core::camera::Sensitivity;
use argus_motion::{Detector, DetectorConfig, MotionMask, Reducer};
use criterion::{Criterion, criterion_group, criterion_main};

/// Ten pictures of a noisy scene through which a bright box of 12 x 30 pixels walks.
fn pictures(width: usize, height: usize) -> Vec<LumaPlane> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut noise = |bits: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> (64 - bits)) as u8
    };
    let scene: Vec<u8> = (0..width * height).map(|i| 60 + (i % width / 8) as u8 + noise(4)).collect();
    (0..10)
        .map(|t| {
            let mut pixels: Vec<u8> = scene.iter().map(|&v| v + noise(2)).collect();
            for row in pixels.chunks_exact_mut(width).skip(80).take(30) {
                for v in row.iter_mut().skip(40 + t * 3).take(12) {
                    *v = 220;
                }
            }
            LumaPlane::new(width as u16, height as u16, pixels).unwrap()
        })
        .collect()
}

fn reduce(c: &mut Criterion) {
    for (name, width, height) in [("reduce 1080p", 1920, 1080), ("reduce 640x360", 640, 360)] {
        let y = vec![77u8; width * height];
        let mut reducer = Reducer::new(width as u32, height as u32);
        let mut memory = Vec::new();
        c.bench_function(name, |b| {
            b.iter(|| {
                let plane = reducer.reduce(black_box(&y), width, std::mem::take(&mut memory)).unwrap();
                memory = plane.into_pixels();
            });
        });
    }
}

fn detect(c: &mut Criterion) {
    let pictures = pictures(320, 180);
    let config =
        DetectorConfig { sensitivity: Sensitivity::Medium, frame_rate: 5.0, mask: MotionMask::from_zones(&[]) };
    let mut detector = Detector::new(320, 180, &config);
    let mut next = pictures.iter().cycle();
    c.bench_function("detect 320x180", |b| {
        b.iter(|| detector.feed(black_box(next.next().unwrap())).unwrap().moving);
    });
}

criterion_group!(benches, reduce, detect);
criterion_main!(benches);
