//! The simulated shop has the structure it says it has.

use recommender::{ShopConfig, SimulatedShop, simulate_shop};

fn small() -> ShopConfig {
    ShopConfig {
        users: 300,
        items: 400,
        clusters: 8,
        median_length: 60.0,
        max_length: 600,
        ..ShopConfig::default()
    }
}

fn shop(config: &ShopConfig) -> SimulatedShop {
    simulate_shop(config).unwrap()
}

/// Share of consecutive events of a user for which `holds`.
fn share_of_pairs(shop: &SimulatedShop, holds: impl Fn(&SimulatedShop, u32, u32) -> bool) -> f64 {
    let pairs = shop
        .interactions
        .histories()
        .flat_map(|history| history.windows(2));
    let (all, held) = pairs.fold((0, 0), |(all, held), pair| {
        (all + 1, held + usize::from(holds(shop, pair[0], pair[1])))
    });
    held as f64 / all as f64
}

#[test]
fn the_content_is_fixed_by_the_seed_on_any_machine() {
    // Pinned: a change of it changes every result made from the default shop.
    assert_eq!(
        shop(&small()).interactions.checksum(),
        "03d0697f9d117c6bace379c678378d8bd5f89499c5eac18218bbb054d29f3667"
    );
    assert_eq!(shop(&small()), shop(&small()));
    assert_ne!(
        shop(&small()).interactions,
        shop(&ShopConfig { seed: 2, ..small() }).interactions
    );
}

#[test]
fn a_user_stays_the_same_when_more_are_added() {
    let (few, many) = (
        shop(&small()),
        shop(&ShopConfig {
            users: 310,
            ..small()
        }),
    );
    for user in 0..300 {
        assert_eq!(
            few.interactions.history(user),
            many.interactions.history(user)
        );
    }
}

#[test]
fn lengths_are_log_normal_within_their_bounds() {
    let config = ShopConfig {
        users: 4_000,
        length_sigma: 0.8,
        min_length: 1,
        max_length: 100_000,
        ..small()
    };
    let logarithms: Vec<f64> = shop(&config)
        .interactions
        .lengths()
        .iter()
        .map(|&n| (n as f64).ln())
        .collect();
    let moment = |power: i32, centre: f64| {
        logarithms
            .iter()
            .map(|v| (v - centre).powi(power))
            .sum::<f64>()
            / 4_000.0
    };
    let mean = moment(1, 0.0);
    let sigma = moment(2, mean).sqrt();
    // Four standard errors: 0.8/√4000 for the mean, 0.8/√8000 for σ, √(6/4000) for the skewness.
    assert!((mean - 60f64.ln()).abs() < 0.051, "{mean}");
    assert!((sigma - 0.8).abs() < 0.036, "{sigma}");
    assert!((moment(3, mean) / sigma.powi(3)).abs() < 0.155);
    let cut = shop(&ShopConfig {
        min_length: 40,
        max_length: 80,
        ..small()
    })
    .interactions
    .lengths();
    assert_eq!((cut.iter().min(), cut.iter().max()), (Some(&40), Some(&80)));
}

#[test]
fn times_rise_within_a_history_and_sessions_lie_apart() {
    let shop = shop(&small());
    let mut gaps: Vec<i64> = Vec::new();
    for user in 0..shop.interactions.users() {
        gaps.extend(
            shop.interactions
                .times(user)
                .unwrap()
                .windows(2)
                .map(|pair| pair[1] - pair[0]),
        );
    }
    assert!(gaps.iter().all(|&gap| gap > 0));
    // Mean session of eight events: seven short gaps for one of an hour or more.
    let long = gaps.iter().filter(|&&gap| gap >= 3_600).count() as f64 / gaps.len() as f64;
    assert!((long - 1.0 / 8.0).abs() < 0.01, "{long}");
}

#[test]
fn sessions_stick_to_a_cluster() {
    let same = |shop: &SimulatedShop, a: u32, b: u32| {
        shop.item_cluster[a as usize] == shop.item_cluster[b as usize]
    };
    let at = |session_stickiness| {
        share_of_pairs(
            &shop(&ShopConfig {
                session_stickiness,
                ..small()
            }),
            same,
        )
    };
    let (loose, sticky) = (at(0.0), at(0.95));
    // Without drift of attention within a session seven pairs in eight stay; across sessions interests alone decide.
    assert!(sticky > 0.85 && sticky > loose + 0.2, "{loose} {sticky}");
}

