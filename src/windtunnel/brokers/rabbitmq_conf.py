"""The configuration of the stack's RabbitMQ: what its server reads and runs with.

Every name here is one that RabbitMQ 3.10 and 4.x know (rabbitmq.conf.example, rabbit.schema).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets as random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windtunnel.brokers.interface import File
from windtunnel.settings import ADMIN, Settings

#: The virtual host, and the user that Airflow, the workers and Flower are.
VHOST = "airflow"
USER = "airflow"
PASSWORD = "rabbitmq-password"  # noqa: S105 - names of files
ADMIN_PASSWORD = "rabbitmq-admin-password"  # noqa: S105
NODE = "windtunnel@localhost"
#: A message that is unacknowledged for this long is delivered again (rabbit_channel.erl).
#: RabbitMQ's own 30 minutes would cut off every longer task. Erlang's timers take 49 days.
CONSUMER_TIMEOUT_SECONDS = int(os.environ.get("WINDTUNNEL_CONSUMER_TIMEOUT_SECONDS") or 2592000)
#: Management counts messages this often; RabbitMQ's own 5 s would make every look that old.
STATISTICS_SECONDS = 2
#: A quorum queue of RabbitMQ 4 drops a message after 20 deliveries. 3.10 refuses -1 for "without".
DELIVERY_LIMIT = 1_000_000_000
#: What the user may configure and read: everything of the virtual host but RabbitMQ's own names.
OWN = r"^(?!amq\.).*"
#: It may also publish by the default exchange, whose name is `amq.default` here.
WRITABLE = r"^(amq\.default|(?!amq\.).*)$"


def folder(settings: Settings) -> Path:
    """The home of the server: configuration, cookie, messages."""
    return settings.state / "rabbitmq"


def files(settings: Settings) -> list[File]:
    """All but the messages. Definitions hold hashes of the passwords, the cookie is a password."""
    home = folder(settings)
    cookie = home / ".erlang.cookie"
    found = [
        File(home / "rabbitmq.conf", configuration(settings)),
        File(home / "advanced.config", ADVANCED),
        File(home / "definitions.json", json.dumps(definitions(settings), indent=1)),
        File(home / "enabled_plugins", "[rabbitmq_management].\n"),
    ]
    if not cookie.exists():
        # Erlang refuses one that others may read, and writes a weaker one where there is none.
        found.append(File(cookie, random.token_hex(32), 0o400))
    return found


#: Without an equivalent in rabbitmq.conf.
ADVANCED = f"[{{rabbit, [{{quorum_tick_interval, {STATISTICS_SECONDS * 1000}}}]}}].\n"


def configuration(settings: Settings) -> str:
    """The text of rabbitmq.conf. Times in milliseconds."""
    ports = settings.ports
    lines = {
        "listeners.tcp.1": f"127.0.0.1:{ports.amqp}",
        "management.tcp.ip": "127.0.0.1",
        "management.tcp.port": ports.rabbitmq_management,
        "load_definitions": folder(settings) / "definitions.json",
        "consumer_timeout": CONSUMER_TIMEOUT_SECONDS * 1000,
        "collect_statistics_interval": STATISTICS_SECONDS * 1000,
        # Publishers wait from here on; RabbitMQ's own 50 MB leave no room for its log.
        "disk_free_limit.absolute": "100MB",
        "log.file": "false",
        "log.console": "true",
        "log.console.level": "info",
        # Two lines a connection would bury everything else.
        "log.connection.level": "warning",
    }
    return "".join(f"{key} = {value}\n" for key, value in lines.items())


def password_hash(password: str, salt: bytes) -> str:
    """As RabbitMQ keeps it (rabbit_password_hashing_sha256.erl); `salt` has four bytes."""
    digest = hashlib.sha256(salt + password.encode()).digest()
    return base64.b64encode(salt + digest).decode()


def definitions(settings: Settings) -> dict[str, Any]:
    """Users, virtual host, permissions, policies; imported before the listener opens."""

    def user(name: str, secret: str, tags: str) -> dict[str, str]:
        return {
            "name": name,
            "password_hash": password_hash(settings.secret(secret), os.urandom(4)),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": tags,
        }

    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    own = {"configure": OWN, "write": WRITABLE, "read": OWN}
    return {
        # The tag lets its user count the messages of its own virtual host, and no more.
        "users": [user(USER, PASSWORD, "management"), user(ADMIN, ADMIN_PASSWORD, "administrator")],
        "vhosts": [{"name": VHOST}],
        "permissions": [
            {"user": USER, "vhost": VHOST, **own},
            {"user": ADMIN, "vhost": VHOST, **everything},
        ],
        "policies": [
            {
                "vhost": VHOST,
                "name": "windtunnel",
                "pattern": ".*",
                "apply-to": "queues",
                "priority": 0,
                "definition": {"delivery-limit": DELIVERY_LIMIT},
            }
        ],
    }


def environment(settings: Settings, env: Mapping[str, str]) -> dict[str, str]:
    """Variables of the server: the caller's, without those of another RabbitMQ or Erlang."""
    home = folder(settings)
    kept = {k: v for k, v in env.items() if not k.startswith(("RABBITMQ_", "ERL_"))}
    ours = {
        # Erlang looks for its cookie here.
        "HOME": home,
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": settings.ports.epmd,
        # A dump has the memory in clear, passwords included.
        "ERL_CRASH_DUMP_SECONDS": 0,
        "RABBITMQ_NODENAME": NODE,
        "RABBITMQ_DIST_PORT": settings.ports.erlang,
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONFIG_FILE": home / "rabbitmq.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": home / "advanced.config",
        "RABBITMQ_ENABLED_PLUGINS_FILE": home / "enabled_plugins",
        # Otherwise it would read /etc/rabbitmq/rabbitmq-env.conf.
        "RABBITMQ_CONF_ENV_FILE": home / "none",
        "RABBITMQ_MNESIA_BASE": home / "data",
        "RABBITMQ_GENERATED_CONFIG_DIR": home / "generated",
        "RABBITMQ_PLUGINS_EXPAND_DIR": home / "plugins",
        "RABBITMQ_LOG_BASE": home,
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": home / "pid",
        # Its script then becomes the server instead of waiting for it.
        "RUNNING_UNDER_SYSTEMD": "true",
    }
    return kept | {name: str(value) for name, value in ours.items()}
