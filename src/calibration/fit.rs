//! How the arrays of one file make samples.
use super::interface::Input;

/// What one array is to its input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Indices of this axis of the array are samples; batches are joined along the input's axis.
    Samples(usize),
    /// One sample, without the axis that counts them.
    OneSample,
    /// Indices of the first axis are whole inputs.
    Inputs,
    /// One input that goes with every sample.
    Constant,
}

/// How many samples make a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchSize {
    /// Most samples of a batch.
    pub size: usize,
    /// Whether fewer make none.
    pub exact: bool,
}

/// The role of an array of this shape.
///
/// # Errors
/// When it fits in no way.
pub fn role(input: &Input, shape: &[usize]) -> Result<Role, String> {
    let rank = input.dims.len();
    if let Some(axis) = input.axis.filter(|_| input.fits_but_for_axis(shape)) {
        return Ok(Role::Samples(axis));
    }
    if input.fits(shape) {
        return Ok(Role::Constant);
    }
    if shape.len() == rank + 1 && input.fits(&shape[1..]) {
        return Ok(Role::Inputs);
    }
    if let Some(axis) = input.axis.filter(|_| shape.len() + 1 == rank) {
        let mut with = shape.to_vec();
        with.insert(axis, 1);
        if input.fits(&with) {
            return Ok(Role::OneSample);
        }
    }
    Err(format!("shape {shape:?} does not fit input `{}`, which is {}", input.name, input.ty))
}

/// Number of samples of an array, `None` for one that goes with every sample.
pub fn samples(role: Role, shape: &[usize]) -> Option<usize> {
    match role {
        Role::Samples(axis) => shape.get(axis).copied(),
        Role::Inputs => shape.first().copied(),
        Role::OneSample => Some(1),
        Role::Constant => None,
    }
}

/// Gives arrays that are one batch or one sample, where others hold more, the role of constants, and returns how many samples there
/// are.
///
/// # Errors
/// When the others disagree.
pub fn agree(arrays: &mut [(&Input, &str, &[usize], Role)]) -> Result<usize, String> {
    let count = |a: &(&Input, &str, &[usize], Role)| samples(a.3, a.2);
    let most = arrays.iter().filter_map(count).max();
    for a in arrays.iter_mut() {
        let one = a.0.batch().unwrap_or(1);
        if count(a) != most && count(a) == Some(one) && a.0.fits(a.2) {
            a.3 = Role::Constant;
        }
    }
    if arrays.iter().filter_map(count).all(|n| Some(n) == most) {
        return Ok(most.unwrap_or(1));
    }
    let each = arrays.iter().filter_map(|a| Some(format!("`{}` {:?} holds {}", a.1, a.2, count(a)?)));
    Err(format!("the arrays hold different numbers of samples: {}", each.collect::<Vec<_>>().join(", ")))
}

