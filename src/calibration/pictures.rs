//! Samples from pictures.
use super::batches::{Part, Piece};
use super::fit::{BatchSize, Role, batch_size};
use super::preprocess::{Channels, Fit, Layout, Plan, Preprocess};
use super::resample::Pixels;
use super::{BATCH, Wanted, files, unfit, unreadable};
use hoist_ir::diag::Diag;
use hoist_ir::eval::{EvalCx, Limits, Value, eval_op};
use hoist_ir::op::OpError;
use hoist_ir::ops::vision::image_decoder::{ImageDecoder, PixelFormat};
use hoist_ir::tensor::Tensor;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Largest file, and most pixels of a picture that is made.
const MAX_FILE: u64 = 256 << 20;
const MAX_PIXELS: usize = 1 << 26;

/// One picture in a file: decoded as the operator `image_decoder` does it, so that tags that say how to turn it are not followed.
pub struct Picture {
    path: PathBuf,
    plan: Plan,
    /// The input that it is for, of this many.
    input: usize,
    inputs: usize,
    batch: BatchSize,
}

/// The picture in the file at `path`, for the only input that must be there.
///
/// # Errors
/// `E0101` when the file cannot be opened, `E0603` when the input is no picture or more has to be said about it.
pub fn open(path: &Path, wanted: &Wanted) -> Result<Picture, Diag> {
    let wrong = |m: String| unfit(path, m);
    files::open(path)?;
    let required: Vec<usize> = (0..wanted.inputs.len()).filter(|i| !wanted.inputs[*i].optional).collect();
    let [input] = required[..] else {
        let m = format!("a picture is one input, and the model has {}", required.len());
        return Err(wrong(m).hint("give .npz files with an array for each input"));
    };
    let said = wanted.preprocess.clone().unwrap_or_default();
    let plan = Plan::new(&wanted.inputs[input], &said).map_err(wrong)?;
    let role = if plan.batched { Role::OneSample } else { Role::Inputs };
    let batch = batch_size(&[(&wanted.inputs[input], role, None)], wanted.batch, BATCH).map_err(wrong)?;
    Ok(Picture { path: path.to_owned(), plan, input, inputs: wanted.inputs.len(), batch })
}

impl Picture {
    /// What the user should know.
    pub fn note(&self, said: Option<&Preprocess>) -> Option<String> {
        let unsaid = said.is_none_or(|p| !p.is_normalizing()) && !self.plan.tables.is_empty();
        unsaid.then(|| {
            let m = "pixels are brought to 0..1; if the model expects others, say so";
            format!("{m} (--preprocess mean=...,std=... or scale=1)")
        })
    }

    fn bytes(&self) -> Result<Vec<u8>, Diag> {
        let mut out = vec![];
        let file = files::open(&self.path)?;
        let len = file.take(MAX_FILE + 1).read_to_end(&mut out).map_err(|e| unreadable(&self.path, e))?;
        if len as u64 > MAX_FILE {
            return Err(unfit(&self.path, format!("it is larger than {} MiB", MAX_FILE >> 20)));
        }
        Ok(out)
    }

    fn tensor(&self) -> Result<Tensor, Diag> {
        let bytes = self.bytes()?;
        let picture = decode(bytes, self.plan.channels).map_err(|e| unfit(&self.path, e.message))?;
        if picture.data.is_empty() {
            let m = "it is no picture, or a broken one";
            return Err(unfit(&self.path, m).hint("PNG, JPEG, BMP, WebP, PNM and TIFF are read"));
        }
        let picture = self.plan.shaped(picture).map_err(|m| unfit(&self.path, m))?;
        self.plan.tensor(&picture).map_err(|m| unfit(&self.path, m))
    }
}

fn decode(bytes: Vec<u8>, channels: Channels) -> Result<Pixels, OpError> {
    let pixel_format = match channels {
        Channels::Rgb => PixelFormat::Rgb,
        Channels::Bgr => PixelFormat::Bgr,
        Channels::Gray => PixelFormat::Grayscale,
    };
    let stream = Tensor::from_vec(&[bytes.len()], bytes);
    let run = |_: &_, _| Err(OpError::eval("a decoder has no body"));
    let cx =
        EvalCx { inputs: vec![Some(Value::from(stream))], outputs: 1, bodies: &[], captures: 0, run: &run };
    let mut results = eval_op(&ImageDecoder { pixel_format }.into(), cx, Limits::default())?;
    let decoded = results.pop().ok_or_else(|| OpError::eval("nothing was decoded"))?.into_tensor()?;
    let [height, width, channels] = *decoded.shape() else {
        return Err(OpError::eval("the decoded picture has other axes than height, width and channels"));
    };
    Ok(Pixels { height, width, channels, data: decoded.into_vec()? })
}

