//! Sentence embeddings of BERT models through candle: the mean of the last layer over a text's tokens, or its first token's state
//! where the model's `1_Pooling/config.json` says so (sentence-transformers' layout).
//!
//! A text longer than the model's window is not cut off, as the models' own tools do: its windows are embedded one by one and their
//! vectors averaged by the number of tokens.

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config, DTYPE};
use serde_json::Value;
use tokenizers::Tokenizer;

/// The contents of a model's files.
pub struct Files {
    /// `config.json`
    pub config: Vec<u8>,
    /// `tokenizer.json`
    pub tokenizer: Vec<u8>,
    /// `model.safetensors`
    pub weights: Vec<u8>,
    /// `1_Pooling/config.json`: how vectors are made, if not as the mean over all tokens.
    pub pooling: Option<Vec<u8>>,
    /// `sentence_bert_config.json`: how many tokens it was trained for, if fewer than it has positions.
    pub window: Option<Vec<u8>>,
    /// `modules.json`: what stands behind the pooling.
    pub modules: Option<Vec<u8>>,
}

/// A BERT model with its tokenizer, on the CPU.
pub struct Bert {
    model: BertModel,
    tokenizer: Tokenizer,
    /// The marks around every window.
    marks: [u32; 2],
    /// Tokens of a window, the marks among them.
    window: usize,
    first_token: bool,
}

impl Bert {
    /// Takes a model's files. The errors are sentences that name the file.
    pub fn new(files: Files) -> Result<Bert, String> {
        let damaged = |name: &str, e: &dyn std::fmt::Display| format!("{name} is not as expected: {e}");
        let config: Config = serde_json::from_slice(&files.config).map_err(|e| damaged("config.json", &e))?;
        // Others share the names of the weights and differ in what they mean: the vectors would be wrong without a word.
        if let Some(other) = config.model_type.as_deref().filter(|t| *t != "bert") {
            return Err(format!("it is a model of type `{other}`, not `bert`"));
        }
        let mut tokenizer = Tokenizer::from_bytes(&files.tokenizer).map_err(|e| damaged("tokenizer.json", &e))?;
        let side = |bytes: Option<Vec<u8>>| bytes.and_then(|b| serde_json::from_slice::<Value>(&b).ok()).unwrap_or_default();
        let behind = side(files.modules);
        if behind.as_array().into_iter().flatten().any(|m| m["type"].as_str().is_some_and(|t| t.ends_with("Dense"))) {
            return Err("the model has a dense layer behind its pooling, which is not supported".to_owned());
        }
        let first_token = side(files.pooling)["pooling_mode_cls_token"] == true;
        let window = side(files.window)["max_seq_length"].as_u64().map_or(config.max_position_embeddings, |n| n as usize);
        let window = window.clamp(3, config.max_position_embeddings.max(3));
        tokenizer.with_truncation(None).map_err(|e| damaged("tokenizer.json", &e))?;
        tokenizer.with_padding(None);
        let empty = tokenizer.encode("", true).map_err(|e| damaged("tokenizer.json", &e))?;
        let &[begin, end] = empty.get_ids() else {
            return Err(damaged("tokenizer.json", &"it does not put one mark before and one behind a text, as BERT's do"));
        };
        let weights =
            VarBuilder::from_buffered_safetensors(files.weights, DTYPE, &Device::Cpu).map_err(|e| damaged("model.safetensors", &e))?;
        let model = BertModel::load(weights, &config).map_err(|e| damaged("model.safetensors", &e))?;
        Ok(Bert { model, tokenizer, marks: [begin, end], window, first_token })
    }

    /// The embedding of `text`, of the model's hidden size and with a Euclidean norm of 1.
    pub fn embed(&self, text: &str) -> Result<Vec<f32>, String> {
        let failed = |e: &dyn std::fmt::Display| format!("the BERT model cannot embed a text of {} characters: {e}", text.chars().count());
        let encoding = self.tokenizer.encode(text, false).map_err(|e| failed(&e))?;
        let [begin, end] = self.marks;
        let mut windows: Vec<Vec<u32>> = encoding.get_ids().chunks(self.window - 2).map(|ids| [&[begin], ids, &[end]].concat()).collect();
        if windows.is_empty() {
            windows.push(vec![begin, end]);
        }
        let mut sum: Vec<f32> = Vec::new();
        for window in windows {
            let vector = self.pooled(&window).map_err(|e| failed(&e))?;
            sum.resize(vector.len(), 0.0);
            sum.iter_mut().zip(vector).for_each(|(total, value)| *total += value * window.len() as f32);
        }
        let norm = sum.iter().map(|v| v * v).sum::<f32>().sqrt();
        sum.iter_mut().for_each(|v| *v /= norm.max(f32::MIN_POSITIVE));
        Ok(sum)
    }

    fn pooled(&self, window: &[u32]) -> candle_core::Result<Vec<f32>> {
        let ids = Tensor::new(window, &Device::Cpu)?.unsqueeze(0)?;
        let states = self.model.forward(&ids, &ids.zeros_like()?, None)?.squeeze(0)?;
        let pooled = if self.first_token { states.get(0)? } else { states.mean(0)? };
        pooled.to_vec1()
    }
}
