"""A project of DAG files, each with one fault or one thing that is no fault."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

#: For each DAG file: a DAG with one task, whose id is the file's stem.
DAG = """
from airflow.sdk import DAG, task
with DAG("{stem}", schedule=None, default_args={arguments}):
    @task
    def only(): pass
    only()
"""

FILES = {
    "good": DAG,
    "broken": "from airflow.sdk import DAG\nfrom helpers import divide\n\ndivide(1)\n",
    "missing_package": "from airflow.sdk import DAG\nimport not_there.at_all\n",
    "no_python": "from airflow.sdk import DAG\nwith DAG('x'\n",
    "raises_cause": """
        from airflow.sdk import DAG
        try:
            {}["key"]
        except KeyError as error:
            raise RuntimeError("no config") from error
        """,
    "same_task": """
        from airflow.sdk import DAG, BaseOperator
        with DAG("same_task", schedule=None):
            BaseOperator(task_id="a")
            BaseOperator(task_id="a")
        """,
    "circle": """
        from airflow.sdk import DAG, BaseOperator
        with DAG("circle", schedule=None):
            a, b = BaseOperator(task_id="a"), BaseOperator(task_id="b")
            a >> b >> a
        """,
    "unserializable": """
        from airflow.sdk import DAG, BaseOperator
        class Mine(BaseOperator):
            template_fields = ("value",)
            @property
            def task_type(self): raise ValueError("no type")
        with DAG("unserializable", schedule=None):
            Mine(task_id="a")
        """,
    "one_id_twice": """
        from airflow.sdk import DAG, BaseOperator
        with DAG("one_id_twice", schedule=None) as first:
            BaseOperator(task_id="a")
        with DAG(dag_id="one_id_twice", schedule=None) as second:
            BaseOperator(task_id="b")
        """,
    "other_id_a": DAG.replace("{stem}", "shared_id"),
    "other_id_b": DAG.replace("{stem}", "shared_id"),
    "exits": "from airflow.sdk import DAG\nimport sys\nsys.exit('enough')\n",
    # The descriptor of the answer is one of these.
    "answers": DAG
    + "import os\nfor each in range(3, 40):\n    try:\n        os.write(each, b'[mine\\n')\n"
    "    except OSError:\n        pass\nos._exit(3)\n",
    "exits_at_once": DAG + "import os\nos._exit(3)\n",
    "interrupts": DAG + "raise KeyboardInterrupt('mine')\n",
    "crashes": DAG + "import ctypes\nctypes.string_at(0)\n",
    "killed": DAG + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "hangs": DAG + "import time\ntime.sleep(1000)\n",
    "hangs_on": DAG
    + """
while True:
    try:
        import time
        time.sleep(1000)
    except BaseException:
        pass
""",
    "prints": DAG + "for _ in range(3000): print('x' * 1000)\n",
    "prints_little": DAG + "print('hello')\n",
    "forks": DAG + "import os\nif not os.fork():\n    os._exit(0)\n",
    "forks_and_goes_on": DAG + "import os\nos.fork()\n",
    "leaves_a_process": DAG
    + """
import subprocess, pathlib
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
pathlib.Path(__file__).with_suffix(".pid").write_text(str(child.pid))
""",
    "connects": DAG + "from helpers import fetch\nfetch()\n",
    "connects_quietly": DAG
    + """
import socket
try:
    socket.create_connection(("127.0.0.1", {port})).close()
except OSError:
    pass
""",
    "looks_up": DAG
    + "import socket\ntry: socket.getaddrinfo('db.invalid', 1)\nexcept OSError: pass\n",
    "opens_sqlite": DAG + "import sqlite3\nsqlite3.connect('/dev/null')\n",
    "opens_memory": DAG + "import sqlite3\nsqlite3.connect(':memory:')\n",
    "opens_postgres": DAG
    + """
import psycopg2
try:
    psycopg2.connect("postgresql://me:secret@127.0.0.1:1/db")
except psycopg2.OperationalError:
    pass
