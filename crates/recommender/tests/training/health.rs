//! Norms of gradients, and where they vanish.

use crate::{LOSSES, histories, quick, small, trainer, views};
use recommender::model::{Norm, SasRecConfig};
use recommender::train::{LayerHealth, TrainConfig, TrainError};

#[test]
fn health_is_the_same_on_any_threads_and_learns_nothing() {
    let histories = histories(60, 40, 20);
    let histories = views(&histories);
    let config = TrainConfig {
        batch: 60,
        ..quick(LOSSES[0])
    };
    let [mut one, mut two] = [1, 2].map(|threads| trainer(&small(), config.clone(), threads));
    let before = one.health(&histories).unwrap();
    assert_eq!(before, one.health(&histories).unwrap());
    assert_eq!(before, two.health(&histories).unwrap(), "on other threads");
    assert_eq!(
        one.step_on(&histories).unwrap(),
        two.step_on(&histories).unwrap()
    );
    assert_ne!(before, one.health(&histories).unwrap());

    let names: Vec<&str> = before.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names[..2], ["items", "positions"]);
    let blocks = LayerHealth::blocks(&before);
    let squares = |all: &[LayerHealth], part: &str| -> f64 {
        let of_part = all.iter().filter(|tensor| tensor.name.starts_with(part));
        of_part.map(|tensor| tensor.gradient.powi(2)).sum()
    };
    assert_eq!(blocks.len(), 2);
    for block in &blocks {
        let tensors = squares(&before, &format!("{}.", block.name)).sqrt();
        assert!((block.gradient - tensors).abs() < 1e-12 * tensors);
        assert!(block.ratio() > 0.0 && block.size > 1.0);
    }
    let none: [&[u32]; 2] = [&[3], &[]];
    assert!(matches!(
        one.health(&none),
        Err(TrainError::NoTargets { histories: 2 })
    ));
}

/// Sums that are normalised anew in each block take the gradient away from the first ones (Xiong et al. 2020,
/// section 3.3); a residual that passes by does not.
#[test]
fn the_first_of_many_blocks_has_less_where_norms_stand_behind_sums() {
    let histories = histories(60, 40, 20);
    let histories = views(&histories);
    let share = |norm| {
        let model = SasRecConfig {
            norm,
            blocks: 8,
            ..small()
        };
        let trainer = trainer(&model, quick(LOSSES[0]), 2);
        let blocks = LayerHealth::blocks(&trainer.health(&histories).unwrap());
        assert_eq!(blocks.len(), 8);
        blocks[0].gradient / blocks[7].gradient
    };
    let (before, behind) = (share(Norm::Pre), share(Norm::Post));
    assert!(behind < 0.7 * before, "{before} and {behind}");
}
