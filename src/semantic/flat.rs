//! The flat file that holds the encoder's tensors and its tokenizer model.
//!
//! Layout, all numbers little-endian:
//!
//! | bytes | content |
//! | --- | --- |
//! | 0 to 8 | magic `USEFLAT` and a zero byte |
//! | 8 to 12 | format version (u32) |
//! | 12 to 16 | number of entries (u32), at most 63 |
//! | 16 to 4096 | entries of 64 bytes, then zeros |
//! | from 4096 | the entries' data, each at a multiple of 64 |
//!
//! An entry: name (24 bytes, zero-padded), kind (u32), rows (u32), columns (u32), scale (f32), offset in the file
//! (u64), length in bytes (u64), 8 zero bytes.

use std::ops::Range;

const MAGIC: &[u8; 8] = b"USEFLAT\0";
const VERSION: u32 = 1;
const HEADER: usize = 4096;
const PREAMBLE: usize = 16;
const ENTRY: usize = 64;
const NAME: usize = 24;
const ALIGN: usize = 64;

/// Columns that a panel of an `Int8Panels` tensor holds.
pub const PANEL: usize = 8;

/// How the data of an entry is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any bytes: one row, a column a byte.
    Bytes,
    /// f32 values, row by row.
    Float32,
    /// i8 values, to be multiplied by the entry's scale. The columns are grouped into panels of eight; each panel
    /// is stored row by row.
    Int8Panels,
    /// Unsigned 6-bit values, row by row, four values to three bytes, lowest bits first.
    Six,
}

impl Kind {
    fn code(self) -> u32 {
        match self {
            Kind::Bytes => 0,
            Kind::Float32 => 1,
            Kind::Int8Panels => 2,
            Kind::Six => 3,
        }
    }

    fn from_code(code: u32) -> Option<Kind> {
        [Kind::Bytes, Kind::Float32, Kind::Int8Panels, Kind::Six].into_iter().find(|kind| kind.code() == code)
    }

    /// Bytes that a tensor of `rows` by `columns` takes, unless that is no whole number.
    fn bytes(self, rows: u64, columns: u64) -> Option<u64> {
        let values = rows.checked_mul(columns)?;
        match self {
            Kind::Bytes => Some(values),
            Kind::Float32 => values.checked_mul(4),
            Kind::Int8Panels => columns.is_multiple_of(PANEL as u64).then_some(values),
            Kind::Six => columns.is_multiple_of(4).then_some(values / 4 * 3),
        }
    }
}

/// Builds a flat file.
pub struct Writer {
    bytes: Vec<u8>,
    entries: usize,
}

impl Writer {
    /// An empty file with room for `capacity` bytes of data.
    pub fn with_capacity(capacity: usize) -> Writer {
        let mut bytes = Vec::with_capacity(HEADER + capacity);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.resize(HEADER, 0);
        Writer { bytes, entries: 0 }
    }

    /// Adds a tensor; `write` appends its data.
    pub fn add(
        &mut self,
        name: &str,
        kind: Kind,
        [rows, columns]: [usize; 2],
        scale: f32,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), String> {
        let offset = self.bytes.len().next_multiple_of(ALIGN);
        self.bytes.resize(offset, 0);
        write(&mut self.bytes);
        let length = self.bytes.len() - offset;
        let at = PREAMBLE + self.entries * ENTRY;
        if name.len() > NAME || at + ENTRY > HEADER || kind.bytes(rows as u64, columns as u64) != Some(length as u64) {
            return Err(format!("tensor {name} of {rows} by {columns} does not fit the flat file"));
        }
        let mut entry = [0; ENTRY];
        entry[..name.len()].copy_from_slice(name.as_bytes());
        entry[24..28].copy_from_slice(&kind.code().to_le_bytes());
        entry[28..32].copy_from_slice(&(rows as u32).to_le_bytes());
        entry[32..36].copy_from_slice(&(columns as u32).to_le_bytes());
        entry[36..40].copy_from_slice(&scale.to_le_bytes());
        entry[40..48].copy_from_slice(&(offset as u64).to_le_bytes());
        entry[48..56].copy_from_slice(&(length as u64).to_le_bytes());
        self.bytes[at..at + ENTRY].copy_from_slice(&entry);
        self.entries += 1;
        Ok(())
    }

    /// The whole file.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes[12..16].copy_from_slice(&(self.entries as u32).to_le_bytes());
        self.bytes
    }
}

/// Where one tensor is in a flat file.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    pub kind: Kind,
    pub rows: usize,
    pub columns: usize,
    pub scale: f32,
    pub range: Range<usize>,
}

/// The table of a flat file.
pub struct Table {
    tensors: Vec<Tensor>,
}

