"""DATABASE_URL: what is taken, what is refused, and what asyncpg gets of it."""

from __future__ import annotations

import pytest

from windtunnel.errors import UsageError
from windtunnel.variables import database_url


def test_a_url_becomes_one_for_sqlalchemy_and_one_that_may_be_shown() -> None:
    found = database_url.parse("postgres://me:p%40ss@db.example:6432/work?sslmode=require")
    assert found is not None
    assert found.url == "postgresql+psycopg2://me:p%40ss@db.example:6432/work?sslmode=require"
    assert (found.public, found.name) == (
        "postgresql://me@db.example:6432/work",
        "db.example:6432/work",
    )
    assert (found.host, found.port) == ("db.example", 6432)
    assert "p%40ss" not in repr(found)


def test_the_port_is_postgresqls_own_where_none_is_named() -> None:
    found = database_url.parse("postgresql://me@[::1]/work")
    assert found is not None and (found.host, found.port) == ("::1", 5432)
    assert found.url == "postgresql+psycopg2://me@[::1]:5432/work"


def test_no_text_is_no_database() -> None:
    assert database_url.parse(" ") is None


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("mysql://me:hush@db/work", "scheme is 'mysql'"),
        ("postgresql+asyncpg://me:hush@db/work", "scheme is 'postgresql+asyncpg'"),
        ("hush", "scheme is ''"),
        ("postgresql:///work?host=/run/hush", "names no host"),
        ("postgresql://db/work", "names no user"),
        ("postgresql://me:hush@db", "name of one database"),
        ("postgresql://me:hush@db/a/b", "name of one database"),
        ("postgresql://me:hush@db:port/work", "host or port"),
        ("postgresql://me:hush@db:99999/work", "host or port"),
        ("postgresql://me:hu#sh@db/work", "%23"),
        ("postgresql://me:hu sh@db/work", "blank"),
        ("postgresql://me:p@hush@db/work", "%40"),
        ("postgresql://me:50%hush@db/work", "%25"),
        ("postgresql://me:hush%00@db/work", "%25"),
        ("postgresql://me:hush%@db/work", "%25"),
        ("postgresql://me:hush@db/work?ssl=true", "parameter 'ssl'"),
        ("postgresql://me:hush@db/work?sslrootcert=ca.pem", "sslrootcert must be a whole path"),
    ],
)
def test_a_url_that_cannot_work_is_refused_without_its_password(text: str, cause: str) -> None:
    with pytest.raises(UsageError) as error:
        database_url.parse(text)
    assert cause in str(error.value) and "hush" not in str(error.value)
    assert str(error.value).startswith("DATABASE_URL cannot be used: ")


def test_asyncpg_gets_libpqs_parameters_of_tls_apart_from_the_url() -> None:
    url = "postgresql+psycopg2://me:x@db:1/work?sslmode=verify-full&application_name=a&sslrootcert=%2Fca"
    assert database_url.asynchronous(url) == "postgresql+asyncpg://me:x@db:1/work"
    assert database_url.protection(url) == "postgresql://?sslmode=verify-full&sslrootcert=%2Fca"
    assert database_url.protection("postgresql://me@db:1/work?options=x") == ""
