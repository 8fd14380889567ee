"""`windtunnel drain` beside another command that stops the same worker."""

from __future__ import annotations

import threading
import time

from windtunnel.clients.process_compose import Compose
from windtunnel.settings import Settings
from windtunnel.stack import drain
from windtunnel.system.waiting import wait_for


def test_a_worker_that_drains_already_is_waited_for(supervised: Settings) -> None:
    client = Compose(supervised)
    first = threading.Thread(target=client.stop, args=["worker"])
    first.start()
    assert wait_for(lambda: client.process("worker").status == "Terminating", 5, 0.01)
    assert drain.drain(supervised, "worker-0").clean
    assert client.process("worker").status == "Completed"
    first.join(10)


def test_a_worker_that_a_scaling_renames_meanwhile_is_found_again(supervised: Settings) -> None:
    client = Compose(supervised)
    client.scale("worker", 2)
    scaling = threading.Thread(target=client.scale, args=["worker-0", 1])
    scaling.start()
    # The surplus worker ends before this one, and then this one has another name.
    time.sleep(1)
    drained = drain.drain(supervised, "worker-0")
    assert (drained.process, drained.clean) == ("worker", True)
    scaling.join(20)