impl Table {
    /// Reads and checks the table of the flat file `bytes`.
    pub fn read(bytes: &[u8]) -> Result<Table, String> {
        let header = bytes.get(..HEADER).filter(|header| header.starts_with(MAGIC)).ok_or("not a flat encoder file")?;
        let version = u32_at(header, 8);
        if version != VERSION {
            return Err(format!("flat encoder file of version {version}, wanted {VERSION}"));
        }
        let count = u32_at(header, 12) as usize;
        if count > (HEADER - PREAMBLE) / ENTRY {
            return Err("flat encoder file has too many entries".into());
        }
        let entries = header[PREAMBLE..].chunks_exact(ENTRY).take(count);
        let tensors = entries.map(|entry| read_entry(entry, bytes.len() as u64)).collect::<Result<_, _>>()?;
        Ok(Table { tensors })
    }

    /// The tensor `name`, which must be of this kind.
    pub fn find(&self, name: &str, kind: Kind) -> Result<&Tensor, String> {
        let tensor = self.tensors.iter().find(|tensor| tensor.name == name && tensor.kind == kind);
        tensor.ok_or_else(|| format!("flat encoder file has no {kind:?} tensor {name}"))
    }

    /// The tensor `name`, which must be of this kind and lie behind the data of all others.
    pub fn last(&self, name: &str, kind: Kind) -> Result<&Tensor, String> {
        let tensor = self.find(name, kind)?;
        match self.tensors.iter().all(|other| std::ptr::eq(other, tensor) || other.range.end <= tensor.range.start) {
            true => Ok(tensor),
            false => Err(format!("tensor {name} is not the last of the flat encoder file")),
        }
    }

    /// The tensor `name`, which must be of this kind and shape.
    pub fn find_shaped(&self, name: &str, kind: Kind, [rows, columns]: [usize; 2]) -> Result<&Tensor, String> {
        let tensor = self.find(name, kind)?;
        if (tensor.rows, tensor.columns) != (rows, columns) {
            let (has_rows, has_columns) = (tensor.rows, tensor.columns);
            return Err(format!("tensor {name} is {has_rows} by {has_columns}, wanted {rows} by {columns}"));
        }
        Ok(tensor)
    }
}

/// Reads an entry of `ENTRY` bytes and checks that its data lies inside a file of `file` bytes.
fn read_entry(entry: &[u8], file: u64) -> Result<Tensor, String> {
    let name = String::from_utf8_lossy(&entry[..NAME]).trim_end_matches('\0').to_string();
    let (rows, columns, scale) = (u32_at(entry, 28), u32_at(entry, 32), f32::from_bits(u32_at(entry, 36)));
    let (offset, length) = (u64_at(entry, 40), u64_at(entry, 48));
    let kind = Kind::from_code(u32_at(entry, 24));
    let end = offset.checked_add(length).filter(|end| *end <= file);
    match (kind, end) {
        (Some(kind), Some(end)) if kind.bytes(rows.into(), columns.into()) == Some(length) && scale.is_finite() => {
            Ok(Tensor { name, kind, rows: rows as usize, columns: columns as usize, scale, range: offset as usize..end as usize })
        }
        _ => Err(format!("flat encoder file has a bad entry {name:?}")),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut writer = Writer::with_capacity(256);
        writer.add("six", Kind::Six, [1, 4], 1.0, |out| out.extend([1, 2, 3])).unwrap();
        writer.add("floats", Kind::Float32, [1, 2], 1.0, |out| out.extend([0; 8])).unwrap();
        writer.finish()
    }

    #[test]
    fn reads_what_was_written() {
        let file = file();
        let table = Table::read(&file).unwrap();
        let six = table.find_shaped("six", Kind::Six, [1, 4]).unwrap();
        assert_eq!(&file[six.range.clone()], [1, 2, 3]);
        assert!(table.find("six", Kind::Bytes).is_err());
        assert!(table.last("floats", Kind::Float32).is_ok());
        assert!(table.last("six", Kind::Six).is_err());
        assert!(table.find_shaped("floats", Kind::Float32, [2, 1]).is_err());
    }

    #[test]
    fn refuses_wrong_sizes_and_cut_files() {
        let mut writer = Writer::with_capacity(0);
        assert!(writer.add("six", Kind::Six, [1, 3], 1.0, |_| ()).is_err());
        let file = file();
        for cut in 0..file.len() {
            assert!(Table::read(&file[..cut]).is_err());
        }
        for at in 0..256 {
            let mut bad = file.clone();
            bad[at] ^= 0xff;
            let _ = Table::read(&bad);
        }
    }
}
