use super::*;

const N: usize = 1024;

/// Draws by an implementation in Python over unbounded integers.
#[test]
fn draws_are_those_of_the_definition() {
    let cases = [
        (0, [0, 0, 0, 0], 0x9B65_2DAC),
        (0, [0, 0, 0, 1], 0xB5B4_9D2D),
        (7, [3, 1, 200, 4095], 0xB51E_9D8C),
        (u64::MAX, [12, 5, 131_071, 70_000], 0x890B_0DFE),
        (42, [1, 0, 0, 0], 0xE514_9F17),
    ];
    for (seed, [sequence, head, i, j], draw) in cases {
        let head = Dropout::new(0.5, seed).unwrap().head(sequence, head);
        assert_eq!(head.row(i).draw(j), draw, "seed {seed}");
    }
}

#[test]
fn rates_outside_of_zero_to_one_are_refused() {
    for rate in [-0.1, 1.0, 1.5, f32::NAN] {
        assert!(matches!(
            Dropout::new(rate, 0),
            Err(Error::Parameter {
                parameter: "dropout rate",
                ..
            })
        ));
    }
    let none = Dropout::new(0.0, 0).unwrap().head(0, 0);
    assert!((0..N).all(|j| none.multiplier(none.row(0), j) == 1.0));
    let most = Dropout::new(1.0f32.next_down(), 0).unwrap().head(0, 0);
    assert!((0..N).all(|j| !most.keeps(most.row(0), j)));
}

/// N rows of N choices (1 kept, 0 dropped), less their mean and over their deviation.
fn standard(rate: f32, seed: u64, sequence: usize, head: usize) -> Vec<f64> {
    let dropout = Dropout::new(rate, seed).unwrap().head(sequence, head);
    let (mean, deviation) = (1.0 - f64::from(rate), f64::from(rate * (1.0 - rate)).sqrt());
    (0..N)
        .flat_map(|i| {
            let row = dropout.row(i);
            (0..N).map(move |j| (f64::from(u8::from(dropout.keeps(row, j))) - mean) / deviation)
        })
        .collect()
}

/// Sum of products over the root of their number: standard normal where the two are independent.
fn correlation(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (sum, n) = pairs.fold((0.0, 0.0), |(sum, n), (x, y)| (sum + x * y, n + 1.0));
    sum / f64::sqrt(n)
}

/// Everything below is seeded, so that a bound of four deviations holds for ever once it holds.
const DEVIATIONS: f64 = 4.0;

#[test]
fn the_share_that_is_kept_is_right_in_all_in_each_row_and_in_each_column() {
    for (rate, seed) in [(0.1, 1), (0.5, 2), (0.02, 3), (0.9, 4)] {
        let z = standard(rate, seed, 5, 1);
        let sum: f64 = z.iter().sum();
        assert!(
            sum.abs() / N as f64 <= DEVIATIONS,
            "{rate}: all in all {sum}"
        );
        // Sums over a row, or a column, scatter as those of independent choices do.
        let spread = |at: &dyn Fn(usize, usize) -> f64| {
            let square = |a| (0..N).map(|b| at(a, b)).sum::<f64>().powi(2) / N as f64;
            (0..N).map(square).sum::<f64>() / N as f64
        };
        let bound = DEVIATIONS * (2.0 / N as f64).sqrt();
        let rows = spread(&|i, j| z[i * N + j]);
        let columns = spread(&|i, j| z[j * N + i]);
        assert!((rows - 1.0).abs() < bound, "{rate}: rows {rows}");
        assert!((columns - 1.0).abs() < bound, "{rate}: columns {columns}");
    }
}

#[test]
fn neighbours_are_independent_in_keys_queries_heads_histories_and_seeds() {
    for rate in [0.1, 0.5] {
        let z = standard(rate, 9, 2, 3);
        for lag in [1, 2, 3, 4, 5, 7, 8, 13, 16, 21, 32, 64, 233, 610] {
            let keys = (0..N * N).filter(|p| p % N + lag < N);
            let keys = correlation(keys.map(|p| (z[p], z[p + lag])));
            assert!(keys.abs() < DEVIATIONS, "{rate}: keys {lag} apart, {keys}");
            let queries = correlation(z.iter().zip(&z[lag * N..]).map(|(&x, &y)| (x, y)));
            assert!(
                queries.abs() < DEVIATIONS,
                "{rate}: queries {lag} apart, {queries}"
            );
        }
        for (what, other) in [
            ("head", standard(rate, 9, 2, 4)),
            ("history", standard(rate, 9, 3, 3)),
            ("history and head exchanged", standard(rate, 9, 3, 2)),
            ("seed", standard(rate, 10, 2, 3)),
            ("seed, far", standard(rate, 9 + (1 << 40), 2, 3)),
        ] {
            let c = correlation(z.iter().copied().zip(other));
            assert!(c.abs() < DEVIATIONS, "{rate}: next {what}, {c}");
        }
    }
}

/// Chi-square of the eight high bits, along a row and along a column.
#[test]
fn the_high_bits_of_a_draw_are_even() {
    let head = Dropout::new(0.5, 77).unwrap().head(0, 0);
    let count = 1 << 18;
    let row = head.row(3);
    let draws: [Box<dyn Iterator<Item = u32>>; 2] = [
        Box::new((0..count).map(|j| row.draw(j))),
        Box::new((0..count).map(|i| head.row(i).draw(3))),
    ];
    for draws in draws {
        let mut bins = [0.0f64; 256];
        draws.for_each(|draw| bins[(draw >> 24) as usize] += 1.0);
        let expected = count as f64 / 256.0;
        let chi: f64 = bins.iter().map(|n| (n - expected).powi(2) / expected).sum();
        // 255 degrees of freedom: mean 255, deviation √510.
        assert!((chi - 255.0).abs() < DEVIATIONS * 510f64.sqrt(), "{chi}");
    }
}
