//! The protocol against a peer that is a shell script: what arrives, what comes back, what goes wrong.

use attention::Problem;
use attention::mask::{Alignment, BlockMask, Mask};
use ndarray::Array4;
use peers::{Cell, Dtype, Error, Peer, Program, Scores, Timeouts, Work, catalog};
use std::path::Path;
use std::time::{Duration, Instant};

fn fake(manner: &str) -> Program {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-peer.sh");
    Program {
        name: "fake".into(),
        library: "Fake".into(),
        command: "sh".into(),
        args: vec![script.to_string_lossy().into_owned(), manner.into()],
        env: Vec::new(),
        bound: false,
        scores: Scores::Never,
        install: "install it with `make fake`".into(),
    }
}

fn start(manner: &str) -> Result<Peer, Error> {
    let timeouts = Timeouts {
        run: Duration::from_millis(600),
        ..Timeouts::default()
    };
    Peer::start(&fake(manner), 2, timeouts)
}

/// [2, 2, 3, 4], every entry another number.
fn tensor(salt: f32) -> Array4<f32> {
    Array4::from_shape_fn((2, 2, 3, 4), |(b, h, i, d)| {
        salt + (b * 1000 + h * 100 + i * 10 + d) as f32
    })
}

fn cell(work: Work, mask: Mask) -> Result<Cell, Error> {
    let (q, k, v, d_o) = (tensor(0.1), tensor(0.2), tensor(0.3), tensor(0.4));
    let problem = Problem::new(q.view(), k.view(), v.view())?.with_mask(mask)?;
    Cell::write(&problem, work, Dtype::F32, Some(d_o.view()))
}

#[test]
fn tensors_arrive_and_come_back_unchanged() {
    let cell = cell(Work::Training, Mask::full()).unwrap();
    let mut peer = start("well").unwrap();
    assert_eq!(peer.version(), "1.2");
    peer.load(&cell).unwrap();
    assert_eq!(peer.run(2, 1).unwrap(), [0.25, 0.5]);
    let answer = peer.output(&cell).unwrap();
    assert_eq!(answer.o, tensor(0.3));
    assert_eq!(answer.gradients.unwrap(), [0.1, 0.2, 0.3].map(tensor));
}

#[test]
fn what_it_cannot_do_is_unsupported_by_its_own_word_or_by_its_list() {
    let mut peer = start("well").unwrap();
    let causal = cell(Work::Forward, Mask::causal(Alignment::BottomRight)).unwrap();
    let message = peer.load(&causal).unwrap_err().to_string();
    assert_eq!(message, "fake does not support causal today");
    let blocks = BlockMask::random(3, 3, 2, 0.5, 1).unwrap();
    let blocks = cell(Work::Forward, Mask::blocks(blocks)).unwrap();
    let message = peer.load(&blocks).unwrap_err().to_string();
    assert_eq!(message, "fake does not support mask blocks");
    let linear = cell(Work::Forward, Mask::full()).unwrap();
    let linear = linear.with_attention("linear-elu");
    let message = peer.load(&linear).unwrap_err().to_string();
    assert_eq!(message, "fake does not support attention linear-elu");
}

#[test]
fn a_variants_tensors_arrive_by_name() {
    let (x, gate) = (tensor(0.1), tensor(7.0));
    let problem = Problem::new(x.view(), x.view(), x.view())
        .unwrap()
        .with_tensor("gate", gate.view().into_dyn());
    let cell = Cell::write(&problem, Work::Forward, Dtype::F32, None)
        .unwrap()
        .with_attention("gated");
    let mut peer = start("gated").unwrap();
    peer.load(&cell).unwrap();
    assert_eq!(peer.output(&cell).unwrap().o, gate);
}

#[test]
fn an_absent_peer_says_how_to_get_it() {
    let error = start("broken").unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }));
    let text = error.to_string();
    assert!(
        text.contains("ModuleNotFoundError") && text.contains("make fake"),
        "{text}"
    );
    let nowhere = Program {
        command: "/nowhere/at/all".into(),
        ..fake("well")
    };
    let error = Peer::start(&nowhere, 1, Timeouts::default()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[test]
fn a_dead_child_leaves_its_last_words() {
    let mut peer = start("dies").unwrap();
    let error = peer.run(2, 0).unwrap_err().to_string();
    assert!(error.contains("exit status: 7"), "{error}");
    assert!(error.ends_with("first line\nKilled by a test"), "{error}");
    // And stays dead.
    assert!(matches!(peer.run(2, 0), Err(Error::Died { .. })));
}

#[test]
fn a_silent_child_is_ended_in_time() {
    let mut peer = start("hangs").unwrap();
    let start = Instant::now();
    assert!(matches!(
        peer.run(2, 0),
        Err(Error::Timeout { request: "run", .. })
    ));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn answers_that_do_not_fit_are_errors() {
    assert!(matches!(start("foreign"), Err(Error::Protocol { .. })));
    assert!(matches!(
        start("chatters").unwrap().run(2, 0),
        Err(Error::Protocol { .. })
    ));
    assert!(matches!(
        start("short").unwrap().run(2, 0),
        Err(Error::Protocol { .. })
    ));
    assert!(matches!(
        start("fails").unwrap().run(2, 0),
        Err(Error::Failed { .. })
    ));
    let cell = cell(Work::Forward, Mask::full()).unwrap();
    let mut peer = start("truncates").unwrap();
    peer.load(&cell).unwrap();
    assert!(matches!(peer.output(&cell), Err(Error::File { .. })));
}

#[test]
fn a_child_on_too_few_cpus_is_refused() {
    let error = start("squeezed").unwrap_err();
    assert!(
        matches!(
            error,
            Error::Placement {
                cpus: 1,
                threads: 2,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn what_the_protocol_has_no_words_for_is_not_sent() {
    let both = Mask::causal(Alignment::TopLeft).and(&Mask::key_lengths([1, 2]));
    assert!(matches!(cell(Work::Forward, both), Err(Error::Problem(_))));
    let window = cell(Work::Forward, Mask::window(2));
    assert!(matches!(window, Err(Error::Problem(_))));
}

#[test]
fn every_script_of_the_catalog_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let programs = catalog(&root);
    for program in &programs {
        if let Some(script) = program.args.first().filter(|a| a.ends_with(".py")) {
            assert!(Path::new(script).exists(), "{script}");
        }
    }
    assert_eq!(programs.len(), 12);
}
