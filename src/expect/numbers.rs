//! Numbers in running text, however they are written: `1,213`, `１２１３`, `1.2万`, 一千二百一十三.

use super::Said;
use super::chinese::{half_width, is_numeral, numeral, unit};

/// What `numbers` asks for.
#[derive(Debug, Clone, Default)]
pub struct NumberCheck {
    pub any: Vec<f64>,
    pub all: Vec<f64>,
    /// Allowed relative difference, 0.15 for 15 %.
    pub tolerance: f64,
    pub units: Vec<String>,
}

/// A number and the text around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub value: f64,
    pub before: String,
    pub after: String,
    /// Written in digits; a Chinese numeral may be part of a word.
    pub digits: bool,
}

/// All numbers of a text, in order.
pub fn find(text: &str) -> Vec<Found> {
    let scan = Scan { written: text.chars().collect(), chars: half_width(text).chars().collect() };
    let mut found = Vec::new();
    let mut i = 0;
    while i < scan.chars.len() {
        let Some((value, end)) = scan.number(i) else {
            i += 1;
            continue;
        };
        let (sign, start) = scan.sign(i);
        let text = |from: usize, to: usize| scan.chars[from.min(to)..to.min(scan.chars.len())].iter().collect::<String>();
        let (before, after) = (text(start.saturating_sub(6), start), text(end, end + LOOKED_AT));
        found.push(Found {
            value: sign * value,
            before: before.trim_end().to_owned(),
            after: after.trim_start().to_owned(),
            digits: scan.chars[i].is_ascii_digit() || scan.chars[i] == '.',
        });
        i = end;
    }
    found
}

/// A text as it was written, and with half-width forms; both have as many characters.
struct Scan {
    written: Vec<char>,
    chars: Vec<char>,
}

/// Words in which a numeral counts nothing.
const NO_NUMBERS: &[&str] =
    &["十分", "万一", "一点", "一些", "一下", "一样", "一般", "一起", "一定", "一直", "一切", "一旦", "一时", "一边", "一面"];

/// What is counted or measured: behind one of these a single numeral is a number.
const MEASURES: &str = "份头头美欧英摄片朵根道门款封群幅亩罐桶例个個只隻条條张張本件位名人次年月日天周週号號时時点點分秒元块塊角毛岁歲米里克斤吨噸升度倍种種项項台臺辆輛家层層楼樓页頁章节節步句字词詞段行列篇首部套双雙对對瓶杯碗盒箱包袋枚颗顆粒棵支把座间間所场場届屆级級等成折代遍回趟顿頓口匹艘架寸尺刻股类類组組星礼世万亿千百钟鐘公小厘毫平立%‰";

/// What is counted by more than one only: behind 一 these make words (一方面, 一样, 一线), and 二 stands before few of them (二维码).
const OF_SEVERAL: &str = "员員户戶桌排串束捆堆滴团團发發轮輪阵陣番幢栋棟局盘盤盆尊扇床任票国國省市县縣区區队隊班册冊卷集版期批笔筆宗针針剂劑餐席载旬夜晚昼季审審线線维維方面边邊端侧关關档單单室厅廳环環者大样樣重路声聲校科";

/// Before a single numeral that nothing follows, one of these says that it is a number.
const SAYS: &str = "第是为為得于於共约約有达達至到近等";

/// After 千 one of these makes it part of a unit: 千米, 千克.
const KILO: &str = "米克瓦帕卡赫伏焦";

impl Scan {
    fn at(&self, i: usize) -> Option<char> {
        self.chars.get(i).copied()
    }

    fn is_digit(&self, i: usize) -> bool {
        self.at(i).is_some_and(|c| c.is_ascii_digit())
    }

    fn starts(&self, i: usize, word: &str) -> bool {
        word.chars().enumerate().all(|(k, c)| self.at(i + k) == Some(c))
    }

    /// The number that begins here, and where it ends.
    fn number(&self, i: usize) -> Option<(f64, usize)> {
        let c = self.at(i)?;
        let bare_fraction = c == '.' && self.is_digit(i + 1) && (i == 0 || !self.chars[i - 1].is_alphanumeric());
        if !c.is_ascii_digit() && !bare_fraction {
            return if is_numeral(c) || c == '百' || c == '千' { self.chinese(i) } else { None };
        }
        let (mut value, mut end) = self.arabic(i)?;
        let (factor, after) = self.units(end);
        if factor > 1.0 {
            (value, end) = (value * factor, after);
            // 1亿2000万: further parts of the same number, each of a smaller unit.
            let mut last = factor;
            while let Some((more, to)) = Some(end).filter(|e| self.is_digit(*e)).and_then(|e| self.arabic(e)) {
                let (factor, after) = self.units(to);
                if factor >= last || more * factor >= last {
                    break;
                }
                // 3万5: thousands, as one says it.
                if factor == 1.0 && to == end + 1 && last >= 1e3 {
                    (value, end) = (value + more * last / 10.0, after);
                    break;
                }
                (value, end, last) = (value + more * factor, after, factor);
                if factor == 1.0 {
                    break;
                }
            }
        }
        Some((value, end))
    }

