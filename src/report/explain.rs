//! A prompt in which what carries the answer stands out: in the terminal, and as a page.

use crate::redact::{excerpt, harmless};

/// A part of the prompt as it is shown.
pub struct Shown<'a> {
    pub role: &'a str,
    /// Whether a new message begins with it.
    pub begins: bool,
    pub text: &'a str,
    pub weight: f64,
    pub changes: &'a [String],
}

/// What is shown of an explanation.
pub struct View<'a> {
    pub id: &'a str,
    pub by: &'a str,
    pub answer: &'a str,
    pub parts: Vec<Shown<'a>>,
}

/// Backgrounds from nothing to heavy, of the 256 colours.
const SHADES: [&str; 5] = ["", "48;5;230;38;5;16", "48;5;222;38;5;16", "48;5;214;38;5;16", "48;5;202;38;5;16"];

fn level(weight: f64, most: f64) -> usize {
    if most <= 0.0 { 0 } else { ((weight / most * 4.0).round() as usize).min(4) }
}

impl View<'_> {
    fn most(&self) -> f64 {
        self.parts.iter().map(|p| p.weight).fold(0.0, f64::max)
    }
}

/// For a terminal; without colours the list below the prompt says the same.
pub fn terminal(view: &View<'_>, color: bool) -> String {
    let most = view.most();
    let mut out = format!("{}: {}\n", harmless(view.id), view.by);
    for part in &view.parts {
        if part.begins {
            out.push_str(&format!("\n{}: ", part.role));
        }
        match (color, level(part.weight, most)) {
            (true, level) if level > 0 => out.push_str(&format!("\u{1b}[{}m{}\u{1b}[0m", SHADES[level], harmless(part.text))),
            _ => out.push_str(&harmless(part.text)),
        }
    }
    out.push_str(&format!("\n\nanswer: {}\n\n", excerpt(view.answer, 400)));
    let mut heaviest: Vec<&Shown<'_>> = view.parts.iter().filter(|p| p.weight > 0.0).collect();
    heaviest.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    if heaviest.is_empty() {
        out.push_str("no part carries the answer alone: it stays the same without any one of them\n");
    }
    for part in heaviest.iter().take(10) {
        let bar = "█".repeat((part.weight / most * 12.0).round() as usize);
        let changes =
            if part.changes.is_empty() { String::new() } else { format!("  (without it: {})", excerpt(&part.changes.join("; "), 120)) };
        out.push_str(&format!("{:>6.3} {bar:<12} {}{changes}\n", part.weight, excerpt(part.text.trim(), 80)));
    }
    out
}

/// One page, without a script.
pub fn html(view: &View<'_>) -> String {
    let escape = |text: &str| harmless(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let most = view.most();
    let mut body = String::new();
    for (i, part) in view.parts.iter().enumerate() {
        if part.begins {
            body.push_str(if i > 0 { "</p>" } else { "" });
            body.push_str(&format!("<p class=\"message\"><b>{}</b> ", escape(part.role)));
        }
        let share = if most > 0.0 { part.weight / most } else { 0.0 };
        let title = match part.changes.is_empty() {
            true => format!("{:.3}", part.weight),
            false => format!("{:.3}: {}", part.weight, part.changes.join("; ")),
        };
        body.push_str(&format!("<mark style=\"--w:{share:.2}\" title=\"{}\">{}</mark>", escape(&title), escape(part.text)));
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{id}</title><style>:root{{color-scheme:light dark}}body{{font:16px/1.6 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}}\
         .message{{white-space:pre-wrap;overflow-wrap:anywhere}}mark{{color:inherit;background:color-mix(in srgb,#e8590c calc(var(--w)*60%),transparent);border-radius:3px}}\
         pre{{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid #8888;border-radius:6px;padding:.6rem}}</style></head><body><main>\
         <h1>{id}</h1><p>What the answer hangs on · <span lang=\"zh-CN\">回答依赖提示的哪些部分</span>: {by}</p>\n{body}</p>\n\
         <h2>Answer · <span lang=\"zh-CN\">回答</span></h2><pre>{answer}</pre></main></body></html>\n",
        id = escape(view.id),
        by = escape(view.by),
        answer = escape(view.answer),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_part_stands_out_and_texts_are_inert() {
        let changes = ["numbers: -24".to_owned()];
        let part = |text, weight, begins, changes| Shown { role: "user", begins, text, weight, changes };
        let view = View {
            id: "a::b",
            by: "x",
            answer: "<b>24</b>",
            parts: vec![part("保修 24 个月。", 0.8, true, &changes[..]), part("<script>", 0.0, false, &[])],
        };
        let shown = terminal(&view, true);
        assert!(shown.contains("\u{1b}[48;5;202;38;5;16m保修 24 个月。\u{1b}[0m<script>"), "{shown}");
        assert!(shown.contains("0.800 ████████████ 保修 24 个月。  (without it: numbers: -24)"), "{shown}");
        assert!(!terminal(&view, false).contains('\u{1b}'));
        let page = html(&view);
        assert!(page.contains("--w:1.00") && !page.contains("<script>") && !page.contains("<b>24"), "{page}");
    }
}
