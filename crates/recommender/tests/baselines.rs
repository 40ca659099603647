//! Item neighbourhoods against counts made by hand.

mod support;

use recommender::baseline::ItemKnn;
use recommender::{History, Holdout, Interactions, Ranker, Split};
use support::pool;

#[test]
fn item_neighbours_counted_by_hand() {
    // Trained on [0, 1], [0, 1, 2], [0, 2, 0]: cosines of {0: u v w, 1: u v, 2: v w}.
    let histories = [vec![0, 1, 3, 3], vec![0, 1, 2, 3, 3], vec![0, 2, 0, 3, 3]];
    let log = Interactions::from_histories(&histories, 4);
    let split = Split::new(&log, Holdout::LeaveOneOut).unwrap();
    let knn = ItemKnn::fit(&split, 5, &pool(2));
    let high = (2.0 / 6f64.sqrt()) as f32;
    assert_eq!(knn.neighbours(0), [(1, high), (2, high)]);
    assert_eq!(knn.neighbours(2), [(0, high), (1, 0.5)]);
    assert_eq!(knn.neighbours(3), []);
    assert_eq!(ItemKnn::fit(&split, 1, &pool(2)).neighbours(0), [(1, high)]);
    let mut scores = ndarray::Array2::zeros((2, 4));
    let histories = [History::of(&[2, 2, 1]), History::of(&[])];
    knn.score(&histories, scores.view_mut()).unwrap();
    assert_eq!(scores.row(0).to_vec(), [2.0 * high, 0.5, 0.5, 0.0]);
    assert_eq!(scores.row(1).to_vec(), [0.0; 4]);
}
