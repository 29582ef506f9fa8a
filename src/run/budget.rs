//! What a run may use up, and what it has used. A request that could go over is not sent, so requests under way count at what they may
//! take at most.

use crate::exchange::Exchange;
use crate::expect::Price;
use crate::options::Budget;
use crate::plan::{estimate_text, estimate_turn};
use serde_json::{Map, Value};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a request that waits for others to give back what they reserved looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The books of a run.
#[derive(Debug)]
pub(super) struct Books {
    budget: Budget,
    started: Instant,
    spent: Mutex<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    requests: u64,
    taken: Amount,
    /// Of requests under way.
    reserved: Amount,
}

/// Tokens, and money in billionths of the currency: whole numbers, so that what is given back leaves no rest.
#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    tokens: u64,
    nano: u64,
}

/// A request under way, at what it may take at most. One that is given up before it is settled is booked at that: nobody knows how much
/// of it the service did.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    books: &'a Books,
    price: Option<&'a Price>,
    prompt: u64,
    most: Amount,
    settled: bool,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.book(self.most);
        }
    }
}

impl Reserved<'_> {
    /// Books what the request took; a service that does not count is taken at the estimate of what it said.
    pub fn settle(mut self, exchange: &Exchange) {
        let counted = exchange.usage.map(|u| (u.prompt_tokens, u.completion_tokens));
        let (prompt, output) = match counted {
            Some(counted) => counted,
            None if exchange.answer.is_empty() && exchange.reasoning.is_empty() => (0, 0),
            None => (self.prompt, estimate_text(&exchange.answer) + estimate_text(&exchange.reasoning)),
        };
        self.settled = true;
        self.book(amount(self.price, prompt, output));
    }

    fn book(&self, taken: Amount) {
        let mut spent = self.books.spent.lock().expect("no panic under this lock");
        spent.reserved.tokens -= self.most.tokens;
        spent.reserved.nano -= self.most.nano;
        spent.taken.tokens = spent.taken.tokens.saturating_add(taken.tokens);
        spent.taken.nano = spent.taken.nano.saturating_add(taken.nano);
    }
}

impl Books {
    pub fn new(budget: Budget) -> Books {
        Books { budget, started: Instant::now(), spent: Mutex::default() }
    }

    /// Time since the run began.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes one request off the budget, or says which budget it could exceed.
    pub async fn reserve<'a>(
        &'a self,
        messages: &[Value],
        params: &Map<String, Value>,
        price: Option<&'a Price>,
    ) -> Result<Reserved<'a>, String> {
        let (prompt, output) = match self.budget.tokens.is_some() || self.budget.cost.is_some() {
            true => estimate_turn(messages, params),
            false => (0, 0),
        };
        let most = amount(price, prompt, output);
        // What others have reserved may turn out smaller; each of them ends within its own time limit.
        while !self.try_reserve(most)? {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(Reserved { books: self, price, prompt, most, settled: false })
    }

    /// Takes one more request for one under way, which the service asks to be sent again after a wait; false when there is none left,
    /// or no time.
    pub fn again(&self, wait: Duration) -> bool {
        let mut spent = self.spent.lock().expect("no panic under this lock");
        let in_time = self.budget.time.is_none_or(|max| self.started.elapsed() + wait < max);
        let left = in_time && self.budget.requests.is_none_or(|max| spent.requests < max);
        spent.requests += u64::from(left);
        left
    }

    fn try_reserve(&self, most: Amount) -> Result<bool, String> {
        let mut spent = self.spent.lock().expect("no panic under this lock");
        let Spent { requests, taken, reserved } = *spent;
        if let Some(max) = self.budget.requests.filter(|max| requests >= *max) {
            return Err(format!("the budget of {max} requests is used up"));
        }
        if let Some(max) = self.budget.time.filter(|max| self.started.elapsed() >= *max) {
            return Err(format!("the time budget of {} is used up", crate::units::show(max)));
        }
        let over = |taken: u64, reserved: u64, most: u64, max: u64| taken.saturating_add(reserved).saturating_add(most) > max;
        if let Some(max) = self.budget.tokens.filter(|max| over(taken.tokens, reserved.tokens, most.tokens, *max)) {
            if reserved.tokens > 0 {
                return Ok(false);
            }
            return Err(format!(
                "the budget of {max} tokens could be exceeded: {} are used, and this request may take {} ({})",
                taken.tokens,
                most.tokens,
                crate::plan::ASSUMED
            ));
        }
        if let Some((max, currency)) = self.budget.cost.as_ref().filter(|(max, _)| over(taken.nano, reserved.nano, most.nano, nano(*max))) {
            if reserved.nano > 0 {
                return Ok(false);
            }
            return Err(format!(
                "the budget of {max} {currency} could be exceeded: {:.4} are used, and this request may cost {:.4} ({})",
                taken.nano as f64 / 1e9,
                most.nano as f64 / 1e9,
                crate::plan::ASSUMED
            ));
        }
        spent.requests += 1;
        spent.reserved.tokens = reserved.tokens.saturating_add(most.tokens);
        spent.reserved.nano = reserved.nano.saturating_add(most.nano);
        Ok(true)
    }
}

