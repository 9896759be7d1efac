//! Types, refusals and expansions of ONNX Runtime's quantized operators; values are in the case files.
use super::gather_block_quantized::GatherBlockQuantized;
use super::mat_mul_bnb4::MatMulBnb4;
use super::mat_mul_n_bits::MatMulNBits;
use super::q_gemm::QGemm;
use super::q_linear_arithmetic::QLinearAdd;
use super::q_linear_concat::QLinearConcat;
use super::q_linear_conv::QLinearConv;
use super::q_linear_mat_mul::QLinearMatMul;
use super::q_linear_softmax::QLinearSoftmax;
use crate::op::OpError;
use crate::ops::Op;
use crate::ops::linear::testing::{eval, f32s, infer, shapes};
use crate::ops::words::Layout;
use crate::tensor::Tensor;

fn ty<O: Clone + Into<Op>>(op: &O, inputs: &[&str]) -> Result<String, OpError> {
    Ok(infer(op, &shapes(inputs))?[0].to_string())
}

#[test]
fn symbols_pass_through() {
    let conv = QLinearConv { layout: Layout::ChannelsLast, pads: vec![1; 4], ..QLinearConv::default() };
    let rest = ["f32[]", "u8[]", "i8[8, 3, 3, 3]", "f32[8]", "i8[8]", "f32[]", "i8[]", "i32[8]"];
    let with = |x: &'static str| [&[x], rest.as_slice()].concat();
    assert_eq!(ty(&conv, &with("u8[N, H, W, 3]")).expect("fits"), "i8[N, H, W, 8]");
    assert!(ty(&conv, &with("u8[N, 3, H, 5]")).is_err(), "weights for 3 channels");
    let product = ["u8[B, 4, K]", "f32[]", "u8[]", "i8[K, 5]", "f32[5]", "i8[5]", "f32[]", "u8[]"];
    assert_eq!(ty(&QLinearMatMul {}, &product).expect("fits"), "u8[B, 4, 5]");
    let sum = ["u8[N, 1]", "f32[]", "u8[]", "u8[4]", "f32[]", "_", "f32[1]", "u8[]"];
    assert_eq!(ty(&QLinearAdd {}, &sum).expect("fits"), "u8[N, 4]");
    let joined = ["f32[]", "u8[]", "u8[N, 2]", "f32[]", "u8[]", "u8[M, 2]", "f32[]", "u8[]"];
    assert_eq!(ty(&QLinearConcat::default(), &joined).expect("fits"), "u8[N+M, 2]");
    let gather = GatherBlockQuantized { block_size: 16, ..GatherBlockQuantized::default() };
    assert_eq!(ty(&gather, &["u8[V, D]", "i64[B]", "f16[V, S]", "_"]).expect("fits"), "f16[B, 2*D]");
    let bits = MatMulNBits { n: 6, k: 32, block_size: 16, ..MatMulNBits::default() };
    assert_eq!(ty(&bits, &["f32[B, S, 32]", "u8[6, 2, 8]", "f32[6, 2]"]).expect("fits"), "f32[B, S, 6]");
}

#[test]
fn what_does_not_fit_is_refused() {
    let product = ["u8[4, 3]", "f32[]", "u8[]", "i8[3, 5]", "f32[4]", "i8[4]", "f32[]", "u8[]"];
    assert!(ty(&QLinearMatMul {}, &product).is_err(), "4 scales for 5 columns");
    assert!(
        ty(&QLinearAdd {}, &["u8[2]", "f32[2]", "u8[]", "u8[2]", "f32[]", "u8[]", "f32[]", "u8[]"]).is_err()
    );
    assert!(ty(&QLinearConcat::default(), &["f32[]", "u8[]", "u8[2]", "f32[]"]).is_err(), "no triple");
    assert!(
        ty(&QLinearConcat::default(), &["f32[]", "u8[]", "u8[2]", "u8[]", "u8[]"]).is_err(),
        "a scale of bytes"
    );
    let softmax = ["u8[2, 3]", "f32[]", "u8[]", "f32[]", "u8[]"];
    assert!(ty(&QLinearSoftmax::default(), &softmax).is_err(), "no operator set");
    assert!(ty(&QLinearSoftmax { opset: 13, axis: 2 }, &softmax).is_err());
    let gemm = ["u8[2, 3]", "f32[]", "u8[]", "u8[3, 4]", "f32[]", "u8[]", "_", "f32[]", "_"];
    assert!(ty(&QGemm::default(), &gemm).is_err(), "a scale without its zero point");
    let weights = ["f32[2, 32]", "u8[6, 2, 8]", "f32[6, 2]", "u8[6, 1]", "i32[32]"];
    let bits = MatMulNBits { n: 6, k: 32, block_size: 16, ..MatMulNBits::default() };
    assert!(ty(&bits, &weights).is_err(), "g_idx with packed zero points");
    for bad in [
        MatMulNBits { bits: 3, ..bits.clone() },
        MatMulNBits { block_size: 24, ..bits.clone() },
        MatMulNBits { n: -1, ..bits.clone() },
        MatMulNBits { n: i64::MAX, k: i64::MAX, ..bits.clone() },
        MatMulNBits { weight_prepacked: 1, ..bits },
    ] {
        assert!(ty(&bad, &weights[..3]).is_err(), "{bad:?}");
    }
    let four = MatMulBnb4 { n: 2, k: 16, block_size: 16, quant_type: 1, ..MatMulBnb4::default() };
    assert!(ty(&four, &["f32[1, 16]", "u8[16]", "f32[2]"]).is_ok());
    assert!(ty(&MatMulBnb4 { trans_b: false, ..four }, &["f32[1, 16]", "u8[16]", "f32[2]"]).is_err());
    let gather = GatherBlockQuantized { block_size: 0, ..GatherBlockQuantized::default() };
    assert!(ty(&gather, &["u8[3, 16]", "i64[2]", "f32[3, 1]", "_"]).is_err(), "whole axes are for floats");
    assert!(ty(&gather, &["f8e5m2[3, 16]", "i64[2]", "f32[3, 1]", "_"]).is_ok());
}

