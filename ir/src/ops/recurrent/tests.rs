//! Behaviour that all recurrent operators share. Values are those of the formulas; results of other implementations are in the cases.
use super::gru::Gru;
use super::lstm::Lstm;
use super::rnn::Rnn;
use crate::ops::Op;
use crate::ops::linear::testing::{assert_near, eval_n, f32s, infer, iota, shapes};
use crate::ops::recurrent::Direction;
use crate::tensor::Tensor;

fn affine(direction: Direction) -> Rnn {
    // h = x + h / 2: results can be told from powers of two.
    Rnn {
        activations: Some(vec!["Affine".to_owned(); 2]),
        activation_alpha: vec![1.0; 2],
        activation_beta: vec![0.0; 2],
        direction,
        ..Rnn::default()
    }
}

#[test]
fn sequences_have_their_own_length_in_either_direction() {
    let (x, w, r) = (
        f32s(&[3, 2, 1], &[1., 1., 1., 1., 1., 1.]),
        f32s(&[2, 1, 1], &[1., 1.]),
        f32s(&[2, 1, 1], &[0.5, 0.5]),
    );
    let (lengths, h) = (Tensor::from_vec(&[2], vec![3i32, 2]), f32s(&[2, 2, 1], &[0., 4., 0., 4.]));
    let inputs = [Some(&x), Some(&w), Some(&r), None, Some(&lengths), Some(&h)];
    let y = eval_n(&affine(Direction::Bidirectional), &inputs, 2).expect("fits");
    assert_near(&y[0], &[3, 2, 2, 1], &[1., 3., 1.75, 2.5, 1.5, 2.5, 1.5, 3., 1.75, 0., 1., 0.]);
    assert_near(&y[1], &[2, 2, 1], &[1.75, 2.5, 1.75, 2.5]);
}

#[test]
fn results_do_not_depend_on_the_number_of_steps_projected_at_once() {
    // 70,000 steps of 64 gates are more than one chunk.
    let steps = 70_000;
    let x = f32s(&[steps, 1, 1], &vec![1.0; steps]);
    let (w, r) = (f32s(&[1, 64, 1], &[0.5; 64]), f32s(&[1, 64, 64], &[0.0; 4096]));
    let y = eval_n(&affine(Direction::Reverse), &[Some(&x), Some(&w), Some(&r)], 2).expect("fits");
    assert!(y[0].to_f32s().expect("numbers").iter().all(|v| *v == 0.5));
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let ops: [(Op, &str, &str); 3] = [
        (Lstm::default().into(), "f32[1, 8, 3]", "f32[1, 8, 2]"),
        (Gru::default().into(), "f32[1, 6, 3]", "f32[1, 6, 2]"),
        (Rnn::default().into(), "f32[1, 2, 3]", "f32[1, 2, 2]"),
    ];
    for (op, w, r) in ops {
        let types = |x: &str, lengths: &str, h: &str| infer(&op, &shapes(&[x, w, r, "_", lengths, h]));
        let t = types("f32[T, N, 3]", "_", "_").expect("fits");
        assert_eq!(t[0].to_string(), "f32[T, 1, N, 2]");
        assert_eq!(types("f32[*]", "i32[5]", "_").expect("fits")[0].to_string(), "f32[?, 1, 5, 2]");
        assert!(types("f32[T, N, 4]", "_", "_").is_err());
        assert!(types("f32[T, N]", "_", "_").is_err());
        assert!(types("f32[4, 2, 3]", "i32[3]", "_").is_err());
        assert!(types("f32[4, 2, 3]", "_", "f32[2, 2, 2]").is_err());
        assert!(types("f16[4, 2, 3]", "_", "_").is_err());
    }
}

#[test]
fn attributes_out_of_range_are_refused() {
    let types = shapes(&["f32[4, 2, 3]", "f32[1, 2, 3]", "f32[1, 2, 2]"]);
    let good = Rnn::default();
    assert!(infer(&good, &types).is_ok());
    let names = |n: &[&str]| Some(n.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    for bad in [
        Rnn { layout: 2, ..good.clone() },
        Rnn { clip: Some(0.0), ..good.clone() },
        Rnn { clip: Some(f32::NAN), ..good.clone() },
        Rnn { hidden_size: Some(3), ..good.clone() },
        Rnn { hidden_size: Some(-1), ..good.clone() },
        Rnn { direction: Direction::Bidirectional, ..good.clone() },
        Rnn { activations: names(&[]), ..good.clone() },
        Rnn { activations: names(&["Gelu"]), ..good.clone() },
    ] {
        assert!(infer(&bad, &types).is_err(), "{bad:?}");
    }
}

#[test]
fn hostile_lengths_and_sizes_are_harmless() {
    let (w, r) = (iota(&[1, 1, 1]), iota(&[1, 1, 1]));
    for length in [-1, 3, i32::MAX] {
        let lengths = Tensor::from_vec(&[1], vec![length]);
        let inputs = [Some(&iota(&[2, 1, 1])), Some(&w), Some(&r), None, Some(&lengths)];
        assert!(eval_n(&Rnn::default(), &inputs, 1).is_err(), "{length}");
    }
    let empty = f32s(&[usize::MAX, 0, 1], &[]);
    let y = eval_n(&Rnn::default(), &[Some(&empty), Some(&w), Some(&r)], 2).expect("no sequences");
    assert_eq!(y[0].shape(), [usize::MAX, 1, 0, 1]);
    let wide = f32s(&[1 << 20, 1 << 20, 0], &[]);
    let none = f32s(&[1, 1, 0], &[]);
    assert!(eval_n(&Rnn::default(), &[Some(&wide), Some(&none), Some(&r)], 1).is_err());
}
