//! What becomes of pictures before a model sees them.
use super::interface::Input;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use std::str::FromStr;

/// Most pixels along a side that pictures are brought to.
const MAX_SIDE: usize = 1 << 14;

/// What `--preprocess` says. What it leaves out follows from the model's input.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Preprocess {
    /// Height and width that the model gets.
    pub size: Option<[usize; 2]>,
    /// Length of the shorter side before the middle is cut out.
    pub resize: Option<usize>,
    /// How a picture of another aspect ratio is brought to the size.
    pub fit: Option<Fit>,
    /// What each pixel is multiplied with.
    pub scale: Option<f32>,
    /// Subtracted then, for each channel or for all.
    pub mean: Vec<f32>,
    /// Divided by then, for each channel or for all.
    pub std: Vec<f32>,
    /// Order of the axes.
    pub layout: Option<Layout>,
    /// What the channels are.
    pub channels: Option<Channels>,
}

/// How a picture of another aspect ratio is brought to the size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// Its middle is cut out.
    Center,
    /// It is stretched.
    Stretch,
    /// It is shown as a whole, with borders of this brightness.
    Pad(u8),
}

/// Order of the axes of a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Channels, height, width.
    Nchw,
    /// Height, width, channels.
    Nhwc,
    /// Height, width: one channel without an axis.
    Nhw,
}

/// What the channels are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Luma.
    Gray,
}

impl Channels {
    fn count(self) -> usize {
        if self == Self::Gray { 1 } else { 3 }
    }
}

fn number(text: &str) -> Result<f32, String> {
    let one = |t: &str| t.trim().parse::<f32>().ok().filter(|v| v.is_finite());
    let value = match text.split_once('/') {
        Some((a, b)) => one(a).zip(one(b)).map(|(a, b)| a / b).filter(|v| v.is_finite()),
        None => one(text),
    };
    value.ok_or_else(|| format!("`{text}` is no number"))
}

/// One number, or three separated by `/`.
fn numbers(text: &str) -> Result<Vec<f32>, String> {
    let all = text.split('/').map(number).collect::<Result<Vec<_>, _>>()?;
    if matches!(all.len(), 1 | 3) {
        Ok(all)
    } else {
        Err(format!("`{text}` is neither one number nor three"))
    }
}

fn side(text: &str) -> Result<usize, String> {
    let n = text.trim().parse::<usize>().ok().filter(|n| (1..=MAX_SIDE).contains(n));
    n.ok_or_else(|| format!("`{text}` is no size from 1 to {MAX_SIDE}"))
}

impl FromStr for Preprocess {
    type Err = String;

    /// Reads `key=value,...`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let (key, value) = entry.split_once('=').ok_or_else(|| format!("`{entry}` is not KEY=VALUE"))?;
            all.set(key.trim(), value.trim())?;
        }
        if all.resize.is_some() && all.fit.is_some_and(|f| f != Fit::Center) {
            return Err(
                "resize= is the shorter side before crop=center, and goes with nothing else".to_owned()
            );
        }
        if all.std.iter().any(|v| *v <= 0.0) {
            return Err("std= must be above 0".to_owned());
        }
        if all.scale.is_none() && all.mean.iter().chain(&all.std).any(|v| v.abs() > 2.0) {
            return Err(
                "mean= and std= are of pixels from 0 to 1; say scale=1 if they are of 0 to 255".to_owned()
            );
        }
        Ok(all)
    }
}

