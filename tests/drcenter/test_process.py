"""Processes: no secret is seen, no child is left, and errors are for people."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drcenter.errors import OperationFailed
from drcenter.pipes import feed
from drcenter.process import Children, Command, find, run, start
from drcenter.secrets import Secret

VALUE = "sesame-open-up"
ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]


def alive(pid: int) -> bool:
    """True while the process runs; one that waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pid: int, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not alive(pid)


def script(text: str, *arguments: str, **fields) -> Command:
    return Command(("sh", "-c", text, "sh", *arguments), **fields)


def test_output_code_and_messages():
    finished = run(script("cat; echo warned >&2; exit 3", accepted=(0, 3)), input=b"\0bytes\xff")
    assert (finished.code, finished.stdout, finished.stderr) == (3, b"\0bytes\xff", "warned")


def test_a_bad_exit_code_is_told():
    with pytest.raises(OperationFailed, match="sh failed with exit code 7: went wrong"):
        run(script("echo went wrong >&2; exit 7"))
    assert run(script("exit 7"), check=False).code == 7


def test_the_end_by_a_signal_is_told_by_its_name():
    with pytest.raises(OperationFailed, match="ended by signal SIGKILL"):
        run(script("kill -9 $$"))


def test_a_large_input_and_output_do_not_wait_for_each_other():
    data = os.urandom(5 << 20)
    assert run(Command(("cat",)), input=data).stdout == data


def test_a_reader_that_stops_is_no_error_of_the_writer():
    assert run(Command(("head", "-c", "3")), input=b"x" * (5 << 20)).stdout == b"xxx"


def test_time_runs_out():
    begin = time.monotonic()
    with pytest.raises(OperationFailed, match="sleep did not end within 0 s"):
        run(Command(("sleep", "60")), timeout=0.2)
    with start(Command(("sleep", "60"))) as child, pytest.raises(OperationFailed, match="did not end within"):
        child.wait(0.2)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(("tool", "package"), [("pg_dump", "postgresql-client"), ("made-up", "made-up")])
def test_a_missing_tool_names_its_package(monkeypatch, tool, package):
    monkeypatch.setattr("shutil.which", lambda *_arguments, **_keywords: None)
    with pytest.raises(OperationFailed, match=f"{tool} is not installed") as caught:
        find(tool)
    assert caught.value.permanent
    assert caught.value.hint.endswith(package)


def test_a_missing_tool_leaves_no_secret_open():
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(OperationFailed):
            run(Command(("no-such-tool-here",), files={"pw": Secret(VALUE)}))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_missing_directory_is_told():
    with pytest.raises(OperationFailed, match="cannot be started"):
        run(Command(("true",), directory="/no/such/directory"))


# Secrets


def test_a_secret_is_a_file_that_can_be_read_twice():
    text = 'cat "$1"; cat "$1"; cat "$PLACE"; stat -Lc %a "$1"'
    output = run(script(text, "{pw}", env={"PLACE": "{pw}"}, files={"pw": Secret(VALUE)})).stdout
    assert output.decode() == VALUE * 3 + "600\n"


def test_a_secret_is_neither_in_argv_nor_in_the_environment():
    text = 'tr "\\0" "\\n" < /proc/$$/cmdline; tr "\\0" "\\n" < /proc/$$/environ; env'
    output = run(script(text, "{pw}", env={"PLACE": "{pw}"}, files={"pw": Secret(VALUE)})).stdout
    assert VALUE.encode() not in output
    assert output.count(b"/dev/fd/") >= 2


def test_a_secret_is_not_in_the_text_of_a_command():
    command = script("exit 1", "{pw}", files={"pw": Secret(VALUE)})
    assert VALUE not in repr(command)
    assert VALUE not in str(command)


def test_another_child_does_not_inherit_the_file():
    with start(script("sleep 60", files={"pw": Secret(VALUE)})):
        places = run(script("ls -l /proc/self/fd")).stdout
    assert b"memfd" not in places


def test_messages_are_redacted():
    with pytest.raises(OperationFailed) as caught:
        run(script('cat "$1" >&2; exit 1', "{pw}", files={"pw": Secret(VALUE)}))
    assert str(caught.value) == "sh failed with exit code 1: [redacted]"


def test_a_secret_at_the_cut_of_a_long_line_is_redacted():
    text = "head -c 1990 /dev/zero | tr '\\0' x >&2; cat \"$1\" >&2; exit 1"
    with pytest.raises(OperationFailed) as caught:
        run(script(text, "{pw}", files={"pw": Secret(VALUE)}))
    assert VALUE[:5] not in str(caught.value)


def test_only_the_last_lines_are_kept():
    finished = run(script("seq 1 100000 >&2"))
    assert finished.stderr.split("\n") == [str(number) for number in range(99976, 100001)]


def test_a_line_without_an_end_takes_no_memory():
    finished = run(script("head -c 50000000 /dev/zero >&2"))
    assert len(finished.stderr) < 100_000


