//! Arrays that stay in their files and are read a part at a time, with plain reads: memory holds the part alone.

use super::header::{self, Descr, Header, MAX_PREFIX};
use super::{Array, ArrayData, FREE_INFLATED, MAX_RATIO, NpyType, NpzError, fail, layout};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;
use zip::CompressionMethod;
use zip::read::{ZipArchive, ZipReadOptions};

/// Bytes that one look at an array stored first-index-fastest gathers, since each look reads from all over the file.
const GATHERED: usize = 4 << 20;

/// Most bytes of one part.
const MAX_PART: usize = 2 << 30;

/// A numeric array in a `.npy` file or an entry of a `.npz` file, of which only the header has been read.
pub struct ArrayFile {
    name: String,
    shape: Vec<usize>,
    dtype: NpyType,
    swap: bool,
    fortran: bool,
    place: Place,
    /// The part gathered last from an array stored first-index-fastest: axis, first index, and its bytes in the file's order.
    gathered: Option<(usize, usize, Array)>,
}

/// Where the bytes of an array are.
enum Place {
    /// Elements start at this byte of the file.
    Plain(Arc<File>, u64),
    /// Entry `index` of the archive is deflated; its elements start at byte `start` of `size` inflated bytes.
    Deflated { file: Arc<File>, index: usize, start: u64, size: u64 },
}

/// Opens a `.npy` file; `name` becomes the array's name.
///
/// # Errors
/// [`NpzError::Array`] when the file cannot be read, is no `.npy` file, is shorter than its shape says or holds no numbers.
pub fn open_npy(name: &str, file: File) -> Result<ArrayFile, NpzError> {
    let size = file.metadata().map_err(|e| fail(name, e.to_string()))?.len();
    let header = prefix(&file, name)?;
    let start = header.start as u64;
    ArrayFile::new(name, header, size, Place::Plain(Arc::new(file), start))
}

/// Opens the arrays of a `.npz` file, in the order of the file. A deflated one is inflated into a temporary file when it is first read.
///
/// # Errors
/// [`NpzError`] as for [`read_npz`](super::read_npz), and for arrays of texts.
pub fn open_npz(file: File) -> Result<Vec<ArrayFile>, NpzError> {
    let len = file.metadata().map_err(|e| NpzError::Zip(e.to_string()))?.len();
    let file = Arc::new(file);
    let mut archive = ZipArchive::new(BufReader::new(&*file)).map_err(|e| zip_error(&e))?;
    if archive.has_duplicate_names() {
        return Err(NpzError::Zip("two arrays have one name".to_owned()));
    }
    (0..archive.len()).map(|index| open_entry(&mut archive, index, &file, len)).collect()
}

fn zip_error(error: &dyn std::fmt::Display) -> NpzError {
    NpzError::Zip(error.to_string())
}

fn open_entry(
    archive: &mut ZipArchive<BufReader<&File>>,
    index: usize,
    file: &Arc<File>,
    len: u64,
) -> Result<ArrayFile, NpzError> {
    let mut entry = archive.by_index_with_options(index, ZipReadOptions::new()).map_err(|e| zip_error(&e))?;
    let name = entry.name().map_err(|e| zip_error(&e))?;
    let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
    let (packed, size) = (entry.compressed_size(), entry.size());
    let stored = (entry.compression() == CompressionMethod::Stored).then(|| entry.data_start()).flatten();
    if stored.is_some_and(|at| packed != size || at.checked_add(size).is_none_or(|end| end > len)) {
        return Err(fail(&name, "it reaches past the end of the file; the file is cut off"));
    }
    if size > FREE_INFLATED.max(packed.saturating_mul(MAX_RATIO)) {
        return Err(fail(&name, format!("{packed} bytes inflate to {size}, which is refused as a zip bomb")));
    }
    let header = prefix(entry.by_ref().take(size), &name)?;
    let start = header.start as u64;
    let place = match stored {
        Some(at) => Place::Plain(Arc::clone(file), at + start),
        None => Place::Deflated { file: Arc::clone(file), index, start, size },
    };
    ArrayFile::new(&name, header, size, place)
}

