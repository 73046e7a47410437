"""The measurement as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SEARCHES: Final = (
    *("search_before", "search_during_rebuild", "search_after"),
    *("search_during_reindex", "search_during_rollback", "search_after_rollback"),
)


def table(report: Mapping[str, Any]) -> str:
    """Return the figures that were measured, in Markdown; what was not reached is left out."""
    lines = [("what", "measured"), ("---", "---")]
    load = report.get("load")
    if load:
        lines += [
            ("products loaded (asked for)", f"{load['products']:,} ({load['asked_for']:,})"),
            ("photos that no other product has", f"{load['distinct_photos']:,}"),
            ("time of the load", f"{load['seconds']:,.1f} s"),
            ("time until all can be found", f"{load['seconds_until_all_searchable']:,.1f} s"),
            ("products/s", f"{load['products_per_s']:,.1f}"),
            ("encoder alone, products/s", f"{report['encoder_products_per_s']:,.1f}"),
            ("share of the encoder's own rate", f"{load['share_of_encoder']:.1%}"),
        ]
    filled = report.get("fill")
    if filled:
        lines += [
            ("products after filling the stores", f"{filled['products']:,}"),
            ("time until they were written", f"{filled['seconds']:,.1f} s"),
            ("time until all could be found", f"{filled['seconds_until_all_searchable']:,.1f} s"),
        ]
    for name, size in report.get("disk_mb", {}).items():
        lines.append((f"on disk: {name.replace('_', ' ')}", f"{size:,.1f} MB"))
    if "verify" in report:
        found = report["verify"]
        state = "in step" if found["in_step"] else "OUT OF STEP"
        lines.append(("`verify`", f"{found['command_s']} s, {state}, {found['documents']:,} documents"))
    if "rebuild" in report:
        lines.append(("`rebuild`", f"{report['rebuild']['command_s']} s, {report['rebuild']['points']:,} points"))
    for name in ("reindex", "rollback"):
        if name in report:
            lines.append((f"`{name}`", _change(report[name])))
    for name in SEARCHES:
        if name in report:
            lines.append((name.replace("_", " "), _searches(report[name])))
    for name, size in report.get("peak_memory_mb", {}).items():
        lines.append((f"peak memory: {name}", f"{size:,.1f} MB"))
    return "".join(f"| {what} | {measured} |\n" for what, measured in lines)


def _change(found: Mapping[str, Any]) -> str:
    return (
        f"{found['command_s']} s, {found['products']:,} products, {found['embedded']:,} embedded, "
        f"{found['reused']:,} carried over, writes held for {found['held_s']} s"
    )


def _searches(found: Mapping[str, Any]) -> str:
    figures = ", ".join(f"{name} {found[f'{name}_ms']} ms" for name in ("p50", "p95", "p99") if f"{name}_ms" in found)
    return f"{found['requests']:,} requests, {found['failed']} failed, {figures}"
