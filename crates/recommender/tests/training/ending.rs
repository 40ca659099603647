//! When it stops, and what it refuses.

use crate::{histories, quick, scores, small, trainer, views, with_variant};
use recommender::loss::Loss;
use recommender::model::{SasRec, SasRecConfig};
use recommender::train::{StopConfig, TrainConfig, TrainError};

#[test]
fn training_stops_when_the_metric_does_not_grow_and_goes_back_to_the_best() {
    let histories = histories(60, 40, 10);
    let histories = views(&histories);
    let stop = Some(StopConfig {
        every: 1,
        patience: 2,
    });
    let mut trainer = trainer(
        &small(),
        TrainConfig {
            stop,
            ..quick(Loss::Softmax)
        },
        2,
    );
    let mut at_best = None;
    for metric in [0.1, 0.3, 0.2, 0.25, 0.9] {
        if trainer.is_done() {
            break;
        }
        trainer.epoch(&histories).unwrap();
        trainer.note(metric).unwrap();
        if metric == 0.3 {
            at_best = Some(scores(&trainer, &histories));
        }
    }
    assert_eq!(trainer.epochs(), 4, "two looks without a better value");
    assert_eq!(trainer.take_best().unwrap(), Some((0.3, 2)));
    assert_eq!(at_best, Some(scores(&trainer, &histories)));
}

#[test]
fn what_cannot_be_trained_or_resumed_is_refused() {
    let histories = histories(20, 40, 10);
    let histories = views(&histories);
    let folder = tempfile::tempdir().unwrap();
    let mut one = trainer(&small(), quick(Loss::Softmax), 1);
    assert!(matches!(
        one.resume(folder.path()),
        Err(TrainError::Checkpoint { .. })
    ));
    one.epoch(&histories).unwrap();
    one.save(folder.path()).unwrap();
    let message = trainer(&with_variant("linear-relu"), quick(Loss::Softmax), 1)
        .resume(folder.path())
        .unwrap_err();
    assert!(message.to_string().contains("other settings"), "{message}");
    let file = folder.path().join("epoch-1.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let message = one.resume(folder.path()).unwrap_err().to_string();
    assert!(message.contains("checksum"), "{message}");

    assert!(matches!(
        one.epoch(&[&[3][..], &[]]),
        Err(TrainError::NoTargets { histories: 2 })
    ));
    assert!(matches!(
        one.epoch(&[&[3, 40][..]]),
        Err(TrainError::Item {
            item: 40,
            catalogue: 40
        })
    ));
    let config = SasRecConfig {
        heads: 3,
        ..small()
    };
    let message = SasRec::new(&config, 0).err().map(|error| error.to_string());
    assert_eq!(
        message.as_deref(),
        Some("heads = 3: a divisor of the width")
    );
}
