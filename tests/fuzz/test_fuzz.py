"""The fuzzer sees what it looks for, and finds nothing of that in some hundred damaged files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BAD = """
import json, os, pickle, sys
from pathlib import Path
from microjoule.errors import FileError
from tests.fuzz import kinds, run

def use(rng, path, seeds):
    end = ENDS[int(path.read_text())]
    if run.CANARY.folder:
        end(path)

def refuse(path):
    raise FileError(str(path), "is damaged", remedy="copy it again")

def out_of_memory_told_as_a_refusal(path):
    try:
        bytearray(2 << 30)
    except MemoryError as error:
        raise FileError(str(path), "is damaged", remedy="copy it again") from error

def forever(path):
    while True:
        pass

ENDS = (
    lambda path: None, refuse, lambda path: {}["no such key"], lambda path: bytearray(2 << 30),
    out_of_memory_told_as_a_refusal, forever, lambda path: os.abort(), lambda path: os.system("true"),
    lambda path: pickle.loads(b"cos\\ngetpid\\n."), lambda path: Path("touched").touch(),
    lambda path: __import__("idlelib_of_nobody"), lambda path: open("/var/written", "w"),
)
run.CPU_SECONDS = 1
run.KINDS["bad"] = kinds.Kind(lambda rng, name, content: content, use)
seeds = Path(sys.argv[1])
(seeds / "bad").mkdir()
(seeds / "bad" / "x").write_text("0")
outcomes = []
for index in range(len(ENDS)):
    (seeds / "bad" / "x").write_text(str(index))
    for counts in run.fuzz("bad", 1, seed=0, seeds=seeds, keep=seeds):
        pass
    outcomes += counts.outcomes
print(json.dumps(outcomes))
"""


@pytest.mark.slow
def test_each_end_is_told_from_the_others(tmp_path):
    command = [sys.executable, "-c", BAD, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = ["accepted", "refused", "traceback", "memory", "memory", "hang", "crash", *["code"] * 5]
    assert json.loads(done.stdout) == expected
    assert len(list(tmp_path.glob("bad-0-0-*"))) == len(set(expected[2:]))


@pytest.mark.survey
def test_damaged_files_of_each_kind_are_refused_or_read(tmp_path):
    """40 of each of the ten kinds; the numbers say that most are refused, and that some are read and used."""
    command = [sys.executable, "-m", "tests.fuzz", "--count", "400", "--seeds", str(tmp_path), "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert done.stdout.count(" to 40: ") == 10
    assert " 0 accepted" not in done.stdout