/// Samples per batch for arrays of these roles and shapes; `asked` is what the command line says.
///
/// # Errors
/// When the inputs contradict each other or what is asked.
pub fn batch_size(
    arrays: &[(&Input, Role, Option<&[usize]>)],
    asked: Option<usize>,
    default: usize,
) -> Result<BatchSize, String> {
    let sliced = |r: Role| matches!(r, Role::Samples(_) | Role::OneSample);
    let fixed: Vec<(usize, &Input)> =
        arrays.iter().filter(|a| sliced(a.1)).filter_map(|a| Some((a.0.batch()?, a.0))).collect();
    let constant = arrays.iter().filter(|a| a.1 == Role::Constant).filter_map(|(input, _, shape)| {
        let axis = input.axis.filter(|a| input.dims.get(*a).is_some_and(|d| d.known().is_none()))?;
        Some((*shape.as_ref()?.get(axis)?, *input))
    });
    let whole = arrays.iter().find(|a| a.1 == Role::Inputs).map(|a| (1, a.0));
    let needed: Vec<(usize, &Input)> = { whole }.into_iter().chain(fixed).chain(constant).collect();
    let Some(&(size, first)) = needed.first() else {
        return Ok(BatchSize { size: asked.unwrap_or(default), exact: false });
    };
    if let Some((other, input)) = needed.iter().find(|n| n.0 != size) {
        let m = "batches of a size that suits all inputs cannot be made";
        return Err(format!("{m}: `{}` takes {size} at a time, `{}` {other}", first.name, input.name));
    }
    if let Some(asked) = asked.filter(|n| *n != size) {
        return Err(format!("--calibration-batch {asked}: `{}` takes {size} at a time", first.name));
    }
    Ok(BatchSize { size, exact: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::interface::inputs;
    use hoist_ir::text::parse_graph;

    fn all(text: &str) -> std::sync::Arc<[Input]> {
        let first = text.split(':').next().expect("a name");
        let graph = parse_graph(&format!("graph({text}) {{\n return {first}\n}}")).expect("valid");
        inputs(&graph).expect("tensors")
    }

    #[test]
    fn roles_follow_from_shapes() {
        let open = all("%x: f32[N, 3, 8, 8], %h: f32[2, N, 5], %k: i64[], %n: i64[N], %t: f32[L]");
        let axes: Vec<_> = open.iter().map(|i| i.axis).collect();
        assert_eq!(axes, [Some(0), Some(1), None, Some(0), Some(0)]);
        assert_eq!(role(&open[0], &[512, 3, 8, 8]), Ok(Role::Samples(0)));
        assert_eq!(role(&open[0], &[512, 4, 3, 8, 8]), Ok(Role::Inputs));
        assert_eq!(role(&open[0], &[3, 8, 8]), Ok(Role::OneSample));
        assert!(role(&open[0], &[512, 8, 8, 3]).is_err() && role(&open[0], &[8, 8]).is_err());
        assert_eq!(role(&open[1], &[2, 9, 5]), Ok(Role::Samples(1)));
        assert_eq!(role(&open[1], &[9, 2, 1, 5]), Ok(Role::Inputs));
        assert_eq!(role(&open[2], &[]), Ok(Role::Constant));
        assert_eq!(role(&open[2], &[9]), Ok(Role::Inputs));
        assert_eq!(role(&open[3], &[9]), Ok(Role::Samples(0)));
        assert_eq!(role(&open[4], &[9]), Ok(Role::Samples(0)));
        assert_eq!(role(&open[4], &[9, 40]), Ok(Role::Inputs));
        let signal = all("%x: f32[T]");
        assert_eq!(role(&signal[0], &[16000]), Ok(Role::Constant));
        assert_eq!(role(&signal[0], &[9, 16000]), Ok(Role::Inputs));
        let fixed = all("%x: f32[1, 3], %s: i64[1]");
        assert_eq!(role(&fixed[1], &[9]), Ok(Role::Samples(0)));
    }

    #[test]
    fn arrays_agree_on_the_number_of_samples() {
        let ins = all("%x: f32[1, 3], %s: i64[1], %y: f32[N, 3]");
        let mut good = [
            (&ins[0], "x", &[9, 3][..], Role::Samples(0)),
            (&ins[1], "s", &[1][..], Role::Samples(0)),
            (&ins[2], "y", &[1, 3][..], Role::Samples(0)),
        ];
        assert_eq!(agree(&mut good), Ok(9));
        assert_eq!([good[1].3, good[2].3], [Role::Constant; 2]);
        let mut bad =
            [(&ins[0], "x", &[9, 3][..], Role::Samples(0)), (&ins[2], "y", &[8, 3][..], Role::Samples(0))];
        let said = agree(&mut bad).expect_err("9 and 8");
        assert!(said.contains("`x` [9, 3] holds 9, `y` [8, 3] holds 8"), "{said}");
        assert_eq!(agree(&mut [(&ins[1], "s", &[1], Role::Constant)]), Ok(1));
    }

    #[test]
    fn batches_are_of_the_size_that_the_model_wants() {
        let ins = all("%x: f32[N, 3], %y: f32[4, 3], %h: f32[2, N]");
        let of = |a: &[(&Input, Role, Option<&[usize]>)], asked| {
            batch_size(a, asked, 8).map(|b| (b.size, b.exact))
        };
        let x = (&ins[0], Role::Samples(0), None);
        assert_eq!(of(&[x], None), Ok((8, false)));
        assert_eq!(of(&[x], Some(3)), Ok((3, false)));
        assert_eq!(of(&[x, (&ins[1], Role::Samples(0), None)], None), Ok((4, true)));
        assert!(of(&[x, (&ins[1], Role::Samples(0), None)], Some(3)).is_err());
        assert_eq!(of(&[x, (&ins[2], Role::Constant, Some(&[2, 1]))], None), Ok((1, true)));
        assert_eq!(of(&[(&ins[0], Role::Inputs, None)], None), Ok((1, true)));
        assert!(of(&[(&ins[0], Role::Inputs, None), (&ins[1], Role::Samples(0), None)], None).is_err());
    }
}
