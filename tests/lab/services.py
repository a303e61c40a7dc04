"""Three services that the tests run on every init: redis, nginx, and what `initkit new` writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .machine import CHECKOUT, Machine, wait_until

EXAMPLES = CHECKOUT / "tests/examples"
SETTINGS = "/etc/initkit"

# What every one of them is given beside its own settings, and what /proc has to say then.
ATTRIBUTES = """\
supplementary_groups = ["adm", "tty"]
umask = "0027"
nice = 3
oom_score_adjust = 200
limit_nofile = "12000:15000"
limit_core = 0
no_new_privileges = true
"""

# A trace of every start and stop, in their order.
TRACE = "/var/lib/lab/trace"
TRACES = """\
exec_start_post = ["+/bin/sh", "-c", "echo start $0 >>{trace}", "{name}"]
exec_stop_post = ["+/bin/sh", "-c", "echo stop $0 >>{trace}", "{name}"]
"""


@dataclass(frozen=True)
class Example:
    """A service: its main process is the one whose command line matches `main`, of `user`.

    `question` is a command that prints something in which `answer` is found as long as the service works; `restarts`
    says whether it comes back after its main process was killed, `reloads` whether it can be reloaded.
    """

    name: str
    main: str
    user: str
    question: tuple[str, ...]
    answer: str
    restarts: bool
    reloads: bool
    umask: str = "0027"

    def __str__(self) -> str:
        return self.name

    def install(self, machine: Machine, more: str = "") -> None:
        """Put its settings where initkit looks for them, with a drop-in for what the tests look at."""
        if not machine.exists("/usr/bin/initkit"):
            machine.install_initkit()
        file = EXAMPLES / f"{self.name}.toml"
        if file.exists():
            machine.write(f"{SETTINGS}/{self.name}.toml", file.read_bytes())
        else:
            machine.sh('mkdir -p "$1" && cd "$1" && rm -rf "$2".* && initkit new "$2"', SETTINGS, self.name)
        machine.write(f"{SETTINGS}/{self.name}.toml.d/lab.toml", ATTRIBUTES + more)

    def answers(self, machine: Machine) -> bool:
        """Whether it works."""
        done = machine.run(*self.question, check=False)
        return done.returncode == 0 and re.search(self.answer, done.stdout) is not None

    def wait(self, machine: Machine) -> None:
        """Until it works."""
        wait_until(lambda: self.answers(machine), what=f"an answer of {self.name}")

    def pids(self, machine: Machine) -> list[int]:
        """All of its main processes: one, or none."""
        return [pid for pid, command in machine.pids().items() if re.match(self.main, command)]

    def main_pid(self, machine: Machine) -> int:
        """Its main process."""
        (pid,) = self.pids(machine)
        return pid

    def kill(self, machine: Machine) -> int:
        """End its main process with SIGKILL, see it gone, and return what its pid was."""
        pid = self.main_pid(machine)
        machine.run("kill", "-9", str(pid))
        wait_until(lambda: pid not in machine.pids(), what=f"the end of {self.name}")
        return pid

    def check_attributes(self, machine: Machine) -> None:
        """Compare what the kernel says of the main process with `ATTRIBUTES`."""
        pid = self.main_pid(machine)
        status = dict(re.findall(r"(\w+):\t(.*)", machine.read(f"/proc/{pid}/status")))
        number = {what: machine.run("id", f"-{what}", self.user).stdout.strip() for what in "ug"}
        assert set(status["Uid"].split()) == {number["u"]}
        assert set(status["Gid"].split()) == {number["g"]}
        extra = {machine.run("getent", "group", group).stdout.split(":")[2] for group in ("adm", "tty")}
        assert set(status["Groups"].split()) - {number["g"]} == extra
        assert status["Umask"] == self.umask
        assert status["NoNewPrivs"] == "1"
        limits = machine.read(f"/proc/{pid}/limits")
        assert re.search(r"^Max open files +12000 +15000 ", limits, re.MULTILINE)
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
        assert machine.read(f"/proc/{pid}/oom_score_adj") == "200\n"
        assert machine.run("ps", "-o", "ni=", "-p", str(pid)).stdout.strip() == "3"
        assert Path(machine.run("readlink", f"/proc/{pid}/cwd").stdout.strip()) != Path("/srv")

    def check_reload(self, machine: Machine, *reload: str) -> None:
        """Edit its configuration, reload it by a command, and see its main process stay and answer otherwise."""
        pid = self.main_pid(machine)
        if self.name == "nginx":
            site = "server { listen 80 default_server; location / { return 200 reloaded; } }"
            machine.write("/etc/nginx/sites-enabled/default", site)
        else:
            machine.write(f"{SETTINGS}/{self.name}.txt", "reloaded")
        machine.run(*reload)
        wait_until(lambda: machine.run(*self.question, check=False).stdout == "reloaded", what="the new answer")
        assert self.main_pid(machine) == pid


REDIS = Example(
    "redis",
    r"/usr/bin/redis-server ",
    "redis",
    ("redis-cli", "ping"),
    "^PONG$",
    restarts=True,
    reloads=False,
)
NGINX = Example(
    "nginx",
    r"nginx: master process /usr/sbin/nginx",
    "root",
    ("curl", "--silent", "--fail", "http://127.0.0.1/"),
    "nginx|^reloaded$",
    restarts=False,
    reloads=True,
    umask="0000",  # as a daemon it clears it by itself
)
EXAMPLE = Example(
    "example",
    r"\S*python3\S* .*/example\.py",
    "root",
    ("curl", "--silent", "--fail", "http://127.0.0.1:8080/"),
    "^(example is running|reloaded)$",
    restarts=True,
    reloads=True,
)
ALL = (REDIS, NGINX, EXAMPLE)
