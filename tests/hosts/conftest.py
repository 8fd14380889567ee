"""The deployment of nixos-tests/cluster.nix in the lab, shared by its tests; each leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts import deployment, lab
from tests.hosts.host import Host
from windtunnel.drill.remote_cluster import NixosCluster, share_secrets, wait

CENTRAL = ("api-server", "scheduler", "dag-processor", "triggerer", "flower", "reconciler")


class Deployment:
    """Hosts by name, and what the scenarios work on."""

    def __init__(self, hosts: dict[str, Host]) -> None:
        self.hosts = hosts
        workers = {"worker-0": hosts["worker1"], "worker-1": hosts["worker2"]}
        stores = {name: hosts[name] for name in ("valkey", "postgres")}
        self.cluster = NixosCluster(
            {**stores, **workers, **dict.fromkeys(CENTRAL, hosts["scheduler"])}
        )

    def host_of(self, worker: str) -> Host:
        return self.hosts[self.cluster.roles[worker].name]

    def settled(self) -> bool:
        """Both workers serve and are in Flower."""
        cluster = self.cluster
        return cluster.workers() == set(cluster.nodes) and all(
            cluster.up(node) for node in cluster.nodes
        )


@pytest.fixture(scope="session")
def running() -> Iterator[Deployment]:
    """About a minute until it serves."""
    if reason := lab.why_not() or deployment.why_not():
        pytest.skip(reason)
    with lab.Lab(deployment.HOSTS, deployment.prepare) as made:
        hosts = made.hosts
        # As nixos-tests/prelude.nix.
        share_secrets(
            hosts["scheduler"], [host for name, host in hosts.items() if name != "scheduler"]
        )
        here = Deployment(hosts)
        wait(lambda: here.cluster.up("api-server"), "the API server")
        wait(here.settled, "both workers")
        dags = ("steady", "retry", "memory")
        wait(
            lambda: all(here.cluster.airflow(f"/dags/{dag}")["dag_id"] == dag for dag in dags),
            "the DAGs",
        )
        yield here


@pytest.fixture
def deployed(running: Deployment) -> Deployment:
    """With both workers at rest."""
    for node in running.cluster.nodes:
        running.cluster.start(node)
    wait(running.settled, "both workers", patience=120)
    return running