impl Preprocess {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let none = |what: &str| Err(format!("{key}={value}: there is {what}"));
        match key {
            "size" => {
                let (height, width) = value.split_once('x').unwrap_or((value, value));
                self.size = Some([side(height)?, side(width)?]);
            }
            "resize" => self.resize = Some(side(value)?),
            "crop" => match value {
                "center" => self.fit = Some(Fit::Center),
                "none" => self.fit = Some(Fit::Stretch),
                _ => return none("crop=center and crop=none"),
            },
            "pad" => {
                let border = value.parse().map_err(|_| format!("`{value}` is not 0 to 255"))?;
                self.fit = Some(Fit::Pad(border));
            }
            "scale" => self.scale = Some(number(value)?),
            "mean" => self.mean = numbers(value)?,
            "std" => self.std = numbers(value)?,
            "layout" => match value {
                "nchw" => self.layout = Some(Layout::Nchw),
                "nhwc" => self.layout = Some(Layout::Nhwc),
                _ => return none("layout=nchw and layout=nhwc"),
            },
            "channels" => match value {
                "rgb" => self.channels = Some(Channels::Rgb),
                "bgr" => self.channels = Some(Channels::Bgr),
                "gray" => self.channels = Some(Channels::Gray),
                _ => return none("channels=rgb, channels=bgr and channels=gray"),
            },
            _ => {
                let keys = "size, resize, crop, pad, scale, mean, std, layout, channels";
                return Err(format!("`{key}` is unknown; there are {keys}"));
            }
        }
        Ok(())
    }

    /// What a pixel of each brightness becomes, a table for each of `channels`.
    pub fn tables(&self, channels: usize) -> Vec<[f32; 256]> {
        let table = |c: usize| std::array::from_fn(|v| self.normalize(v as f32, c));
        (0..channels).map(table).collect()
    }

    /// What a number in channel `c` becomes.
    pub fn normalize(&self, v: f32, c: usize) -> f32 {
        let of = |all: &[f32], default: f32| all.get(c).or(all.first()).copied().unwrap_or(default);
        (v * self.scale.unwrap_or(1.0 / 255.0) - of(&self.mean, 0.0)) / of(&self.std, 1.0)
    }

    /// Whether it says how numbers are scaled.
    pub fn is_normalizing(&self) -> bool {
        self.scale.is_some() || !self.mean.is_empty() || !self.std.is_empty()
    }
}

/// What becomes of an array of integers for a float input.
#[derive(Clone, PartialEq, Debug)]
pub struct Scaling {
    said: Preprocess,
    /// Axis of the input that `mean` and `std` are along, where they differ.
    axis: Option<usize>,
}

impl Scaling {
    /// As `said` for arrays of `have` as `input`.
    ///
    /// # Errors
    /// What is not for arrays, or has to be said.
    pub fn new(input: &Input, have: DType, said: &Preprocess) -> Result<Self, String> {
        let shaped =
            said.size.is_some() || said.resize.is_some() || said.fit.is_some() || said.channels.is_some();
        if shaped {
            return Err(
                "size=, resize=, crop=, pad= and channels= are for pictures, not for arrays".to_owned()
            );
        }
        if have != DType::U8 && said.scale.is_none() {
            return Err(format!("say --preprocess scale=...: what one step of {have} is"));
        }
        let axis = if said.mean.len().max(said.std.len()) > 1 {
            let (layout, batched) = layout(&input.dims, said.layout)?;
            let axis = if layout == Layout::Nhwc { input.dims.len() - 1 } else { usize::from(batched) };
            if layout == Layout::Nhw || input.dims[axis].known() != Some(3) {
                return Err("mean= and std= of three channels are for inputs with three".to_owned());
            }
            Some(axis)
        } else {
            None
        };
        Ok(Self { said: said.clone(), axis })
    }

    /// The integers of a part of the input, scaled.
    ///
    /// # Errors
    /// When they are no integers, or too large for `dtype`.
    pub fn apply(&self, tensor: &Tensor, dtype: DType) -> Result<Tensor, String> {
        let ints = tensor.to_f32s().map_err(|e| e.to_string())?;
        let inner: usize = self
            .axis
            .map_or(1, |a| tensor.shape().iter().skip(a + 1).copied().fold(1, usize::saturating_mul));
        let channel = |i: usize| if self.axis.is_some() { i / inner.max(1) % 3 } else { 0 };
        let floats = ints.iter().enumerate().map(|(i, v)| self.said.normalize(*v, channel(i)));
        let floats = Tensor::from_vec(tensor.shape(), floats.collect::<Vec<f32>>());
        floats.cast(dtype, false).map_err(|e| e.to_string())
    }
}

/// What becomes of each picture for one input.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    pub height: usize,
    pub width: usize,
    pub resize: Option<usize>,
    pub fit: Fit,
    pub channels: Channels,
    pub layout: Layout,
    /// Whether there is an axis that counts samples, the first.
    pub batched: bool,
    pub dtype: DType,
    /// See [`Preprocess::tables`]; none where pixels are left as they are.
    pub tables: Vec<[f32; 256]>,
}

