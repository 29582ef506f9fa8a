//! Whom a failed request blames: the service (fail), or the set-up around it (error).

use crate::exchange::{Exchange, FailureKind};
use crate::record::Verdict;

/// `None` when the exchange has no failure. The table of the verdict rules, row by row.
pub fn blame(exchange: &Exchange) -> Option<Verdict> {
    let failure = exchange.failure.as_ref()?;
    Some(match failure.kind {
        FailureKind::ServiceCrashed => Verdict::Fail,
        FailureKind::Dns
        | FailureKind::ConnectRefused
        | FailureKind::ConnectTimeout
        | FailureKind::Tls
        | FailureKind::NotSent
        | FailureKind::ClientSaturation => Verdict::Error,
        FailureKind::Http => match exchange.status {
            // A wrong key or route, or a limit of the account, says nothing about the model.
            Some(401 | 403 | 404 | 407 | 429) => Verdict::Error,
            _ => Verdict::Fail,
        },
        FailureKind::ConnReset
        | FailureKind::Send
        | FailureKind::HeaderTimeout
        | FailureKind::TtftTimeout
        | FailureKind::IdleTimeout
        | FailureKind::TotalTimeout
        | FailureKind::StreamTruncated
        | FailureKind::SseMalformed
        | FailureKind::JsonMalformed
        | FailureKind::ApiError
        | FailureKind::EmptyOutput
        | FailureKind::ContentFilter
        | FailureKind::TooLarge => Verdict::Fail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Failure;

    #[test]
    fn a_wrong_answer_is_told_apart_from_an_unreachable_service() {
        let with = |kind, status| Exchange { status, failure: Some(Failure { kind, message: String::new() }), ..Exchange::default() };
        assert_eq!(blame(&with(FailureKind::ConnectRefused, None)), Some(Verdict::Error));
        assert_eq!(blame(&with(FailureKind::Http, Some(401))), Some(Verdict::Error));
        assert_eq!(blame(&with(FailureKind::Http, Some(500))), Some(Verdict::Fail));
        assert_eq!(blame(&with(FailureKind::StreamTruncated, Some(200))), Some(Verdict::Fail));
        assert_eq!(blame(&Exchange::default()), None);
    }
}