def test_the_environment_is_not_inherited(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", VALUE)
    monkeypatch.setenv("LANG", "C.UTF-8")
    output = run(Command(("env",), env={"GIVEN": "1"})).stdout.decode()
    assert "AWS" not in output
    names = {line.partition("=")[0] for line in output.splitlines()}
    assert {"PATH", "LANG", "GIVEN"} <= names <= {*Command(("x",)).inherit, "GIVEN"}


# Ends


def test_leaving_kills_the_whole_group():
    with start(script("sleep 60 & echo $!; sleep 60")) as child:
        grandchild = int(child.stdout.readline())
        assert alive(grandchild)
    assert gone(child.pid)
    assert gone(grandchild)


def test_an_error_inside_kills_too():
    with pytest.raises(KeyboardInterrupt), start(Command(("sleep", "60"))) as child:
        raise KeyboardInterrupt
    assert gone(child.pid)


def test_what_a_dead_leader_left_is_killed():
    with start(script("sleep 60 & echo $!")) as child:
        grandchild = int(child.stdout.readline())
        while alive(child.pid):
            time.sleep(0.01)
    assert gone(grandchild)


def test_all_children_of_an_act_end_at_once():
    children, command = Children(), Command(("sleep", "60"))
    with start(command, children=children) as one, start(command, children=children) as two:
        children.kill()
        assert one.wait() == two.wait() == -signal.SIGKILL
    with start(command, children=children) as late:
        assert late.wait(5) == -signal.SIGKILL, "who was told to stop starts nothing more"


def test_terminate_asks_first():
    with start(script("trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done")) as child:
        child.stdout.readline()
        assert child.terminate(5) == 5
    with start(script("trap '' TERM; echo ready; while :; do sleep 0.05; done")) as child:
        child.stdout.readline()
        assert child.terminate(0.2) == -signal.SIGKILL


def test_a_child_outlives_the_thread_that_started_it():
    started = []
    thread = threading.Thread(target=lambda: started.append(start(Command(("sleep", "60")))))
    thread.start()
    thread.join()
    time.sleep(0.3)
    with started[0] as child:
        assert alive(child.pid)


STARTER = """
import time
from drcenter.process import Command, start
child = start({command})
print(child.pid, flush=True)
time.sleep(60)
"""


@contextmanager
def starter(command: str):
    """A process of its own that starts `command`, and the number of what it started."""
    source = [sys.executable, "-c", STARTER.format(command=command)]
    with subprocess.Popen(source, stdout=subprocess.PIPE, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_dies_with_its_starter(how):
    with starter('Command(("sleep", "60"))') as (process, pid):
        assert alive(pid)
        process.send_signal(how)
        process.wait()
        assert gone(pid)


# From Python 3.12 on, forking beside threads is warned of; it is what this test is about.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_worker_can_start_children_too():
    """Workers of a queue are forked from a process that may have started children already."""
    run(Command(("true",)))
    pid = os.fork()
    if pid == 0:  # pragma: no cover - another process
        os._exit(run(script("exit 9"), timeout=10, check=False).code)
    end = time.monotonic() + 15
    while (state := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < end:
        time.sleep(0.01)
    if state[0] == 0:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert state[0] == pid
    assert os.waitstatus_to_exitcode(state[1]) == 9


def test_another_user_reads_the_secret_and_dies_with_the_starter():
    """Only root can become another user; for anybody else it is the user who is there."""
    user = "nobody" if ROOT else None
    output = run(script('cat "$1"; id -u', "{pw}", user=user, files={"pw": Secret(VALUE)})).stdout
    assert output.decode() == f"{VALUE}{65534 if ROOT else os.geteuid()}\n"
    with starter(f'Command(("sleep", "60"), user={user!r})') as (process, pid):
        time.sleep(0.2)
        assert alive(pid)
        process.kill()
        process.wait()
        assert gone(pid)


def test_feed_writes_all_blocks_and_closes():
    with start(Command(("cat",)), stdin=subprocess.PIPE) as child:
        blocks = [b"a" * 70_000, b"", b"b" * 70_000]
        writer = threading.Thread(target=feed, args=(child.stdin, blocks))
        writer.start()
        assert child.stdout.read() == b"".join(blocks)
        writer.join()
        assert child.wait_good() == ""


def test_a_command_is_fed_while_its_output_is_read() -> None:
    """More than any pipe holds: whoever wrote first and read then would wait for ever."""
    blocks = [bytes([number]) * (1 << 20) for number in range(8)]
    assert run(Command(("cat",), fed_by=lambda: blocks)).stdout == b"".join(blocks)


def test_what_fails_while_feeding_is_raised() -> None:
    def blocks() -> Iterator[bytes]:
        yield b"first\n"
        raise OperationFailed("The tree is gone.")

    with pytest.raises(OperationFailed, match="The tree is gone"):
        run(Command(("cat",), fed_by=blocks))


def test_a_command_that_does_not_read_its_food_ends_by_itself() -> None:
    assert run(Command(("echo", "full"), fed_by=lambda: [b"x" * (8 << 20)])).stdout == b"full\n"


def test_food_does_not_hide_why_a_command_failed() -> None:
    with pytest.raises(OperationFailed, match="no appetite"):
        run(Command(("sh", "-c", "echo no appetite >&2; exit 3"), fed_by=lambda: [b"x" * (8 << 20)]))
