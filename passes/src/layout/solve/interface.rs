//! Inputs and outputs in another layout than the source's.
use super::order::Order;
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

/// Gives inputs and outputs of `g` channels last, with transposes behind and before them that [`super::bring`] may take away. For
/// inputs and outputs whose channels are first in the source.
///
/// # Errors
/// When a name is that of no input or output, or of one without a channel axis.
pub fn turn(g: &mut Graph, io: &Io) -> Result<Vec<Turned>, Diag> {
    let mut out = vec![];
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
