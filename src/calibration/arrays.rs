//! Samples from `.npz` and `.npy` files.
use super::batches::{Part, Piece};
use super::convert::{allowed, convert, rounds};
use super::fit::{BatchSize, Role, agree, batch_size, role};
use super::interface::Input;
use super::preprocess::{Preprocess, Scaling};
use super::{BATCH, Wanted, files, unfit};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::{Tensor, TensorError};
use hoist_runtime::inputs::{stored_type, tensor_of};
use hoist_runtime::npz::{Array, ArrayFile, NpzError, open_npy, open_npz};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The arrays of one file, or of one folder of `.npy` files named as the inputs.
pub struct Arrays {
    path: PathBuf,
    inputs: Arc<[Input]>,
    /// One for each input; `None` where an optional one is absent.
    columns: Vec<Option<Column>>,
    samples: usize,
    batch: BatchSize,
}

/// The array of an input.
struct Column {
    file: ArrayFile,
    role: Role,
    /// What becomes of integers for a float input.
    scaling: Option<Scaling>,
    /// Kept where it goes with every sample.
    constant: Option<Tensor>,
}

/// Opens a `.npz` file.
///
/// # Errors
/// `E0101` when it cannot be opened, `E0603` when its arrays are not those of the inputs.
pub fn npz(path: &Path, wanted: &Wanted) -> Result<Arrays, Diag> {
    let arrays = open_npz(files::open(path)?).map_err(|e| unfit(path, e))?;
    let columns = assign(&wanted.inputs, arrays).map_err(|m| unfit(path, m))?;
    Arrays::new(path, wanted, columns)
}

/// Opens a `.npy` file: the only input that is not a scalar.
///
/// # Errors
/// As [`npz`].
pub fn npy(path: &Path, wanted: &Wanted) -> Result<Arrays, Diag> {
    let inputs = &wanted.inputs;
    let required: Vec<usize> = (0..inputs.len()).filter(|i| !inputs[*i].optional).collect();
    let [only] = required[..] else {
        let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
        let m = "one array is not enough for the inputs";
        let hint = "give a .npz file, or a folder of .npy files, with arrays of these names";
        return Err(unfit(path, format!("{m} `{}`", names.join("`, `"))).hint(hint));
    };
    let name = path.file_stem().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let file = open_npy(&name, files::open(path)?).map_err(|e| unfit(path, e))?;
    let mut columns: Vec<Option<ArrayFile>> = inputs.iter().map(|_| None).collect();
    columns[only] = Some(file);
    Arrays::new(path, wanted, columns)
}

/// Opens `.npy` files whose names are those of the inputs, or `in0`, `in1`, ...
///
/// # Errors
/// As [`npz`].
pub fn group(folder: &Path, paths: &[PathBuf], wanted: &Wanted) -> Result<Arrays, Diag> {
    let open = |path: &PathBuf| {
        let name = path.file_stem().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        open_npy(&name, files::open(path)?).map_err(|e| unfit(path, e))
    };
    let arrays = paths.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let columns = assign(&wanted.inputs, arrays).map_err(|m| unfit(folder, m))?;
    Arrays::new(folder, wanted, columns)
}

/// Whether these are names of all inputs that must be there, and of no others.
pub fn are_names(inputs: &[Input], names: &[&str]) -> bool {
    named(inputs, names).is_ok_and(|found| found.is_some())
}

/// For each input which array has its name, `None` when no array has the name of any. All names count alike, or `in0`, `in1`, ...
fn named(inputs: &[Input], arrays: &[&str]) -> Result<Option<Vec<Option<usize>>>, String> {
    let own: Vec<String> = inputs.iter().map(|i| i.name.clone()).collect();
    let numbered: Vec<String> = (0..inputs.len()).map(|i| format!("in{i}")).collect();
    for wanted in [own, numbered] {
        let found: Vec<Option<usize>> =
            wanted.iter().map(|name| arrays.iter().position(|a| a == name)).collect();
        if found.iter().all(Option::is_none) {
            continue;
        }
        let missing = inputs.iter().zip(&found).zip(&wanted).filter(|((i, f), _)| f.is_none() && !i.optional);
        let missing: Vec<&str> = missing.map(|(_, name)| name.as_str()).collect();
        if !missing.is_empty() {
            return Err(format!("no array is given for input `{}`", missing.join("`, `")));
        }
        if let Some(extra) = arrays.iter().find(|a| !wanted.iter().any(|w| w == *a)) {
            return Err(format!("array `{extra}` is no input of the model"));
        }
        return Ok(Some(found));
    }
    Ok(None)
}

/// The array of each input: by names, else in order where there are as many.
fn assign(inputs: &[Input], arrays: Vec<ArrayFile>) -> Result<Vec<Option<ArrayFile>>, String> {
    let names: Vec<&str> = arrays.iter().map(ArrayFile::name).collect();
    let found = named(inputs, &names)?;
    let mut arrays: Vec<Option<ArrayFile>> = arrays.into_iter().map(Some).collect();
    if let Some(found) = found {
        return Ok(found.into_iter().map(|at| arrays.get_mut(at?)?.take()).collect());
    }
    if arrays.len() == inputs.len() {
        return Ok(arrays);
    }
    let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
    let m = format!("{} arrays are given, the model has {} inputs", arrays.len(), inputs.len());
    Err(format!("{m}: name the arrays `{}`", names.join("`, `")))
}

