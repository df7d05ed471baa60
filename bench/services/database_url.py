"""Ask the database behind a URL, and never show the password in it."""

import re

import psycopg2

from bench.errors import UsageError

_CONNECT_TIMEOUT = 5  # seconds

_PASSWORD_IN_URL = re.compile(r"(?P<before>\w+://[^:/@\s]*):(?P<password>.*)@")
_PASSWORD_AS_KEY = re.compile(r"(password\s*=\s*)('[^']*'|[^&\s]+)")
_RESERVED = re.compile(r"[@/:?#\s]")


def mask_password(text: str) -> str:
    """Return a connection string (URL or ``key=value``) without its password."""
    masked = _PASSWORD_IN_URL.sub(r"\g<before>:***@", text)
    return _PASSWORD_AS_KEY.sub(r"\1***", masked)


def require_encoded(url: str) -> None:
    """Raise ``UsageError`` for a password that libpq would take apart, and quote in its errors."""
    found = _PASSWORD_IN_URL.match(url)
    if found and _RESERVED.search(found["password"]):
        raise UsageError(
            f"DATABASE_URL={mask_password(url)}: the password has characters that mean something "
            "else in a URL: write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23, a space as %20"
        )


def ask(url: str, query: str) -> int:
    """Return the one number that a query answers, on a connection of its own.

    Raises ``psycopg2.Error``; say why by ``reason``.
    """
    connection = psycopg2.connect(url, connect_timeout=_CONNECT_TIMEOUT)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
            return int(row[0]) if row else 0
    finally:
        connection.close()


def why_not_ready(url: str) -> str | None:
    """Return why the database does not answer yet, ``None`` if it does: a readiness probe."""
    try:
        return None if ask(url, "SELECT 1") == 1 else "SELECT 1 is not 1"
    except psycopg2.Error as error:
        return reason(error, url)


def reason(error: psycopg2.Error, url: str) -> str:
    """Return what went wrong, without the password that libpq may quote."""
    if isinstance(error, psycopg2.ProgrammingError) and not error.pgcode:
        return "this is no valid connection string"
    said = str(error).strip().replace(url, mask_password(url))
    return mask_password(said) or "no reason given"
