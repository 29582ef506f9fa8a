//! Numbers in running text, however they are written: `1,213`, `１２１３`, `1.2万`, 一千二百一十三.

use super::Said;
use super::chinese::{big_unit, half_width, is_numeral, numeral};

/// What `numbers` asks for.
#[derive(Debug, Clone, Default)]
pub struct NumberCheck {
    pub any: Vec<f64>,
    pub all: Vec<f64>,
    /// Allowed relative difference, 0.15 for 15 %.
    pub tolerance: f64,
    pub units: Vec<String>,
}

/// A number and the text right after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub value: f64,
    pub after: String,
}

/// All numbers of a text, in order.
pub fn find(text: &str) -> Vec<Found> {
    let text = half_width(text);
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        let value = if chars[i].is_ascii_digit() {
            arabic(&chars, &mut i)
        } else if is_numeral(chars[i]) {
            while i < chars.len() && (is_numeral(chars[i]) || chars[i] == '点' && chars.get(i + 1).is_some_and(|c| is_numeral(*c))) {
                i += 1;
            }
            numeral(&chars[start..i].iter().collect::<String>())
        } else {
            i += 1;
            continue;
        };
        if let Some(mut value) = value {
            if start > 0 && chars[start - 1] == '-' && (start < 2 || !chars[start - 2].is_alphanumeric()) {
                value = -value;
            }
            if let Some(factor) = chars.get(i).and_then(|c| big_unit(*c)) {
                value *= factor;
                i += 1;
            }
            let after: String = chars[i..].iter().take(12).collect();
            found.push(Found { value, after: after.trim_start().to_owned() });
        }
    }
    found
}

fn arabic(chars: &[char], i: &mut usize) -> Option<f64> {
    let mut digits = String::new();
    let mut dot = false;
    while let Some(&c) = chars.get(*i) {
        let next_is_digit = chars.get(*i + 1).is_some_and(char::is_ascii_digit);
        // A comma separates thousands only where exactly three digits follow.
        let thousands = c == ','
            && !dot
            && (1..=3).all(|k| chars.get(*i + k).is_some_and(char::is_ascii_digit))
            && !chars.get(*i + 4).is_some_and(char::is_ascii_digit);
        if c.is_ascii_digit() {
            digits.push(c);
        } else if c == '.' && !dot && next_is_digit {
            dot = true;
            digits.push('.');
        } else if !thousands {
            break;
        }
        *i += 1;
    }
    digits.parse().ok()
}

pub(super) fn judge(text: &str, check: &NumberCheck) -> Said {
    let found: Vec<Found> = find(text)
        .into_iter()
        .filter(|f| check.units.is_empty() || check.units.iter().any(|u| f.after.to_lowercase().starts_with(&half_width(u).to_lowercase())))
        .collect();
    let near = |wanted: &f64| found.iter().any(|f| (f.value - wanted).abs() <= check.tolerance * wanted.abs() + 1e-9);
    let missing: Vec<f64> = check.all.iter().filter(|w| !near(w)).copied().collect();
    let met = missing.is_empty() && (check.any.is_empty() || check.any.iter().any(near));
    let wanted: Vec<String> = check.any.iter().chain(&check.all).map(f64::to_string).collect();
    let seen = if found.is_empty() {
        "none".to_owned()
    } else {
        found.iter().take(12).map(|f| f.value.to_string()).collect::<Vec<_>>().join(", ")
    };
    let mut asked = wanted.join(if check.all.is_empty() { " or " } else { " and " });
    if check.tolerance > 0.0 {
        asked.push_str(&format!(" ± {:.0} %", check.tolerance * 100.0));
    }
    if !check.units.is_empty() {
        asked.push_str(&format!(" {}", check.units.join("/")));
    }
    Said::content(met, format!("numbers in the answer: {seen}; expected {asked}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<f64> {
        find(text).into_iter().map(|f| f.value).collect()
    }

    #[test]
    fn numbers_are_found_in_every_dress() {
        assert_eq!(values("约1,213公里，即１２１３ km，一千二百一十三公里"), [1213.0, 1213.0, 1213.0]);
        assert_eq!(values("1.2万人，3亿"), [12000.0, 300_000_000.0]);
        assert_eq!(values("-5 to 3.5, v1.2"), [-5.0, 3.5, 1.2]);
        assert_eq!(values("1,2,3 and 12,3456"), [1.0, 2.0, 3.0, 12.0, 3456.0]);
    }

    #[test]
    fn units_select() {
        let check = NumberCheck { any: vec![1213.0], tolerance: 0.15, units: vec!["公里".into(), "km".into()], ..NumberCheck::default() };
        assert_eq!(judge("距离约 1,200 公里，飞行 2 小时", &check).outcome, crate::finding::Outcome::Met);
        assert_eq!(judge("距离约 1,200 米", &check).outcome, crate::finding::Outcome::Missed);
    }
}