impl Plan {
    /// The plan for pictures as `input`.
    ///
    /// # Errors
    /// What contradicts the input, or has to be said.
    pub fn new(input: &Input, said: &Preprocess) -> Result<Self, String> {
        let named = |m: String| format!("input `{}` is {}: {m}", input.name, input.ty);
        let (layout, batched) = layout(&input.dims, said.layout).map_err(named)?;
        let dims = &input.dims[usize::from(batched)..];
        let [c, h, w] = match (layout, dims) {
            (Layout::Nchw, [c, h, w]) | (Layout::Nhwc, [h, w, c]) => [c.clone(), h.clone(), w.clone()],
            (Layout::Nhw, [h, w]) => [Dim::from(1usize), h.clone(), w.clone()],
            _ => return Err(named("it is no picture".to_owned())),
        };
        let channels = channels(&c, said.channels).map_err(named)?;
        let [height, width] = size([&h, &w], said.size).map_err(named)?;
        if said.resize.is_some_and(|r| r < height.max(width)) {
            return Err(named(format!("resize= is smaller than the {height}x{width} that are cut out")));
        }
        let floats = input.ty.dtype.is_float();
        if !floats && (input.ty.dtype != DType::U8 || said.is_normalizing()) {
            let m = "pixels are scaled for float inputs, and left as they are for u8 ones";
            return Err(named(m.to_owned()));
        }
        let count = channels.count();
        if [&said.mean, &said.std].iter().any(|v| v.len() > count) {
            return Err(named("there are more numbers in mean= or std= than channels".to_owned()));
        }
        Ok(Self {
            height,
            width,
            resize: said.resize,
            fit: said.fit.unwrap_or(Fit::Center),
            channels,
            layout,
            batched,
            dtype: input.ty.dtype,
            tables: if floats { said.tables(count) } else { vec![] },
        })
    }

    /// Sizes of one picture as the input's.
    pub fn shape(&self) -> Vec<usize> {
        let (c, h, w) = (self.channels.count(), self.height, self.width);
        let mut shape = match self.layout {
            Layout::Nchw => vec![c, h, w],
            Layout::Nhwc => vec![h, w, c],
            Layout::Nhw => vec![h, w],
        };
        if self.batched {
            shape.insert(0, 1);
        }
        shape
    }
}

/// Order of the axes, and whether the first one counts samples.
fn layout(dims: &[Dim], said: Option<Layout>) -> Result<(Layout, bool), String> {
    let channels = |d: &Dim| matches!(d.known(), Some(1 | 3));
    let (batched, [first, _, last]) = match dims {
        [_, a, b, c] => (true, [a, b, c]),
        // Pictures of one channel, counted by the first axis.
        [n, _, w] if n.known().is_none() && !channels(w) && said.is_none() => return Ok((Layout::Nhw, true)),
        [a, b, c] => (false, [a, b, c]),
        [_, _] => return Ok((Layout::Nhw, false)),
        _ => return Err("it is no picture, which has 2 to 4 axes".to_owned()),
    };
    match (said, channels(first), channels(last)) {
        (Some(layout), ..) => Ok((layout, batched)),
        (None, true, false) => Ok((Layout::Nchw, batched)),
        (None, false, true) => Ok((Layout::Nhwc, batched)),
        _ => Err("say --preprocess layout=nchw or layout=nhwc".to_owned()),
    }
}

fn channels(dim: &Dim, said: Option<Channels>) -> Result<Channels, String> {
    let channels = match (said, dim.known()) {
        (Some(said), _) => said,
        (None, Some(1)) => Channels::Gray,
        (None, Some(3)) => Channels::Rgb,
        (None, Some(n)) => return Err(format!("pictures have 1 or 3 channels, not {n}")),
        (None, None) => return Err("say --preprocess channels=rgb, bgr or gray".to_owned()),
    };
    match dim.known() {
        Some(n) if n != channels.count() as u64 => {
            Err(format!("it has {n} channels, not {}", channels.count()))
        }
        _ => Ok(channels),
    }
}

