"""CPU and memory of a tree of processes, from a /proc made here and from the real one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.processes import (
    Root,
    Tree,
    cpu_between,
    family,
    group_of,
    idlest_between,
    parse_kib,
    parse_stat,
    thread_ns,
)
from tests.bench.profiling import by_function, hottest, parse_stacks, report

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("command_line", "group"),
    [
        ("/v/python -m hs_common.process.command_line up --dev --data-dir /x --port 1", "all-in-one"),
        ("/v/python -m hs_common.process.command_line up --dev --split --port 1", "supervisor"),
        ("/v/python -m hs_common.process.command_line master --config /x/worker.toml", "master"),
        ("/v/python -m hs_common.process.command_line worker client --config x --dev", "client"),
        ("/v/python -m hs_common.process.command_line worker client sync --config x", "client+sync"),
        ("/v/python -m hs_common.process.command_line worker federation-sender --config x", "federation-sender"),
        ("/v/python -m hs_common.process.command_line worker federation-inbound --dev", "federation-inbound"),
        ("/usr/bin/viaduct worker front", "front"),
        ("/v/python -s -m hs_workers.media.thumbnail_process 50000000 20", "thumbnails"),
        ("python -m synapse.app.homeserver -c x", "main"),
        ("python -m synapse.app.generic_worker -c x", "worker"),
        ("python -m synapse.app.generic_worker --config-path /x/c.yaml --config-path /x/worker-sync2.yaml", "sync"),
        ("/usr/lib/postgresql/15/bin/postgres -D /x", "postgres"),
        ("postgres: viaduct viaduct [local] idle", "postgres"),
        ("redis-server 127.0.0.1:1234", "redis"),
        ("/usr/bin/something --else", "something"),
        ("", "unknown"),
    ],
)
def test_a_command_line_names_its_group(command_line: str, group: str) -> None:
    assert group_of(command_line) == group


def test_a_family_is_all_that_descends() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 11, 20: 1}
    assert family([10], parents) == [10, 11, 12]
    assert family([11, 10], parents) == [11, 10, 12]


def test_stat_with_a_name_that_looks_like_fields() -> None:
    fields = ["S", "7", *["0"] * 9, "3", "4", "5", "6", "20"]
    assert parse_stat(f"42 (a) b (c) {' '.join(fields)}") == (7, 7 * _TICK_MS, 11 * _TICK_MS)


def test_memory_lines() -> None:
    assert parse_kib("Name:\tx\nVmHWM:\t    2048 kB\n", "VmHWM") == 2.0
    assert parse_kib("Name:\tx\n", "VmHWM") is None


def test_what_ended_is_counted_with_its_parent_and_not_twice() -> None:
    before = {("postgres", 1): 100.0, ("postgres", 2): 50.0, ("master", 3): 10.0}
    after = {("postgres", 1): 155.0, ("master", 3): 14.0, ("client", 4): 2.0}  # 2 used 5 more, then ended
    assert cpu_between(before, after) == {"postgres": 5.0, "master": 4.0, "client": 2.0}


def make_process(proc: Path, number: int, parent: int, command: str, schedstat: str) -> None:
    folder = proc / str(number)
    (folder / "task" / str(number)).mkdir(parents=True)
    fields = ["S", str(parent), *["0"] * 9, "2", "1", "4", "0", "20"]
    (folder / "stat").write_text(f"{number} (x) {' '.join(fields)}")
    (folder / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
    (folder / "status").write_text("VmHWM:\t 4096 kB\nVmRSS:\t 3072 kB\n")
    (folder / "smaps_rollup").write_text("Pss:    1024 kB\n")
    (folder / "task" / str(number) / "schedstat").write_text(schedstat)


def test_a_thread_that_has_just_ended_does_not_take_its_process_along(tmp_path: Path) -> None:
    (tmp_path / "schedstat").write_text("5000000 1 1")
    assert thread_ns(tmp_path / "schedstat") == 5_000_000
    assert thread_ns(tmp_path / "gone") == 0


def test_tree_of_a_made_up_server(tmp_path: Path) -> None:
    make_process(tmp_path, 10, 1, "python -m hs_common.process.command_line up --split", "5000000 1 1")
    make_process(tmp_path, 11, 10, "python -m hs_common.process.command_line master --dev", "7500000 1 1")
    make_process(tmp_path, 12, 10, "postgres -D x", "0 0 0")  # a kernel without these counts: ticks
    make_process(tmp_path, 99, 1, "redis-server", "1 1 1")
    tree = Tree([Root(10), Root(98)], proc=tmp_path)
    assert tree.members() == [("supervisor", 10), ("master", 11), ("postgres", 12)]
    children_ms = 4 * _TICK_MS
    assert tree.cpu() == {
        ("supervisor", 10): 5.0 + children_ms,
        ("master", 11): 7.5 + children_ms,
        ("postgres", 12): 3 * _TICK_MS + children_ms,
    }
    memory = tree.memory()["master"]
    assert (memory[0].resident, memory[0].peak, memory[0].proportional) == (3.0, 4.0, 1.0)


def test_a_named_root_names_its_whole_tree(tmp_path: Path) -> None:
    make_process(tmp_path, 10, 1, "pg", "1 1 1")
    make_process(tmp_path, 11, 10, "child", "1 1 1")
    assert Tree([Root(10, "postgres")], proc=tmp_path).members() == [("postgres", 10), ("postgres", 11)]


def test_a_real_process_uses_time() -> None:
    code = "import time\nwhile time.process_time() < 0.2: pass\nprint('done', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.01)  # the kernel counts what a running process used when it stops
        spent = sum(cpu_between({}, Tree([Root(process.pid)]).cpu()).values())
        process.communicate("")
    assert spent >= 190


def test_profiles_add_up_by_place() -> None:
    stacks = parse_stacks("main (/a/b/c/d.py:1);work (/a/b/c/d.py:5) 3\nmain (/a/b/c/d.py:1);work (/a/b/c/d.py:6) 1\n")
    hot = hottest(stacks, by_function)
    assert (hot[0].place, hot[0].own, hot[0].total) == ("work b/c/d.py", 1.0, 1.0)
    assert (hot[1].place, hot[1].own, hot[1].total) == ("main b/c/d.py", 0.0, 1.0)
    assert "75.0% 75.0%  work b/c/d.py:5" in report(stacks)
    waiting = parse_stacks("main (/a/b/c/d.py:1);wait (threading.py:3) 9\n")
    assert report(stacks + waiting).startswith("13 samples, 4 of them at work")
    assert report(parse_stacks("")).startswith("0 samples")


def test_the_idlest_process_of_a_group_counts_if_it_was_there_all_the_time() -> None:
    before = {("sync", 1): 10.0, ("sync", 2): 10.0, ("client", 3): 5.0}
    after = {("sync", 1): 30.0, ("sync", 2): 12.0, ("sync", 4): 0.0, ("client", 3): 6.0}
    assert idlest_between(before, after) == {"sync": 2.0, "client": 1.0}
