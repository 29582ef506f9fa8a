//! Tables of inputs: jsonl, json, csv, yaml, txt; the three shapes of the Qianfan SDK; ShareGPT.

use crate::diagnostic::{Diagnostic, Source};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// One row: its stable name, its columns, and a conversation when the row is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: String,
    pub vars: Map<String, Value>,
    /// OpenAI messages, the last one to be answered.
    pub messages: Option<Vec<Value>>,
    /// Of a row with `messages`, which is the body of a request: its other parameters.
    pub params: Map<String, Value>,
}

/// Names that stand in tables for other things.
const NO_PARAMS: [&str; 2] = ["n", "user"];

/// What of a request's body is a parameter that services know.
fn params_of(body: &Map<String, Value>) -> Map<String, Value> {
    let super::grammar::Kind::Map(known) = &super::vocabulary::PARAMS else { return Map::new() };
    let known = |name: &str| known.iter().any(|key| key.name == name) && !NO_PARAMS.contains(&name);
    body.iter().filter(|(name, value)| known(name) && !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Parses a data set by the file's ending. `id` names the column that identifies rows.
pub fn parse(file: &str, text: &str, id: Option<&str>) -> Result<Vec<Row>, String> {
    let values: Vec<Value> = match file.rsplit('.').next().unwrap_or_default().to_lowercase().as_str() {
        "jsonl" | "ndjson" => text
            .lines()
            .enumerate()
            .filter(|(_, l)| !l.trim().is_empty())
            .map(|(i, l)| serde_json::from_str(l).map_err(|e| format!("line {}: {e}", i + 1)))
            .collect::<Result<_, _>>()?,
        "json" => rows_of(serde_json::from_str(text).map_err(|e| e.to_string())?)?,
        "yaml" | "yml" => rows_of(yaml(file, text)?)?,
        "csv" => csv_rows(text)?,
        "txt" => text.lines().filter(|l| !l.trim().is_empty()).map(|l| json!({"prompt": l})).collect(),
        other => return Err(format!("`.{other}` is not a data set; jsonl, json, csv, yaml and txt are")),
    };
    let mut rows: Vec<Row> = Vec::with_capacity(values.len());
    for (i, value) in values.into_iter().enumerate() {
        let row = row(value, id).map_err(|why| format!("row {}: {why}", i + 1))?;
        rows.push(row);
    }
    // Equal rows get the same hash; the later ones are told apart by how many came before.
    let mut seen = std::collections::HashMap::new();
    for row in &mut rows {
        let n: &mut u32 = seen.entry(row.id.clone()).or_default();
        *n += 1;
        if *n > 1 {
            if id.is_some() || row.vars.contains_key("id") {
                return Err(format!("the id `{}` stands twice", row.id));
            }
            row.id = format!("{}.{n}", row.id);
        }
    }
    Ok(rows)
}

/// Read like a scenario, so that `no`, `007` and `!tag` mean the same in both.
fn yaml(file: &str, text: &str) -> Result<Value, String> {
    let source = Arc::new(Source { name: file.to_owned(), text: text.to_owned() });
    let told = |d: &Diagnostic| {
        let hint = d.hint.as_ref().map(|h| format!("; {h}")).unwrap_or_default();
        format!("line {}: {}{hint}", d.place.line, d.message)
    };
    let root = super::tree::parse(&source).map_err(|d| told(&d))?;
    let mut checker = super::Checker::new(&source);
    checker.check(&root, &super::grammar::Kind::Filling);
    match checker.found.first() {
        Some(first) => Err(told(first)),
        None => Ok(root.json()),
    }
}

fn rows_of(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(rows) => Ok(rows),
        _ => Err("expected a list of rows".into()),
    }
}

fn csv_rows(text: &str) -> Result<Vec<Value>, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|e| e.to_string())?.clone();
    if let Some(twin) = headers.iter().enumerate().find(|(i, h)| headers.iter().take(*i).any(|other| other == *h)).map(|(_, h)| h) {
        return Err(format!("the column `{twin}` stands twice, and only one of them could be used"));
    }
    reader
        .records()
        .map(|record| {
            let record = record.map_err(|e| e.to_string())?;
            Ok(Value::Object(headers.iter().zip(record.iter()).map(|(h, v)| (h.to_owned(), json!(v))).collect()))
        })
        .collect()
}