#[test]
fn companions_follow_and_repeats_return() {
    let follows = |companion| {
        let shop = shop(&ShopConfig {
            companion,
            repeat: 0.0,
            zipf_exponent: 0.0,
            ..small()
        });
        let mut next = std::collections::HashMap::new();
        for pair in shop
            .interactions
            .histories()
            .flat_map(|history| history.windows(2))
        {
            *next.entry((pair[0], pair[1])).or_insert(0usize) += 1;
        }
        let mut best = vec![0; 400];
        next.iter()
            .for_each(|(&(item, _), &count)| best[item as usize] = count.max(best[item as usize]));
        best.iter().sum::<usize>() as f64 / next.values().sum::<usize>() as f64
    };
    assert!(follows(0.4) > follows(0.0) + 0.1);
    let distinct = |repeat| {
        let shop = shop(&ShopConfig { repeat, ..small() });
        let different = |history: &[u32]| {
            history
                .iter()
                .collect::<std::collections::HashSet<_>>()
                .len()
        };
        shop.interactions.histories().map(different).sum::<usize>() as f64
            / shop.interactions.events() as f64
    };
    assert!(distinct(0.0) > distinct(0.5) + 0.1);
}

#[test]
fn popularity_follows_zipf() {
    let flat_users = ShopConfig {
        users: 1_000,
        interest_sigma: 0.0,
        repeat: 0.0,
        companion: 0.0,
        ..small()
    };
    let counts = |zipf_exponent| {
        let shop = shop(&ShopConfig {
            zipf_exponent,
            ..flat_users.clone()
        });
        let mut counts = vec![0usize; 400];
        shop.interactions
            .histories()
            .flatten()
            .for_each(|&item| counts[item as usize] += 1);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    };
    let even = counts(0.0);
    assert!((even[0] as f64) < 1.8 * even[399] as f64);
    let zipf = counts(1.0);
    // Ranks 16 and 160 of rank^-1 differ by a factor of ten; clusters differ a little in their total weight.
    let factor =
        zipf[12..20].iter().sum::<usize>() as f64 / zipf[156..164].iter().sum::<usize>() as f64;
    assert!((7.0..13.0).contains(&factor), "{factor}");
}

#[test]
fn the_true_interest_is_that_of_the_end_of_the_history() {
    let shop = shop(&ShopConfig {
        drift: 0.25,
        min_length: 200,
        median_length: 300.0,
        ..small()
    });
    let cosine = |user: usize, events: &[u32]| {
        let mut seen = [0.0f64; 8];
        events
            .iter()
            .for_each(|&item| seen[shop.item_cluster[item as usize] as usize] += 1.0);
        let truth: Vec<f64> = shop
            .user_interest
            .row(user)
            .iter()
            .map(|&weight| f64::from(weight))
            .collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        dot(&seen, &truth) / (dot(&seen, &seen) * dot(&truth, &truth)).sqrt()
    };
    let mean = |part: &dyn Fn(&[u32]) -> Vec<u32>| {
        (0..300)
            .map(|user| cosine(user, &part(shop.interactions.history(user))))
            .sum::<f64>()
            / 300.0
    };
    let early = mean(&|history| history[..60].to_vec());
    let late = mean(&|history| history[history.len() - 60..].to_vec());
    assert!(late > 0.8 && late > early + 0.1, "{early} {late}");
    for row in shop.user_interest.rows() {
        assert!((row.sum() - 1.0).abs() < 1e-5 && row.iter().all(|&weight| weight >= 0.0));
    }
}

#[test]
fn it_is_always_called_simulated_and_the_default_is_of_a_usable_size() {
    let shop = shop(&ShopConfig::default());
    assert_eq!(
        shop.description,
        format!(
            "simulated shop, not a real log: 600 users, 2000 items in 20 clusters, {} events, seed 1",
            shop.interactions.events()
        )
    );
    let statistics = shop.interactions.statistics();
    assert!(
        (100_000..400_000).contains(&statistics.events),
        "{statistics}"
    );
    assert!(
        (150.0..250.0).contains(&statistics.median_length) && statistics.max_length > 2_000,
        "{statistics}"
    );
    assert!(
        statistics.rho1 > 0.8 && statistics.tie_share == Some(0.0),
        "{statistics}"
    );
}

#[test]
fn impossible_parameters_are_named() {
    let refused = |config: ShopConfig| simulate_shop(&config).unwrap_err().to_string();
    assert_eq!(
        refused(ShopConfig {
            clusters: 401,
            ..small()
        }),
        "simulated shop: clusters is 401, expected 1 to the number of items"
    );
    assert!(
        refused(ShopConfig {
            users: 0,
            ..small()
        })
        .contains("users is 0")
    );
    assert!(
        refused(ShopConfig {
            length_sigma: f64::NAN,
            ..small()
        })
        .contains("length_sigma is NaN, expected 0 to 10")
    );
    assert!(
        refused(ShopConfig {
            repeat: 0.7,
            companion: 0.7,
            ..small()
        })
        .contains("repeat + companion is 1.4")
    );
    assert!(
        refused(ShopConfig {
            min_length: 0,
            ..small()
        })
        .contains("min_length is 0, expected 1 to max_length")
    );
}

#[test]
fn the_smallest_shop_works() {
    let one = ShopConfig {
        users: 1,
        items: 1,
        clusters: 1,
        median_length: 1.0,
        min_length: 1,
        max_length: 1,
        ..small()
    };
    assert_eq!(shop(&one).interactions.history(0), [0]);
}