/// The header at the start of `source`.
fn prefix(source: impl Read, name: &str) -> Result<Header, NpzError> {
    let mut bytes = Vec::with_capacity(256);
    source.take(MAX_PREFIX as u64).read_to_end(&mut bytes).map_err(|e| fail(name, e.to_string()))?;
    header::parse(&bytes).map_err(|what| fail(name, what))
}

impl ArrayFile {
    /// `size` bytes hold header and elements.
    fn new(name: &str, header: Header, size: u64, place: Place) -> Result<Self, NpzError> {
        let Header { descr, fortran, shape, start } = header;
        let Descr::Number { dtype, swap } = descr else {
            return Err(fail(name, "it holds texts; numbers are wanted here"));
        };
        // Products of any of the extents fit, also beside one that is zero.
        let most = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d.max(1)));
        let count = most.map(|n| if shape.contains(&0) { 0 } else { n });
        let end = count.and_then(|n| n.checked_mul(dtype.size())).and_then(|n| n.checked_add(start));
        if end.is_none_or(|end| end as u64 > size) {
            let m = format!("shape {shape:?} needs more bytes than there are; the file is cut off");
            return Err(fail(name, m));
        }
        Ok(Self { name: name.to_owned(), shape, dtype, swap, fortran, place, gathered: None })
    }

    /// Its name, without `.npy`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Type of the elements.
    pub fn dtype(&self) -> NpyType {
        self.dtype
    }

    /// The whole array.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn read_all(&mut self) -> Result<Array, NpzError> {
        if let Some(&n) = self.shape.first() {
            return self.read(0, 0, n);
        }
        let bytes = self.runs(1, 1, 1, 0, 1)?;
        Ok(self.numbers(vec![], bytes))
    }

    /// The part with indices `start` to `start + len` of `axis`, in row-major order.
    ///
    /// # Errors
    /// [`NpzError::Array`] when there is no such part, it is larger than 2 GiB, or the file cannot be read.
    pub fn read(&mut self, axis: usize, start: usize, len: usize) -> Result<Array, NpzError> {
        let size = self.shape.get(axis).copied().unwrap_or(0);
        if start.checked_add(len).is_none_or(|end| end > size) {
            return Err(fail(&self.name, format!("it has no indices {start}..{start}+{len} of axis {axis}")));
        }
        if !self.fortran {
            return self.part(axis, start, len);
        }
        if let Some((a, first, array)) = &self.gathered
            && let Some(skip) = start.checked_sub(*first).filter(|_| *a == axis)
            && array.shape.get(axis).is_some_and(|have| skip + len <= *have)
        {
            return Ok(cut(array, axis, skip, len, self.dtype.size()));
        }
        let one = (self.shape.iter().product::<usize>() / size.max(1)).max(1) * self.dtype.size();
        let more = (GATHERED / one).max(len).min(size - start);
        let array = self.part(axis, start, more)?;
        let out = cut(&array, axis, 0, len, self.dtype.size());
        self.gathered = Some((axis, start, array));
        Ok(out)
    }

    fn part(&mut self, axis: usize, start: usize, len: usize) -> Result<Array, NpzError> {
        let width = self.dtype.size();
        let (before, rest) = self.shape.split_at(axis);
        let (before, after): (usize, usize) = (before.iter().product(), rest.iter().skip(1).product());
        let size = self.shape[axis];
        let mut shape = self.shape.clone();
        shape[axis] = len;
        // First index fastest is last index fastest with the axes turned around.
        let (outer, inner) = if self.fortran { (after, before) } else { (before, after) };
        let bytes = self.runs(outer, size, inner, start, len)?;
        let bytes = if self.fortran { layout::to_row_major(&bytes, &shape, width) } else { bytes };
        Ok(self.numbers(shape, bytes))
    }

    fn numbers(&self, shape: Vec<usize>, bytes: Bytes) -> Array {
        let bytes = if self.swap { layout::swap(&bytes, self.dtype.part()) } else { bytes };
        Array { name: self.name.clone(), shape, data: ArrayData::Numbers(self.dtype, bytes) }
    }

    /// Of `[outer, size, inner]` elements in the order of the file, those with `start..start + len` in the middle.
    fn runs(
        &mut self,
        outer: usize,
        size: usize,
        inner: usize,
        start: usize,
        len: usize,
    ) -> Result<Bytes, NpzError> {
        let width = self.dtype.size();
        let run = len.checked_mul(inner).and_then(|n| n.checked_mul(width));
        let all = run.and_then(|run| run.checked_mul(outer)).filter(|n| *n <= MAX_PART);
        let (Some(run), Some(all)) = (run, all) else {
            return Err(fail(&self.name, "a part of it takes more than 2 GiB"));
        };
        if all == 0 {
            return Ok(Bytes::new());
        }
        let wrong = |e: io::Error| fail(&self.name, e.to_string());
        let (file, first) = plain(&mut self.place).map_err(wrong)?;
        let mut out = vec![0; all];
        for (i, piece) in out.chunks_mut(run).enumerate() {
            let at = ((i * size + start) * inner * width) as u64;
            (&*file).seek(SeekFrom::Start(first + at)).map_err(wrong)?;
            (&*file).read_exact(piece).map_err(wrong)?;
        }
        Ok(out.into())
    }
}

