"""The process-compose stack as a cluster, where a scenario ends in an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from windtunnel.drill import local_cluster
from windtunnel.drill.local_cluster import LocalCluster
from windtunnel.drill.tcp_proxy import TcpProxy


def test_a_lab_worker_whose_scenario_fails_is_not_healed_after_its_wire_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def lab_worker(*_: Any) -> Iterator[Any]:
        with TcpProxy(1) as proxy:
            yield SimpleNamespace(proxy=proxy)

    monkeypatch.setattr(local_cluster, "lab_worker", lab_worker)
    monkeypatch.setattr(LocalCluster, "kill", lambda *_: None)
    cluster = LocalCluster.__new__(LocalCluster)
    cluster.settings = SimpleNamespace()  # type: ignore[assignment]
    cluster._worker_environment = {}
    cluster.lab = None
    with pytest.raises(RuntimeError, match="the scenario's own"), cluster.lab_worker():
        assert cluster.lab is not None
        raise RuntimeError("the scenario's own")
    assert cluster.lab is None
