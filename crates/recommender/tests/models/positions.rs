//! How positions are counted.

use attention::Workers;
use attention_candle::Engine;
use recommender::model::{
    HstuConfig, Parameters, Pass, Positions, SasRec, SasRecConfig, SequenceModel, Tokens,
};

#[test]
fn positions_from_the_first_event_stay_and_from_the_latest_move() {
    let items = Parameters::new(8).table("items", 12, 16).unwrap();
    let engine = Engine::new(Workers::serial());
    let states = |positions: Positions, history: &[u32]| {
        let config = SasRecConfig {
            width: 16,
            longest: 6,
            positions,
            ..SasRecConfig::default()
        };
        let model = SasRec::new(&config, 3).unwrap();
        let pass = Pass {
            engine: &engine,
            dropout: None,
            watch: None,
        };
        let tokens = Tokens::new([&[9, 8][..], history], 6);
        let states = model.encode(&items, &tokens, pass).unwrap();
        states.to_vec2::<f32>().unwrap()[2..5].to_vec()
    };
    let (short, long) = (&[3, 1, 4][..], &[3, 1, 4, 1, 5][..]);
    let first = Positions::FromFirst;
    assert_eq!(states(first, short), states(first, long));
    let latest = Positions::FromLatest;
    assert_ne!(states(latest, short), states(latest, long));
    assert_ne!(states(latest, short), states(first, short));

    // Settings of models that were kept before there was a choice are as they were.
    let settings = serde_json::to_value(SasRecConfig::default()).unwrap();
    assert_eq!(settings.get("positions"), None);
    let config = r#"{ "positions": "from-first" }"#;
    let config: HstuConfig = serde_json::from_str(config).unwrap();
    assert_eq!(config.positions, Positions::FromFirst);
}
