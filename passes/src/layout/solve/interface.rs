//! Inputs and outputs in another layout than the source's.
use super::order::Order;
use crate::layout::rules::{Site, says_layout};
use hoist_ir::attr::Word as _;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::graph::{Graph, NodeId, Origin, ValueId};
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::words::Layout;
use hoist_ir::types::{TensorType, Type};

/// What of the interface is given channels last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Io {
    /// As the source has it.
    #[default]
    Source,
    /// Every input and output of four axes.
    ChannelsLast,
    /// The inputs and outputs of these names.
    Named(Vec<String>),
}

impl Io {
    fn wants(&self, name: &str, rank: Option<usize>) -> bool {
        match self {
            Self::Source => false,
            Self::ChannelsLast => rank == Some(4),
            Self::Named(names) => names.iter().any(|n| n == name),
        }
    }
}

/// An input or output that changed: the data that a caller gives or gets are those of the source, transposed by `perm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    /// Its name.
    pub name: String,
    /// Whether it is an input.
    pub input: bool,
    /// Permutation from the order of the source.
    pub perm: Vec<usize>,
}

fn last(rank: Option<usize>, name: &str) -> Result<Order, Diag> {
    let rank = rank.filter(|r| *r >= 3);
    let order = rank.and_then(|r| Order::new(&Layout::ChannelsLast.from_channels_first(r)));
    order.ok_or_else(|| {
        Diag::error("E0304", format!("`{name}` has no channel axis that could be last"))
            .hint("name inputs and outputs of three axes or more whose number of axes is known")
    })
}

/// Whether operators say that channels are last, and none says that they are first.
fn is_channels_last(g: &Graph) -> bool {
    let mut words = g.order().filter_map(|n| says_layout(Site { g, n })).peekable();
    words.peek().is_some() && words.all(|w| w == Layout::ChannelsLast.word())
}

/// Gives inputs and outputs of `g` channels last, with transposes behind and before them that [`super::bring`] may take away. Where
/// all operators on images have their channels last already, nothing is done.
///
/// # Errors
/// When a name is that of no input or output, or of one without a channel axis.
pub fn turn(g: &mut Graph, io: &Io) -> Result<Vec<Turned>, Diag> {
    let mut out = vec![];
    if *io == Io::Source || is_channels_last(g) {
        return Ok(out);
    }
    for v in g.inputs().to_vec() {
        let name = g.value_label(v);
        let rank = g.ty(v).as_tensor().and_then(TensorType::rank);
        if io.wants(&name, rank) {
            let order = last(rank, &name)?;
            turn_input(g, v, &order)?;
            out.push(Turned { name, input: true, perm: order.axes().collect() });
        }
    }
    for i in 0..g.outputs().len() {
        let (name, v) = (g.outputs()[i].name.to_string(), g.outputs()[i].value);
        let rank = g.ty(v).as_tensor().and_then(TensorType::rank);
        if io.wants(&name, rank) {
            let order = last(rank, &name)?;
            turn_output(g, i, &order)?;
            out.push(Turned { name, input: false, perm: order.axes().collect() });
        }
    }
    if let Io::Named(names) = io
        && let Some(name) = names.iter().find(|n| !out.iter().any(|t| t.name == **n))
    {
        return Err(Diag::error("E0304", format!("there is no input or output `{name}`"))
            .hint("`hoist inspect` lists them"));
    }
    Ok(out)
}

fn transpose(perm: &Order) -> Transpose {
    Transpose { perm: perm.perm() }
}

/// Sets the type of input `v` and puts a transpose to its old type between it and its users.
fn turn_input(g: &mut Graph, v: ValueId, order: &Order) -> Result<(), Diag> {
    let Type::Tensor(TensorType { dtype, shape: Some(shape) }) = g.ty(v).clone() else { return Ok(()) };
    let dims: Vec<Dim> = order.axes().map(|a| shape[a].clone()).collect();
    let uses = g.value(v).uses().to_vec();
    g.set_input_type(v, TensorType::new(dtype, dims).into())?;
    let first: Option<NodeId> = g.order().next();
    let mut b = match first {
        Some(n) => Builder::before(g, n, Origin::default()),
        None => Builder::at_end(g, Origin::default()),
    };
    let back = b.transpose(transpose(&order.inverse()), v)?;
    for u in uses {
        match u {
            hoist_ir::graph::Use::Node { node, slot } => g.set_operand(node, slot as usize, Some(back))?,
            hoist_ir::graph::Use::Output(i) => g.redirect_output(i as usize, back)?,
        }
    }
    Ok(())
}

fn turn_output(g: &mut Graph, i: usize, order: &Order) -> Result<(), Diag> {
    let v = g.outputs()[i].value;
    let turned = Builder::at_end(g, Origin::default()).transpose(transpose(order), v)?;
    g.redirect_output(i, turned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::solve::{bring, remaining::remaining};
    use crate::pass::Target;
    use hoist_formats::tflite;
    use hoist_ir::eval::{Limits, Value, eval_graph};
    use hoist_ir::tensor::Tensor;
    use hoist_ir::text::{parse_model, seeded};

    const TEXT: &str = "graph(%x: f32[N, 3, 4, 5], %v: f32[N, 7]) {\n  %w = const f32[3, 3, 1, 1] seeded(1)\n  \
        %y = conv(%x, %w)\n  return y: %y, x: %x, v: %v\n}\n";

    fn graph() -> Graph {
        parse_model(TEXT).expect("valid").graph
    }

    fn run(g: &Graph, x: Tensor) -> Vec<Tensor> {
        let v = seeded(hoist_ir::dtype::DType::F32, &[2, 7], 2).expect("small");
        let inputs = vec![Value::Tensor(x), Value::Tensor(v)];
        let all = eval_graph(g, inputs, Limits::default()).expect("runs");
        all.into_iter().map(|v| v.into_tensor().expect("a tensor")).collect()
    }

    #[test]
    fn images_are_given_and_shown_channels_last() {
        let mut g = graph();
        let turned = turn(&mut g, &Io::ChannelsLast).expect("turns");
        let names: Vec<_> = turned.iter().map(|t| (t.name.as_str(), t.input)).collect();
        assert_eq!(names, [("x", true), ("y", false), ("x", false)]);
        g.verify().into_result().expect("valid");
        let x = seeded(hoist_ir::dtype::DType::F32, &[2, 3, 4, 5], 1).expect("small");
        let want = run(&graph(), x.clone());
        for brought in [false, true] {
            if brought {
                bring(&mut g, &Target::Tflite(tflite::lower::Target::default())).expect("brings");
                assert_eq!(remaining(&g), []);
            }
            let got = run(&g, x.permute(&[0, 2, 3, 1]).expect("four axes"));
            for (i, perm) in [(0, Some([0, 2, 3, 1])), (1, Some([0, 2, 3, 1])), (2, None)] {
                let want = perm.map_or(want[i].clone(), |p| want[i].permute(&p).expect("four axes"));
                assert_eq!(got[i].shape(), want.shape());
                let (a, b) = (got[i].to_f64s().expect("numbers"), want.to_f64s().expect("numbers"));
                assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "output {i}");
            }
        }
    }

    #[test]
    fn names_are_checked() {
        let named = |name: &str| turn(&mut graph(), &Io::Named(vec![name.to_owned()]));
        assert_eq!(named("y").expect("an output").len(), 1);
        assert_eq!(named("nothing").expect_err("no such name").code, "E0304");
        assert!(named("v").expect_err("two axes").message.contains("no channel axis"));
        assert_eq!(turn(&mut graph(), &Io::Source).expect("nothing to do"), []);
    }
}
