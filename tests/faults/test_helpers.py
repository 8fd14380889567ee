"""The measuring instruments of the failure tests: each must be able to say no."""

from __future__ import annotations

import socket
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from windtunnel.drill import rehearse, report
from windtunnel.drill.cluster import Away, Check, Checks, Mark, NotPossibleHere
from windtunnel.drill.scenarios.catalogue import SCENARIOS, Outcome, Scenario, play
from windtunnel.drill.steps import NeverCame, seconds_until, wait_until
from windtunnel.drill.tcp_proxy import TcpProxy
from windtunnel.drill.verdicts import once, overlaps
from windtunnel.errors import UsageError


def mark(event: str, at: float, attempt: int = 1, pid: int = 10, task: str = "work") -> Mark:
    return Mark(event, "steady", "r1", task, -1, attempt, pid, "worker-0", at)


def test_a_task_that_ran_twice_or_not_to_its_end_is_seen() -> None:
    assert once([mark("start", 1), mark("pulse", 2), mark("end", 3)])[0]
    assert not once([mark("start", 1), mark("end", 2), mark("start", 3, 2), mark("end", 4, 2)])[0]
    fine, words = once([mark("start", 1)])
    assert not fine and "1 of 1 differ" in words


def test_two_copies_at_once_are_seen_by_their_pulses() -> None:
    retried = [mark("start", 1), mark("pulse", 2), mark("start", 5, 2, 11), mark("end", 9, 2, 11)]
    assert overlaps(retried) == []
    orphan = [*retried, mark("pulse", 6)]
    assert len(overlaps(orphan)) == 1 and "1.0 s" in overlaps(orphan)[0]
    assert (
        overlaps([mark("start", 1), mark("end", 9), mark("start", 2, task="other", pid=12)]) == []
    )


def test_waiting_says_what_never_came_and_what_was_seen_instead() -> None:
    with pytest.raises(NeverCame, match=r"the moon: not within 0 s; seen: clouds"):
        wait_until("the moon", lambda: False, 0.1, saw=lambda: "clouds")

    def away() -> bool:
        raise Away("API down")

    assert seconds_until("an answer", away, 0.1) is None
    assert seconds_until("now", lambda: True, 0.1, since=time.monotonic() - 5) == pytest.approx(
        5, abs=0.5
    )


def test_a_late_or_missing_event_breaks_a_promise() -> None:
    checks = Checks()
    checks.within("soon", 2, 1.0, 10)
    checks.within("late", 2, 3.0, 10)
    checks.within("never", 2, None, 10)
    assert [check.ok for check in checks.made] == [True, False, False]
    assert checks.made[2].seen == "not within 10 s"


def test_a_rehearsal_that_cannot_go_on_keeps_what_it_saw_and_fails() -> None:
    def broken(cluster: object, checks: Checks) -> None:
        checks.add("the first", True, "seen")
        raise NeverCame("a worker: not within 60 s")

    outcome = play(Scenario("x", "0", "x", broken), None)  # type: ignore[arg-type]
    assert not outcome.ok
    assert [check.ok for check in outcome.checks] == [True, False]
    silent = play(Scenario("x", "0", "x", lambda cluster, checks: None), None)  # type: ignore[arg-type]
    assert not silent.ok, "nothing checked is not a pass"


def test_a_scenario_that_this_machine_cannot_play_is_skipped_and_not_passed(tmp_path: Path) -> None:
    def impossible(cluster: object, checks: Checks) -> None:
        raise NotPossibleHere("no right to do it")

    outcome = play(Scenario("x", "0", "x", impossible), None)  # type: ignore[arg-type]
    assert outcome.skipped == "no right to do it"
    [row] = report.as_json([report.Rehearsal(outcome)], "3.3.2")["scenarios"]
    assert (row["ok"], row["skipped"], row["checks"]) == (True, "no right to do it", [])
    report.write_junit(tmp_path / "r.xml", [outcome])
    suite = ET.parse(tmp_path / "r.xml").getroot()  # noqa: S314
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")
    skipped = suite.find("testcase/skipped")
    assert skipped is not None and skipped.get("message") == "no right to do it"


@pytest.fixture
def echo() -> Iterator[int]:
    """A server on loopback that returns what it gets; its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer(client: socket.socket) -> None:
        with suppress(OSError), client:
            while data := client.recv(100):
                client.sendall(data)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


@pytest.fixture
def wire(echo: int) -> Iterator[tuple[TcpProxy, socket.socket]]:
    """A proxy before the server, and a client whose messages pass it."""
    with (
        TcpProxy(echo) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client,
    ):
        client.sendall(b"one")
        assert client.recv(10) == b"one"
        yield proxy, client


def test_the_wire_goes_silent_and_delivers_after_healing(
    wire: tuple[TcpProxy, socket.socket],
) -> None:
    proxy, client = wire
    proxy.cut(silent=True)
    client.sendall(b"two")
    client.settimeout(0.5)
    with pytest.raises(TimeoutError):
        client.recv(10)
    proxy.heal()
    client.settimeout(5)
    assert client.recv(10) == b"two"


def test_the_wire_resets_connections_old_and_new(wire: tuple[TcpProxy, socket.socket]) -> None:
    proxy, client = wire
    proxy.cut(silent=False)
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    # The reset may come while the connection is still being made, or after.
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as late,
    ):
        late.recv(10)
        proxy.heal()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as again:
            again.sendall(b"two")
            assert again.recv(10) == b"two"


def test_reports_count_a_broken_promise(tmp_path: Path) -> None:
    good = Outcome(SCENARIOS["broker-away"], [Check("a", "b", True)], 1.0)
    bad = Outcome(SCENARIOS["partition"], [Check("a < b", "not & so", False)], 2.0)
    one, both = [report.Rehearsal(good)], [report.Rehearsal(good), report.Rehearsal(bad)]
    assert (rehearse.code(one), rehearse.code(both), rehearse.code([])) == (0, 1, 1)
    assert report.as_json(both, "3.3.2")["ok"] is False
    report.write_junit(tmp_path / "r.xml", [good, bad])
    suite = ET.parse(tmp_path / "r.xml").getroot()  # noqa: S314
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failure = suite.find("testcase[@name='partition']/failure")
    assert failure is not None and failure.text == "a < b: not & so"


def test_every_row_has_a_scenario_and_only_the_gravest_must_be_named() -> None:
    assert {str(row) for row in range(1, 11)} | {"NFR-1"} <= {s.row for s in SCENARIOS.values()}
    grave = {"everything-killed", "disk-full", "clock-jump", "soak"}
    assert {s.name for s in SCENARIOS.values()} - {
        s.name for s in rehearse.choose([], None)
    } == grave
    assert [s.name for s in rehearse.choose([], 3)] == ["soak"]
    with pytest.raises(UsageError, match="earthquake"):
        rehearse.choose(["earthquake"], None)
