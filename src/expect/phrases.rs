//! Refusals and questions back, recognised by how Chinese and English say them.

use super::Said;
use super::chinese::half_width;
use super::refusal::refusal;
use regex::Regex;
use std::sync::LazyLock;

const QUESTIONS: &[&str] = &[
    "请问您",
    "请问你",
    "您指的是",
    "你指的是",
    "您说的",
    "你说的是",
    "哪一",
    "哪个",
    "哪种",
    "哪款",
    "哪方面",
    "什么型号",
    "具体是",
    "能否提供",
    "可以提供",
    "请提供",
    "请补充",
    "请说明",
    "请告诉我",
    "更多信息",
    "更多细节",
    "不太清楚",
    "不太明白",
    "需要知道",
    "想了解",
    "could you",
    "can you clarify",
    "please clarify",
    "please provide",
    "please specify",
    "which one",
    "what do you mean",
    "do you mean",
    "more details",
    "more information",
    "more context",
    "what exactly",
    "let me know",
];

/// Lower case, half-width, straight apostrophes.
fn plain(text: &str) -> String {
    half_width(&text.to_lowercase()).replace(['’', '‘'], "'")
}

fn first_of<'a>(text: &str, phrases: &[&'a str], also: &'a [String]) -> Option<&'a str> {
    let have = plain(text);
    phrases.iter().copied().chain(also.iter().map(String::as_str)).find(|p| have.contains(&plain(p)))
}

pub(super) fn refuses(text: &str, also: &[String]) -> Said {
    match refusal(text).or_else(|| first_of(text, &[], also).map(str::to_owned)) {
        Some(phrase) => Said::content(true, format!("answer refuses (`{}`)", crate::redact::excerpt(phrase.trim(), 60))),
        None => Said::content(false, "answer does not refuse, in Chinese or English"),
    }
}

/// Asks without a question mark.
const REQUESTS: &[&str] = &[
    "需要更多",
    "还需要知道",
    "please provide",
    "please specify",
    "我需要知道",
    "我需要了解",
    "需要您提供",
    "需要您补充",
    "需要你提供",
    "需要你补充",
    "please clarify",
    "please tell me",
    "let me know",
    "need more information",
    "need more details",
    "need more context",
    "need to know",
];

/// Requests with a word between their parts.
static ASKED_FOR: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?:麻烦|麻煩|烦请|煩請|(?:^|[^申邀])[请請])(?:您|你)?(?:再|先|帮忙|简单)?(?:提供|告诉我|告訴我|告知|说一下|說一下|发一下|發一下|补充|補充|说明|說明)|(?:^|[^不无無])需要(?:您|你)的|方便(?:您|你)?(?:再|先|简单)?(?:提供|告诉|告訴|告知|说|說)[^。]*(?:[?？吗嗎])|\bi(?:'ll| will)? need your\b|\b(?:could|can|would) you (?:please )?(?:provide|share|send|tell me|give me|confirm|clarify|specify|describe)\b|\bplease (?:send|share|give|confirm)\b";
    Regex::new(pattern).expect("a constant pattern")
});

/// Offers, unless they ask which.
const OFFERS: &[&str] = &[
    "需要我",
    "您看可以吗",
    "您看可以嗎",
    "要不要",
    "你知道吗",
    "您知道吗",
    "你知道嗎",
    "would you like to know",
    "would you like me to",
    "do you want me to",
    "shall i",
];

/// Words at the end of an answer that is complete.
static CLOSING: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"如(?:果)?(?:您|你)?(?:还|還)?(?:有|需)(?:其他|其它|任何|更多|需要)?(?:的)?(?:问题|疑问|帮助|需要|問題|疑問|幫助)|如果(?:您|你)?想了解|随时(?:告诉|告知|联系|提问)|隨時|\b(?:if you (?:have|need|would like|want|'d like)|let me know if)\b|有(?:什么|什麼|啥|哪些)[^。?]{0,8}(?:帮|幫|为|為|效劳)(?:到|助)?(?:您|你)?|\bwhat else\b|anything else|\bhow (?:can|may) i (?:help|assist)\b|\bwhat can i do for you\b";
    Regex::new(pattern).expect("a constant pattern")
});

/// Courtesy, which asks for nothing that is missing.
const COURTESY: &[&str] = &[
    "还有什么",
    "还有其他",
    "可以帮您",
    "可以帮你",
    "帮到您",
    "帮到你",
    "any other",
    "any more questions",
    "如有",
    "其他问题",
    "其他帮助",
    "其他需要",
    "其他幫助",
    "can i help",
    "may i help",
    "can i assist",
    "how are you",
    "do you like",
    "满意吗",
    "满意么",
    "喜欢吗",
    "为什么不",
];

