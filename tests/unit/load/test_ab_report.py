from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import TrialError
from bench.load.ab_report import AbReport, Times, parse

DATA = Path(__file__).parents[2] / "data" / "ab"
REPORTS = sorted(path for path in DATA.glob("*.txt") if "aborted" not in path.name)


def report(name: str) -> AbReport:
    return parse((DATA / f"{name}.txt").read_text())


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_every_captured_report_is_read(path: Path) -> None:
    read = parse(path.read_text())
    assert read.server_hostname
    assert read.document_path
    assert read.server_port
    if read.complete_requests:
        assert read.requests_per_second
        assert read.total_ms is not None


def test_a_success_with_all_its_figures() -> None:
    read = report("2.4.6x_tls_non_2xx")
    assert read == AbReport(
        concurrency_level=50,
        time_taken=0.496,
        complete_requests=250,
        failed_requests=177,
        total_transferred=84816,
        html_transferred=30059,
        server_software="nginx/1.31.6",
        server_hostname="localhost",
        server_port=443,
        ssl_tls_protocol="TLSv1.2,ECDHE-RSA-AES256-GCM-SHA384,2048,256",
        server_temp_key="ECDH X25519 253 bits",
        tls_server_name="localhost",
        document_path="/api/events",
        document_length=2,
        failed_length=177,
        non_2xx_responses=177,
        requests_per_second=503.62,
        time_per_request_ms=99.281,
        time_per_request_across_all_ms=1.986,
        received_kbytes_per_second=166.86,
        connect_ms=Times(min=4, mean=65, sd=14.2, median=62, max=87),
        processing_ms=Times(min=3, mean=25, sd=20.9, median=15, max=87),
        waiting_ms=Times(min=2, mean=20, sd=20.0, median=12, max=72),
        total_ms=Times(min=8, mean=90, sd=25.7, median=83, max=160),
        percentiles_ms={
            50: 83,
            66: 88,
            75: 93,
            80: 96,
            90: 150,
            95: 158,
            98: 158,
            99: 158,
            100: 160,
        },
    )


def test_a_reset_is_counted_three_times() -> None:
    read = report("2.4.71_reset")
    assert (read.failed_receive, read.failed_length, read.failed_exceptions) == (25, 25, 25)
    assert read.failed_requests == 75


def test_apache_2_0_did_not_count_receive_errors() -> None:
    read = report("2.0.40_length")
    assert (read.failed_connect, read.failed_receive, read.failed_length) == (0, 0, 94)
    assert read.time_taken == 157.447206
    assert read.keep_alive_requests == 0


@pytest.mark.parametrize(("name", "sent"), [("2.2_post", 689000), ("2.4.71_post", 4720)])
def test_what_was_sent(name: str, sent: int) -> None:
    read = report(name)
    assert read.total_body_sent == sent
    assert read.sent_kbytes_per_second
    assert read.total_kbytes_per_second


def test_nothing_completed() -> None:
    read = report("2.4.71_zero")
    assert read.complete_requests == 0
    assert read.requests_per_second is None
    assert read.total_ms is None
    assert read.percentiles_ms == {}


def test_without_confidence_estimators() -> None:
    read = report("2.4.71_no_confidence")
    assert read.total_ms == Times(min=0, mean=0, max=1)
    assert read.document_length is None


def test_a_request_that_could_not_be_sent_in_time_is_counted() -> None:
    text = (DATA / "2.4.71_success.txt").read_text()
    assert parse("Send request timed out!\n" + text).send_timeouts == 1


def test_details_are_flat_and_complete() -> None:
    details = report("2.4.71_success").details()
    assert details["server_software"] == "tiny/1"
    assert details["complete_requests"] == 2000
    assert {"connect_min_ms", "total_median_ms", "percentile_99_ms"} <= details.keys()
    assert all(isinstance(each, int | float | str | None) for each in details.values())


@pytest.mark.parametrize("text", ["", "  \n", "ab: invalid URL\nUsage: ab [options]"])
def test_no_report_shows_what_there_was_instead(text: str) -> None:
    with pytest.raises(TrialError, match="no complete report of ab") as error:
        parse(text)
    assert (text.strip() or "(empty)") in str(error.value)


def test_an_aborted_run_has_no_report() -> None:
    with pytest.raises(TrialError, match="This is ApacheBench"):
        report("2.4.71_aborted")


@given(st.sampled_from(REPORTS), st.data())
def test_a_report_cut_short_is_refused_or_read(path: Path, data: st.DataObject) -> None:
    text = path.read_text()
    _read_or_refused(text[: data.draw(st.integers(0, len(text)))])


LINES = sorted({line for path in REPORTS for line in path.read_text().splitlines()})


@given(st.lists(st.sampled_from(LINES) | st.text()).map("\n".join) | st.text())
def test_anything_is_refused_or_read(text: str) -> None:
    _read_or_refused(text)


@given(st.sampled_from(REPORTS), st.from_regex(r"[-0-9.]{1,5000}", fullmatch=True))
def test_no_number_is_too_odd(path: Path, number: str) -> None:
    text = path.read_text()
    for label in ("Complete requests:", "Time taken for tests:", "Total:", "  50%"):
        _read_or_refused(text.replace(label, f"{label} {number}"))


def _read_or_refused(text: str) -> None:
    try:
        read = parse(text)
    except TrialError:
        return
    read.details()
