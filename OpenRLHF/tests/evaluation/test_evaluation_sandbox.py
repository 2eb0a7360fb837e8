"""Programs of a model are confined: files, network, time, processes, memory, output."""

import socket
import time
from pathlib import Path

import pytest

from openrlhf.errors import UserError
from openrlhf.evaluation.generation import sandbox
from openrlhf.evaluation.generation.sandbox import Limits, run
from openrlhf.evaluation.generation.transcripts import answer_of_programs, program_to_run, with_output


@pytest.fixture(scope="module", autouse=True)
def _confinement():
    try:
        sandbox.require()
    except UserError as error:
        pytest.skip(f"nothing can be confined on this machine: {error}")


def test_a_harmless_program_runs_with_the_installed_libraries():
    outcome = run("import sympy\nprint(sympy.factorint(360))")
    assert (outcome.output, outcome.ok, outcome.reason) == ("{2: 3, 3: 2, 5: 1}\n", True, "done")


def test_a_program_that_only_defines_solution_is_asked_for_its_value():
    assert run("def solution():\n    return 6 * 7").output == "42\n"


def test_an_error_is_one_line_for_the_model_to_read():
    outcome = run("print(1 / 0)")
    assert (outcome.output, outcome.ok, outcome.reason) == (
        "ZeroDivisionError: division by zero\n",
        False,
        "error",
    )


def test_a_file_outside_can_be_neither_read_nor_written(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    here = Path(__file__).resolve()
    outcome = run(
        f"""
for path in ({str(secret)!r}, {str(here)!r}, "/etc/passwd", "/proc/1/environ", "/root/.bashrc"):
    try:
        print(path, open(path).read()[:20])
    except OSError as error:
        print("refused")
for path in ({str(tmp_path / "left")!r}, "/usr/left", "/left", "/dev/left"):
    try:
        open(path, "w")
        print(path, "was written")
    except OSError:
        print("refused")
"""
    )
    assert outcome.output == "refused\n" * 9
    assert list(tmp_path.iterdir()) == [secret]


def test_what_one_program_leaves_the_next_does_not_see():
    assert run("open('/tmp/mine', 'w').write('x'); import os; print(sorted(os.listdir('/tmp')))").ok
    assert run("import os; print(os.path.exists('/tmp/mine'))").output == "False\n"
    assert not Path("/tmp/mine").exists()


def test_no_socket_reaches_anything_not_even_this_machine():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        port = server.getsockname()[1]
        outcome = run(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=2)\nprint('connected')")
        assert "unreachable" in outcome.output
        assert not outcome.ok
        with pytest.raises(TimeoutError):
            server.accept()


def test_an_endless_loop_ends_with_its_time():
    started = time.monotonic()
    assert run("while True: pass", Limits(wall_seconds=1)).reason == "timeout"
    assert run("import time; time.sleep(60)", Limits(wall_seconds=1)).reason == "timeout"
    assert time.monotonic() - started < 6


def test_an_endless_computation_ends_with_its_cpu_time():
    started = time.monotonic()
    outcome = run("while True: pass", Limits(wall_seconds=30, cpu_seconds=1))
    assert not outcome.ok
    assert time.monotonic() - started < 10


def test_a_fork_bomb_is_bounded_and_leaves_nothing_behind():
    mark = "openrlhf_fork_bomb_test"
    bomb = f"""
import os, time
{mark} = 1
started = 0
try:
    while started < 500:
        if os.fork() == 0:
            time.sleep(60)
        started += 1
except OSError as error:
    print("stopped after", started)
"""
    outcome = run(bomb, Limits(wall_seconds=5, processes=16))
    assert outcome.output.startswith("stopped after ")
    assert int(outcome.output.split()[-1]) <= 16
    alive = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            alive += [process] if b"/tmp/program.py" in process.read_bytes() else []
        except OSError:  # it ended while we looked
            continue
    assert alive == []


def test_ten_gigabytes_of_memory_are_not_given():
    assert run("x = bytearray(10 * 10**9)\nprint(len(x))").output == "MemoryError\n"


def test_a_large_file_is_not_written():
    outcome = run("open('/tmp/large', 'wb').write(bytes(10**8))\nprint('written')")
    assert not outcome.ok
    assert "written" not in outcome.output


def test_endless_output_is_cut():
    started = time.monotonic()
    outcome = run("while True: print('x' * 1000)")
    assert (len(outcome.output), outcome.reason) == (1 << 16, "too much output")
    assert time.monotonic() - started < 5


def test_privileges_cannot_be_taken_back():
    outcome = run(
        "import os\n"
        "try:\n    os.setuid(0) if os.getuid() else None\n    os.mknod('/tmp/d', 0o20666, os.makedev(1, 1))\n"
        "    print('made a device')\nexcept OSError as e:\n    print('refused')"
    )
    assert outcome.output == "refused\n"


def test_programs_are_run_in_order_with_a_word_on_what_stopped_them():
    assert sandbox.run_all(["print(1)", "print(2)"]) == ["1\n", "2\n"]


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("I compute.\n```python\nx = 1\nprint(x)\n```\n", "x = 1\nprint(x)"),
        ("```python\nprint(1)", "print(1)"),  # the stop string cut the closing fence off
        ("```python\nprint(1)\n```\nSo it is 1.", None),  # it went on without the output
        ("```output\n1\n```", None),
        ("no program", None),
        ("```python\na\n```\n```output\n1\n```\n```python\nb\n```", "b"),
    ],
)
def test_the_program_to_run_is_the_block_that_the_response_ends_with(text, program):
    assert program_to_run(text) == program


def test_outputs_are_written_behind_their_program_and_the_last_line_is_the_answer():
    text = with_output("```python\nprint('a'); print(3)", "a\n3\n")
    assert text == "```python\nprint('a'); print(3)\n```\n```output\na\n3\n```\n"
    assert answer_of_programs(text) == "3"
    assert answer_of_programs("no output") is None
    assert len(with_output("", "x" * 10_000)) < 2100