    /// Digits with separators of thousands, a fraction, an exponent.
    fn arabic(&self, start: usize) -> Option<(f64, usize)> {
        let mut i = start;
        let mut digits = String::new();
        while self.is_digit(i) {
            digits.push(self.chars[i]);
            i += 1;
        }
        // A comma separates thousands only where one to three digits stand before the first and exactly three follow each; a
        // full-width one separates clauses.
        let separates = |c: char| matches!(c, ',' | '\u{a0}' | '\u{2009}' | '\u{202f}' | '\'');
        if (1..=3).contains(&digits.len()) {
            while let Some(mark) = self.written.get(i).copied().filter(|c| separates(*c)) {
                let group = (1..=3).all(|k| self.is_digit(i + k)) && !self.is_digit(i + 4) && self.chars[i] != '，';
                if !group || (i > start + digits.len() && self.written[i] != mark) {
                    break;
                }
                digits.extend(&self.chars[i + 1..i + 4]);
                i += 4;
            }
        }
        if self.at(i) == Some('.') && self.is_digit(i + 1) {
            let end = (i + 1..).find(|k| !self.is_digit(*k)).unwrap_or(i + 1);
            // 1949.10.1, 192.168.0.1 and 1.2.3 are dates, addresses and versions: numbers between dots.
            let within = |at: usize| self.at(at) == Some('.');
            let dotted = (within(end) && self.is_digit(end + 1)) || (start >= 2 && within(start - 1) && self.is_digit(start - 2));
            if !dotted {
                digits.extend(&self.chars[i..end]);
                i = end;
            }
        }
        if matches!(self.at(i), Some('e' | 'E')) {
            let from = if matches!(self.at(i + 1), Some('+' | '-')) { i + 2 } else { i + 1 };
            let mut to = from;
            while self.is_digit(to) {
                to += 1;
            }
            if to > from && to <= from + 3 && !self.at(to).is_some_and(|c| c.is_ascii_alphabetic()) {
                digits.extend(&self.chars[i..to]);
                i = to;
            }
        }
        digits.parse().ok().map(|value: f64| (value, i))
    }

    /// The factor of 万, 亿, 千, 百万 … behind digits, and where it ends. One space may stand between.
    fn units(&self, end: usize) -> (f64, usize) {
        let mut i = if self.at(end) == Some(' ') { end + 1 } else { end };
        let mut factor = 1.0;
        while let Some(unit) = self.at(i).and_then(unit) {
            let kilo = self.at(i) == Some('千') && self.at(i + 1).is_some_and(|c| KILO.contains(c));
            // 百分之五 and 10 十分 are something else.
            if kilo || self.starts(i + 1, "分之") || self.starts(i, "十") || self.starts(i, "百分点") {
                break;
            }
            factor *= unit;
            i += 1;
        }
        if factor > 1.0 { (factor, i) } else { self.scale(end) }
    }

    /// The factor of `million`, and of `M` behind an amount of money, and where it ends.
    fn scale(&self, end: usize) -> (f64, usize) {
        let from = if self.at(end) == Some(' ') { end + 1 } else { end };
        let word: String = self.chars[from.min(self.chars.len())..].iter().take_while(|c| c.is_ascii_alphabetic()).take(9).collect();
        let factor = match word.to_lowercase().as_str() {
            "thousand" => 1e3,
            "million" => 1e6,
            "billion" | "bn" => 1e9,
            "trillion" => 1e12,
            short @ ("k" | "m" | "b") if from == end && self.is_money(end) => match short {
                "k" => 1e3,
                "m" => 1e6,
                _ => 1e9,
            },
            _ => return (1.0, end),
        };
        (factor, from + word.len())
    }

    /// Whether a sign of money stands before the digits that end here.
    fn is_money(&self, end: usize) -> bool {
        let digits = (0..end).rev().take_while(|i| self.chars[*i].is_ascii_digit() || matches!(self.chars[*i], '.' | ',')).count();
        let before = (end - digits).checked_sub(1).and_then(|i| self.at(i));
        before.is_some_and(|c| "$€£¥￥".contains(c))
    }

