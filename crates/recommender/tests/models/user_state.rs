//! Users whose state is kept: the scores of the whole history, event by event.

use attention::mask::{Alignment, Part};
use attention::{Feature, Geometry, Mask, Shape, Workers};
use attention_candle::Engine;
use attention_variants::{Configured, VARIANTS};
use candle_core::{Tensor, Var};
use ndarray::{Array1, Array2};
use recommender::model::{
    AttentionConfig, Gru4Rec, Gru4RecConfig, Hstu, HstuConfig, ModelError, NextItNet,
    NextItNetConfig, Norm, Parameters, Positions, SasRec, SasRecConfig, Scorer, SequenceModel,
    TargetAttention, TargetAttentionConfig, UserState,
};
use std::collections::BTreeMap;

const ITEMS: usize = 40;
const LONGEST: usize = 24;

fn items() -> Var {
    Parameters::new(8).table("items", ITEMS, 16).unwrap()
}

fn history(length: u32) -> Vec<u32> {
    (0..length)
        .map(|t| (7 * t + t * t) % ITEMS as u32)
        .collect()
}

fn attention(variant: &str, parameters: &[(&str, &str)]) -> AttentionConfig {
    let parameters = parameters.iter();
    AttentionConfig {
        variant: variant.into(),
        parameters: parameters
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn sasrec(attention: AttentionConfig, norm: Norm) -> Result<SasRec, ModelError> {
    let config = SasRecConfig {
        width: 16,
        longest: LONGEST,
        heads: 2,
        positions: Positions::FromFirst,
        norm,
        attention,
        ..SasRecConfig::default()
    };
    SasRec::new(&config, 3)
}

fn hstu(attention: Option<AttentionConfig>) -> Hstu {
    let config = HstuConfig {
        width: 16,
        longest: LONGEST,
        heads: 2,
        head_width: 12,
        positions: Positions::FromFirst,
        attention,
        ..HstuConfig::default()
    };
    Hstu::new(&config, 3).unwrap()
}

/// Asks a model on some workers.
fn with_scorer<R>(
    model: &dyn SequenceModel,
    items: &Tensor,
    threads: usize,
    ask: impl FnOnce(Scorer<'_>) -> R,
) -> R {
    let engine = &Engine::new(Workers::new(threads).unwrap());
    ask(Scorer {
        model,
        items,
        engine,
    })
}

fn kept(user: &UserState<'_>) -> Array1<f32> {
    let mut scores = Array1::from_elem(ITEMS, f32::NAN);
    user.score(scores.view_mut()).unwrap();
    scores
}

fn anew(scorer: Scorer<'_>, history: &[u32]) -> Result<Array1<f32>, ModelError> {
    let mut scores = Array2::from_elem((1, ITEMS), f32::NAN);
    scorer.score(&[history], scores.view_mut())?;
    Ok(scores.row(0).to_owned())
}

fn assert_near(label: &str, found: &Array1<f32>, expected: &Array1<f32>) {
    assert_within(1e-5, label, found, expected);
}

fn assert_within(bound: f32, label: &str, found: &Array1<f32>, expected: &Array1<f32>) {
    let size = |x: &Array1<f32>| x.iter().fold(0f32, |most, x| most.max(x.abs()));
    let apart = size(&(found - expected)) / size(expected);
    assert!(apart < bound, "{label}: {apart:e} of the largest score");
}

/// Absorbs 13 events, observes 9 more, and holds each answer to that of the whole history.
fn assert_goes_on(label: &str, model: &dyn SequenceModel) {
    let (items, history) = (items(), history(22));
    with_scorer(model, &items, 2, |scorer| {
        let mut user = UserState::new(scorer, &history[..13]).unwrap();
        for seen in 13..=history.len() {
            if seen > 13 {
                user.observe(history[seen - 1]).unwrap();
            }
            let label = format!("{label} after {seen}");
            match anew(scorer, &history[..seen]) {
                Ok(expected) => assert_near(&label, &kept(&user), &expected),
                // Keys in 16 and 8 bits have no gradients, without which nothing encodes a batch; absorbed all at
                // once they answer the same, to their rounding.
                Err(error) => {
                    assert!(error.to_string().contains("backward"), "{label}: {error}");
                    let whole = UserState::new(scorer, &history[..seen]).unwrap();
                    assert_within(1e-2, &label, &kept(&user), &kept(&whole));
                }
            }
        }
        assert_eq!(user.events(), history);
    });
    let bits = [1, 2, 4].map(|threads| {
        with_scorer(model, &items, threads, |scorer| {
            let mut user = UserState::new(scorer, &history[..13]).unwrap();
            user.observe(5).unwrap();
            user.observe(6).unwrap();
            kept(&user)
        })
    });
    assert!(bits.iter().all(|scores| *scores == bits[0]), "{label}");
}

/// Why a user's state cannot be kept with an attention, as its capabilities and its pattern have it.
fn reason_against(attention: &Configured) -> Option<&'static str> {
    let attention = attention.build().unwrap();
    let capabilities = attention.capabilities();
    let missing = [Feature::Causal, Feature::Prepare]
        .into_iter()
        .find_map(|feature| capabilities.missing(feature));
    let (b, h, n, d) = (1, 2, 1, 8);
    let shape = Shape {
        b,
        h,
        hkv: h,
        nq: n,
        nk: n,
        d,
        dv: d,
    };
    let geometry = Geometry::padded(shape, Mask::causal(Alignment::TopLeft)).unwrap();
    let has_map = || {
        let pattern = attention.pattern(&geometry).unwrap()?;
        let map = |part: &Part| matches!(part, Part::Blocks(_) | Part::Dense(_));
        pattern
            .parts()
            .iter()
            .any(map)
            .then_some("its pattern is made for a number of keys")
    };
    missing.or_else(has_map)
}

#[test]
fn with_every_variant_and_norm_a_kept_state_answers_as_the_whole_history() {
    type Settings = &'static [(&'static str, &'static str)];
    let none: Settings = &[];
    let defaults = VARIANTS.iter().map(|variant| (variant.name, none));
    let more: [(&str, Settings); 2] = [
        ("cosformer", &[("horizon", "64")]),
        ("sliding-window", &[("window", "5")]),
    ];
    let mut able = 0;
    for (name, parameters) in defaults.chain(more) {
        let configured = Configured::new(name, parameters.iter().copied()).unwrap();
        let against = reason_against(&configured);
        for norm in [Norm::Original, Norm::Pre, Norm::Post] {
            let model = sasrec(attention(name, parameters), norm).unwrap();
            let Some(reason) = against else {
                assert_goes_on(&format!("{}, {norm:?}", configured.label()), &model);
                able += 1;
                continue;
            };
            with_scorer(&model, &items(), 1, |scorer| {
                let refusal = UserState::new(scorer, &[1, 2, 3]).err().unwrap();
                let unsupported = matches!(
                    &refusal,
                    ModelError::Attention(attention::Error::Unsupported { variant, .. })
                        if *variant == name
                );
                assert!(
                    unsupported && refusal.to_string().contains(reason),
                    "{refusal}"
                );
            });
        }
    }
    assert!(able >= 3 * 15, "{able} of the variants and norms can");
}

#[test]
fn other_models_go_on_too() {
    for name in ["blocked", "linear-elu", "gated-deltanet"] {
        assert_goes_on(name, &hstu(Some(attention(name, &[]))));
    }
    let config = Gru4RecConfig {
        width: 16,
        longest: LONGEST,
        hidden: 12,
        layers: 2,
        ..Gru4RecConfig::default()
    };
    assert_goes_on("gru4rec", &Gru4Rec::new(&config, 3).unwrap());
}

#[test]
fn exact_attention_keeps_every_event_and_a_linear_one_a_state() {
    let bytes = |variant: &str| {
        let model = sasrec(attention(variant, &[]), Norm::Original).unwrap();
        with_scorer(&model, &items(), 1, |scorer| {
            [1, 8, 9, 20].map(|length| {
                let mut user = UserState::new(scorer, &history(length - 1)).unwrap();
                user.observe(0).unwrap();
                user.bytes()
            })
        })
    };
    let exact = bytes("blocked");
    // Two layers of keys and values of 16 floats an event.
    assert!(exact.windows(2).all(|pair| pair[0] <= pair[1]), "{exact:?}");
    assert!(exact[3] >= 20 * 2 * 2 * 16 * 4, "{exact:?}");
    assert!(exact[3] > 4 * exact[0], "{exact:?}");
    let state = bytes("linear-elu");
    assert!(
        state[0] > 0 && state.iter().all(|bytes| *bytes == state[0]),
        "{state:?}"
    );
}

#[test]
fn a_full_state_begins_anew_behind_its_later_half() {
    let model = sasrec(attention("blocked", &[]), Norm::Original).unwrap();
    let (items, history) = (items(), history(60));
    with_scorer(&model, &items, 1, |scorer| {
        let mut user = UserState::new(scorer, &history[..30]).unwrap();
        assert_eq!(user.events(), &history[30 - LONGEST..30]);
        let mut lengths = Vec::new();
        for seen in 31..=60 {
            user.observe(history[seen - 1]).unwrap();
            let known = user.events();
            assert_eq!(known, &history[seen - known.len()..seen]);
            lengths.push(known.len());
            assert_near(
                &format!("after {seen}"),
                &kept(&user),
                &anew(scorer, known).unwrap(),
            );
        }
        let (half, rest) = (LONGEST / 2 + 1, LONGEST);
        assert_eq!((lengths[0], lengths[rest - half]), (half, rest));
        assert_eq!(lengths[rest - half + 1], half);
    });
}

#[test]
fn before_the_first_event_all_scores_are_zero() {
    let (items, gru) = (
        items(),
        Gru4Rec::new(
            &Gru4RecConfig {
                width: 16,
                ..Gru4RecConfig::default()
            },
            1,
        ),
    );
    let models: [Box<dyn SequenceModel>; 2] = [
        Box::new(sasrec(attention("linear-elu", &[]), Norm::Pre).unwrap()),
        Box::new(gru.unwrap()),
    ];
    for model in models {
        with_scorer(&*model, &items, 1, |scorer| {
            let mut user = UserState::new(scorer, &[]).unwrap();
            assert!(kept(&user).iter().chain(user.state()).all(|x| *x == 0.0));
            user.observe(7).unwrap();
            assert_near("one event", &kept(&user), &anew(scorer, &[7]).unwrap());
        });
    }
}

#[test]
fn an_event_that_fails_is_not_taken_in() {
    let model = sasrec(attention("blocked", &[]), Norm::Original).unwrap();
    with_scorer(&model, &items(), 1, |scorer| {
        let mut user = UserState::new(scorer, &[3, 1, 4]).unwrap();
        let before = kept(&user);
        assert!(user.observe(ITEMS as u32).is_err(), "not in the catalogue");
        assert_eq!((user.events(), kept(&user)), (&[3, 1, 4][..], before));
        user.observe(1).unwrap();
        assert_near(
            "the next one",
            &kept(&user),
            &anew(scorer, &[3, 1, 4, 1]).unwrap(),
        );
        assert!(UserState::new(scorer, &[ITEMS as u32]).is_err());
    });
}

#[test]
fn models_that_keep_nothing_say_why() {
    let latest = SasRecConfig {
        width: 16,
        ..SasRecConfig::default()
    };
    let models: [(Box<dyn SequenceModel>, &str); 4] = [
        (
            Box::new(SasRec::new(&latest, 1).unwrap()),
            "counted from the latest event",
        ),
        (Box::new(hstu(None)), "hstu does not support prepare"),
        (
            Box::new(NextItNet::new(&NextItNetConfig::default(), 1).unwrap()),
            "no form that goes on",
        ),
        (
            Box::new(TargetAttention::new(&TargetAttentionConfig::default(), 1).unwrap()),
            "no form that goes on",
        ),
    ];
    for (model, reason) in models {
        with_scorer(&*model, &items(), 1, |scorer| {
            let refusal = UserState::new(scorer, &[1, 2]).err().unwrap().to_string();
            assert!(refusal.contains(reason), "{refusal}");
        });
    }
}