pub(super) fn asks_back(text: &str, also: &[String]) -> Said {
    let asking = super::grounded::sentences(text).into_iter().find(|sentence| {
        let have = plain(sentence);
        let question = have.ends_with('?');
        let request = first_of(sentence, REQUESTS, also).is_some() || ASKED_FOR.is_match(&have);
        let which = ["哪", "什么", "什麼", "几", "多少", "which", "what "].iter().any(|w| have.contains(w));
        let polite = COURTESY.iter().any(|p| have.contains(p)) && !(request || which && have.contains("请问"));
        let courtesy = CLOSING.is_match(&have) || polite || !which && OFFERS.iter().any(|p| have.contains(p));
        (request
            || question
                && (have.contains("请问") || have.contains("請問") || first_of(sentence, QUESTIONS, &[]).is_some() || of_you(&have)))
            && !courtesy
    });
    match asking {
        Some(sentence) => Said::content(true, format!("answer asks back (`{}`)", crate::redact::excerpt(sentence.trim(), 60))),
        None => Said::content(false, "answer does not ask for what is missing"),
    }
}

/// A question to the reader: it names you, and asks what or whether.
fn of_you(question: &str) -> bool {
    let words: Vec<&str> = question.split(|c: char| !c.is_ascii_alphabetic()).filter(|w| !w.is_empty()).collect();
    let opens = ["what", "which", "who", "where", "when", "how", "are", "is", "do", "did", "does", "have", "would", "was"];
    let english = words.iter().any(|w| ["you", "your"].contains(w)) && words.iter().any(|w| opens.contains(w));
    let asks = ["吗", "呢", "哪", "什么", "多少", "几", "谁", "是说", "是指", "还是", "怎么", "如何"];
    english || question.contains(['您', '你']) && asks.iter().any(|w| question.contains(w))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Outcome;

    #[test]
    fn refusals_are_heard_in_both_languages() {
        for text in ["抱歉，我无法提供这类信息。", "I’m sorry, but I can’t help with that.", "作为客服，我不能协助您完成此操作"]
        {
            assert_eq!(refuses(text, &[]).outcome, Outcome::Met, "{text}");
        }
        for text in ["好的，步骤如下：", "Sure! Here is how.", "抱歉让您久等了，已经为您办理。"] {
            assert_eq!(refuses(text, &[]).outcome, Outcome::Missed, "{text}");
        }
    }

    #[test]
    fn asking_back_needs_a_question() {
        assert_eq!(asks_back("请问您指的是哪一款产品？", &[]).outcome, Outcome::Met);
        assert_eq!(asks_back("Could you tell me which one you mean?", &[]).outcome, Outcome::Met);
        for text in ["What is your order number?", "你是说苹果公司吗？", "I need more information to answer."] {
            assert_eq!(asks_back(text, &[]).outcome, Outcome::Met, "{text}");
        }
        for text in ["请问预算多少？", "我需要知道您的订单号才能查询。", "需要您补充预算和时间。"] {
            assert_eq!(asks_back(text, &[]).outcome, Outcome::Met, "{text}");
        }
        for text in [
            "麻烦您提供一下订单号，谢谢。",
            "麻烦您告诉我订单号。",
            "为了帮您查询，我需要您的订单号。",
            "方便说一下型号吗？",
            "To help you, I'll need your order number.",
            "請提供訂單號碼。",
            "需要我为您查询哪个城市的天气？",
            "我可以帮您查询，请提供订单号。",
            "可以帮您查询，请问订单号是多少？",
            "Could you provide the order number and any other relevant details?",
            "请提供订单号，如有截图也请一并发来。",
        ] {
            assert_eq!(asks_back(text, &[]).outcome, Outcome::Met, "{text}");
        }
        for text in [
            "您的订单已发货，请问还需要其他帮助吗？",
            "北京今天晴。需要我帮您查明天的吗？",
            "已为您预订明天去上海的机票，您看可以吗？",
            "你知道吗？蜂蜜不会变质。",
            "如果您还有疑问，请随时告诉我。",
            "您好！很高兴为您服务，请问有什么可以帮您？",
            "請問有什麼可以幫您？",
            "您好，请问有什么我可以帮助您的吗？",
            "Hello! How can I help you today?",
            "Hi there! What can I do for you?",
            "北京今天晴。如果您想了解其他城市的天气，请告诉我！",
            "Let me know if you'd like more details!",
            "What else would you like to know?",
            "请放心，我们提供7天无理由退货。",
            "详情请查看产品说明书。",
            "为了方便您，我们提供送货上门服务。",
            "申请后系统会提供电子发票。",
            "我们不需要您的任何个人信息。",
            "请注意，使用前请阅读说明。",
            "Paris. Would you like to know more?",
        ] {
            assert_eq!(asks_back(text, &[]).outcome, Outcome::Missed, "{text}");
        }
        assert_eq!(asks_back("缺少预算。", &["缺少预算".to_owned()]).outcome, Outcome::Met);
        for text in [
            "Paris. Do you like Paris?",
            "它重 5 公斤。您满意吗？",
            "你为什么不去查百度呢？",
            "它重五公斤。",
            "What a day! It weighs 5 kg, which is light?",
            "It weighs 5 kg. Is there anything else I can help you with?",
            "重五公斤。还有什么可以帮您的吗？",
        ] {
            assert_eq!(asks_back(text, &[]).outcome, Outcome::Missed, "{text}");
        }
    }
}