/// Prices are per million tokens.
fn amount(price: Option<&Price>, prompt: u64, output: u64) -> Amount {
    let cost = price.map_or(0.0, |p| (prompt as f64 * p.input + output as f64 * p.output) / 1e6);
    Amount { tokens: prompt.saturating_add(output), nano: nano(cost) }
}

fn nano(amount: f64) -> u64 {
    (amount * 1e9).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Usage;
    use serde_json::json;

    fn params(max_tokens: u64) -> Map<String, Value> {
        Map::from_iter([("max_tokens".to_owned(), json!(max_tokens))])
    }

    fn answered(prompt_tokens: u64, completion_tokens: u64) -> Exchange {
        Exchange { usage: Some(Usage { prompt_tokens, completion_tokens, ..Usage::default() }), answer: "x".into(), ..Exchange::default() }
    }

    #[tokio::test]
    async fn a_request_that_could_go_over_is_not_sent() {
        let books = Books::new(Budget { tokens: Some(100), ..Budget::default() });
        let messages = [json!({"role": "user", "content": "你好"})];
        let first = books.reserve(&messages, &params(80), None).await.unwrap();
        first.settle(&answered(2, 30));
        let second = books.reserve(&messages, &params(60), None).await.unwrap();
        second.settle(&answered(2, 60));
        let why = books.reserve(&messages, &params(60), None).await.unwrap_err();
        assert!(why.contains("94 are used, and this request may take 62"), "{why}");
    }

    #[tokio::test]
    async fn a_request_sent_again_is_one_more() {
        let books = Books::new(Budget { requests: Some(2), ..Budget::default() });
        let first = books.reserve(&[], &params(1), None).await.unwrap();
        assert!(books.again(Duration::ZERO) && !books.again(Duration::ZERO));
        let short = Books::new(Budget { time: Some(Duration::from_secs(2)), ..Budget::default() });
        assert!(short.again(Duration::from_secs(1)) && !short.again(Duration::from_secs(4)));
        first.settle(&answered(1, 1));
        assert!(books.reserve(&[], &params(1), None).await.unwrap_err().contains("2 requests is used up"));
    }

    #[tokio::test]
    async fn money_is_counted_by_the_price() {
        let price = Price { input: 1.0, output: 2.0, currency: "USD".into() };
        let books = Books::new(Budget { cost: Some((0.001, "USD".into())), ..Budget::default() });
        let first = books.reserve(&[], &params(400), Some(&price)).await.unwrap();
        first.settle(&answered(0, 400));
        assert!(books.reserve(&[], &params(400), Some(&price)).await.unwrap_err().contains("0.0008 are used"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_given_up_counts_at_its_most_and_holds_nobody() {
        let books = Books::new(Budget { tokens: Some(100), ..Budget::default() });
        let sixty = params(60);
        let given_up = books.reserve(&[], &sixty, None).await.unwrap();
        let (why, ()) = tokio::join!(books.reserve(&[], &sixty, None), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(given_up);
        });
        let why = why.unwrap_err();
        assert!(why.contains("60 are used"), "{why}");
        assert!(books.reserve(&[], &params(40), None).await.is_ok());
    }
}
