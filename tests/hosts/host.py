"""One host of the lab; it has the methods of the NixOS test driver's machine that windtunnel.drill.remote_cluster uses."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tests.hosts import control_groups

if TYPE_CHECKING:
    from tests.hosts.lab import Lab

T = TypeVar("T")
INIT = Path(__file__).with_name("init.sh")
#: What systemd-nspawn leaves to a container, and net_admin.
CAPABILITIES = (
    "audit_control",
    "audit_write",
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "ipc_owner",
    "kill",
    "lease",
    "linux_immutable",
    "mknod",
    "net_admin",
    "net_bind_service",
    "net_broadcast",
    "net_raw",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_admin",
    "sys_boot",
    "sys_chroot",
    "sys_nice",
    "sys_ptrace",
    "sys_resource",
    "sys_tty_config",
)
NAMESPACES = [
    "--mount",
    "--uts",
    "--ipc",
    "--cgroup",
    "--net",
    "--pid",
    "--fork",
    "--kill-child=KILL",
    "--propagation",
    "private",
]


class Host:
    """A host that is off until `start`. What lies in `kept` outlives `crash` and `shutdown`; all else is lost with them."""

    def __init__(self, lab: Lab, name: str, ip: str, prepare: str) -> None:
        self.lab, self.name, self.ip, self.prepare = lab, name, ip, prepare
        self.mount_point = lab.folder / name
        self.log_file = lab.folder / f"{name}.log"
        self.kept = lab.folder / "kept" / name
        self.process: subprocess.Popen[bytes] | None = None
        self.groups: list[Path] = []
        self.pid = 0

    @property
    def mac(self) -> str:
        return f"02:00:00:00:00:{int(self.ip.rpartition('.')[2]):02x}"

    # -- power ------------------------------------------------------------------------------
    def start(self) -> None:
        """Boot. Raises RuntimeError with the end of its log when systemd is not up within a minute."""
        self.mount_point.mkdir(exist_ok=True)
        self.kept.mkdir(parents=True, exist_ok=True)
        self.groups = control_groups.create(f"{self.lab.tag}-{self.name}")
        enter = "".join(
            f"echo $$ >{shlex.quote(str(group))}/cgroup.procs; " for group in self.groups
        )
        names = f"printf %s {shlex.quote(self.lab.hosts_file())} >$1/etc/hosts\n"
        capabilities = "-all," + ",".join("+" + name for name in CAPABILITIES)
        init = [
            "bash",
            str(INIT),
            self.name,
            "/",
            str(self.mount_point),
            names + self.prepare,
            control_groups.mount_list(),
            capabilities,
        ]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    "setpriv",
                    "--pdeathsig",
                    "KILL",
                    "bash",
                    "-c",
                    enter + 'exec "$@"',
                    "enter",
                    "unshare",
                    *NAMESPACES,
                    *init,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.pid = int(self._until(lambda: children.read_text().split(), "pid 1")[0])
        own = Path("/proc/self/ns/net").readlink()
        self._until(lambda: Path(f"/proc/{self.pid}/ns/net").readlink() != own, "network namespace")
        self._plug_in()
        # Not `is-system-running`: that waits for units which wait for other hosts.
        self._until(
            lambda: self.run("systemctl", "is-active", "basic.target").stdout == "active\n",
            "systemd",
            60,
        )

    def _plug_in(self) -> None:
        cable = f"p-{self.name}"
        self.lab.on_switch(
            f"ip link add {cable} type veth peer name eth0 netns {self.pid}; ip link set {cable} master br0 up"
        )
        # Fixed neighbours: a cut cable is to be silence, not `no route to host`.
        others = "".join(
            f"ip neigh replace {host.ip} lladdr {host.mac} dev eth0 nud permanent; "
            for host in self.lab.hosts.values()
            if host is not self
        )
        script = f"ip link set lo up; ip link set eth0 address {self.mac}; ip addr add {self.ip}/24 dev eth0; ip link set eth0 up; {others}"
        subprocess.run(["nsenter", "-t", str(self.pid), "-n", "bash", "-euc", script], check=True)

    def _until(self, condition: Callable[[], T], what: str, patience: float = 20) -> T:
        end = time.monotonic() + patience
        while time.monotonic() < end and self.process and self.process.poll() is None:
            with contextlib.suppress(OSError):
                if found := condition():
                    return found
            time.sleep(0.02)
        raise RuntimeError(f"{self.name}: no {what}: {self.log_file.read_text()[-2000:]}")

    def shutdown(self, patience: float = 120) -> float:
        """An orderly power-off: units get their SIGTERM and their time. Returns the seconds it took."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGRTMIN + 4)  # systemd(1): starts poweroff.target
        try:
            assert self.process is not None
            self.process.wait(patience)
            return time.monotonic() - began
        finally:
            self.crash()

    def crash(self) -> None:
        """Power loss."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process = None
        control_groups.remove(self.groups)

    # -- use ----------------------------------------------------------------------------------
    def run(self, *command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """A command in all of the host's namespaces, as root, outside its systemd."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        return subprocess.run(
            [*enter, *command], input=stdin, capture_output=True, text=True, check=False
        )

    def execute(self, command: str) -> tuple[int, str]:
        """Exit code and output of a shell command."""
        done = self.run("bash", "-c", command)
        return done.returncode, done.stdout

    def succeed(self, command: str) -> str:
        """Its output. Raises AssertionError when it fails."""
        done = self.run("bash", "-c", command)
        assert done.returncode == 0, (
            f"{self.name}: {command}: {done.stdout[-500:]} {done.stderr[-500:]}"
        )
        return done.stdout

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        """Of `systemctl show`."""
        lines = self.succeed(f"systemctl show {unit} -p {','.join(names)}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def block(self) -> None:
        """The cable is cut silently: packets vanish, the link stays up."""
        self.lab.on_switch(f"bridge link set dev p-{self.name} state 0")

    def unblock(self) -> None:
        self.lab.on_switch(f"bridge link set dev p-{self.name} state 3")
