use std::time::Duration;

use argus_tests::scene::{Painter, Scene};

const BOX: Scene = Scene::MovingBox { every_s: 6, for_s: 2 };

/// Mean difference of the luma planes of two frames.
fn difference(painter: &Painter, a: usize, b: usize) -> f64 {
    let (a, b) = (painter.frame(a), painter.frame(b));
    let sum: u64 = a.iter().zip(&b).take(320 * 240).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / (320.0 * 240.0)
}

#[test]
fn the_box_is_drawn_when_the_truth_says_so_and_only_then() {
    let (painter, fps) = (Painter::new(BOX, 320, 240, 10), 10);
    for index in 0..BOX.frames(fps) {
        let truth = BOX.moves_at(Duration::from_millis(100 * index as u64));
        assert_eq!(BOX.object(index, fps, 320, 240).is_some(), truth, "frame {index}");
        let seen = difference(&painter, 0, index) > 2.2;
        assert_eq!(seen, truth, "frame {index}: {}", difference(&painter, 0, index));
    }
}

#[test]
fn noise_alone_changes_every_picture_a_little() {
    let painter = Painter::new(Scene::Still, 320, 240, 10);
    let noise = difference(&painter, 0, 1);
    assert!(noise > 0.5 && noise < 2.0, "{noise}");
}

#[test]
fn an_exposure_step_changes_the_whole_picture_and_moves_nothing() {
    let scene = Scene::ExposureStep { every_s: 4 };
    let painter = Painter::new(scene, 320, 240, 10);
    assert!(difference(&painter, 0, 20) > 20.0);
    assert!(!scene.moves_at(Duration::from_secs(3)));
}

#[test]
fn the_same_scene_is_the_same_bytes() {
    let again = Painter::new(BOX, 320, 240, 10).frame(50);
    assert_eq!(Painter::new(BOX, 320, 240, 10).frame(50), again);
}