fn row(value: Value, id: Option<&str>) -> Result<Row, String> {
    let hash = short_hash(&value.to_string());
    let mut params = Map::new();
    let (vars, messages) = match value {
        // Qianfan's conversations: [{prompt, response}, …]; the last response is what the model is asked for.
        Value::Array(turns) => {
            let mut messages = Vec::new();
            let last = turns.len().saturating_sub(1);
            for (i, turn) in turns.iter().enumerate() {
                let text = |key: &str| turn.get(key).and_then(Value::as_str);
                messages.push(json!({"role": "user", "content": text("prompt").ok_or("a turn has no `prompt`")?}));
                if i < last {
                    messages
                        .push(json!({"role": "assistant", "content": text("response").ok_or("a turn before the last has no `response`")?}));
                }
            }
            let mut vars = Map::new();
            if let Some(turn) = turns.last() {
                vars.extend(turn.as_object().cloned().unwrap_or_default());
            }
            (vars, Some(messages).filter(|m| !m.is_empty()))
        }
        Value::Object(map) => {
            let messages = match (map.get("messages"), map.get("conversations")) {
                // The last message is to be answered; an answer that stands behind it is what a data set expects, not a prompt.
                (Some(Value::Array(messages)), _) => {
                    params = params_of(&map);
                    let answered = messages.iter().rev().take_while(|m| m["role"] == "assistant").count();
                    Some(messages[..messages.len() - answered].to_vec()).filter(|m| !m.is_empty())
                }
                (_, Some(Value::Array(turns))) => Some(share_gpt(turns)?),
                _ => None,
            };
            (map, messages)
        }
        Value::String(prompt) => (Map::from_iter([("prompt".to_owned(), json!(prompt))]), None),
        other => return Err(format!("a row is an object, a list of turns or a text, not `{other}`")),
    };
    let named = match id {
        Some(column) => Some(vars.get(column).ok_or_else(|| format!("there is no column `{column}`"))?),
        None => vars.get("id"),
    };
    let id = match named {
        Some(Value::String(s)) => s.clone(),
        Some(other) => other.to_string(),
        None => hash,
    };
    Ok(Row { id, vars, messages, params })
}

fn share_gpt(turns: &[Value]) -> Result<Vec<Value>, String> {
    let mut messages: Vec<Value> = turns
        .iter()
        .map(|turn| {
            let role = match turn.get("from").and_then(Value::as_str) {
                Some("human" | "user") => "user",
                Some("gpt" | "assistant" | "chatgpt") => "assistant",
                Some("system") => "system",
                other => return Err(format!("`from` is {other:?}, expected human, gpt or system")),
            };
            Ok(json!({"role": role, "content": turn.get("value").cloned().unwrap_or_default()}))
        })
        .collect::<Result<_, _>>()?;
    while messages.last().is_some_and(|m| m["role"] == "assistant") {
        messages.pop();
    }
    Ok(messages)
}

/// The first eight hex digits of SHA-256.
pub fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(4).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_means_here_what_it_means_in_scenarios() {
        let rows = parse("a.yaml", "- { id: a, answer: no, n: 3 }\n", None).unwrap();
        assert_eq!((&rows[0].vars["answer"], &rows[0].vars["n"]), (&json!("no"), &json!(3)));
        for trap in ["007", "1.10", "0x1F", "1_000", "!x y"] {
            let why = parse("a.yaml", &format!("- id: a\n  q: {trap}\n"), None).unwrap_err();
            assert!(why.starts_with("line 2: "), "{trap}: {why}");
        }
    }

    #[test]
    fn the_three_shapes_of_qianfan_are_read() {
        let rows =
            parse("a.jsonl", "[{\"prompt\":\"你好\",\"response\":\"您好\"},{\"prompt\":\"再见\",\"response\":\"x\"}]\n", None).unwrap();
        let messages = rows[0].messages.as_ref().unwrap();
        assert_eq!(messages.len(), 3);
        assert_eq!(messages[2]["content"], "再见");
        let rows = parse("a.json", r#"[{"prompt":"p","response":"r"}]"#, None).unwrap();
        assert_eq!(rows[0].vars["prompt"], "p");
        let body = r#"{"messages":[{"role":"user","content":"你好"}],"temperature":0.2,"stream":true,"label":"x","stop":null}"#;
        let rows = parse("a.jsonl", body, None).unwrap();
        assert_eq!(Value::Object(rows[0].params.clone()), json!({"temperature": 0.2}));
        let rows = parse("a.txt", "一\n\n二\n", None).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].vars["prompt"], "二");
    }

    #[test]
    fn ids_are_stable_and_unique() {
        let rows = parse("a.csv", "id,q\nx,1\ny,2\n", None).unwrap();
        assert_eq!((rows[0].id.as_str(), rows[1].id.as_str()), ("x", "y"));
        assert!(parse("a.csv", "id,q\nx,1\nx,2\n", None).unwrap_err().contains("twice"));
        assert!(parse("a.csv", "id,q,q\nx,1,2\n", None).unwrap_err().contains("`q` stands twice"));
        let rows = parse("a.txt", "一\n一\n", None).unwrap();
        assert_ne!(rows[0].id, rows[1].id);
        assert_eq!(parse("a.txt", "零\n一\n", None).unwrap()[1].id, rows[0].id);
    }

    #[test]
    fn bad_rows_are_named() {
        assert!(parse("a.jsonl", "{}\n{x\n", None).unwrap_err().starts_with("line 2"));
        assert!(parse("a.csv", "a,b\n1\n", None).is_err());
        assert!(parse("a.xls", "", None).is_err());
    }
}