#[test]
fn operands_of_the_wrong_size_are_errors() {
    let bits = MatMulNBits { n: 2, k: 16, block_size: 16, ..MatMulNBits::default() };
    let (a, s) = (f32s(&[1, 16], &[1.0; 16]), f32s(&[2, 1], &[1.0; 2]));
    let b = |n: usize| Tensor::from_vec(&[n], vec![0x98u8; n]);
    assert!(eval(&bits, &[Some(&a), Some(&b(16)), Some(&s)]).is_ok());
    assert!(eval(&bits, &[Some(&a), Some(&b(15)), Some(&s)]).is_err());
    assert!(eval(&bits, &[Some(&a), Some(&b(16)), Some(&f32s(&[1], &[1.0]))]).is_err());
    assert!(eval(&bits, &[Some(&a), Some(&b(16)), Some(&s), Some(&b(3))]).is_err());
    let groups = Tensor::from_vec(&[16], vec![1i32; 16]);
    assert!(eval(&bits, &[Some(&a), Some(&b(16)), Some(&s), None, Some(&groups)]).is_err(), "one block only");
    let gather = GatherBlockQuantized { block_size: 16, ..GatherBlockQuantized::default() };
    let indices = Tensor::from_vec(&[1], vec![7i64]);
    let y = eval(&gather, &[Some(&b(16).reshape(&[2, 8]).expect("16")), Some(&indices), Some(&s), None]);
    assert_eq!(y.expect("fits")[0], f32s(&[1, 16], &[0.0; 16]), "out of range gives zeros");
}

#[test]
fn block_quantized_products_mean_their_expansion() {
    for (bits, k, zero) in [(4, 32, true), (4, 24, false), (2, 32, true), (8, 40, false)] {
        let blocks = usize::div_ceil(k, 16);
        let blob = 2 * bits as usize;
        let bytes = |n: usize| (0..n).map(|i| (i * 89 + 31) as u8).collect::<Vec<u8>>();
        let b = Tensor::from_vec(&[3, blocks, blob], bytes(3 * blocks * blob));
        let scales: Vec<f32> = (0..3 * blocks).map(|i| 0.1 + i as f32).collect();
        let s = f32s(&[3, blocks], &scales);
        let stride = (blocks * bits as usize).div_ceil(8);
        let z = zero.then(|| Tensor::from_vec(&[3, stride], bytes(3 * stride)));
        let a = f32s(&[2, k], &(0..2 * k).map(|i| (i % 7) as f32 - 3.0).collect::<Vec<_>>());
        let op = MatMulNBits { n: 3, k: k as i64, bits, block_size: 16, ..MatMulNBits::default() };
        let own = eval(&op, &[Some(&a), Some(&b), Some(&s), z.as_ref()]).expect("fits").remove(0);
        let mut g = crate::graph::Graph::new("g");
        let inputs = [
            Some(g.add_input("a", a.ty().into())),
            Some(g.add_const(b)),
            Some(g.add_const(s)),
            z.map(|z| g.add_const(z)),
        ];
        let mut builder = crate::builder::Builder::at_end(&mut g, crate::graph::Origin::default());
        let y = crate::op::Semantics::expand(&op, &mut builder, &inputs, 1)
            .expect("fits")
            .expect("constant weights");
        g.add_output("y", y[0]);
        let found =
            crate::eval::eval_graph(&g, vec![a.into()], crate::eval::Limits::default()).expect("runs");
        let found = found[0].as_tensor().expect("a tensor").to_f64s().expect("numbers");
        for (x, y) in own.to_f64s().expect("numbers").iter().zip(&found) {
            assert!((x - y).abs() <= 1e-4 * (1.0 + y.abs()), "{bits} bits: {x} and {y}");
        }
    }
}