/// Part `skip..skip + len` of `axis` of an array in row-major order.
fn cut(array: &Array, axis: usize, skip: usize, len: usize, width: usize) -> Array {
    let ArrayData::Numbers(dtype, bytes) = &array.data else { return array.clone() };
    let size = array.shape[axis];
    let inner = array.shape[axis + 1..].iter().product::<usize>() * width;
    let mut shape = array.shape.clone();
    shape[axis] = len;
    let bytes = if inner == 0 || size == 0 {
        Bytes::new()
    } else {
        let piece = |slab: &[u8]| slab[skip * inner..(skip + len) * inner].to_vec();
        bytes.chunks(size * inner).flat_map(piece).collect()
    };
    Array { name: array.name.clone(), shape, data: ArrayData::Numbers(*dtype, bytes) }
}

/// The file with the plain elements and where they start in it; a deflated array is inflated first.
fn plain(place: &mut Place) -> io::Result<(Arc<File>, u64)> {
    if let Place::Deflated { file, index, start, size } = place {
        let inflated = inflate(file, *index, *size)?;
        *place = Place::Plain(Arc::new(inflated), *start);
    }
    match place {
        Place::Plain(file, start) => Ok((Arc::clone(file), *start)),
        Place::Deflated { .. } => Err(io::Error::other("it is not inflated")),
    }
}

