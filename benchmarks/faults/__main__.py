"""Kill a process in the middle of a load, as often as asked, and compare with an uninterrupted load.

python -m benchmarks.faults --runs 20 --seed 1 --out faults.json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.faults.report import as_json, table
from benchmarks.faults.schedule import Fault, FaultKind, schedule
from benchmarks.faults.trial import Trial, Trials
from benchmarks.serving import end_in_order
from product_match.contract.errors import ConfigError


def main(given: Sequence[str] | None = None) -> int:
    """Run the table; 1 if any row is not all zeros."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="kills of each kind (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="decides the moments (default %(default)s)")
    parser.add_argument("--products", type=int, default=60, help="size of the load (default %(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=[kind.value for kind in FaultKind], help="default: all of them")
    parser.add_argument("--resume", action="store_true", help="go on with the table in --out")
    parser.add_argument("--minutes", type=float, help="start no further run after so long")
    parser.add_argument("--out", type=Path, help="write everything here, as JSON")
    parser.add_argument("--work", type=Path, help="an empty directory to work in (default: a temporary one)")
    arguments = parser.parse_args(given)
    end_in_order()
    kinds = [kind for kind in FaultKind if not arguments.kinds or kind.value in arguments.kinds]
    faults = schedule(kinds, runs=arguments.runs, products=arguments.products, seed=arguments.seed)
    # A row after the other would leave the last ones out if time is short; this way all rows grow alike.
    faults = sorted(faults, key=lambda fault: fault.run)
    done = read_trials(arguments.out, faults) if arguments.resume else []
    known = [trial.fault for trial in done]
    faults = [fault for fault in faults if fault not in known]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="product-match-faults-") as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        trials = Trials(work, arguments.products)
        try:
            trials.measure_baseline()
            print(f"an uninterrupted load takes {trials.load_s:.1f} s", flush=True)
            for fault in faults:
                if arguments.minutes and time.monotonic() - started > arguments.minutes * 60:
                    print("time is up", flush=True)
                    break
                done.append(trials.run(fault))
                _tell(done[-1])
                if arguments.out:
                    about = {"seed": arguments.seed, "products": arguments.products, "load_s": trials.load_s}
                    arguments.out.write_text(json.dumps(as_json(done, **about), indent=1) + "\n", encoding="utf-8")
        finally:
            trials.close()
    print(table(done))
    return 0 if done and all(trial.clean for trial in done) else 1


def read_trials(path: Path | None, faults: Sequence[Fault]) -> list[Trial]:
    """Return the runs of a table that was begun, as far as they are of this schedule.

    Raises:
        ConfigError: There is no such file.
    """
    if path is None or not path.exists():
        raise ConfigError(f"--resume goes on with the table in --out, and {path} is not there; leave --resume out")
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return [trial for trial in map(Trial.from_dict, runs) if trial.fault in faults]


def _tell(trial: Trial) -> None:
    fault, found = trial.fault, trial.differences
    details = [*found.examples, *([f"FAILED: {trial.failure}"] if trial.failure else [])]
    print(
        f"{fault.kind.value:<10} run {fault.run:>2}, {trial.stored:>3} stored, whole after {trial.whole_s:5.1f} s: "
        f"lost {found.lost}, duplicated {found.duplicated}, pending {found.pending}, wrong {found.wrong}",
        *details,
        sep="; ",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
