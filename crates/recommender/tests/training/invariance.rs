//! What must change nothing: threads, interruptions, kernels, padding.

use crate::{LOSSES, histories, quick, scores, small, trainer, views, with_variant};
use recommender::loss::Loss;
use recommender::model::SasRecConfig;
use recommender::train::TrainConfig;

#[test]
fn any_number_of_threads_and_any_interruption_gives_the_same_bits() {
    let (histories, folder) = (histories(200, 40, 30), tempfile::tempdir().unwrap());
    let histories = views(&histories);
    for loss in LOSSES {
        let mut whole = trainer(&small(), quick(loss), 1);
        for _ in 0..4 {
            whole.epoch(&histories).unwrap();
            whole
                .note(-whole.validation_loss(&histories).unwrap())
                .unwrap();
        }
        let mut first = trainer(&small(), quick(loss), 3);
        for _ in 0..2 {
            first.epoch(&histories).unwrap();
            first
                .note(-first.validation_loss(&histories).unwrap())
                .unwrap();
            first.save(folder.path()).unwrap();
        }
        drop(first);
        let mut second = trainer(&small(), quick(loss), 2);
        second.resume(folder.path()).unwrap();
        for _ in 0..2 {
            // Nor does it matter who looks on.
            let mut told = Vec::new();
            let report = second.epoch_told(&histories, &mut |step, of| told.push((step, of)));
            let steps = report.unwrap().steps / second.epochs();
            assert!(
                told.iter().copied().eq((1..=steps).map(|n| (n, steps))),
                "{told:?}"
            );
            assert!(steps > 1, "{steps}");
            second
                .note(-second.validation_loss(&histories).unwrap())
                .unwrap();
        }
        assert_eq!(
            scores(&whole, &histories),
            scores(&second, &histories),
            "{loss:?}"
        );
        assert_eq!(whole.take_best().unwrap(), second.take_best().unwrap());
        assert_eq!(
            scores(&whole, &histories),
            scores(&second, &histories),
            "best of {loss:?}"
        );
    }
}

#[test]
fn exact_attention_trains_as_the_materialised_does() {
    let histories = histories(400, 40, 25);
    let histories = views(&histories);
    let mut both =
        ["blocked", "naive-gemm"].map(|name| trainer(&with_variant(name), quick(LOSSES[0]), 2));
    for step in 0..100 {
        let batch = &histories[step * 4 % 368..][..32];
        let [exact, naive] = both
            .each_mut()
            .map(|trainer| trainer.step_on(batch).unwrap());
        assert!(
            (exact - naive).abs() < 1e-4,
            "step {step}: {exact} and {naive}"
        );
    }
}

#[test]
fn padding_costs_time_and_changes_nothing() {
    let histories = histories(60, 40, 25);
    let histories = views(&histories);
    let model = SasRecConfig {
        dropout: 0.0,
        ..small()
    };
    let losses = [false, true].map(|padded| {
        let config = TrainConfig {
            batch: 20,
            padded,
            ..quick(Loss::Softmax)
        };
        let mut trainer = trainer(&model, config, 2);
        (0..3)
            .map(|_| trainer.epoch(&histories).unwrap().loss)
            .collect::<Vec<_>>()
    });
    for (jagged, padded) in losses[0].iter().zip(&losses[1]) {
        assert!((jagged - padded).abs() < 1e-4, "{jagged} and {padded}");
    }
}
