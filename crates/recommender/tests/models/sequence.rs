//! The models that give a state an event.

use crate::{assert_slopes, losses_on_any_threads};
use attention::Workers;
use attention_candle::Engine;
use recommender::loss::{Goals, Loss};
use recommender::model::{
    Gru4Rec, Gru4RecConfig, ModelError, NextItNet, NextItNetConfig, Parameters, Pass,
    SequenceModel, Tokens,
};

fn gru4rec() -> Box<dyn SequenceModel> {
    let config = Gru4RecConfig {
        width: 16,
        longest: 20,
        hidden: 12,
        layers: 2,
        dropout: 0.1,
    };
    Box::new(Gru4Rec::new(&config, 3).unwrap())
}

fn nextitnet() -> Box<dyn SequenceModel> {
    let config = NextItNetConfig {
        width: 16,
        longest: 20,
        dilations: vec![1, 2],
        ..NextItNetConfig::default()
    };
    Box::new(NextItNet::new(&config, 3).unwrap())
}

const MODELS: [fn() -> Box<dyn SequenceModel>; 2] = [gru4rec, nextitnet];

#[test]
fn a_models_gradient_is_the_slope_of_its_loss() {
    for model in MODELS {
        let model = model();
        let items = Parameters::new(8).table("items", 12, 16).unwrap();
        let histories: [&[u32]; 2] = [&[1, 5, 9, 2, 5], &[7, 0, 11]];
        let tokens = Tokens::new(histories, model.longest());
        let goals = Goals {
            rows: [5, 9, 2, 5, 4, 0, 11, 3].into(),
            ..Goals::default()
        };
        let loss = |engine: &Engine| {
            let pass = Pass {
                engine,
                dropout: Some(5),
                watch: None,
            };
            let states = model.encode(&items, &tokens, pass).unwrap();
            Loss::Softmax
                .of(engine, &states, &items, &goals, 12, 1.0)
                .unwrap()
        };
        assert_slopes(loss, model.parameters().iter().chain([("items", &items)]));
    }
}

#[test]
fn a_state_knows_its_own_history_up_to_its_event_alone() {
    let engine = Engine::new(Workers::serial());
    let items = Parameters::new(8).table("items", 12, 16).unwrap();
    for model in MODELS {
        let model = model();
        let states = |histories: &[&[u32]]| {
            let tokens = Tokens::new(histories.iter().copied(), model.longest());
            let pass = Pass {
                engine: &engine,
                dropout: None,
                watch: None,
            };
            let states = model.encode(&items, &tokens, pass).unwrap();
            states.to_vec2::<f32>().unwrap()
        };
        let both = states(&[&[1, 5, 9, 2, 5], &[7, 0, 11]]);
        assert_eq!(both[5..], states(&[&[7, 0, 11]])[..]);
        assert_eq!(both[..2], states(&[&[1, 5]])[..]);
        assert_ne!(both[4], states(&[&[2, 5, 9, 2, 5]])[4], "it looks back");
    }
}

#[test]
fn the_simulated_shop_is_learned_with_the_same_bits_on_any_threads() {
    for model in MODELS {
        let losses = losses_on_any_threads(model, Loss::Softmax, 6);
        assert!(losses[5] < 0.95 * losses[0], "{losses:?}");
    }
}

#[test]
fn sizes_of_zero_are_refused_by_their_keys() {
    let config = Gru4RecConfig {
        layers: 0,
        ..Gru4RecConfig::default()
    };
    let message = Gru4Rec::new(&config, 0)
        .err()
        .map(|error| error.to_string());
    assert_eq!(message.as_deref(), Some("layers = 0: at least 1"));
    let config = NextItNetConfig {
        dilations: vec![1, 0],
        ..NextItNetConfig::default()
    };
    assert!(matches!(
        NextItNet::new(&config, 0),
        Err(ModelError::Setting {
            setting: "dilations",
            ..
        })
    ));
}
