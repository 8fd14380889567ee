"""Odd names of queues and folders: what works is passed on as it is, what cannot work is refused before anything is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel.brokers import valkey_conf
from windtunnel.errors import UsageError
from windtunnel.services import state_folder
from windtunnel.settings import load
from windtunnel.variables.queue_names import queue_names
from windtunnel.worker.options import Options

WORKING = [
    "a b",
    'it"s',
    "it's",
    "größe 日本",
    "a*[b]?",
    "a$b${HOME}",
    "a|b;c&d",
    "a:b",
    "a#b",
    "vm2_queue",
    "x" * 255,
]
REFUSED = [
    "a\nb",
    "a\tb",
    "a\x06\x16b",
    "x" * 256,
    "ü" * 128,
    "-x",
    "a: b",
    "a #b",
    "a:",
    "{{.x}}",
    "\udcff",
    "unacked",
    "unacked_index",
    "_kombu.binding.default",
    "windtunnel:lost",
    "x.reply.celery.pidbox",
    "celeryev",
]


@pytest.mark.parametrize("name", WORKING)
def test_a_name_that_works_is_kept_to_the_letter(name: str) -> None:
    assert queue_names(f" {name} ,default", "WORKER_QUEUES") == f"{name},default"


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_cannot_work_is_refused_with_its_variable_before_up_and_by_the_worker(
    name: str, tmp_path: Path
) -> None:
    env = {"WINDTUNNEL_STATE": str(tmp_path), "WORKER_QUEUES": f"default,{name}"}
    for parse in (lambda: load(env, client=False), lambda: Options.parse([], env)):
        with pytest.raises(UsageError, match="WORKER_QUEUES: the queue name") as error:
            parse()
        assert "\n" not in str(error.value) and len(str(error.value)) < 250
    with pytest.raises(UsageError, match="--queues"):
        Options.parse([f"--queues=default,{name}"], {"WINDTUNNEL_STATE": str(tmp_path)})


def test_blanks_empty_names_and_repetitions_count_for_nothing() -> None:
    assert queue_names(" , a,,a , b", "WORKER_QUEUES") == "a,b"
    assert queue_names("", "WORKER_QUEUES") == queue_names(" ,", "WORKER_QUEUES") == "default"


def test_the_launcher_refuses_it_before_up_with_two_and_one_line(tmp_path: Path) -> None:
    code = "from windtunnel.stack.launcher import main; main()"
    env = {
        "PATH": "/nowhere",
        "WINDTUNNEL_STATE": str(tmp_path / "state"),
        "WORKER_QUEUES": "größe\n",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
    }
    env["WORKER_QUEUES"] = "größe\x07"
    done = subprocess.run(
        [sys.executable, "-c", code, "up"], env=env, capture_output=True, timeout=30, check=False
    )
    assert (
        done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"WORKER_QUEUES" in done.stderr
    ), done


def test_a_state_folder_of_any_alphabet_is_written_as_valkey_reads_it(tmp_path: Path) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path / 'größe 日本 "x"')}, client=False)
    for folder in (settings.secrets, settings.state / "valkey"):
        folder.mkdir(parents=True)
    (settings.secrets / "valkey-password").write_text("secret")
    state_folder.write_private(valkey_conf.file(settings), valkey_conf.configuration(settings))
    lines = (settings.state / "valkey" / "valkey.conf").read_text(encoding="utf-8").splitlines()
    written = str(settings.state / "valkey").replace('"', '\\"')
    assert f'dir "{written}"' in lines
