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

/// How long it waits at most: a trial that is given up gives nothing back.
const WAIT: Duration = Duration::from_secs(150);

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
    tokens: u64,
    cost: f64,
    /// Of requests under way.
    reserved_tokens: u64,
    reserved_cost: f64,
}

/// What a request under way may take.
#[derive(Debug)]
pub(super) struct Reserved {
    prompt: u64,
    tokens: u64,
    cost: f64,
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
    pub async fn reserve(&self, messages: &[Value], params: &Map<String, Value>, price: Option<&Price>) -> Result<Reserved, String> {
        let (prompt, output) = match self.budget.tokens.is_some() || self.budget.cost.is_some() {
            true => estimate_turn(messages, params),
            false => (0, 0),
        };
        let cost = price.map_or(0.0, |p| cost(p, prompt, output));
        let request = Reserved { prompt, tokens: prompt + output, cost };
        let began = Instant::now();
        loop {
            match self.try_reserve(&request)? {
                true => return Ok(request),
                // What others have reserved may turn out smaller.
                false if began.elapsed() < WAIT => tokio::time::sleep(LOOK_AGAIN).await,
                false => {
                    return Err(format!("the budget is reserved by other requests, and none gave way within {}", crate::units::show(WAIT)));
                }
            }
        }
    }

    fn try_reserve(&self, request: &Reserved) -> Result<bool, String> {
        let mut spent = self.spent.lock().expect("no panic under this lock");
        if let Some(max) = self.budget.requests.filter(|max| spent.requests >= *max) {
            return Err(format!("the budget of {max} requests is used up"));
        }
        if let Some(max) = self.budget.time.filter(|max| self.started.elapsed() >= *max) {
            return Err(format!("the time budget of {} is used up", crate::units::show(max)));
        }
        if let Some(max) = self.budget.tokens.filter(|max| spent.tokens + spent.reserved_tokens + request.tokens > *max) {
            if spent.reserved_tokens > 0 {
                return Ok(false);
            }
            return Err(format!(
                "the budget of {max} tokens could be exceeded: {} are used, and this request may take {} (`max_tokens` bounds it)",
                spent.tokens, request.tokens
            ));
        }
        if let Some((max, currency)) = self.budget.cost.as_ref().filter(|(max, _)| spent.cost + spent.reserved_cost + request.cost > *max) {
            if spent.reserved_cost > 0.0 {
                return Ok(false);
            }
            return Err(format!(
                "the budget of {max} {currency} could be exceeded: {:.4} are used, and this request may cost {:.4} (`max_tokens` bounds it)",
                spent.cost, request.cost
            ));
        }
        spent.requests += 1;
        spent.reserved_tokens += request.tokens;
        spent.reserved_cost += request.cost;
        Ok(true)
    }

    /// Books what a request took; a service that does not count is taken at the estimate of what it said.
    pub fn settle(&self, request: &Reserved, exchange: &Exchange, price: Option<&Price>) {
        let counted = exchange.usage.map(|u| (u.prompt_tokens, u.completion_tokens));
        let (prompt, output) = match counted {
            Some(counted) => counted,
            None if exchange.answer.is_empty() && exchange.reasoning.is_empty() => (0, 0),
            None => (request.prompt, estimate_text(&exchange.answer) + estimate_text(&exchange.reasoning)),
        };
        let mut spent = self.spent.lock().expect("no panic under this lock");
        spent.reserved_tokens -= request.tokens;
        spent.reserved_cost -= request.cost;
        spent.tokens += prompt + output;
        spent.cost += price.map_or(0.0, |p| cost(p, prompt, output));
    }
}

/// In the price's currency; prices are per million tokens.
fn cost(price: &Price, prompt: u64, output: u64) -> f64 {
    (prompt as f64 * price.input + output as f64 * price.output) / 1e6
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
        books.settle(&first, &answered(2, 30), None);
        let second = books.reserve(&messages, &params(60), None).await.unwrap();
        books.settle(&second, &answered(2, 60), None);
        let why = books.reserve(&messages, &params(60), None).await.unwrap_err();
        assert!(why.contains("94 are used, and this request may take 62"), "{why}");
    }

    #[tokio::test]
    async fn money_is_counted_by_the_price() {
        let price = Price { input: 1.0, output: 2.0, currency: "USD".into() };
        let books = Books::new(Budget { cost: Some((0.001, "USD".into())), ..Budget::default() });
        let first = books.reserve(&[], &params(400), Some(&price)).await.unwrap();
        books.settle(&first, &answered(0, 400), Some(&price));
        assert!(books.reserve(&[], &params(400), Some(&price)).await.unwrap_err().contains("0.0008 are used"));
    }
}