""",
    "connects_in_task": """
        from airflow.sdk import DAG, task
        with DAG("connects_in_task", schedule=None):
            @task
            def only():
                import socket
                socket.create_connection(("127.0.0.1", 1))
            only()
        """,
    "uses_metadata": """
        from airflow.sdk import DAG
        from airflow.settings import Session
        Session().execute("SELECT 1")
        """,
    "reads_variable": DAG + "from airflow.sdk import Variable\nassert Variable.get('a') == '1'\n",
    "reads_env_variable": DAG
    + "from airflow.sdk import Variable\nassert Variable.get('of_env') == '2'\n",
    "reads_default": DAG
    + "from airflow.sdk import Variable\nassert Variable.get('none', default=3) == 3\n",
    "reads_nothing": DAG + "from airflow.sdk import Variable\nVariable.get('none')\n",
    "reads_connection": DAG
    + "from airflow.sdk import Connection\nassert Connection.get('known').host == 'h'\n",
    "queue_served": DAG.replace("{arguments}", "dict(queue='urgent')"),
    "queue_off": DAG.replace("{arguments}", "dict(queue='heavy')"),
    "queue_unknown": DAG.replace("{arguments}", "dict(\n  queue='nowhere')"),
    "pool_known": DAG.replace("{arguments}", "dict(pool='small')"),
    "pool_unknown": DAG.replace("{arguments}", "dict(pool='nowhere')"),
    "connections": """
        from airflow.sdk import DAG, BaseOperator, task
        from airflow.sdk.bases.hook import BaseHook
        class Sql(BaseOperator):
            def __init__(self, conn_id="mine_default", **more):
                super().__init__(**more)
                self.conn_id = conn_id
        with DAG("connections", schedule=None):
            Sql(task_id="known", conn_id="known")
            Sql(task_id="of_env", conn_id="of_env")
            Sql(task_id="template", conn_id="{{ params.conn }}")
            Sql(task_id="default")
            Sql(task_id="unknown", conn_id="unknown_1")
            Sql.partial(task_id="mapped").expand(conn_id=["known", "unknown_2"])
            @task
            def only():
                BaseHook.get_connection("unknown_3")
                SomeHook("unknown_4", other_conn_id="known")
            only()
        """,
    "deprecated": """
        from airflow.sdk import DAG
        from helpers import old
        old()
        with DAG("deprecated", schedule=None): pass
        """,
    "deprecated_airflow": """
        from airflow.sdk import DAG
        from airflow.utils.dates import days_ago
        """,
    "deprecated_import": DAG + "from airflow.models.baseoperator import BaseOperator\n",
    "slow_import": DAG + "import slow_module\n",
    "reads_stdin": DAG + "import sys\nassert sys.stdin.read() == ''\n",
    "relative_file": DAG + "open('airflow_settings.yaml').close()\n",
    "no_dag": "# airflow, but no DAG\n",
    "huge": """
        from airflow.sdk import DAG, BaseOperator
        for number in range(300):
            with DAG(f"huge_{number}_" + "x" * 100, schedule=None):
                for i in range(5):
                    BaseOperator(task_id=f"task_{i}_" + "y" * 100)
        """,
}

HELPERS = """
import socket, warnings

def divide(number):
    return number / 0

def fetch():
    socket.create_connection(("127.0.0.1", {port})).close()

def old():
    warnings.warn("old is gone soon", DeprecationWarning, stacklevel=2)
"""
SETTINGS = """
airflow:
  connections: [{conn_id: known, conn_type: http, conn_host: h}]
  pools: [{pool_name: small, pool_slot: 1}]
  variables: [{variable_name: a, variable_value: "1"}]
"""
PROCESSES = """
processes:
  worker-urgent:
    command: exec python -m windtunnel.worker --name worker-urgent --queues urgent,soon
"""
ENV = """
AIRFLOW_CONN_OF_ENV=http://h
AIRFLOW_VAR_OF_ENV=2
AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT=4
AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT=8
"""


def write(root: Path, port: int) -> None:
    """Write the project; `port` is one that answers."""
    for name, text in {
        "helpers.py": HELPERS,
        "slow_module.py": "import slow_inside\n",
        "slow_inside.py": "import time\ntime.sleep(0.3)\n",
        "airflow_settings.yaml": SETTINGS,
        "windtunnel.yaml": PROCESSES,
        ".env": ENV,
    }.items():
        (root / name).write_text(text.replace("{port}", str(port)))
    (root / "dags").mkdir()
    for stem, text in FILES.items():
        values = {"{stem}": stem, "{arguments}": "{}", "{port}": str(port)}
        for mark, value in values.items():
            text = text.replace(mark, value)
        (root / "dags" / f"{stem}.py").write_text(dedent(text))


@contextmanager
def answering_port() -> Iterator[int]:
    """A port of this machine that answers."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
