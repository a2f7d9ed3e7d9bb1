"""What a sandbox hides and forbids, seen from inside; and from outside, what is left when it has ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from hyperscale.sandbox import Limits, Program, Sandbox
from hyperscale.sandbox.tree import entries_left
from tests.sandbox.host import left_running

MIB = 1 << 20
LIMITS = Limits(cpu_seconds=1, wall_seconds=2.0, memory_bytes=512 * MIB, scratch_bytes=32 * MIB, output_bytes=4 * MIB)


def seen(sandbox: Sandbox, source: str, limits: Limits = LIMITS):
    """What a program prints as JSON."""
    ended = sandbox.run(Program.script(f"import json, os, sys\n{source}"), limits)
    assert ended.well, ended
    return json.loads(ended.stdout)


def test_a_program_is_nobody_without_rights(sandbox):
    status = seen(sandbox, "print(json.dumps(dict(l.split(':\\t') for l in open('/proc/self/status') if ':\\t' in l)))")
    status = {name: value.strip() for name, value in status.items()}
    assert status["Uid"].split() == ["65534"] * 4
    assert status["Gid"].split() == ["65534"] * 4
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert set(status["Groups"].split()) <= {"65534"}


def test_namespaces_are_its_own(sandbox):
    names = ("user", "pid", "net", "ipc", "uts", "mnt")
    inside = seen(sandbox, f"print(json.dumps({{n: os.readlink('/proc/self/ns/' + n) for n in {names}}}))")
    assert all(inside[name] != os.readlink(f"/proc/self/ns/{name}") for name in names)


def test_the_callers_environment_is_nowhere(sandbox, monkeypatch):
    monkeypatch.setenv("HYPERSCALE_SECRET", "hidden-7f3a")
    source = """
found = []
for entry in os.listdir('/proc'):
    for name in ('environ', 'cmdline') if entry.isdigit() else ():
        try: found.append(open(f'/proc/{entry}/{name}', 'rb').read().decode())
        except OSError: pass
print(json.dumps([dict(os.environ), found]))
"""
    environment, others = seen(sandbox, source)
    assert set(environment) <= {
        "PATH", "HOME", "LANG", "PWD", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE", "PYTHONINTMAXSTRDIGITS",
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LC_CTYPE",
    }  # fmt: skip
    assert "hidden-7f3a" not in "".join(others)
    assert str(Path(__file__).parents[2]) not in "".join(others)


def test_processes_are_its_own(sandbox):
    assert len(seen(sandbox, "print(json.dumps([p for p in os.listdir('/proc') if p.isdigit()]))")) <= 4


def test_two_folders_can_be_written_and_no_others(sandbox):
    source = """
tried = {}
for folder in ('/', '/box', '/dev', '/etc', '/home', '/proc', '/root', '/sys', '/usr', '/var', '/tmp', '/dev/shm',
               os.path.dirname(os.__file__), sys.prefix + '/lib/python%d.%d/site-packages' % sys.version_info[:2]):
    try:
        open(folder + '/x', 'w').close()
        tried[folder] = True
    except OSError:
        tried[folder] = False
print(json.dumps(tried))
"""
    tried = seen(sandbox, source)
    assert {folder for folder, worked in tried.items() if worked} == {"/tmp", "/dev/shm"}


def test_the_kernels_switches_are_closed(sandbox):
    source = """
opened = []
for path in ('sys/kernel/core_pattern', 'sysrq-trigger', 'sys/kernel/modprobe', 'sys/vm/overcommit_memory'):
    path = '/proc/' + path
    try:
        os.close(os.open(path, os.O_WRONLY))
        opened.append(path)
    except OSError:
        pass
print(json.dumps(opened))
"""
    assert seen(sandbox, source) == []


def test_a_read_only_folder_cannot_be_made_writable(sandbox):
    source = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(json.dumps([libc.mount(None, p.encode(), None, 4096 | 32, None) for p in ('/usr', '/', '/box', '/dev')]))
"""
    assert seen(sandbox, source) == [-1] * 4