    /// A numeral in Chinese characters, unless it is part of a word.
    fn chinese(&self, start: usize) -> Option<(f64, usize)> {
        for (word, factor) in [("百分之", 1.0), ("千分之", 1.0)] {
            if self.starts(start, word) {
                let from = start + word.chars().count();
                let (value, end) = if self.is_digit(from) { self.arabic(from)? } else { self.run(from)? };
                return Some((value * factor, end));
            }
        }
        let (value, end) = self.run(start)?;
        let run = &self.chars[start..end];
        let next = self.at(end);
        let counts = next.is_some_and(|c| MEASURES.contains(c) || (!matches!(run[0], '一' | '二' | '壹') && OF_SEVERAL.contains(c)));
        let before = start.checked_sub(1).and_then(|i| self.at(i));
        // 一点七五 has been read as a number already.
        if end - start <= 2 && NO_NUMBERS.iter().any(|word| self.starts(start, word)) && !self.tells_time_or_points(start, before) {
            return None;
        }
        // 千万不要, 百姓, 万分: units that nothing multiplies.
        if run.iter().all(|c| matches!(c, '百' | '千' | '万' | '萬' | '亿' | '億' | '佰' | '仟')) {
            return None;
        }
        // 两三天, 七八个: about so many.
        let plain = |c: char| numeral(&c.to_string()).filter(|_| unit(c).is_none());
        if let [a, b] = run
            && let (Some(a), Some(b)) = (plain(*a), plain(*b))
            && b == a + 1.0
        {
            return None;
        }
        let kilo = run.last() == Some(&'千') && !run.contains(&'万') && next.is_some_and(|c| KILO.contains(c));
        if kilo {
            let (value, end) = (numeral(&run[..run.len() - 1].iter().collect::<String>())?, end - 1);
            return Some((value, end));
        }
        if run.len() == 1 {
            let free =
                before.is_none_or(|c| !super::chinese::is_han(c) || SAYS.contains(c)) && next.is_none_or(|c| !super::chinese::is_han(c));
            if !counts && !free && before != Some('第') {
                return None;
            }
        }
        Some((value, end))
    }

    /// Whether 十分, 一点, 一时 count: 十分钟, 得了十分, 一点半, 下午一点, 一点三十分.
    fn tells_time_or_points(&self, start: usize, before: Option<char>) -> bool {
        let (unit, after) = (self.at(start + 1), self.at(start + 2));
        match after {
            Some('钟' | '鐘' | '半' | '整') => return true,
            Some(c) if matches!(unit, Some('点' | '时')) && (is_numeral(c) || c.is_ascii_digit()) => return true,
            _ => {}
        }
        match unit {
            Some('分') => after.is_none_or(|c| !super::chinese::is_han(c)),
            Some('点' | '时') => before.is_some_and(|c| "午晚晨夜".contains(c)),
            _ => false,
        }
    }

    /// Numerals in a row; 点 stands between whole and fraction only before single digits, else it tells the time.
    fn run(&self, start: usize) -> Option<(f64, usize)> {
        let mut end = start;
        while self.at(end).is_some_and(is_numeral) {
            end += 1;
        }
        if end > start && self.at(end) == Some('点') {
            let mut fraction = end + 1;
            while self.at(fraction).is_some_and(|c| is_numeral(c) && unit(c).is_none()) {
                fraction += 1;
            }
            if fraction > end + 1 && !matches!(self.at(fraction), Some('分' | '刻' | '十' | '拾')) {
                end = fraction;
                // 三点五亿
                let (factor, after) = self.units(end);
                let value = numeral(&self.chars[start..end].iter().collect::<String>())?;
                return Some((value * factor, after));
            }
        }
        numeral(&self.chars[start..end].iter().collect::<String>()).map(|value| (value, end))
    }

    /// Whether the hyphen here stands behind a number or a word, as in 3-5, 100元-200元, 20%-30% and AB-12.
    fn is_range(&self, hyphen: usize) -> bool {
        let before = |n: usize| hyphen.checked_sub(n).and_then(|i| self.at(i));
        let unit = |c: char| (super::chinese::is_han(c) && !"到至和与跟或为是约".contains(c)) || "%‰℃°℉$€£¥￥".contains(c);
        let units = (1..=4).take_while(|n| before(*n).is_some_and(unit)).count();
        match before(units + 1) {
            Some(c) if c.is_ascii_digit() => true,
            Some(c) => {
                units == 0 && (c.is_ascii_alphanumeric() || ")]}）】」\"”".contains(c))
                    || (1..=units).any(|n| before(n).is_some_and(is_numeral))
            }
            None => false,
        }
    }

