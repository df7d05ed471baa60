"""What all tests share: no setting of the caller's reaches them."""

import signal

import pytest

SETTINGS = (
    *("WORKLOAD", "REQUESTS", "DURATION", "CONCURRENCY", "DELAY", "ROUNDS", "SEED", "WORKERS"),
    *("THREADS", "ASYNC_CORES", "RUNNER", "URL", "LOAD", "APP", "APP_DIR", "URL_PATH", "PORT"),
    *("APP_PYTHON", "ENV_FILE", "METHOD", "BODY", "EXPECT_STATUS", "EXPECT_BODY"),
    *("DATABASE_URL", "RESULTS", "BASE", "NEW", "RUN", "FORCE_COLOR", "COLUMNS"),
)
"""Variables that `flask-bench` and its terminal output listen to (`make test` may hand them on)."""


# A shell without job control starts what is behind an `&` with SIGINT ignored, and so would be all
# that the tests start: Ctrl-C could not be tried out.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
