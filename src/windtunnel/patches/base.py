"""How a patch declines to apply, and the questions that several patches ask."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger("windtunnel.patches")

#: Without a notification, DAG processor and triggerer ask the database this often.
LOOK_SECONDS = 10.0


class Unfit(Exception):
    """A target is not as the patch knows it; the text is the reason.

    Nothing has been replaced.
    """


def postgresql_url() -> str:
    """Airflow's database, as SQLAlchemy spells it.

    Raises:
        Unfit: it is not PostgreSQL: a patch cannot listen to another database.
    """
    from airflow.configuration import conf

    url = str(conf.get_mandatory_value("database", "sql_alchemy_conn"))
    if not url.startswith("postgresql"):
        raise Unfit("the database is not PostgreSQL")
    return url


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names of a function's parameters; a patch recognises its target by them."""
    return list(inspect.signature(function).parameters)