    /// Whether the number that begins here is negative, and where its sign stands.
    fn sign(&self, start: usize) -> (f64, usize) {
        let before = |n: usize| start.checked_sub(n).and_then(|i| self.at(i));
        match before(1) {
            Some('-' | '\u{2212}') if !self.is_range(start - 1) => (-1.0, start - 1),
            Some('负' | '負') => (-1.0, start - 1),
            Some('下') if before(2) == Some('零') => (-1.0, start - 2),
            _ => (1.0, start),
        }
    }
}

/// A text that is a number with what it counts: `24个月`, `3-5 days`. Not of one so long that only a part of it would be compared.
pub(super) fn with_unit(text: &str) -> Option<(f64, String)> {
    let first = find(text).into_iter().next()?;
    let sure = first.before.is_empty() && !first.after.is_empty() && first.after.chars().count() < LOOKED_AT - 2 && !text.starts_with('0');
    // 2.0.1 is no number.
    let dotted = first.after.starts_with(['.', ',', ':']);
    (sure && !dotted).then_some((first.value, first.after))
}

/// Characters behind a number that are kept.
const LOOKED_AT: usize = 24;

/// Whether a unit stands at the number: behind it, or before it as `￥` does. Marks of emphasis and 多, 余 may stand between.
pub(super) fn has_unit(found: &Found, unit: &str) -> bool {
    let about = |c: char| c.is_whitespace() || "*_`~多余餘几幾来來".contains(c);
    let unit = half_width(unit).to_lowercase().replace('￥', "¥").trim_start_matches(about).to_owned();
    let after = found.after.to_lowercase();
    let after = after.trim_start_matches(about);
    let before = found.before.to_lowercase().replace('￥', "¥");
    let before = before.trim_end_matches(|c: char| c.is_whitespace() || "*_`~".contains(c));
    let letters = |c: char| c.is_ascii_alphabetic();
    // Only money is told before its number: 每天3次 are no three days.
    let money = unit.chars().all(|c| "$€£¥".contains(c))
        || ["usd", "rmb", "cny", "eur", "hkd", "us$", "hk$", "nt$", "人民币", "美元"].contains(&unit.as_str());
    let behind = after.strip_prefix(unit.as_str()).is_some_and(|rest| {
        // A longer word is another unit; the plural of a word is not.
        let rest = if unit.len() > 2 { rest.strip_prefix('s').unwrap_or(rest) } else { rest };
        // 100 m² are no metres, 100分钟 no points.
        let goes_on = unit.ends_with(letters) && rest.starts_with(|c: char| letters(c) || "²³^".contains(c));
        !(goes_on || unit.ends_with('分') && rest.starts_with(['钟', '鐘']))
    });
    behind || money && before.strip_suffix(unit.as_str()).is_some_and(|rest| !unit.starts_with(letters) || !rest.ends_with(letters))
}

