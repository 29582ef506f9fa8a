//! Facts about written Chinese that judges need: scripts, full-width forms, numerals.

/// True for Han characters.
pub fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3134f}')
}

/// Full-width ASCII and the ideographic space as their half-width forms; everything else unchanged.
pub fn half_width(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{3000}' => ' ',
            c => crate::units::half_width(c),
        })
        .collect()
}

fn digit(c: char) -> Option<u64> {
    Some(match c {
        '零' | '〇' | '○' => 0,
        '一' | '壹' | '幺' => 1,
        '二' | '贰' | '两' | '貳' | '兩' => 2,
        '三' | '叁' | '叄' | '參' => 3,
        '四' | '肆' => 4,
        '五' | '伍' => 5,
        '六' | '陆' | '陸' => 6,
        '七' | '柒' => 7,
        '八' | '捌' => 8,
        '九' | '玖' => 9,
        _ => return None,
    })
}

fn unit_of(c: char) -> Option<u64> {
    Some(match c {
        '十' | '拾' => 10,
        '百' | '佰' => 100,
        '千' | '仟' => 1000,
        '万' | '萬' => 10_000,
        '亿' | '億' => 100_000_000,
        _ => return None,
    })
}

/// True for characters a Chinese numeral is written with.
pub fn is_numeral(c: char) -> bool {
    digit(c).is_some() || unit_of(c).is_some()
}

/// The factor of 十, 百, 千, 万 or 亿, as in `1.2万`.
pub fn unit(c: char) -> Option<f64> {
    unit_of(c).map(|u| u as f64)
}

/// Reads a numeral such as 一千二百一十三, 两万零五, 二〇二六 or 三点五. `None` when it is not one.
pub fn numeral(text: &str) -> Option<f64> {
    let (whole, fraction) = match text.split_once('点') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let chars: Vec<char> = whole.chars().collect();
    if chars.is_empty() || !chars.iter().all(|c| is_numeral(*c)) {
        return None;
    }
    let value = if chars.iter().any(|c| unit_of(*c).is_some()) {
        // Sections below 万 and 亿 are read apart and then multiplied.
        let (mut total, mut section, mut last) = (0u64, 0u64, None);
        let mut last_unit = 1;
        for c in &chars {
            if let Some(d) = digit(*c) {
                last = Some(d);
            } else if let Some(u) = unit_of(*c) {
                if u >= 10_000 {
                    section += last.take().unwrap_or(0);
                    let whole = if total > 0 && u == 100_000_000 { std::mem::take(&mut total) + section } else { section };
                    total = total.checked_add(whole.max(1).checked_mul(u)?)?;
                    section = 0;
                } else {
                    section = section.checked_add(last.take().unwrap_or(1).checked_mul(u)?)?;
                }
                last_unit = u;
            }
        }
        let tail = match last {
            // 三千五 means 3500 and 一万二 12 000, while 三千零五 means 3005.
            Some(d) if last_unit >= 100 && chars.len() >= 2 && chars[chars.len() - 2] != '零' && chars[chars.len() - 2] != '〇' => {
                d * (last_unit / 10)
            }
            Some(d) => d,
            None => 0,
        };
        (total + section + tail) as f64
    } else {
        chars.iter().try_fold(0u64, |n, c| n.checked_mul(10)?.checked_add(digit(*c)?))? as f64
    };
    let fraction = match fraction {
        None => 0.0,
        Some(text) => {
            let digits: Vec<u64> = text.chars().map(digit).collect::<Option<_>>()?;
            digits.iter().rev().fold(0.0, |f, d| (f + *d as f64) / 10.0)
        }
    };
    Some(value + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerals_are_read_as_people_say_them() {
        let cases = [
            ("一千二百一十三", 1213.0),
            ("两万零五", 20005.0),
            ("二〇二六", 2026.0),
            ("十", 10.0),
            ("十二", 12.0),
            ("三千五", 3500.0),
            ("一万二", 12000.0),
            ("三千零五", 3005.0),
            ("一亿两千万", 120_000_000.0),
            ("三点二五", 3.25),
            ("零", 0.0),
            ("壹佰贰拾", 120.0),
            ("三万亿", 3e12),
        ];
        for (text, value) in cases {
            assert!((numeral(text).unwrap() - value).abs() < 1e-9, "{text}: {:?}", numeral(text));
        }
        assert_eq!(numeral("公里"), None);
        assert_eq!(numeral(""), None);
    }

    #[test]
    fn full_width_becomes_half_width() {
        assert_eq!(half_width("ＡＢＣ１２３％　好"), "ABC123% 好");
    }
}
