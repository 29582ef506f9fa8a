"""Prints the script of a step of a workflow, an action or a GitLab job, as a runner would hand it to a shell.

steps.py FILE STEP [JOB]    STEP is an id or a name; of a GitLab file, the name of a job
"""
import sys
from pathlib import Path

from ruamel.yaml import YAML


def steps(document, job):
    if "runs" in document:
        return document["runs"]["steps"]
    jobs = document["jobs"]
    return [step for name in ([job] if job else jobs) for step in jobs[name].get("steps", [])]


def main(path, wanted, job=None):
    document = YAML(typ="safe").load(Path(path).read_text(encoding="utf-8"))
    if "runs" not in document and "jobs" not in document:
        print("\n".join(document[wanted]["script"]))
        return
    found = [s for s in steps(document, job) if wanted in (s.get("id"), s.get("name")) and "run" in s]
    if len(found) != 1:
        sys.exit(f"{path}: {len(found)} steps are called {wanted}")
    print(found[0]["run"])


main(*sys.argv[1:])
