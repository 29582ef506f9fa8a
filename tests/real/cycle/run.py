#!/usr/bin/env python3
"""A service over its releases, on a real model: history, an approved release, a slowdown and another behaviour that are caught, and
a slower release that is accepted.

`tests/real/install` first. About three minutes. Writes target/real-cycle/ (or the folder given): the project with its runs and
baselines, and transcript.txt with every command and what it said.

The slowdown is real: the server has one core all the time, and while it should be slow shares it with three busy processes, a noisy
neighbourhood. What else the machine does slows both alike; a run that fails by it is run again, as nobody would append it.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
HERE = pathlib.Path(__file__).resolve().parent
BINARY = ROOT / os.environ.get("ROADWORTHY_BINARY", "target/release/roadworthy")
PYTHON = ROOT / os.environ.get("ROADWORTHY_REAL_VENV", "target/real-venv") / "bin/python"
OUT = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "target/real-cycle"
PROJECT = OUT / "project"
# Neither the CI that runs this nor its pull request is any business of the runs.
FOREIGN = ("ROADWORTHY_", "GITHUB_", "CI_", "GIT_")
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN) and not k.lower().endswith("_proxy")}
ENVIRONMENT |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
# The chat template of SmolLM2 with another system message: what a careless change of the deployment does.
FRENCH = (
    "{{ '<|im_start|>system\nAlways answer in French.<|im_end|>\n' }}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)
HISTORY = "rolling: { quantile: p80, window: 7d, factor: 1.3 }, predicted: true"
RELEASE = HISTORY + ", release: 1.4"

CORE = {max(os.sched_getaffinity(0))}
# Ends with the process that started it.
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"
NEIGHBOURS = 3

checks = failed = 0
started = time.monotonic()


def note(text):
    with open(OUT / "transcript.txt", "a") as transcript:
        transcript.write(text)


def check(what, fine, evidence=""):
    """One line for each step."""
    global checks, failed
    checks, failed = checks + 1, failed + (not fine)
    line = f"{time.monotonic() - started:5.0f} s  {'ok    ' if fine else 'FAILED'}  {what}"
    print(line, flush=True)
    note(f"=== {line.strip()}\n\n")
    if not fine:
        print("    " + evidence.strip().replace("\n", "\n    "), flush=True)
    return fine


class Server:
    """SmolLM2 on one core; slower by as many neighbours as it has there."""

    def __init__(self, template=None, neighbours=0):
        self.busy = [self.start([sys.executable, "-c", BUSY]) for _ in range(neighbours)]
        with open(OUT / "server.log", "a") as log:
            command = [str(PYTHON), str(ROOT / "tests/real/serve.py")] + ([template] if template else [])
            self.process = self.start(command, stdout=subprocess.PIPE, stderr=log, text=True)
        lines = (line.split()[2] for line in self.process.stdout if line.startswith("listening on "))
        self.url = next(lines, None) or sys.exit(f"the model server does not start; see {OUT}/server.log")

    def start(self, command, **more):
        return subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, CORE), **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in [self.process, *self.busy]:
            process.kill()
            process.wait()


class Said:
    def __init__(self, args):
        done = subprocess.run([str(BINARY), *map(str, args)], cwd=PROJECT, env=ENVIRONMENT, capture_output=True, text=True)
        self.code, self.out = done.returncode, done.stdout + done.stderr
        note(f"$ roadworthy {' '.join(map(str, args))}\n{self.out}exit {self.code}\n\n")

    def has(self, code, *pieces):
        return self.code == code and all(piece in self.out for piece in pieces)


def git(*args):
    own = ["-c", "user.name=cycle", "-c", "user.email=cycle@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *own, *args], cwd=PROJECT, env=ENVIRONMENT, check=True, capture_output=True)


def ceilings(told):
    """The ceilings of `pace`; none leaves the absolute one."""
    file = PROJECT / "scenarios/service.yaml"
    line = "      - latency: { e2e: { " + ", ".join(filter(None, ["max: 20s", told])) + " } }"
    file.write_text(re.sub(r"^ +- latency: .*$", line, file.read_text(), flags=re.M))


def commit(message):
    git("add", "--all")
    git("commit", "--quiet", "--message", message)


def run(server, *args):
    """A run and its record: the journal and what it holds of each case."""
    json_file = OUT / "record.json"
    json_file.unlink(missing_ok=True)
    said = Said(["run", "--base-url", server.url, "--json", json_file, *args])
    if not json_file.exists():
        sys.exit(f"no record of the run:\n{said.out}")
    said.journal = max((PROJECT / "runs").glob("*.jsonl"))
    said.cases = {case["id"]: case for case in json.loads(json_file.read_text())["cases"]}
    return said


def verdict(said, case):
    return said.cases.get(case, {}).get("verdict")


def findings(said, case):
    return json.dumps(said.cases.get(case, {}).get("attempts", []), ensure_ascii=False)


def pace(said):
    """Median of the first measurement, ms."""
    trials = said.cases["service::pace"]["attempts"][0]["trials"]
    return statistics.median(trial["turns"][-1]["exchange"]["timing"]["e2e_ms"] for trial in trials)


def append(server, runs, label):
    """Runs until so many have become history; one that failed by the noise of the machine does not."""
    appended = tries = 0
    while appended < runs and tries < 2 * runs:
        tries += 1
        said = run(server, "--label", f"release={label}")
        appended += said.code == 0 and Said(["baseline", "update", "--from", said.journal]).code == 0
    return appended, f"{appended} of {tries} runs appended, {runs} wanted\n{said.out}"


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    PROJECT.mkdir(parents=True)
    shutil.copy(HERE / "roadworthy.yaml", PROJECT)
    shutil.copytree(HERE / "scenarios", PROJECT / "scenarios")
    (PROJECT / ".gitignore").write_text("runs/\n")
    git("init", "--quiet")
    commit("Scenarios")

    # 1. History.
    with Server() as server:
        said = Said(["check"])
        check("the scenarios are in order", said.code == 0, said.out)
        said = run(server, "--accept")
        check("the golden answer is stored", any((PROJECT / "scenarios/goldens").rglob("months*")), said.out)
        commit("Golden answer")
        said = run(server)
        check("without history a run is inconclusive, and says how much is needed", said.has(0, "inconclusive", "8 would do"), said.out)
        done, evidence = append(server, 9, "v1")
        check("nine runs become history", done == 9, evidence)
        again = Said(["baseline", "update"])
        check("a run becomes history once", again.has(0, "is there already"), again.out)

        # 2. A pass.
        said = run(server)
        for _ in range(2):
            said = said if said.code == 0 else run(server)
        good = said
        held = findings(good, "service::pace")
        passes = good.code == 0 and verdict(good, "service::pace") == verdict(good, "service::months") == "pass"
        check("the same service passes `rolling` and `predicted`", passes and "inconclusive" not in held, good.out)

        # 3. A release.
        said = Said(["baseline", "approve", "--release", "v1"])
        check("release v1 is approved", said.has(0, "newest 7 runs are the anchor"), said.out)
        said = Said(["baseline", "approve", "--release", "v1"])
        check("no release is approved twice", said.has(5, "never moves"), said.out)
        ceilings(RELEASE)
        dirty = run(server)
        said = Said(["baseline", "update", "--from", dirty.journal])
        check("a run of scenarios that are not committed is refused", said.has(1, "differ from what is committed"), said.out)
        commit("A ceiling by release")
        said = run(server)
        for _ in range(2):
            said = said if said.code == 0 else run(server)
        check("the same service passes `release`", said.code == 0 and verdict(said, "service::pace") == "pass", said.out)

    # 4. Slower.
    with Server(neighbours=NEIGHBOURS) as server:
        slow = run(server, "--label", "release=v2")
        # What decided; ceilings that were kept are told as evidence only.
        why = slow.cases["service::pace"].get("why", "")
        times = f"{pace(good):.0f} ms before, {pace(slow):.0f} ms now"
        check(f"a service that shares its core fails: {times}", slow.code == 1 and verdict(slow, "service::pace") == "fail", slow.out)
        check("  … by each ceiling, named", all(f"e2e {name}: " in why for name in ("rolling", "predicted", "release")), slow.out)
        check("  … after three measurements", "measured 3 times" in findings(slow, "service::pace"), slow.out)
        check("  … and only in its pace", verdict(slow, "service::months") == "pass", slow.out)
        said = Said(["baseline", "update", "--from", slow.journal])
        check("a run that failed does not become history", said.has(1, "was not appended", "history is what passed"), said.out)
        said = Said(["baseline", "diff", slow.journal])
        check("`baseline diff` calls it slower", said.has(1, "slower  service::pace e2e predicted"), said.out)
        said = Said(["replay", slow.journal])
        check("its record, judged again, fails for the same reasons", said.has(1, why), said.out)

    # 5. Another behaviour.
    with Server(template=FRENCH) as server:
        other = run(server)
        what = findings(other, "service::months")
        check("another system message fails", other.code == 1 and verdict(other, "service::months") == "fail", other.out)
        check("  … with the number that is missing, and what earlier runs said", "numbers: -12 +" in what and "golden" in what, what)
        said = Said(["compare", good.journal, other.journal])
        check("`compare` names what changed", said.has(1, "service::months", "numbers: -12 +", "B: \""), said.out)
        said = Said(["compare", good.journal, good.journal])
        check("`compare` of a record with itself finds nothing", said.has(0, "0 with other facts"), said.out)
        said = Said(["baseline", "update", "--from", other.journal])
        check("neither does this run become history", said.has(1, "was not appended"), said.out)

    # 6. The slowness is accepted: for as long as the new release gathers its history, only the absolute ceiling holds.
    with Server(neighbours=NEIGHBOURS) as server:
        ceilings("")
        commit("Accept the slower release: no ceilings from history until it has one")
        done, evidence = append(server, 8, "v2")
        check("eight runs of the slower release become history", done == 8, evidence)
        said = Said(["baseline", "history"])
        check("`baseline history` names where it moved", said.has(0, "service::pace e2e: moved at run", "release=v2"), said.out)
        said = Said(["baseline", "approve", "--release", "v2"])
        check("release v2 is approved", said.has(0, "approved v2"), said.out)
        ceilings(RELEASE)
        commit("Ceilings from history again")
        said = Said(["replay", slow.journal])
        held = said.code == 0 and "e2e release" not in said.out
        check("the run that failed against v1 passes against v2", held, said.out)
        said = run(server, "--label", "release=v2")
        check("so does a new one", said.code == 0 and verdict(said, "service::pace") == "pass", said.out)
        said = Said(["baseline", "diff"])
        check("`baseline diff` finds nothing slower", said.has(0, " 0 slower"), said.out)
        said = Said(["baseline", "update"])
        check("it becomes history, too", said.has(0, "appended run"), said.out)

    said = Said(["baseline", "show"])
    both = said.has(0, "release v1 approved", "release v2 approved", "service::pace", "service::months")
    runs = re.search(r"service::pace +e2e +18 ", said.out) is not None
    check("`baseline show` shows 18 runs and both releases", both and runs, said.out)
    said = Said(["baseline", "verify"])
    check("`baseline verify` finds no damage", said.code == 0, said.out)
    said = Said(["history", "--html", OUT / "history.html"])
    page = (OUT / "history.html").read_text() if said.code == 0 else ""
    check("`history` draws a page with both releases", all(word in page for word in ("service::pace", "v1", "v2")), said.out)

    print(f"{OUT}/transcript.txt\n{checks} checks, {failed} failed", flush=True)
    return 1 if failed else 0


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
sys.exit(main())
