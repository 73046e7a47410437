"""A log is quoted by its errors, or else by its last lines."""

from __future__ import annotations

from product_match.host.logs import describe

STAMP = "2026-11-21T03:47:10Z"


def test_errors_are_quoted_with_the_lines_that_continue_them(tmp_path):
    log = tmp_path / "triton.log"
    log.write_text(
        f"{STAMP} I 1 server.cc:1] starting\n"
        f'{STAMP} E 1 server.cc:241] "CudaDriverHelper has not been initialized."\n'
        f"{STAMP} E 1 model_lifecycle.cc:642] failed to load 'retrieval'\n"
        "At:\n  model.py(7): initialize\n"
        f"{STAMP} I 1 server.cc:2] stopping\n"
        "+----+\n| ok |\n"
    )
    assert describe(log) == (
        f"its log is {log}, its errors:\n"
        f"  {STAMP} E 1 model_lifecycle.cc:642] failed to load 'retrieval'\n"
        "  At:\n"
        "    model.py(7): initialize"
    )


def test_without_errors_the_last_lines_are_quoted_without_tables(tmp_path):
    log = tmp_path / "triton.log"
    log.write_text("\n".join([f"line {number}" for number in range(40)] + ["+---+", "| a |"]) + "\n")
    lines = describe(log).splitlines()
    assert lines[0] == f"its log is {log}, its last lines:"
    assert lines[1:] == [f"  line {number}" for number in range(25, 40)]


def test_long_lines_and_bytes_that_are_not_text_are_borne(tmp_path):
    log = tmp_path / "triton.log"
    log.write_bytes(b"\xff" + b"x" * 10_000)
    assert len(describe(log).splitlines()[1]) == 402


def test_an_empty_or_missing_log_is_told(tmp_path):
    (tmp_path / "empty.log").touch()
    assert describe(tmp_path / "empty.log").endswith("its last lines:\n  (the log is empty)")
    assert describe(tmp_path / "none.log").endswith("none.log cannot be read (No such file or directory)")
