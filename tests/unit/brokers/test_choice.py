"""The broker of a stack, and what each of them makes of Celery's settings and of ports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from windtunnel.brokers import choice, rabbitmq, rabbitmq_conf, rabbitmq_programs
from windtunnel.brokers.rabbitmq_messages import RabbitMessages
from windtunnel.errors import UsageError, WindtunnelError
from windtunnel.settings import Ports, Settings, load


def settings_for(tmp_path: Path, **variables: str) -> Settings:
    return load({"WINDTUNNEL_STATE": str(tmp_path / "state"), **variables}, client=False)


def test_valkey_is_the_default_and_rabbitmq_a_word_away(tmp_path: Path) -> None:
    assert choice.of(settings_for(tmp_path)).name == "valkey"
    assert choice.of(settings_for(tmp_path, BROKER="rabbitmq")).name == "rabbitmq"


def test_another_word_is_refused_with_the_words_that_are_possible(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"BROKER='kafka'.*valkey, rabbitmq"):
        settings_for(tmp_path, BROKER="kafka")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://:x@127.0.0.1:6379/0", "valkey"),
        ("sentinel://a:26379", "valkey"),
        ("amqp://a:b@127.0.0.1:5672/airflow", "rabbitmq"),
        ("amqps://a:b@127.0.0.1:5671/airflow", "rabbitmq"),
        ("sqs://", None),
    ],
)
def test_a_url_names_its_broker_by_its_scheme(url: str, name: str | None) -> None:
    found = choice.of_url(url)
    assert (found.name if found else None) == name


def test_a_stack_has_the_ports_of_its_own_broker_only(tmp_path: Path) -> None:
    valkey = dict(Ports().items("valkey"))
    rabbit = dict(
        settings_for(tmp_path, BROKER="rabbitmq", PORT_OFFSET="100").ports.items("rabbitmq")
    )
    assert "valkey" in valkey and "amqp" not in valkey and "valkey" not in rabbit
    assert (rabbit["amqp"], rabbit["rabbitmq-management"], rabbit["epmd"]) == (5772, 15772, 4469)


def test_one_of_the_two_processes_is_off_and_the_rest_depends_on_the_other(tmp_path: Path) -> None:
    found = settings_for(tmp_path, BROKER="rabbitmq").environment()
    off = found["WINDTUNNEL_VALKEY_OFF"], found["WINDTUNNEL_RABBITMQ_OFF"]
    assert (found["BROKER"], *off) == ("rabbitmq", "true", "false")


def test_celery_gets_quorum_queues_confirms_and_no_option_of_redis() -> None:
    config = {"broker_transport_options": {"visibility_timeout": 1, "socket_timeout": 5, "x": 1}}
    rabbitmq.RabbitMQ().celery(config)
    limits = {"read_timeout": 5, "write_timeout": 5}
    assert config["broker_transport_options"] == {"x": 1, "confirm_publish": True} | limits
    for name, value in {
        "task_default_queue_type": "quorum",
        "task_create_missing_queue_type": "quorum",
        "broker_channel_error_retry": True,
        "worker_enable_prefetch_count_reduction": False,
        "control_queue_exclusive": True,
        "event_queue_exclusive": True,
    }.items():
        assert config[name] == value, name


def test_every_option_for_celery_is_one_that_celery_knows() -> None:
    from celery.app.defaults import NAMESPACES, flatten

    known = {name for name, _ in flatten(NAMESPACES)}
    assert set(rabbitmq.CELERY) <= known


def test_flower_asks_the_management_api_of_the_same_offset() -> None:
    options = rabbitmq.RabbitMQ().flower("amqp://a:b@127.0.0.1:5772/airflow")
    assert options == {"broker-api": "http://a:b@127.0.0.1:15772/api/"}


def test_the_configuration_listens_on_loopback_and_outlives_long_tasks(tmp_path: Path) -> None:
    text = rabbitmq_conf.configuration(settings_for(tmp_path, BROKER="rabbitmq"))
    lines = dict(line.split(" = ", 1) for line in text.splitlines())
    assert lines["listeners.tcp.1"] == "127.0.0.1:5672"
    assert (lines["management.tcp.ip"], lines["management.tcp.port"]) == ("127.0.0.1", "15672")
    week = 7 * 86400 * 1000
    assert week < int(lines["consumer_timeout"]) < 2**32  # beyond that no timer of Erlang's goes


def test_the_servers_environment_has_nothing_of_another_rabbitmq(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, BROKER="rabbitmq")
    given = {"RABBITMQ_NODENAME": "other", "ERL_FLAGS": "-x", "LANG": "C"}
    found = rabbitmq_conf.environment(settings, given)
    assert found["LANG"] == "C" and "ERL_FLAGS" not in found
    assert found["RABBITMQ_NODENAME"] == rabbitmq_conf.NODE
    assert found["ERL_EPMD_ADDRESS"] == "127.0.0.1"
    assert found["HOME"].startswith(str(settings.state))


@pytest.mark.parametrize(
    ("name", "may"), [("default", True), ("windtunnel.lost", True), ("amq.gen-x", False)]
)
def test_the_user_may_have_every_name_but_rabbitmqs_own(name: str, may: bool) -> None:
    assert bool(re.match(rabbitmq_conf.OWN, name)) is may
    assert bool(re.match(rabbitmq_conf.WRITABLE, name)) is may
    assert re.match(rabbitmq_conf.WRITABLE, "amq.default")


def test_a_machine_without_rabbitmq_is_told_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(rabbitmq_programs, "BESIDES", ())
    with pytest.raises(
        WindtunnelError, match=r"apt-get install rabbitmq-server.*WINDTUNNEL_RABBITMQ"
    ):
        rabbitmq_programs.find()
    monkeypatch.setenv(rabbitmq_programs.VARIABLE, str(tmp_path))
    with pytest.raises(WindtunnelError, match="has no program rabbitmq-server"):
        rabbitmq_programs.find()


@pytest.mark.parametrize(
    ("counts", "here", "absent"),
    [
        # Nothing waits, nobody holds anything.
        ({"default": (0, 0)}, set(), {"a"}),
        ({}, set(), {"a"}),
        # A message waits: it may be the one.
        ({"default": (1, 0)}, set(), set()),
        # Messages of another queue say nothing about this one.
        ({"default": (0, 0), "heavy": (5, 0)}, set(), {"a"}),
        # A worker holds one that no worker here has written down: it may be the one.
        ({"default": (0, 1)}, set(), set()),
        ({"default": (0, 1)}, {"b"}, {"a"}),
        # The worker here has it.
        ({"default": (0, 1)}, {"a"}, set()),
        # Not counted yet.
        ({"default": (None, None)}, set(), set()),
    ],
)
def test_a_message_is_missed_only_where_the_numbers_leave_no_doubt(
    counts: dict[str, tuple[int | None, int | None]],
    here: set[str],
    absent: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = RabbitMessages(settings_for(tmp_path, BROKER="rabbitmq"))
    monkeypatch.setattr(
        "windtunnel.brokers.rabbitmq_management.queues", lambda settings: dict(counts)
    )
    assert messages.absent({"a": "default"}, lambda: here) == absent