/// Height and width.
fn size(dims: [&Dim; 2], said: Option<[usize; 2]>) -> Result<[usize; 2], String> {
    let mut out = [0; 2];
    for (i, dim) in dims.into_iter().enumerate() {
        let fixed = dim.known().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        out[i] = match (fixed, said.map(|s| s[i])) {
            (Some(fixed), Some(said)) if fixed != said => {
                return Err(format!("it is {fixed} long where size= says {said}"));
            }
            (Some(n), _) if (1..=MAX_SIDE).contains(&n) => n,
            (Some(n), _) => return Err(format!("pictures are 1 to {MAX_SIDE} pixels long, not {n}")),
            (None, Some(said)) => said,
            (None, None) => return Err("its height and width are open: say --preprocess size=224".to_owned()),
        };
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::interface::inputs;
    use hoist_ir::text::parse_graph;

    fn plan(ty: &str, spec: &str) -> Result<Plan, String> {
        let graph = parse_graph(&format!("graph(%x: {ty}) {{\n return %x\n}}")).expect("valid");
        Plan::new(&inputs(&graph).expect("a tensor")[0], &spec.parse()?)
    }

    #[test]
    fn what_is_not_said_follows_from_the_input() {
        let of = |ty, spec| plan(ty, spec).map(|p| (p.shape(), p.channels, p.fit));
        assert_eq!(of("f32[N, 3, 8, 9]", ""), Ok((vec![1, 3, 8, 9], Channels::Rgb, Fit::Center)));
        assert_eq!(of("f32[N, 8, 9, 1]", "crop=none"), Ok((vec![1, 8, 9, 1], Channels::Gray, Fit::Stretch)));
        assert_eq!(
            of("f32[N, H, W, 3]", "size=5x6,channels=bgr"),
            Ok((vec![1, 5, 6, 3], Channels::Bgr, Fit::Center))
        );
        assert_eq!(of("u8[8, 9, 3]", "pad=114"), Ok((vec![8, 9, 3], Channels::Rgb, Fit::Pad(114))));
        assert_eq!(of("f32[N, 8, 9]", ""), Ok((vec![1, 8, 9], Channels::Gray, Fit::Center)));
        assert_eq!(of("f32[1, 28, 28]", ""), Ok((vec![1, 28, 28], Channels::Gray, Fit::Center)));
        assert_eq!(of("f32[N, 3, 8, 3]", "layout=nhwc"), Ok((vec![1, 3, 8, 3], Channels::Rgb, Fit::Center)));
        for (ty, spec, wanted) in [
            ("f32[N, 3, 8, 3]", "", "layout="),
            ("f32[N, C, H, W]", "layout=nchw,size=8", "channels="),
            ("f32[N, 3, H, W]", "", "size="),
            ("f32[N, 3, 8, 8]", "size=9", "8 long where size= says 9"),
            ("f32[N, 3, 8, 8]", "channels=gray", "3 channels, not 1"),
            ("f32[N, 3, 8, 8]", "resize=7", "resize="),
            ("f32[N, 1, 8, 8]", "mean=0.1/0.2/0.3", "more numbers"),
            ("u8[N, 3, 8, 8]", "scale=1/255", "left as they are"),
            ("i8[N, 3, 8, 8]", "", "left as they are"),
            ("f32[N, 4, 8, 8]", "layout=nchw", "not 4"),
            ("f32[N]", "", "no picture"),
        ] {
            let said = plan(ty, spec).expect_err("refused");
            assert!(said.contains(wanted), "{ty} {spec}: {said}");
        }
    }

    #[test]
    fn the_numbers_are_read() {
        let p: Preprocess =
            "scale=1/255, mean=0.485/0.456/0.406, std=0.229/0.224/0.225".parse().expect("valid");
        let want = (128.0_f32 * (1.0 / 255.0) - 0.456) / 0.224;
        assert_eq!(p.tables(3)[1][128], want);
        assert_eq!("mean=0.5,std=0.5".parse::<Preprocess>().expect("valid").normalize(255.0, 2), 1.0);
        assert_eq!(
            "scale=1,mean=127.5,std=127.5".parse::<Preprocess>().expect("valid").normalize(0.0, 0),
            -1.0
        );
        for bad in [
            "mean=123.7",
            "std=0",
            "std=-1",
            "scale=1/0",
            "mean=1/2",
            "size=0",
            "size=99999",
            "crop=left",
            "pad=256",
            "layout=chw",
            "channels=rgba",
            "colour=red",
            "size",
            "resize=9,crop=none",
            "scale=nan",
        ] {
            assert!(bad.parse::<Preprocess>().is_err(), "{bad}");
        }
    }
}