def test_no_network_but_a_loopback_of_its_own(sandbox):
    source = "print(json.dumps([l.split(':')[0].strip() for l in open('/proc/net/dev') if ':' in l]))"
    assert seen(sandbox, source) == ["lo"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("while True: pass", "cpu"),
        ("import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", "cpu"),
        ("import time; time.sleep(60)", "wall"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "wall"),
        ("while True: print('x' * 1000)", "output"),
        ("import sys\nwhile True: sys.stderr.write('x' * 1000)", "output"),
        ("import os, time\nfor _ in range(3): os.fork()\nx = b'x' * (200 << 20)\ntime.sleep(60)", "memory"),
        ("x = []\nwhile True: x.append(b'x' * (50 << 20))", "memory"),
        ("x = bytearray(100 << 30)", "exited"),
        ("open('/tmp/x', 'wb').write(bytes(200 << 20))", "exited"),
        ("import os\nfor n in range(20): open(f'/tmp/{n}', 'wb').write(bytes(20 << 20))", "exited"),
        ("raise SystemExit(3)", "exited"),
    ],
)
def test_what_ends_a_program(sandbox, source, why):
    limits = replace(LIMITS, wall_seconds=1.5 if why == "wall" else 10.0)
    ended = sandbox.run(Program.script(source), limits)
    assert ended.why == why, ended
    assert not ended.well
    assert len(ended.stdout) + len(ended.stderr) <= LIMITS.output_bytes
    assert ended.seconds < limits.wall_seconds + 3


def test_the_limit_on_processes_is_felt_inside(sandbox):
    source = """
import time
made = 0
try:
    while made < 200:
        if os.fork() == 0:
            time.sleep(5)
            os._exit(0)
        made += 1
except OSError:
    pass
print(made, flush=True)
os._exit(0)
"""
    assert 0 < seen(sandbox, source) <= LIMITS.processes


def test_memory_that_belongs_to_no_process_cannot_be_had(sandbox):
    source = """
import ctypes, mmap, socket
libc = ctypes.CDLL(None, use_errno=True)
had = []
def attempt(name, what):
    try:
        if what() not in (-1, False):
            had.append(name)
    except OSError:
        pass
attempt('shared anonymous map', lambda: mmap.mmap(-1, 1 << 20))
attempt('larger one', lambda: mmap.mmap(-1, 1 << 33))
small = mmap.mmap(-1, 4096)
attempt('semget', lambda: libc.semget(0, 100, 0o600))
attempt('shmget', lambda: libc.shmget(0, 4096, 0o600))
attempt('msgget', lambda: libc.msgget(0, 0o600))
attempt('memfd', lambda: os.memfd_create('x'))
attempt('listen', lambda: (s := socket.socket(socket.AF_UNIX), s.bind('/tmp/s'), s.listen(4096)))
attempt('buffers', lambda: socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22))
attempt('inet', lambda: socket.socket(socket.AF_INET))
attempt('vmsplice', lambda: libc.vmsplice(os.pipe()[1], None, 0, 0) == 0)
with open('/dev/zero', 'rb') as zero:
    attempt('/dev/zero', lambda: len(zero.read(10)) == 10)
private = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
left, right = socket.socketpair()
print(json.dumps(had))
"""
    assert seen(sandbox, source) == []


def test_too_many_files_end_a_program(sandbox):
    source = "for n in range(400_000):\n    open(f'/tmp/{n}', 'w').close()"
    ended = sandbox.run(Program.script(source), replace(LIMITS, cpu_seconds=20, wall_seconds=40.0))
    assert ended.why == "memory" or b"No space left" in ended.stderr


def test_the_hosts_own_folders_are_not_counted():
    assert entries_left(os.getpid()) > 0


