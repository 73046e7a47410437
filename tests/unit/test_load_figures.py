"""Percentiles, schedules, CPU time and stage times, each against figures worked out by hand."""

from __future__ import annotations

import itertools
import os

import pytest

from benchmarks.load import processes
from benchmarks.load.schedules import Profile, poisson_schedule, profile_schedule, rate_at
from benchmarks.load.stages import read_statistics, stage_times
from benchmarks.load.summaries import percentile, sliced, summarise
from product_match.contract.errors import ConfigError, InvalidRequestError, UnavailableError
from product_match_client.endpoints import parse_endpoint

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("quantile", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (0.999, 100), (1.0, 100), (0.001, 1)]
)
def test_a_percentile_is_the_nearest_rank(quantile, expected):
    assert percentile(list(range(1, 101)), quantile) == expected


def test_a_percentile_of_one_value_is_that_value():
    assert percentile([7.0], 0.5) == 7.0


def test_a_percentile_needs_a_value():
    with pytest.raises(InvalidRequestError, match="there is no value"):
        percentile([], 0.5)


@pytest.mark.parametrize("quantile", [0.0, 1.1])
def test_a_percentile_needs_a_quantile_in_range(quantile):
    with pytest.raises(InvalidRequestError, match="above 0 and at most 1"):
        percentile([1.0], quantile)


def test_latencies_are_summarised_in_milliseconds():
    summary = summarise([n / 1000 for n in range(2000, 0, -1)])
    assert summary.count == 2000
    assert summary.mean_ms == pytest.approx(1000.5)
    assert summary.max_ms == 2000
    assert summary.quantiles == {"p50": 1000, "p95": 1900, "p99": 1980, "p99.9": 1998}


def test_a_percentile_is_left_out_where_no_request_lies_above_it():
    assert set(summarise([0.001] * 50).quantiles) == {"p50", "p95"}


def test_no_latency_gives_an_empty_summary():
    summary = summarise([])
    assert summary.count == 0
    assert summary.quantiles == {}
    assert summary.p50_ms != summary.p50_ms


def test_a_poisson_schedule_is_the_same_for_the_same_seed():
    first = poisson_schedule(50.0, 20.0, seed=4, most=10_000)
    assert first == poisson_schedule(50.0, 20.0, seed=4, most=10_000)
    assert first != poisson_schedule(50.0, 20.0, seed=5, most=10_000)
    assert first == sorted(first)
    assert first[0] > 0
    assert first[-1] < 20.0


def test_a_poisson_schedule_has_the_rate_and_the_spread_of_independent_arrivals():
    times = poisson_schedule(100.0, 200.0, seed=1, most=100_000)
    assert len(times) == pytest.approx(20_000, rel=0.03)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread == pytest.approx(mean, rel=0.05)


def test_a_schedule_holds_no_more_than_the_most():
    assert len(poisson_schedule(1000.0, 10.0, seed=1, most=7)) == 7


@pytest.mark.parametrize(("rate", "seconds"), [(0.0, 1.0), (1.0, 0.0)])
def test_a_schedule_needs_a_rate_and_a_length(rate, seconds):
    with pytest.raises(InvalidRequestError, match="must be above 0"):
        poisson_schedule(rate, seconds, seed=1, most=10)


def write_process(proc, pid, parent, command, *, user=0, system=0, pss_kb=0):
    entry = proc / str(pid)
    entry.mkdir(parents=True, exist_ok=True)
    fields = ["S", str(parent), *["0"] * 9, str(user), str(system), *["0"] * 10]
    (entry / "stat").write_text(f"{pid} (a name) with) brackets) {' '.join(fields)}\n")
    (entry / "cmdline").write_bytes(b"\0".join(word.encode() for word in command) + b"\0")
    (entry / "smaps_rollup").write_text(f"Rss: 9 kB\nPss: {pss_kb} kB\n")


@pytest.fixture
def proc(tmp_path):
    write_process(tmp_path, 1, 0, ["init"])
    write_process(tmp_path, 10, 1, ["/usr/bin/python3", "serve"], user=5, system=5, pss_kb=100)
    write_process(tmp_path, 11, 10, ["/x/bin/tritonserver", "--id"], user=100, system=50, pss_kb=2000)
    write_process(tmp_path, 12, 11, ["/x/stub", "/r/retrieval/1/model.py"], user=200, pss_kb=300)
    write_process(tmp_path, 13, 10, ["/usr/bin/python3", "-c", "import nx_27017"], user=7)
    write_process(tmp_path, 20, 1, ["another"], user=1000)
    (tmp_path / "self").mkdir()
    return tmp_path


def test_a_tree_holds_a_process_and_its_descendants_alone(proc):
    assert sorted(processes.process_tree(10, proc)) == [10, 11, 12, 13]