/// A temporary file without a name that holds the content of an entry.
fn inflate(file: &File, index: usize, size: u64) -> io::Result<File> {
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(io::Error::other)?;
    let entry = archive.by_index_with_options(index, ZipReadOptions::new()).map_err(io::Error::other)?;
    let mut out = tempfile::tempfile()?;
    let written = io::copy(&mut entry.take(size.saturating_add(1)), &mut out)?;
    if written == size {
        Ok(out)
    } else {
        Err(io::Error::other("its stream has another length than declared; the file is damaged"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{write_npy, write_npz};
    use super::*;
    use std::io::{Cursor, Write};
    use zip::write::{SimpleFileOptions, ZipWriter};

    fn file(bytes: &[u8]) -> File {
        let mut f = tempfile::tempfile().expect("a file");
        f.write_all(bytes).expect("written");
        f.rewind().expect("at the start");
        f
    }

    fn numbered(shape: &[usize]) -> Array {
        let n = shape.iter().product::<usize>() as u32;
        let data = (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect::<Vec<_>>();
        Array {
            name: "x".to_owned(),
            shape: shape.to_vec(),
            data: ArrayData::Numbers(NpyType::Float32, data.into()),
        }
    }

    fn floats(a: &Array) -> Vec<f32> {
        let ArrayData::Numbers(_, bytes) = &a.data else { panic!("numbers") };
        bytes.chunks(4).map(|c| f32::from_le_bytes(c.try_into().expect("four"))).collect()
    }

    fn deflated(array: &Array) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(vec![]));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file("x.npy", options).expect("started");
        zip.write_all(&write_npy(array).expect("built")).expect("written");
        zip.finish().expect("finished").into_inner()
    }

    /// The `.npy` file of `[3, 2, 2]` numbered elements, stored first-index-fastest, big endian.
    fn reversed() -> Vec<u8> {
        let text = "{'descr': '>f4', 'fortran_order': True, 'shape': (3, 2, 2), }\n";
        let mut out = [&b"\x93NUMPY\x01\0"[..], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat();
        for (k, j, i) in (0..12).map(|n| (n / 6, n / 3 % 2, n % 3)) {
            out.extend(((i * 4 + j * 2 + k) as f32).to_be_bytes());
        }
        out
    }

    #[test]
    fn parts_are_what_the_array_holds() {
        let array = numbered(&[3, 2, 2]);
        let stored =
            write_npz(Cursor::new(vec![]), std::slice::from_ref(&array)).expect("written").into_inner();
        let mut all = open_npz(file(&stored)).expect("read");
        all.extend(open_npz(file(&deflated(&array))).expect("read"));
        all.push(open_npy("x", file(&write_npy(&array).expect("built"))).expect("read"));
        all.push(open_npy("x", file(&reversed())).expect("read"));
        assert_eq!(all.len(), 4);
        for a in &mut all {
            assert_eq!((a.name(), a.shape(), a.dtype()), ("x", &[3, 2, 2][..], NpyType::Float32));
            assert_eq!(floats(&a.read(0, 1, 2).expect("there")), [4., 5., 6., 7., 8., 9., 10., 11.]);
            assert_eq!(floats(&a.read(0, 2, 1).expect("there")), [8., 9., 10., 11.]);
            let middle = a.read(1, 1, 1).expect("there");
            assert_eq!(
                (&middle.shape[..], floats(&middle)),
                (&[3, 1, 2][..], vec![2., 3., 6., 7., 10., 11.])
            );
            assert_eq!(a.read_all().expect("there"), array);
            assert!(
                a.read(0, 3, 1).is_err() && a.read(3, 0, 1).is_err() && a.read(0, usize::MAX, 2).is_err()
            );
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        let array = numbered(&[4]);
        let npy = write_npy(&array).expect("built");
        assert!(open_npy("x", file(&npy[..npy.len() - 1])).is_err());
        assert!(open_npy("x", file(b"\x93NUM")).is_err());
        assert!(open_npy("x", file(&write_npy(&numbered(&[0, 7])).expect("built"))).is_ok());
        let text =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': (0, {0}, {0}), }}\n", 1_u64 << 40);
        let wide = [&b"\x93NUMPY\x01\0"[..], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat();
        assert!(open_npy("x", file(&wide)).is_err());
        let npz = deflated(&array);
        assert!(open_npz(file(&npz[..npz.len() - 9])).is_err());
        let mut zip = ZipWriter::new(Cursor::new(vec![]));
        zip.start_file("x.npy", SimpleFileOptions::default().compression_method(CompressionMethod::Deflated))
            .expect("started");
        zip.write_all(&write_npy(&array).expect("built")).expect("written");
        zip.write_all(&vec![0; 80 << 20]).expect("written");
        let bomb = zip.finish().expect("finished").into_inner();
        assert!(open_npz(file(&bomb)).is_err_and(|e| e.to_string().contains("zip bomb")));
    }
}
