//! Which sizes of a reshape's result follow from which of its operand's.
use hoist_ir::dim::{Dim, SymInt};

/// The result of a reshape from `old_in` to `old_out` where the operand is `new_in` now: each dynamic size stays where it was.
///
/// Axes are matched in groups of equal products, from the first on. Within a group the factor by which the operand grew goes to the first axis
/// of the result that had the old size `was`, else to the first one.
///
/// # Errors
/// Why that does not tell.
pub fn reshaped(
    old_in: &[Dim],
    new_in: &[Dim],
    old_out: &[Dim],
    was: &dyn Fn(&Dim) -> Vec<u64>,
) -> Result<Vec<Dim>, String> {
    let unclear = || "the sizes before and after do not match in groups of axes".to_owned();
    let mut out = vec![];
    let (mut i, mut j) = (0, 0);
    while i < old_in.len() || j < old_out.len() {
        let (from_i, from_j) = (i, j);
        let (mut before, mut after) = (SymInt::from(1), SymInt::from(1));
        loop {
            let more_in = i < old_in.len() && (i == from_i || shorter(&before, &after));
            let more_out = j < old_out.len() && (j == from_j || shorter(&after, &before));
            if (i > from_i || i == old_in.len()) && (j > from_j || j == old_out.len()) && before == after {
                break;
            }
            if more_in && (i == from_i || before != after) {
                before = times(&before, &old_in[i]).ok_or_else(unclear)?;
                i += 1;
            } else if more_out && (j == from_j || before != after) {
                after = times(&after, &old_out[j]).ok_or_else(unclear)?;
                j += 1;
            } else {
                return Err(unclear());
            }
        }
        // An axis of one element that the operand lacks may be where a size stood that was multiplied into another one.
        while old_out.get(j) == Some(&Dim::Known(1)) && old_in.get(i) != Some(&Dim::Known(1)) {
            j += 1;
        }
        out.extend(group(&old_in[from_i..i], &new_in[from_i..i], &old_out[from_j..j], was)?);
    }
    Ok(out)
}

/// Whether `a` is a proper part of `b`: more axes are to be taken on its side.
fn shorter(a: &SymInt, b: &SymInt) -> bool {
    match (a.as_const(), b.as_const()) {
        (Some(x), Some(y)) => x < y,
        _ => a != b && b.exact_div(a).is_some(),
    }
}

fn times(a: &SymInt, d: &Dim) -> Option<SymInt> {
    a.mul(&d.to_sym()?)
}

fn product(dims: &[Dim]) -> Option<SymInt> {
    dims.iter().try_fold(SymInt::from(1), |p, d| times(&p, d))
}

fn group(
    old_in: &[Dim],
    new_in: &[Dim],
    old_out: &[Dim],
    was: &dyn Fn(&Dim) -> Vec<u64>,
) -> Result<Vec<Dim>, String> {
    let changed: Vec<usize> = (0..old_in.len()).filter(|i| old_in[*i] != new_in[*i]).collect();
    if changed.is_empty() {
        return Ok(old_out.to_vec());
    }
    if old_in == old_out {
        return Ok(new_in.to_vec());
    }
    let shown = |dims: &[Dim]| dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let unclear = || format!("[{}] has no place in [{}]", shown(new_in), shown(old_out));
    let (new, old) = (product(new_in).ok_or_else(unclear)?, product(old_in).ok_or_else(unclear)?);
    let sizes: Vec<u64> = changed.iter().flat_map(|i| was(&new_in[*i])).collect();
    let mut places: Vec<usize> = (0..old_out.len()).collect();
    // An axis of exactly the old size is where the size stood; else the outermost grows.
    places.sort_by_key(|j| !old_out[*j].known().is_some_and(|n| sizes.contains(&n)));
    for j in places {
        let Some(own) = old_out[j].to_sym() else { continue };
        let grown = own.mul(&new).and_then(|p| p.exact_div(&old));
        if let Some(grown) = grown {
            let mut out = old_out.to_vec();
            out[j] = Dim::from_sym(Some(grown));
            return Ok(out);
        }
    }
    Err(unclear())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(text: &str) -> Vec<Dim> {
        let one = |w: &str| match w.parse::<u64>() {
            Ok(n) => Dim::Known(n),
            Err(_) => match w.strip_suffix('b') {
                Some("") => Dim::symbol("b"),
                Some(k) => {
                    let k: i64 = k.parse().expect("a factor");
                    Dim::from_sym(SymInt::symbol("b").mul(&k.into()))
                }
                None => panic!("{w}"),
            },
        };
        text.split_whitespace().map(one).collect()
    }

    fn result(old_in: &str, new_in: &str, old_out: &str) -> String {
        let was = |_: &Dim| vec![1];
        match reshaped(&dims(old_in), &dims(new_in), &dims(old_out), &was) {
            Ok(out) => out.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(e) => e,
        }
    }

    #[test]
    fn sizes_stay_where_they_were() {
        assert_eq!(result("1 512 1 1", "b 512 1 1", "1 512"), "b 512");
        assert_eq!(result("1 6 8", "b 6 8", "1 6 2 4"), "b 6 2 4");
        assert_eq!(result("1 56 56 96", "b 56 56 96", "64 49 96"), "64*b 49 96");
        assert_eq!(result("64 49 96", "64b 49 96", "1 56 56 96"), "b 56 56 96");
        assert_eq!(result("2 1 3", "2 b 3", "2 3"), "2 3*b");
        assert_eq!(result("2", "2b", "2 1"), "2 b");
        assert_eq!(result("1 3", "b 3", "1 1 3"), "b 1 3");
        assert_eq!(result("1", "b", ""), "[b] has no place in []");
    }
}