def test_a_process_that_is_not_there_is_named(proc):
    with pytest.raises(ConfigError, match="no process 99"):
        processes.process_tree(99, proc)


def test_cpu_time_is_counted_by_process_and_only_what_was_spent_meanwhile(proc):
    pids = processes.process_tree(10, proc)
    before = processes.use(pids, proc)
    assert before[12].memory_bytes == 300 * 1024
    write_process(proc, 11, 10, ["/x/bin/tritonserver"], user=100 + 2 * TICKS, system=50 + TICKS)
    write_process(proc, 12, 11, ["/x/stub", "/r/retrieval/1/model.py"], user=200 + TICKS)
    write_process(proc, 14, 11, ["/x/stub", "/r/retrieval/1/model.py"], user=TICKS)
    spent = processes.spent(before, processes.use([*pids, 14], proc, memory=False))
    assert spent["tritonserver"] == pytest.approx(3.0)
    assert spent["retrieval"] == pytest.approx(2.0)
    assert spent["nx_27017"] == spent["python3"] == 0.0
    assert next(iter(spent)) == "tritonserver"


def test_a_process_that_has_ended_is_left_out(proc):
    assert list(processes.use([12, 77], proc)) == [12]


def test_this_process_is_found_with_its_own_cpu_time():
    own = processes.use(processes.process_tree(os.getpid()))[os.getpid()]
    assert own.cpu_s > 0
    assert own.memory_bytes > 1_000_000


def model(name, requests, executions, rows, **milliseconds):
    times = {
        kind: {"count": requests, "ns": int(milliseconds.get(kind, 0) * 1_000_000)}
        for kind in ("success", "queue", "compute_input", "compute_infer", "compute_output")
    }
    times["cache_hit"] = {"count": milliseconds.get("hits", 0), "ns": 0}
    return {"name": name, "execution_count": executions, "inference_count": rows, "inference_stats": times}


def test_stage_times_are_means_over_what_happened_between_two_readings():
    before = {"retrieval": model("retrieval", 10, 10, 10, success=100, queue=10, compute_infer=90)}
    after = {
        "retrieval": model(
            "retrieval",
            30,
            15,
            50,
            success=300,
            queue=30,
            compute_infer=250,
            compute_input=10,
            compute_output=20,
            hits=2,
        ),
        "catalogue": model("catalogue", 0, 0, 0),
    }
    assert stage_times(before, after) == {
        "retrieval": {
            "requests": 20,
            "executions": 5,
            "rows_per_execution": 8.0,
            "cache_hits": 2,
            "queue_ms": 1.0,
            "compute_ms": 9.5,
            "total_ms": 10.0,
        }
    }


def test_a_server_without_statistics_is_named():
    with pytest.raises(UnavailableError, match="gives no statistics"):
        read_statistics(parse_endpoint("http://127.0.0.1:9"))


@pytest.mark.parametrize("profile", list(Profile))
def test_a_profile_sends_as_many_as_its_rate_says_the_same_for_a_seed(profile):
    rate, seconds = 200.0, 30.0
    times = profile_schedule(profile, rate, seconds, seed=3, most=100_000)
    assert times == profile_schedule(profile, rate, seconds, seed=3, most=100_000) == sorted(times)
    expected = sum(rate_at(profile, rate, n / 100, seconds) / 100 for n in range(3000))
    assert abs(len(times) - expected) < 4 * expected**0.5
    assert len(profile_schedule(profile, rate, seconds, seed=3, most=17)) == 17


def test_bursts_come_at_the_end_of_every_ten_seconds_and_a_ramp_rises():
    burst = profile_schedule(Profile.BURST, 100.0, 20.0, seed=1, most=100_000)
    inside = sum(8 <= moment % 10 < 10 for moment in burst)
    assert 0.4 < inside / len(burst) < 0.7
    ramp = profile_schedule(Profile.RAMP, 100.0, 20.0, seed=1, most=100_000)
    assert sum(moment < 10 for moment in ramp) < len(ramp) / 3


def test_a_run_is_told_in_equal_parts():
    moments = [(0.1, 0.010), (0.2, 0.020), (0.2, 0.030), (0.3, None), (2.9, 0.050), (3.0, 9.0)]
    first, middle, last = sliced(moments, 3.0, 3, [100.0, 101.0])
    assert (first.requests, first.errors, first.p50_ms, first.memory_mb) == (4, 1, 20.0, 100.0)
    assert (middle.requests, middle.p50_ms, middle.memory_mb) == (0, None, 101.0)
    assert (last.start_s, last.requests, last.p50_ms, last.memory_mb) == (2.0, 1, 50.0, None)
