//! Pictures of other sizes: the triangle filter that widens as the picture shrinks, along rows and then along columns, rounded to 8 bits
//! each time. That is what common image libraries call antialiased bilinear.

/// Pixels of 8-bit channels, row by row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pixels {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub data: Vec<u8>,
}

/// What one place of the result takes: the first place of the source, and a weight for it and those that follow.
type Taps = Vec<(usize, Vec<f32>)>;

/// Taps that bring `from` places to `to`.
fn taps(from: usize, to: usize) -> Taps {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let tap = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        let first = (center - reach + 0.5).max(0.0) as usize;
        let end = ((center + reach + 0.5) as usize).min(from).max(first + 1);
        let weight = |j: usize| (1.0 - ((j as f64 + 0.5 - center) / reach).abs()).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        (first, (first..end).map(|j| (weight(j) / sum) as f32).collect())
    };
    (0..to).map(tap).collect()
}

fn rounded(v: f32) -> u8 {
    (v + 0.5) as u8
}

impl Pixels {
    /// The picture in this size.
    pub fn resized(self, height: usize, width: usize) -> Self {
        let narrow = if width == self.width { self } else { self.with_width(width) };
        if height == narrow.height { narrow } else { narrow.with_height(height) }
    }

    fn with_width(self, width: usize) -> Self {
        let (c, taps) = (self.channels, taps(self.width, width));
        let mut data = Vec::with_capacity(self.height * width * c);
        for row in self.data.chunks_exact(self.width * c) {
            for (first, weights) in &taps {
                for k in 0..c {
                    let pixels = row[first * c + k..].iter().step_by(c);
                    let sum: f32 = weights.iter().zip(pixels).map(|(w, p)| w * f32::from(*p)).sum();
                    data.push(rounded(sum));
                }
            }
        }
        Self { width, data, ..self }
    }

    fn with_height(self, height: usize) -> Self {
        let len = self.width * self.channels;
        let mut data = Vec::with_capacity(height * len);
        let mut sums = vec![0.0_f32; len];
        for (first, weights) in taps(self.height, height) {
            sums.fill(0.0);
            for (row, w) in self.data[first * len..].chunks_exact(len).zip(&weights) {
                sums.iter_mut().zip(row).for_each(|(s, p)| *s += w * f32::from(*p));
            }
            data.extend(sums.iter().map(|s| rounded(*s)));
        }
        Self { height, data, ..self }
    }

    /// The part of this size whose first pixel is at (`top`, `left`); what lies beyond the picture is `border`.
    pub fn window(&self, top: isize, left: isize, height: usize, width: usize, border: u8) -> Self {
        let c = self.channels;
        let mut data = vec![border; height * width * c];
        // Columns of the result that the picture covers.
        let from = left.min(0).unsigned_abs().min(width);
        let skip = left.max(0).unsigned_abs().min(self.width);
        let count = (width - from).min(self.width - skip);
        for (y, out) in data.chunks_exact_mut(width * c).enumerate() {
            let Some(row) = top.checked_add_unsigned(y).and_then(|y| usize::try_from(y).ok()) else {
                continue;
            };
            if row < self.height {
                let start = (row * self.width + skip) * c;
                out[from * c..(from + count) * c].copy_from_slice(&self.data[start..start + count * c]);
            }
        }
        Self { height, width, channels: c, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(height: usize, width: usize, data: Vec<u8>) -> Pixels {
        Pixels { height, width, channels: 1, data }
    }

    #[test]
    fn sizes_change_as_image_libraries_do_it() {
        // What Pillow 13 computes with BILINEAR.
        let row = gray(1, 8, vec![0, 10, 20, 30, 40, 50, 60, 255]);
        assert_eq!(row.clone().resized(1, 4).data, [7, 25, 45, 142]);
        assert_eq!(row.clone().resized(1, 3).data, [11, 35, 113]);
        assert_eq!(gray(1, 2, vec![0, 100]).resized(1, 4).data, [0, 25, 75, 100]);
        let column = gray(8, 1, row.data).resized(3, 1);
        assert_eq!((column.height, column.width, column.data), (3, 1, vec![11, 35, 113]));
        let two = Pixels { height: 1, width: 2, channels: 3, data: vec![0, 1, 2, 100, 101, 102] };
        assert_eq!(two.resized(2, 1).data, [50, 51, 52, 50, 51, 52]);
        let data = (0..37 * 53 * 3).map(|i| (i * 7919 % 251) as u8).collect();
        let picture = Pixels { height: 37, width: 53, channels: 3, data };
        let at = |p: &Pixels, y: usize, x: usize| p.data[(y * p.width + x) * 3..][..3].to_vec();
        let sum = |p: &Pixels| p.data.iter().map(|v| i64::from(*v)).sum::<i64>();
        let small = picture.clone().resized(19, 23);
        assert_eq!((at(&small, 3, 4), at(&small, 18, 22)), (vec![103, 142, 117], vec![128, 138, 142]));
        let large = picture.resized(90, 80);
        assert_eq!((at(&large, 3, 4), at(&large, 89, 79)), (vec![139, 147, 157], vec![208, 95, 233]));
        // One pixel in a hundred lies in the middle between two values, and weights there are rounded.
        assert!((sum(&small) - 163_962).abs() < 100 && (sum(&large) - 2_701_390).abs() < 100);
    }

    #[test]
    fn windows_reach_beyond_the_picture() {
        let p = gray(2, 3, vec![1, 2, 3, 4, 5, 6]);
        assert_eq!(p.window(0, 1, 2, 2, 9).data, [2, 3, 5, 6]);
        assert_eq!(p.window(-1, -1, 3, 5, 9).data, [9, 9, 9, 9, 9, 9, 1, 2, 3, 9, 9, 4, 5, 6, 9]);
        assert_eq!(p.window(5, 5, 1, 1, 9).data, [9]);
    }
}
