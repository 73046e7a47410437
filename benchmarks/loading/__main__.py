"""Load a generated catalogue with the real command, and measure it.

python -m benchmarks.loading --products 100000 --out loading.json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.loading.report import table
from benchmarks.loading.run import Measurement, Plan
from benchmarks.serving import end_in_order
from product_match.contract.errors import ProductMatchError


def main(given: Sequence[str] | None = None) -> int:
    """Measure; 1 if a search failed, a record was rejected, or the stores are out of step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=100_000, help="size (default %(default)s)")
    parser.add_argument("--distinct", type=float, default=0.1, help="share of own photos (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="decides the catalogue (default %(default)s)")
    parser.add_argument(
        "--load-minutes", type=float, default=60.0, help="generate no product after so long (default %(default)s)"
    )
    parser.add_argument(
        "--fill", type=int, default=0, help="then fill the stores to this size, without encoding (default: do not)"
    )
    parser.add_argument("--reindex", action="store_true", help="then change the encoder, and change it back")
    parser.add_argument("--rebuild-minutes", type=float, default=15.0, help="longest wait (default %(default)s)")
    parser.add_argument("--search-rate", type=float, default=10.0, help="searches a second (default %(default)s)")
    parser.add_argument("--search-seconds", type=float, default=15.0, help="before, and after (default %(default)s)")
    parser.add_argument("--out", type=Path, help="write everything here, as JSON")
    parser.add_argument("--work", type=Path, help="an empty directory to work in (default: a temporary one)")
    arguments = parser.parse_args(given)
    end_in_order()
    plan = Plan(
        products=arguments.products,
        distinct=arguments.distinct,
        seed=arguments.seed,
        load_minutes=arguments.load_minutes,
        fill=arguments.fill,
        search_rate=arguments.search_rate,
        search_s=arguments.search_seconds,
        rebuild_minutes=arguments.rebuild_minutes,
        reindex=arguments.reindex,
    )
    with tempfile.TemporaryDirectory(prefix="product-match-loading-") as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        measurement = Measurement(work, plan, lambda text: print(text, flush=True))
        failure = ""
        try:
            measurement.run()
        except ProductMatchError as error:
            failure = str(error)
        report: dict[str, Any] = {"plan": dataclasses.asdict(plan), **measurement.report, "failure": failure}
        if arguments.out:
            arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(report))
    if failure:
        print(failure, file=sys.stderr)
    return 0 if clean(report) else 1


def clean(report: Mapping[str, Any]) -> bool:
    """Say whether every step was done, and nothing failed, was rejected or is out of step."""
    names = ["search_before", "search_during_rebuild", "search_after"]
    if report.get("plan", {}).get("reindex"):
        names += ["search_during_reindex", "search_during_rollback", "search_after_rollback"]
    searches = [report.get(name, {}) for name in names]
    return (
        not report["failure"]
        and report.get("load", {}).get("exit") == 0
        and all(search.get("failed") == 0 for search in searches)
        and bool(report.get("verify", {}).get("in_step"))
    )


if __name__ == "__main__":
    sys.exit(main())
