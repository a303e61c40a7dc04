"""What a program is when it starts: systemd.exec(5), read back from /proc by the program itself."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import CHECKOUT, Report, Services

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def test_environment_is_what_the_settings_say_and_no_more(services: Services) -> None:
    found = services.report("Environment=A=1 'B=two words' C=\n", environment={"STRAY": "1", "LANG": "C"})
    told = {name: found.environment.pop(name) for name in ("INVOCATION_ID", "LANG")}
    assert told["LANG"]  # of the machine: tests/lab/test_locale.py
    expected = {"PATH": PATH, "A": "1", "B": "two words", "C": ""}
    if os.geteuid():
        expected |= {name: services.environment()[name] for name in ("HOME", "XDG_RUNTIME_DIR")}
    else:
        expected["USER"] = "root"
    assert found.environment == expected


def test_environment_files_come_last_and_in_order(services: Services) -> None:
    for name, text in {"1.env": "A=one\nB=one\n", "2.env": "B='two'\n# C=no\n", "x.conf": "C=three\n"}.items():
        (services.folder / name).write_text(text)
    found = services.report(
        f"Environment=A=zero B=zero D=zero\nEnvironmentFile={services.folder}/*.env\n"
        f"EnvironmentFile=-{services.folder}/missing\nEnvironmentFile={services.folder}/x.conf\n"
        f"EnvironmentFile=-{services.folder}/*.none\n"
    )
    assert {name: found.environment[name] for name in "ABCD"} == {"A": "one", "B": "two", "C": "three", "D": "zero"}


@pytest.mark.parametrize("pattern", ["missing", "*.none"])
def test_environment_file_that_is_missing(services: Services, pattern: str) -> None:
    unit = services.unit(f"ExecStart=/bin/true\nEnvironmentFile={services.folder}/{pattern}")
    finished = services.run(unit, "--foreground")
    assert finished.returncode == 78
    assert f"{unit}:5: EnvironmentFile" in finished.stderr
    assert pattern in finished.stderr


def test_pass_and_unset_environment(services: Services) -> None:
    found = services.report(
        "Environment=A=1 B=2 C=3\nPassEnvironment=P Q B\nUnsetEnvironment=A C=3 B=other PATH",
        environment={"P": "passed", "B": "caller's", "R": "no"},
    )
    wanted = {"P": "passed", "B": "2"}
    assert {name: value for name, value in found.environment.items() if len(name) == 1} == wanted
    assert found.environment.get("PATH") is None


def test_bytes_that_are_no_text_arrive(services: Services) -> None:
    raw = b"\xff\xfe caf\xe9"
    command, path = services.probe("exit 0")
    unit = services.unit(f"ExecStart={command} ${{RAW}} ü\nPassEnvironment=RAW")
    environment: dict[bytes, bytes] = {k.encode(): v.encode() for k, v in services.environment().items()}
    for locale in (b"C.UTF-8", b"C", b"de_DE.ISO-8859-1"):
        path.unlink(missing_ok=True)
        subprocess.run(
            [sys.executable, "-m", "initkit", "run", str(unit), "--foreground"],
            env={**environment, b"RAW": raw, b"LC_ALL": locale},
            check=True,
        )
        assert os.fsencode(Report(path).environment["RAW"]) == raw
        assert Path(f"{path}.args").read_bytes() == raw + "\nü\n".encode()


@as_root
def test_user(services: Services) -> None:
    found = services.report("User=www-data")
    www = pwd.getpwnam("www-data")
    assert found.uids == (www.pw_uid,) * 4
    assert found.gids == (www.pw_gid,) * 4
    assert found.groups == set(os.getgrouplist("www-data", www.pw_gid))
    wanted = {"USER": "www-data", "LOGNAME": "www-data", "HOME": www.pw_dir, "PATH": PATH}  # its shell is nologin
    assert len(found.environment.pop("INVOCATION_ID")) == 32
    del found.environment["LANG"]
    assert found.environment == wanted


@as_root
def test_user_with_a_shell(services: Services) -> None:
    found = services.report("User=root")
    root = pwd.getpwnam("root")
    assert (found.environment["HOME"], found.environment["SHELL"]) == (root.pw_dir, root.pw_shell)


@as_root
def test_numeric_user_without_an_entry(services: Services) -> None:
    found = services.report("User=54321\nGroup=54322")
    assert (found.uids, found.gids) == ((54321,) * 4, (54322,) * 4)
    assert found.groups <= {54322}
    assert "HOME" not in found.environment


@as_root
def test_group_and_supplementary_groups(services: Services) -> None:
    found = services.report("User=www-data\nGroup=games\nSupplementaryGroups=mail\nSupplementaryGroups=news")
    import grp

    number = {name: grp.getgrnam(name).gr_gid for name in ("games", "mail", "news")}
    assert found.gids == (number["games"],) * 4
    assert found.groups == set(number.values()) | set(os.getgrouplist("www-data", number["games"]))


@as_root
def test_group_alone(services: Services) -> None:
    found = services.report("Group=games")
    assert (found.uids[0], found.gids[0]) == (0, 60)


@as_root
def test_an_ordinary_user_runs_services_too(services: Services) -> None:
    command, path = services.probe("exit 0")
    unit = services.unit(f"ExecStart={command}\nUMask=0077\nLimitNOFILE=infinity")
    if subprocess.run(["/usr/bin/python3", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]).returncode:
        pytest.skip("the interpreter that every user can reach is too old")
    copy = services.folder / "lib"
    shutil.copytree(CHECKOUT / "initkit", copy / "initkit", ignore=shutil.ignore_patterns("__pycache__"))
    finished = services.run(
        unit,
        "--foreground",
        python="/usr/bin/python3",
        prefix=("setpriv", "--reuid=www-data", "--regid=www-data", "--init-groups"),
        environment={"PYTHONPATH": str(copy), "HOME": "/var/www", "XDG_RUNTIME_DIR": str(services.out)},
        cwd="/",
    )
    assert finished.returncode == 0, finished.stderr
    found = Report(path)
    assert (found.uids[0], found.umask) == (33, 0o077)
    assert found.limit("Max open files")[0] == found.limit("Max open files")[1]  # as far up as it goes
    assert found.environment["HOME"] == "/var/www"


def test_umask_directory_and_nice(services: Services) -> None:
    found = services.report("UMask=0027\nWorkingDirectory=/usr\nNice=7")
    assert (found.umask, found.cwd, found.nice) == (0o027, "/usr", 7)


def test_default_attributes(services: Services) -> None:
    found = services.report("", umask=0o077, cwd="/usr")
    assert (found.umask, found.cwd, found.fds[0]) == (0o022, "/", "/dev/null")


@as_root
def test_working_directory_of_the_user(services: Services) -> None:
    home = pwd.getpwnam("games").pw_dir
    found = services.report("User=games\nWorkingDirectory=-~")
    assert found.cwd == (home if os.path.isdir(home) else "/")
    assert services.report("User=root\nWorkingDirectory=~").cwd == "/root"


@as_root
def test_a_user_without_an_entry_has_no_home(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/pwd\nUser=54321\nWorkingDirectory=~\nStandardOutput=inherit")
    made = services.run(unit, "--foreground")
    assert made.returncode == 200
    assert 'WorkingDirectory = "~": the user has no home directory\n' in made.stdout + made.stderr
    assert "/" not in made.stdout.splitlines()
    assert services.report("User=54321\nWorkingDirectory=-~").cwd == "/"


def test_working_directory_that_may_be_missing(services: Services) -> None:
    assert services.report("WorkingDirectory=-/no/such").cwd == "/"


@as_root
@pytest.mark.parametrize("more", ["", "User=www-data\n", "User=www-data\nNoNewPrivileges=yes\nWorkingDirectory=/tmp\n"])
def test_root_directory(services: Services, more: str) -> None:
    root = services.folder / "root"
    for name in ("bin", "tmp", "proc"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o777)
    needed = subprocess.run(["ldd", "/bin/busybox"], capture_output=True, text=True).stdout.split()
    for path in ("/bin/busybox", *(word for word in needed if word.startswith("/"))):
        subprocess.run(["cp", "-L", "--parents", path, root], check=True)
    script = "/bin/busybox ls / > /tmp/seen; /bin/busybox id -u >> /tmp/seen; echo $HOME >> /tmp/seen"
    unit = services.unit(f"ExecStart=/bin/busybox sh -c '{script}'\nRootDirectory={root}\n{more}")
    finished = services.run(unit, "--foreground")
    assert finished.returncode == 0, finished.stderr
    *names, user, home = (root / "tmp/seen").read_text().splitlines()
    assert {"bin", "proc", "tmp", "dev", "sys", "run"} <= set(names)  # MountAPIVFS=
    assert not {"home", "opt", "srv"} & set(names)
    assert (user, home) == (("33", "/var/www") if more else ("0", ""))


LIMITS = {
    "CPU": ("Max cpu time", "1000:2000", ("1000", "2000")),
    "FSIZE": ("Max file size", "1G", ("1073741824",) * 2),
    "DATA": ("Max data size", "512M:1G", ("536870912", "1073741824")),
    "STACK": ("Max stack size", "4M:8M", ("4194304", "8388608")),
    "CORE": ("Max core file size", "0", ("0", "0")),
    "RSS": ("Max resident set", "100M", ("104857600",) * 2),
    "NOFILE": ("Max open files", "123:456", ("123", "456")),
    "AS": ("Max address space", "256M", ("268435456",) * 2),
    "NPROC": ("Max processes", "1234", ("1234", "1234")),
    "MEMLOCK": ("Max locked memory", "32K:64K", ("32768", "65536")),
    "LOCKS": ("Max file locks", "12", ("12", "12")),
    "SIGPENDING": ("Max pending signals", "99", ("99", "99")),
    "MSGQUEUE": ("Max msgqueue size", "1000", ("1000", "1000")),
    "NICE": ("Max nice priority", "-5", ("25", "25")),
    "RTPRIO": ("Max realtime priority", "0", ("0", "0")),
    "RTTIME": ("Max realtime timeout", "5s", ("5000000",) * 2),
}


@as_root
def test_limits(services: Services) -> None:
    found = services.report("\n".join(f"Limit{name}={text}" for name, (_, text, _) in LIMITS.items()))
    wanted = {name: limits for name, (_, _, limits) in LIMITS.items()}
    hard = resource.getrlimit(resource.RLIMIT_NICE)[1]
    if not int(Report.own_status()["CapEff"], 16) >> 24 & 1 and hard < 25:  # CAP_SYS_RESOURCE: as close as it gets
        wanted["NICE"] = (str(hard), str(hard))
    assert {name: found.limit(shown) for name, (shown, _, _) in LIMITS.items()} == wanted


def test_tight_limits_do_not_hurt_the_runner(services: Services) -> None:
    unit = services.unit("ExecStart=/bin/true\nLimitAS=16M\nLimitNOFILE=4\nLimitFSIZE=0\nLimitSTACK=64K\nNice=1")
    finished = services.run(unit, "--foreground")
    assert finished.returncode == 0, finished.stderr


@as_root
def test_scheduling(services: Services) -> None:
    found = services.report(
        "OOMScoreAdjust=500\nIOSchedulingClass=best-effort\nIOSchedulingPriority=6\n"
        "CPUSchedulingPolicy=batch\nCPUAffinity=0"
    )
    assert found.oom == 500
    assert found.ionice == "best-effort: prio 6"
    assert "SCHED_BATCH" in found.chrt
    assert found.status["Cpus_allowed_list"] == "0"


@as_root
def test_realtime_scheduling(services: Services) -> None:
    found = services.report("CPUSchedulingPolicy=rr\nCPUSchedulingPriority=7\nCPUSchedulingResetOnFork=yes")
    # The tools that look are children: the policy is reset for them, and is in the program's own stat, fields 40, 41.
    assert (found.stat[37], found.stat[38]) == ("7", "2")


def test_signals_are_reset(services: Services) -> None:
    ignored = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGXFSZ, signal.SIGRTMIN + 3, signal.SIGCHLD)
    code = (
        f"import os, signal, sys\n[signal.signal(n, signal.SIG_IGN) for n in {list(map(int, ignored))}]\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nos.execv(sys.argv[1], sys.argv[1:])"
    )
    prefix = (sys.executable, "-c", code)
    for settings, pipe in (("", {int(signal.SIGPIPE)}), ("IgnoreSIGPIPE=no", set())):
        found = services.report(settings, prefix=prefix)
        assert found.signals("SigIgn") == pipe
        assert found.signals("SigBlk") == set()


def test_no_new_privileges(services: Services) -> None:
    assert services.report("NoNewPrivileges=yes").status["NoNewPrivs"] == "1"
    assert services.report("").status["NoNewPrivs"] == "0"


def test_descriptors_are_closed(services: Services, tmp_path: Path) -> None:
    """A few thousand strays under a high RLIMIT_NOFILE cost no more than none: close_range(2)."""
    command, path = services.probe("exit 0")
    unit = services.unit(f"ExecStart={command}")
    trace = tmp_path / "trace"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    code = (
        f"import os, resource, sys\nresource.setrlimit(resource.RLIMIT_NOFILE, ({hard}, {hard}))\n"
        "[os.set_inheritable(os.open('/dev/null', 0), True) for _ in range(3000)]\nos.execvp(sys.argv[1], sys.argv[1:])"
    )
    strace = ("strace", "-o", str(trace), "-e", "trace=close,close_range,execve", "-b", "execve")
    finished = services.run(unit, "--foreground", prefix=(sys.executable, "-c", code, *strace), close_fds=False)
    assert finished.returncode == 0, finished.stderr
    assert set(Report(path).fds) - {10} == {0, 1, 2}  # 10 is dash's own, for the script
    calls = [line for line in trace.read_text().splitlines() if line.startswith("close(")]
    strays = [line for line in calls if 40 <= int(line[6:].partition(")")[0]) < 3000]
    assert not strays, strays[:10]
    assert "close_range(3, " in trace.read_text()


def test_passed_sockets_stay(services: Services) -> None:
    command, path = services.probe("exit 0")
    unit = services.unit(f"ExecStart={command}")
    code = (
        "import os, socket, sys\nfor n in (3, 4):\n s = socket.socket(); os.dup2(s.fileno(), 20 + n)\n"
        "for n in (3, 4): os.dup2(20 + n, n)\nfor n in (7, 8): os.dup2(3, n)\n"
        "os.environ.update(LISTEN_FDS='2', LISTEN_FDNAMES='a:b', LISTEN_PID=str(os.getpid()))\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    for settings in ("", "Restart=on-failure\n"):  # by exec, and by a supervisor's child
        path.unlink(missing_ok=True)
        unit = services.unit(f"ExecStart={command}\n{settings}")
        finished = services.run(unit, "--foreground", prefix=(sys.executable, "-c", code))
        assert finished.returncode == 0, finished.stderr
        found = Report(path)
        assert {fd: target.partition(":")[0] for fd, target in found.fds.items() if 2 < fd != 10} == {
            3: "socket",
            4: "socket",
        }
        assert found.environment["LISTEN_PID"] == str(found.pid)
        assert found.environment["LISTEN_FDS"] == "2"
        assert found.environment["LISTEN_FDNAMES"] == "a:b"


def test_sockets_meant_for_another_process(services: Services) -> None:
    found = services.report("", environment={"LISTEN_FDS": "2", "LISTEN_PID": "1", "NOTIFY_SOCKET": "/no"})
    assert {"LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"}.isdisjoint(found.environment)


def test_callers_without_standard_streams(services: Services) -> None:
    command, path = services.probe("exit 0")
    unit = services.unit(f"ExecStart={command}\nRestart=on-failure")
    subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "initkit", "run", unit, "--foreground"],
        env=services.environment(),
        check=True,
    )
    assert {fd: Report(path).fds[fd] for fd in range(3)} == dict.fromkeys(range(3), "/dev/null")


DIRECTORIES = {
    "Runtime": "/run",
    "State": "/var/lib",
    "Cache": "/var/cache",
    "Logs": "/var/log",
    "Configuration": "/etc",
}


@as_root
@pytest.mark.parametrize("kind", DIRECTORIES)
def test_directories(services: Services, kind: str) -> None:
    base = Path(DIRECTORIES[kind]) / services.prefix
    link = Path(f"{base}-link")
    command, path = services.probe("exit 0")
    try:
        unit = services.unit(
            f"ExecStart={command}\nUser=www-data\n{kind}Directory={base.name} {base.name}/inner:{link.name}\n"
            f"{kind}DirectoryMode=0750\nRuntimeDirectoryPreserve=yes"
        )
        finished = services.run(unit, "--foreground", umask=0o077)
        assert finished.returncode == 0, finished.stderr
        variable = "LOGS" if kind == "Logs" else kind.upper()
        assert Report(path).environment[f"{variable}_DIRECTORY"] == f"{base}:{base}/inner"
        assert os.path.realpath(link) == f"{base}/inner"
        for folder in (base, base / "inner"):
            found = folder.stat()
            assert stat.S_IMODE(found.st_mode) == 0o750
            assert found.st_uid == 33
    finally:
        subprocess.run(["rm", "-rf", base, link], check=True)


@as_root
@pytest.mark.parametrize(("preserve", "stays"), [("no", False), ("restart", False), ("yes", True)])
def test_runtime_directory_goes_with_the_service(services: Services, preserve: str, stays: bool) -> None:
    folder = Path("/run") / services.prefix
    outside = services.folder / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    script = services.script(
        f"mkdir $RUNTIME_DIRECTORY/a; touch $RUNTIME_DIRECTORY/a/b; ln -s {outside} $RUNTIME_DIRECTORY/c"
    )
    unit = services.unit(
        f"ExecStart={script}\nRuntimeDirectory={services.prefix}:{services.prefix}-link\nRuntimeDirectoryPreserve={preserve}"
    )
    assert services.run(unit, "--foreground").returncode == 0
    assert folder.exists() == stays
    assert os.path.islink(f"{folder}-link") == stays
    assert (outside / "kept").exists()
