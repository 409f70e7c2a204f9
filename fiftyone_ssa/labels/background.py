"""Jobs in a process of their own: the App stays usable, nothing cuts them off, and they outlive the App.

The process is told the job's id and nothing else; what is to be done it reads from the database. Run as
`python -m fiftyone_ssa.labels.background ID`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fiftyone as fo
from bson import ObjectId, json_util

import fiftyone_ssa
from fiftyone_ssa.labels.database import own_collection
from fiftyone_ssa.labels.jobs import JobRow, document_of, job
from fiftyone_ssa.labels.process import describe_process

POLL_SECONDS = 0.2
APART = """
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
print(os.getpid(), flush=True)
os.dup2(2, 1)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""FiftyOne ends all processes below its App's server when a session ends; one whose parent has ended is not below."""
ONLY_FOR_CHILDREN = ("FIFTYONE_PRIVATE_DATABASE_PORT", "FIFTYONE_DISABLE_SERVICES")
"""With these set a process would use its parent's database server without being counted among those who need it."""


def start(identity: str) -> None:
    """Start the process that does a job, already recorded, and leave it to itself."""
    output = Path(fo.config.default_dataset_dir) / ".fiftyone-ssa-jobs" / f"{identity}.log"
    output.parent.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key not in ONLY_FOR_CHILDREN}
    environment["FIFTYONE_SHOW_PROGRESS_BARS"] = "0"  # the record has what they would fill the log with
    here = str(Path(fiftyone_ssa.__file__).parents[1])  # the App's own process may have found it in its own ways
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [here, environment.get("PYTHONPATH")]))
    command = ["-P", "-m", __name__, identity]
    with output.open("ab") as file:
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stderr": file, "env": environment}
        if hasattr(os, "fork"):
            apart = [sys.executable, "-IS", "-c", APART, *command]
            pid = int(subprocess.run(apart, stdout=subprocess.PIPE, check=True, **streams).stdout)
        else:
            pid = subprocess.Popen([sys.executable, *command], stdout=file, **streams).pid
    values = {"output": str(output), "holder": describe_process(pid)}
    own_collection("jobs").update_one({"_id": ObjectId(identity)}, {"$set": values})


def wait(identity: str, seconds: float) -> JobRow:
    """A job's row when it has ended, or as it stands after so long."""
    deadline = time.monotonic() + seconds
    while (row := job(identity)).state == "running" and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return row


def main(identity: str) -> None:
    """Do a job that is recorded in the database: `Job.work` of its operator, with the request that it came from."""
    import fiftyone.operators as foo
    from fiftyone.operators.executor import ExecutionContext, Executor

    document = document_of(identity)
    operator = foo.get_operator(document["uri"])
    request = json_util.loads(document["request"])
    operator.work(
        ExecutionContext(request, executor=Executor(), operator_uri=operator.uri), identity, is_own_process=True
    )


if __name__ == "__main__":
    main(sys.argv[1])
