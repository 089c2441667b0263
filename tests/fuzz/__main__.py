"""Damaged files by the thousand, and how reading them ended.

    python -m tests.fuzz --kind mj --count 100000 --seed 0 [--start 0] [--seeds FOLDER] [--keep FOLDER]

Without --kind all kinds take part, each with its share of the count. Case i of a seed is always the same file: a run
that was stopped goes on with --start, and a file that ended badly is written to --keep.
"""

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import torch  # noqa: E402

from tests.fuzz.kinds import KINDS  # noqa: E402
from tests.fuzz.run import BAD, damaged, fuzz  # noqa: E402
from tests.fuzz.seeds import write_seeds  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--kind", action="append", choices=sorted(KINDS))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seeds", type=Path, help="where the sound files are, or are made")
    parser.add_argument("--keep", type=Path, help="where files that ended badly are written")
    parser.add_argument("--write", type=int, metavar="CASE", help="write the file of one case to --keep, and end")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kinds = given.kind or sorted(KINDS)
    with tempfile.TemporaryDirectory(prefix="fuzz-seeds-") as made:
        seeds = given.seeds or Path(made)
        if not (seeds / "mj").is_dir():
            write_seeds(seeds)
        if given.keep is not None:
            given.keep.mkdir(parents=True, exist_ok=True)
        if given.write is not None:
            name, content = damaged(kinds[0], given.seed, given.write, seeds)
            (given.keep / name).write_bytes(content)
            return 0
        bad = 0
        for kind in kinds:
            counts = None
            share = given.count // len(kinds)
            for counts in fuzz(kind, share, seed=given.seed, seeds=seeds, start=given.start, keep=given.keep):
                print(f"{kind} to {given.start + counts.outcomes.total():,}: {counts}", flush=True)
            for one in counts.bad if counts else ():
                print(json.dumps(one), flush=True)
            bad += sum(counts.outcomes[name] for name in BAD) if counts else 0
    return int(bad > 0)


sys.exit(main())