impl Arrays {
    fn new(path: &Path, wanted: &Wanted, found: Vec<Option<ArrayFile>>) -> Result<Self, Diag> {
        let inputs = &wanted.inputs;
        let wrong = |m: String| unfit(path, m);
        let mut columns = vec![];
        for (input, file) in inputs.iter().zip(found) {
            let Some(file) = file else {
                columns.push(None);
                continue;
            };
            let named = |m: String| wrong(format!("array `{}`: {m}", file.name()));
            let scaling =
                scaling(input, stored_type(file.dtype()), wanted.preprocess.as_ref()).map_err(named)?;
            let role = role(input, file.shape()).map_err(named)?;
            columns.push(Some(Column { file, role, scaling, constant: None }));
        }
        if wanted.preprocess.is_some() && columns.iter().flatten().all(|c| c.scaling.is_none()) {
            let m =
                "--preprocess is for pictures and for arrays of integers as float inputs, and there are none";
            return Err(wrong(m.to_owned()));
        }
        let samples = settle(inputs, &mut columns).map_err(wrong)?;
        let shaped = |(input, c): (_, &'_ Column)| (input, c.role, c.file.shape().to_vec());
        let roles: Vec<(&Input, Role, Vec<usize>)> =
            inputs.iter().zip(&columns).filter_map(|(i, c)| Some(shaped((i, c.as_ref()?)))).collect();
        let roles: Vec<_> = roles.iter().map(|(i, r, s)| (*i, *r, Some(&s[..]))).collect();
        let batch = batch_size(&roles, wanted.batch, BATCH).map_err(wrong)?;
        if batch.exact && samples > 0 && samples < batch.size {
            let m = format!("{samples} samples do not fill a batch of {}, which the model takes", batch.size);
            return Err(wrong(m));
        }
        Ok(Self { path: path.to_owned(), inputs: Arc::clone(inputs), columns, samples, batch })
    }

    /// What the user should know about the data.
    pub fn note(&self) -> Option<String> {
        let mut all = self.inputs.iter().zip(&self.columns);
        let (input, have) = all.find_map(|(input, column)| {
            let have = stored_type(column.as_ref()?.file.dtype());
            rounds(have, input.ty.dtype).then_some((input, have))
        })?;
        Some(format!("elements of `{}` are rounded from {have} to {}", input.name, input.ty.dtype))
    }
}

/// What becomes of elements of type `have`, if they have to be scaled.
fn scaling(input: &Input, have: DType, said: Option<&Preprocess>) -> Result<Option<Scaling>, String> {
    match said.filter(|_| have.is_int() && input.ty.dtype.is_float()) {
        Some(said) => Scaling::new(input, have, said).map(Some),
        None => allowed(have, input.ty.dtype).map(|()| None),
    }
}

/// Settles which arrays go with every sample, and returns the number of samples.
fn settle(inputs: &[Input], columns: &mut [Option<Column>]) -> Result<usize, String> {
    let present = inputs.iter().zip(columns.iter()).filter_map(|(i, c)| Some((i, c.as_ref()?)));
    let mut all: Vec<_> = present.map(|(i, c)| (i, c.file.name(), c.file.shape(), c.role)).collect();
    let samples = agree(&mut all)?;
    let roles: Vec<Role> = all.iter().map(|a| a.3).collect();
    for (column, role) in columns.iter_mut().flatten().zip(roles) {
        column.role = role;
    }
    Ok(samples)
}

impl Column {
    /// What sample `index` is for `input`.
    fn piece(&mut self, input: &Input, index: usize) -> Result<Piece, String> {
        Ok(match self.role {
            Role::Samples(axis) => {
                let part = self.file.read(axis, index, 1).map_err(said)?;
                let shape = part.shape.clone();
                Piece::Slice(self.tensor(&part, &shape, input)?)
            }
            Role::Inputs => {
                let part = self.file.read(0, index, 1).map_err(said)?;
                Piece::Whole(self.tensor(&part, &part.shape[1..], input)?)
            }
            Role::OneSample => {
                let array = self.file.read_all().map_err(said)?;
                let mut shape = array.shape.clone();
                shape.insert(input.axis.unwrap_or(0).min(shape.len()), 1);
                Piece::Slice(self.tensor(&array, &shape, input)?)
            }
            Role::Constant => {
                if self.constant.is_none() {
                    let array = self.file.read_all().map_err(said)?;
                    self.constant = Some(self.tensor(&array, &array.shape, input)?);
                }
                self.constant.clone().map_or(Piece::Absent, Piece::Constant)
            }
        })
    }

    /// A part of the array as a tensor of the input's type, of this shape.
    fn tensor(&self, part: &Array, shape: &[usize], input: &Input) -> Result<Tensor, String> {
        let named = |m: String| format!("array `{}`: {m}", part.name);
        let wrong = |e: TensorError| named(e.to_string());
        let tensor = tensor_of(part).and_then(|t| t.reshape(shape)).map_err(wrong)?;
        match &self.scaling {
            Some(scaling) => scaling.apply(&tensor, input.ty.dtype),
            None => convert(&tensor, input.ty.dtype),
        }
        .map_err(named)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
fn said(error: NpzError) -> String {
    error.to_string()
}

impl Part for Arrays {
    fn samples(&self) -> usize {
        self.samples
    }
    fn batch(&self) -> BatchSize {
        self.batch
    }
    fn sample(&mut self, index: usize) -> Result<Vec<Piece>, Diag> {
        let inputs = Arc::clone(&self.inputs);
        let all = inputs.iter().zip(&mut self.columns);
        let pieces: Result<_, String> =
            all.map(|(i, c)| c.as_mut().map_or(Ok(Piece::Absent), |c| c.piece(i, index))).collect();
        pieces.map_err(|m| unfit(&self.path, m))
    }
}