impl Plan {
    /// The picture in the size of the input.
    fn shaped(&self, picture: Pixels) -> Result<Pixels, String> {
        let (height, width) = match (self.fit, self.resize) {
            (Fit::Stretch, _) => (self.height, self.width),
            // As image libraries cut: one side is as said, the other one follows, rounded down.
            (Fit::Center, Some(side)) => scaled(&picture, side, side, true),
            (Fit::Center, None) => scaled(&picture, self.height, self.width, true),
            (Fit::Pad(_), _) => scaled(&picture, self.height, self.width, false),
        };
        let through = height.checked_mul(width.max(picture.width)).or(None);
        if through.is_none_or(|n| n > MAX_PIXELS) || picture.height.saturating_mul(width) > MAX_PIXELS {
            return Err(format!("a picture of {} x {} pixels is too long", picture.width, picture.height));
        }
        let resized = picture.resized(height, width);
        let border = if let Fit::Pad(v) = self.fit { v } else { 0 };
        let place = |have: usize, want: usize| ((have as f64 - want as f64) / 2.0).round_ties_even() as isize;
        let (top, left) = (place(height, self.height), place(width, self.width));
        if (height, width) == (self.height, self.width) {
            return Ok(resized);
        }
        Ok(resized.window(top, left, self.height, self.width, border))
    }

    /// Pixels in the order and the type of the input.
    fn tensor(&self, picture: &Pixels) -> Result<Tensor, String> {
        let c = picture.channels;
        let pixels = picture.height * picture.width;
        // Places in the picture in the order of the input.
        let place = |i: usize| if self.layout == Layout::Nchw { i % pixels * c + i / pixels } else { i };
        let bytes = (0..picture.data.len()).map(|i| (place(i) % c, picture.data[place(i)]));
        let shape = self.shape();
        if self.tables.is_empty() {
            return Ok(Tensor::from_vec(&shape, bytes.map(|(_, v)| v).collect::<Vec<u8>>()));
        }
        let floats: Vec<f32> = bytes.map(|(c, v)| self.tables[c][usize::from(v)]).collect();
        Tensor::from_vec(&shape, floats).cast(self.dtype, false).map_err(|e| e.to_string())
    }
}

/// Size of a picture that covers `height` x `width`, or lies within it.
fn scaled(picture: &Pixels, height: usize, width: usize, cover: bool) -> (usize, usize) {
    let (h, w) = (picture.height.max(1), picture.width.max(1));
    // Whether the height decides.
    let by_height = (height as u128 * w as u128 >= width as u128 * h as u128) == cover;
    let other = |a: usize, b: usize, c: usize| {
        usize::try_from(a as u128 * b as u128 / c as u128).unwrap_or(usize::MAX)
    };
    if by_height { (height, other(w, height, h).max(1)) } else { (other(h, width, w).max(1), width) }
}

impl Part for Picture {
    fn samples(&self) -> usize {
        1
    }
    fn batch(&self) -> BatchSize {
        self.batch
    }
    fn sample(&mut self, _: usize) -> Result<Vec<Piece>, Diag> {
        let mut pieces = vec![Piece::Absent; self.inputs];
        let tensor = self.tensor()?;
        pieces[self.input] = if self.plan.batched { Piece::Slice(tensor) } else { Piece::Whole(tensor) };
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_side_follows_from_the_other() {
        let p = |height, width| Pixels { height, width, channels: 1, data: vec![0; height * width] };
        assert_eq!(scaled(&p(100, 50), 20, 20, true), (40, 20));
        assert_eq!(scaled(&p(100, 50), 20, 20, false), (20, 10));
        assert_eq!(scaled(&p(3, 7), 10, 10, true), (10, 23));
        assert_eq!(scaled(&p(10, 10), 20, 30, true), (30, 30));
        assert_eq!(scaled(&p(10, 10), 20, 30, false), (20, 20));
        assert_eq!(scaled(&p(1, 50), 20, 20, false), (1, 20));
    }
}
