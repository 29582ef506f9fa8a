"""Makes a copy of the action and of a workflow that wrkflw 0.8.0 can run, where it falls short of GitHub's runner.

for_wrkflw.py ACTION WORKFLOW BINARY KEEP

Its emulation reads inputs with a hyphen as empty and runs the steps of a composite action whatever their `if` says, so inputs get
underscores and steps whose condition is false here (history, an image, artifacts) are taken out. The build is done already. What
is written goes to KEEP, since the runner works in folders that it removes.
"""
import re
import sys
from pathlib import Path

from ruamel.yaml import YAML

action, workflow, binary, keep = (Path(p) for p in sys.argv[1:])
hyphen = re.compile(r"^[a-z]+(-[a-z]+)+$")
yaml = YAML()
yaml.width = 10_000

text = re.sub(r"inputs\.([a-z-]+)", lambda m: "inputs." + m[1].replace("-", "_"), action.read_text(encoding="utf-8"))
document = yaml.load(text)
for name in [n for n in document["inputs"] if hyphen.match(n)]:
    document["inputs"][name.replace("-", "_")] = document["inputs"].pop(name)
kept = [s for s in document["runs"]["steps"] if s.get("id") in ("install", "run")]
assert len(kept) == 2, "the action's steps have other ids"
document["runs"]["steps"] = kept
yaml.dump(document, action)

document = yaml.load(workflow.read_text(encoding="utf-8"))
for job in document["jobs"].values():
    job["steps"] = [s for s in job["steps"] if "cargo" not in s.get("run", "") and "rustup" not in s.get("run", "")]
    for step in job["steps"]:
        given = step.get("with", {})
        for name in [n for n in given if hyphen.match(n)]:
            given[name.replace("-", "_")] = given.pop(name)
        if "binary" in given:
            given["binary"] = str(binary)
            given.update({"out": f"{keep}/record", "junit": f"{keep}/junit.xml", "markdown": f"{keep}/summary.md"})
yaml.dump(document, workflow)
