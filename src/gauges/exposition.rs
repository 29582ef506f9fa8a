//! Prometheus text format 0.0.4 and OpenMetrics 1.0. A page with a few broken lines still gives the others.

/// One value of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

impl Sample {
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    pub samples: Vec<Sample>,
    /// Lines that are neither a comment nor a sample.
    pub malformed: usize,
}

/// Reads a page.
pub fn parse(text: &str) -> Page {
    let mut page = Page::default();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        match sample(line) {
            Some(sample) => page.samples.push(sample),
            None => page.malformed += 1,
        }
    }
    page
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let name = &line[..end];
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    if !name.starts_with(starts) || !name.chars().all(|c| starts(c) || c.is_ascii_digit()) {
        return None;
    }
    let rest = line[end..].trim_start();
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Vec::new(), rest),
    };
    // A timestamp or an exemplar may follow.
    let value = match rest.split_whitespace().next()? {
        "+Inf" | "Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number => number.parse().ok()?,
    };
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Labels up to the closing brace, and what follows it.
fn labels(text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    let mut rest = text.trim_start();
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once('=')?;
        let mut value = String::new();
        let mut chars = after.trim_start().strip_prefix('"')?.char_indices();
        let quoted = after.trim_start().strip_prefix('"')?;
        loop {
            match chars.next()? {
                (i, '"') => {
                    rest = &quoted[i + 1..];
                    break;
                }
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, c) => value.push(c),
            }
        }
        labels.push((name.trim().to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_and_their_corners() {
        let page = parse(
            "# HELP x y\r\nvllm:num_requests_running{model_name=\"a\"} 3\r\nplain 1.5e3 1700000000\nweird{a=\"q\\\"\\\\\\n}\",b=\"\",} +Inf # {trace=\"x\"} 1\n\nnan NaN\n# EOF\n",
        );
        assert_eq!(page.malformed, 0);
        assert_eq!(page.samples[0].name, "vllm:num_requests_running");
        assert_eq!((page.samples[1].value, page.samples[2].value), (1500.0, f64::INFINITY));
        assert_eq!(page.samples[2].label("a"), Some("q\"\\\n}"));
        assert!(page.samples[3].value.is_nan());
    }

    #[test]
    fn broken_lines_are_counted_and_never_fatal() {
        assert_eq!(parse("<html>\n1abc 2\nx{a=\"b 3\nok 1\nx{} y").malformed, 4);
        let page = "vllm:kv_cache_usage_perc{model_name=\"m\",engine=\"0\"} 0.5\n";
        for cut in 0..page.len() {
            parse(&page[..cut]);
        }
    }
}