def test_sixty_threads_run(sandbox):
    source = """
import threading
done = threading.Barrier(59)
threads = [threading.Thread(target=done.wait) for _ in range(58)]
for thread in threads: thread.start()
done.wait()
print(json.dumps(len(threads)))
"""
    assert seen(sandbox, source, replace(LIMITS, cpu_seconds=10, wall_seconds=20.0)) == 58


def test_programs_end_with_the_harness_however_it_ends(sandbox):
    source = f"""
import time
from hyperscale.sandbox import Limits, Program, open_sandbox
program = Program.script("import time; print('up', flush=True); time.sleep(50)")
running = open_sandbox({sandbox.name!r}).start(program, Limits())
print(running.ask(b"", 20).decode(), flush=True)
time.sleep(50)
"""
    child = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    child.kill()
    child.wait()
    child.stdout.close()
    assert left_running() == []


def test_exit_codes_and_signals(sandbox):
    assert sandbox.run(Program.script("raise SystemExit(7)"), LIMITS).code == 7
    assert sandbox.run(Program.script("import os; os.kill(os.getpid(), 11)"), LIMITS).code == 128 + 11


def test_what_a_program_leaves_ends_with_it(sandbox):
    daemon = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for n in range(3): os.close(n)
        time.sleep(60)
    os._exit(0)
print('done')
"""
    ended = sandbox.run(Program.script(daemon), LIMITS)
    assert (ended.well, ended.stdout) == (True, b"done\n")
    assert left_running() == []


def test_input_larger_than_a_pipe_and_never_read(sandbox):
    large = b"12 30\n" + b"x" * (4 * MIB)
    assert sandbox.run(Program.script("print(sum(map(int, input().split())))"), LIMITS, large).stdout == b"42\n"
    assert sandbox.run(Program.script("import sys; print(len(sys.stdin.read()))"), LIMITS, large).stdout == b"4194310\n"
    assert sandbox.run(Program.script("print(1)"), LIMITS, large).stdout == b"1\n"


def test_a_question_is_answered_once_or_not_at_all(sandbox):
    echo = "import sys\nfor line in sys.stdin:\n    print(line.strip() * 2, flush=True)"
    with sandbox.start(Program.script(echo), LIMITS) as running:
        assert running.ask(b"ab", 3) == b"abab"
        assert running.ask(b"c", 3) == b"cc"
    for source in ("", "import time; time.sleep(60)", "print('a'); print('b')", "print('x', end='')"):
        with sandbox.start(Program.script(source), LIMITS) as running:
            assert running.ask(b"?", 1) is None
    early = "print('first', flush=True)\nimport time; time.sleep(60)"
    with sandbox.start(Program.script(early), LIMITS) as running:
        time.sleep(0.3)
        running.ask(b"?", 1)
        assert running.ask(b"?", 1) is None


def test_many_at_once_and_no_descriptor_lost(sandbox):
    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(8) as threads:
        ended = list(threads.map(lambda n: sandbox.run(Program.script(f"print({n})"), LIMITS).stdout, range(40)))
    assert ended == [b"%d\n" % n for n in range(40)]
    assert len(os.listdir("/proc/self/fd")) == before


def test_closing_ends_what_runs_and_refuses_more(sandbox):
    from hyperscale.sandbox import open_sandbox

    own = open_sandbox(sandbox.name)
    found = []
    waiting = threading.Thread(
        target=lambda: found.append(own.run(Program.script("import time; time.sleep(60)"), Limits()))
    )
    waiting.start()
    deadline = time.monotonic() + 10
    while not own._programs and time.monotonic() < deadline:
        time.sleep(0.01)
    own.close()
    own.close()
    waiting.join(10)
    assert [ended.well for ended in found] == [False]
    with pytest.raises(RuntimeError, match="closed"):
        own.start(Program.script(""), LIMITS)


def test_files_have_plain_names(sandbox):
    for name in ("../x", "a/b", "", ".."):
        with pytest.raises(ValueError, match="plain name"):
            sandbox.start(Program(("/box/x",), {name: b""}), LIMITS)
