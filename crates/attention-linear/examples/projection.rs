//! Prints the random projections that `benches/golden/linear_attention.py` takes as given, as JSON.

use attention_linear::projection;

const FEATURES: usize = 16;
const SEED: u64 = 3;

fn main() {
    let all = [5, 8].map(|d| {
        let rows = projection(FEATURES, d, SEED);
        let rows: Vec<String> = rows.iter().map(f32::to_string).collect();
        format!(
            "{{\"d\":{d},\"seed\":{SEED},\"rows\":[{}]}}",
            rows.join(",")
        )
    });
    println!("[{}]", all.join(",\n"));
}