pub(super) fn judge(text: &str, check: &NumberCheck) -> Said {
    let found: Vec<Found> =
        find(text).into_iter().filter(|f| check.units.is_empty() || check.units.iter().any(|u| has_unit(f, u))).collect();
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
        let cases: &[(&str, &[f64])] = &[
            ("约1,213公里，即１２１３ km，一千二百一十三公里", &[1213.0, 1213.0, 1213.0]),
            ("1.2万人，3亿", &[12000.0, 300_000_000.0]),
            ("1.2 万，5千，5百元，1.2百万，1亿2000万，三点五亿", &[12000.0, 5000.0, 500.0, 1.2e6, 1.2e8, 3.5e8]),
            ("-5 to 3.5, v1.2, .5", &[-5.0, 3.5, 1.2, 0.5]),
            ("\u{2212}5，负五度，零下五度", &[-5.0, -5.0, -5.0]),
            ("1,2,3 and 12,3456", &[1.0, 2.0, 3.0, 12.0, 3456.0]),
            ("2024，365天；2024,365", &[2024.0, 365.0, 2024.0, 365.0]),
            ("1 213 with a narrow space: 1\u{202f}213; 1'000'000", &[1.0, 213.0, 1213.0, 1_000_000.0]),
            ("1.5e3 and 2E-2, but 3em", &[1500.0, 0.02, 3.0]),
            ("百分之八十，千分之3", &[80.0, 3.0]),
            ("下午三点五十分", &[3.0, 50.0]),
            ("35 千米，三千克", &[35.0, 3.0]),
            ("一点五亿元，一点七五米，三千字，气温-5度", &[1.5e8, 1.75, 3000.0, -5.0]),
            ("1949.10.1; 192.168.0.12; v1.2.3", &[1949.0, 10.0, 1.0, 192.0, 168.0, 0.0, 12.0, 1.0, 2.0, 3.0]),
            ("It is 1.5. 2.5 next.", &[1.5, 2.5]),
            ("下午一点三十分，下午一点，一时三十分，得了十分。", &[1.0, 30.0, 1.0, 1.0, 30.0, 10.0]),
            ("价格100元-200元，2024年-2026年，20%-30%，三月-5月", &[100.0, 200.0, 2024.0, 2026.0, 20.0, 30.0, 3.0, 5.0]),
            ("气温-5度到-3度，AB-12，(-4)，= -1", &[-5.0, -3.0, 12.0, -4.0, -1.0]),
            ("三方签约，分四批发货，四大名著，两国", &[3.0, 4.0, 4.0, 2.0]),
        ];
        for (text, wanted) in cases {
            let seen = values(text);
            let near = seen.len() == wanted.len() && seen.iter().zip(*wanted).all(|(a, b)| (a - b).abs() <= 1e-9 * b.abs().max(1.0));
            assert!(near, "{text}: {seen:?} instead of {wanted:?}");
        }
    }

    #[test]
    fn words_with_numerals_in_them_are_no_numbers() {
        for text in [
            "一般来说，统一规定",
            "十分感谢",
            "一些",
            "千万不要",
            "万一",
            "一样",
            "一起",
            "唯一",
            "百姓",
            "早一点到",
            "一方面",
            "扫二维码",
            "四川",
        ] {
            assert_eq!(values(text), Vec::<f64>::new(), "{text}");
        }
        assert_eq!(values("一共五个"), [5.0]);
        assert_eq!(values("答案是三。"), [3.0]);
        assert_eq!(values("第一"), [1.0]);
        assert_eq!(values("三个人，十分钟，两年"), [3.0, 10.0, 2.0]);
    }

    #[test]
    fn scales_and_ways_of_speaking() {
        for (text, value) in [
            ("1.2 million users", 1.2e6),
            ("$1.5M", 1.5e6),
            ("3 billion dollars", 3e9),
            ("涨到3万5", 35_000.0),
            ("提高5百分点", 5.0),
            ("二○二六年", 2026.0),
            ("叁拾叄元", 33.0),
            ("a 7B model", 7.0),
            ("4K 屏幕", 4.0),
        ] {
            assert_eq!(values(text), [value], "{text}");
        }
        // About two or three are not 23.
        assert!(!values("两三天").contains(&23.0) && !values("七八个人").contains(&78.0));
    }

    #[test]
    fn a_unit_is_a_word_of_its_own() {
        let asks = |text: &str, n: f64, unit: &str| {
            let check = NumberCheck { any: vec![n], units: vec![unit.into()], ..NumberCheck::default() };
            judge(text, &check).outcome == crate::finding::Outcome::Met
        };
        for (text, n, unit) in [
            ("**1213** 公里", 1213.0, "公里"),
            ("1213 **公里**", 1213.0, "公里"),
            ("1200多公里", 1200.0, "公里"),
            ("￥1213", 1213.0, "￥"),
            ("5 hours", 5.0, "hour"),
            ("5km/h", 5.0, "km"),
        ] {
            assert!(asks(text, n, unit), "{text}");
        }
        for (text, n, unit) in [
            ("500 msg", 500.0, "ms"),
            ("5 minutes", 5.0, "m"),
            ("100 mm", 100.0, "m"),
            ("100m²", 100.0, "m"),
            ("100分钟", 100.0, "分"),
            ("1067kmh", 1067.0, "km"),
            ("5 ms", 5.0, "m"),
        ] {
            assert!(!asks(text, n, unit), "{text}");
        }
    }

    #[test]
    fn units_select() {
        let check = NumberCheck { any: vec![1213.0], tolerance: 0.15, units: vec!["公里".into(), "km".into()], ..NumberCheck::default() };
        assert_eq!(judge("距离约 1,200 公里，飞行 2 小时", &check).outcome, crate::finding::Outcome::Met);
        assert_eq!(judge("距离约 1,200 米", &check).outcome, crate::finding::Outcome::Missed);
    }
}
