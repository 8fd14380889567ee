"""A real RabbitMQ as the stack starts it, without Airflow."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import amqp
import psutil
import pytest

from tests.servers import running
from tests.stack_fixture import until
from tests.unit.brokers.conftest import why_not
from windtunnel.brokers import choice, rabbitmq_conf, rabbitmq_management
from windtunnel.brokers.rabbitmq_client import LOST_QUEUE, QUORUM, connect, report
from windtunnel.brokers.rabbitmq_messages import RabbitMessages
from windtunnel.settings import Settings
from windtunnel.stack import leftovers

#: RabbitMQ 4 drops a message at the twentieth delivery that failed.
REDELIVERIES = 21


def processes(settings: Settings) -> list[psutil.Process]:
    """All of RabbitMQ and Erlang of this stack."""
    names = ("beam", "epmd", "erl_child", "inet_gethost")
    return [p for p in psutil.process_iter() if p.name().startswith(names) and _ours(p, settings)]


def _ours(process: psutil.Process, settings: Settings) -> bool:
    try:
        return str(settings.ports.epmd) == process.environ().get("ERL_EPMD_PORT")
    except psutil.Error:
        return False


def test_it_and_its_port_mapper_listen_on_loopback_only(rabbitmq: Settings) -> None:
    found = processes(rabbitmq)
    assert {p.name() for p in found} >= {"beam.smp", "epmd"}
    listening = {
        (c.laddr.ip, c.laddr.port)
        for p in found
        for c in p.net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    }
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1"}
    ours = {port for name, port in rabbitmq.ports.items("rabbitmq")}
    assert {port for _, port in listening} <= ours


def test_its_files_are_private_and_the_cookie_is_nobodys_to_write(rabbitmq: Settings) -> None:
    home = rabbitmq_conf.folder(rabbitmq)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in home.iterdir()}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert modes[".erlang.cookie"] == 0o400
    assert modes["rabbitmq.conf"] == modes["definitions.json"] == 0o600


def test_no_password_is_in_arguments_or_in_the_log(rabbitmq: Settings) -> None:
    secrets = [rabbitmq.secret(name) for name in choice.of(rabbitmq).secrets]
    secrets.append((rabbitmq_conf.folder(rabbitmq) / ".erlang.cookie").read_text())
    texts = [" ".join(p.cmdline()) for p in processes(rabbitmq)]
    texts.append((rabbitmq.state / "rabbitmq.log").read_text())
    assert not [name for name in secrets if any(name in text for text in texts)]


def test_guest_is_unknown_and_the_user_may_not_take_rabbitmqs_own_names(rabbitmq: Settings) -> None:
    url = rabbitmq.secret("broker-url")
    with pytest.raises(amqp.AccessRefused):
        connect(f"amqp://guest:guest@127.0.0.1:{rabbitmq.ports.amqp}/", 5)
    with pytest.raises(amqp.NotAllowed):
        connect(url.rsplit("/", 1)[0] + "/%2F", 5)
    connection = connect(url, 5)
    with pytest.raises(amqp.AccessRefused):
        connection.channel().exchange_declare("amq.ours", "direct")
    connection.close()


def _waits(channel: Any) -> bool:
    return bool(channel.queue_declare("many", passive=True).message_count)


def test_a_message_of_a_quorum_queue_outlives_21_redeliveries(rabbitmq: Settings) -> None:
    url = rabbitmq.secret("broker-url")
    connection = connect(url, 5)
    channel = connection.channel()
    channel.queue_declare("many", durable=True, auto_delete=False, arguments=QUORUM)
    channel.basic_publish(amqp.Message("again", delivery_mode=2), routing_key="many")
    for _ in range(REDELIVERIES):
        assert channel.basic_get("many") is not None
        channel.close()  # as when a worker dies: its message goes back
        channel = connection.channel()
        until("it is back", partial(_waits, channel), 10, 0.02)
    message = channel.basic_get("many")
    assert message is not None and message.body == "again"
    headers = message.headers or {}
    assert int(headers.get("x-delivery-count", REDELIVERIES)) >= REDELIVERIES
    channel.basic_ack(message.delivery_tag)
    channel.queue_delete("many")
    connection.close()


def test_depths_are_those_of_this_moment_and_reports_are_none(rabbitmq: Settings) -> None:
    connection = connect(rabbitmq.secret("broker-url"), 5)
    channel = connection.channel()
    channel.queue_declare("deep", durable=True, auto_delete=False, arguments=QUORUM)
    kind = choice.of(rabbitmq)
    until("it is counted", lambda: "deep" in kind.depths(rabbitmq).waiting, 20)
    channel.basic_publish(amqp.Message('["x"]', delivery_mode=2), routing_key="deep")
    found = kind.depths(rabbitmq, ("default",))
    assert (found.waiting["deep"], found.waiting["default"]) == (1, 0)
    assert LOST_QUEUE not in found.waiting
    assert kind.bodies(rabbitmq, ["deep", "default"]) == [b'["x"]']
    assert kind.depths(rabbitmq).waiting["deep"] == 1, "reading has put it back"
    channel.queue_delete("deep")
    connection.close()


def test_a_report_stays_until_it_is_forgotten_also_over_a_reconnect(rabbitmq: Settings) -> None:
    report(rabbitmq.secret("broker-url"), {"a": '{"worker": "worker-0"}', "b": '{"worker": "w"}'})
    report(rabbitmq.secret("broker-url"), {"a": '{"worker": "worker-0"}'})
    first = RabbitMessages(rabbitmq)
    assert set(first.lost()) == {"a", "b"} == set(first.lost())
    first.forget("b")
    first.connection.collect()  # lost without a goodbye
    again = RabbitMessages(rabbitmq)
    assert until("the report is back", lambda: again.lost(), 10) == {"a": {"worker": "worker-0"}}
    again.forget("a")
    assert again.lost() == {}
    again.connection.close()
    assert RabbitMessages(rabbitmq).lost() == {}


def test_its_user_sees_the_queues_and_nothing_of_the_server(rabbitmq: Settings) -> None:
    assert isinstance(rabbitmq_management.queues(rabbitmq), dict)
    with pytest.raises(ConnectionError, match=r"401|403"):
        rabbitmq_management._get(rabbitmq, "/api/users")
    assert abs(choice.of(rabbitmq).clock(rabbitmq) - time.time()) < 5


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_erlang_is_left_when_it_has_ended(tmp_path: Path, signum: int) -> None:
    if reason := why_not():
        pytest.skip(reason)
    with running(tmp_path / "state", "rabbitmq") as settings:
        assert choice.of(settings).fault(settings) is None
        (own,) = [
            p
            for p in psutil.Process().children()
            if "windtunnel.brokers.rabbitmq_server" in p.cmdline()
            and p.environ().get("WINDTUNNEL_STATE") == str(settings.state)
        ]
        assert processes(settings)
        own.send_signal(signum)
        until("all of it has ended", lambda: not processes(settings), 60)
        assert choice.of(settings).fault(settings) is not None
    assert leftovers.find(settings) == []


def test_definitions_hold_no_password_in_clear(rabbitmq: Settings) -> None:
    text = json.dumps(rabbitmq_conf.definitions(rabbitmq))
    assert not [n for n in choice.of(rabbitmq).secrets if rabbitmq.secret(n) in text]


def test_without_a_server_it_says_so_in_one_line(tmp_path: Path) -> None:
    env = {"PATH": "/nonexistent", "BROKER": "rabbitmq", "WINDTUNNEL_STATE": str(tmp_path)}
    env |= {"WINDTUNNEL_RABBITMQ": str(tmp_path)}
    command = [sys.executable, "-m", "windtunnel.brokers.rabbitmq_server"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2 or done.returncode == 1
    assert done.stderr.count("\n") == 1 and "WINDTUNNEL_RABBITMQ" in done.stderr
