"""Images fetched by several machines, played by threads, as one machine fetches them."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

import pytest
from helpers.http_host import BODY, Busy, Host, settings, trickle_headers

from stages.download import client
from stages.download.distributed import fetch_on
from stages.download.failures import Failure
from stages.download.many import fetch_many

N_URLS = 60


class Threads:
    """Machines that are threads of this one."""

    def __init__(self, n: int) -> None:
        self.n = n

    def call(self, function: Callable[[], Any]) -> Any:
        raise NotImplementedError

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        raise NotImplementedError

    def map_unordered(
        self, function: Callable[[Any], Any], items: Iterable[Any], at_most: int
    ) -> Iterator[Any]:
        rest = iter(items)
        with ThreadPoolExecutor(at_most) as threads:
            pending = {threads.submit(function, item) for item in islice(rest, at_most)}
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for one in done:
                    pending |= {threads.submit(function, item) for item in islice(rest, 1)}
                    yield one.result()


def fetched_on(machines: int, urls: list[str], **changes: Any) -> dict[str, bytes | Failure]:
    found: dict[str, bytes | Failure] = {}

    def keep(url: str, result: bytes | Failure) -> None:
        assert url not in found
        found[url] = result

    limits = settings(**changes)
    fetch_on(Threads(machines), urls, bytes.upper, keep, mirror=None, settings=limits)
    return found


@pytest.mark.parametrize("machines", [1, 3, 100])
def test_results_are_those_of_one_machine(host: Host, machines: int) -> None:
    for i in range(N_URLS):
        host.answers[f"/{i}"] = [503, BODY] if i % 7 == 0 else [404] if i % 5 == 0 else [BODY]
    urls = [f"{host.url}/{i}" for i in range(N_URLS)]
    found = fetched_on(machines, urls)
    asked = [host.asked(f"/{i}") for i in range(N_URLS)]
    for i in range(0, N_URLS, 7):
        host.answers[f"/{i}"] = [503, BODY]
    host.seen.clear()
    wanted: dict[str, bytes | Failure] = {}
    with ThreadPoolExecutor(1) as threads:
        fetch_many(
            urls,
            bytes.upper,
            wanted.__setitem__,
            mirror=None,
            settings=settings(),
            threads=threads,
        )
    assert found == wanted
    assert set(found.values()) == {BODY.upper(), Failure("HTTP 404")}
    assert asked == [host.asked(f"/{i}") for i in range(N_URLS)]


@pytest.mark.parametrize(
    ("machines", "limits", "most"),
    [
        (3, {"per_host": 7}, 6),
        (20, {"per_host": 4}, 4),
        (3, {"per_host": 8, "concurrency": 4}, 3),
    ],
)
def test_limits_are_those_of_all_machines(
    host: Host, machines: int, limits: dict[str, int], most: int
) -> None:
    answer = Busy(lambda _: BODY)
    host.answers |= {f"/{i}": [answer] for i in range(N_URLS)}
    found = fetched_on(machines, [f"{host.url}/{i}" for i in range(N_URLS)], **limits)
    assert set(found.values()) == {BODY.upper()}
    assert answer.most == most


def test_a_host_that_never_answered_one_machine_is_not_asked_by_the_others(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "GIVE_UP_AFTER", 2)
    host.answers |= {f"/{i}": [trickle_headers] for i in range(400)}
    urls = [f"{host.url}/{i}" for i in range(400)]
    times = {"connect_timeout_s": 0.1, "read_timeout_s": 0.1, "retries": 0}
    found = fetched_on(2, urls, **times)
    assert set(found) == set(urls)
    assert set(found.values()) == {Failure("timed out"), Failure("its host never answered")}
    assert len(host.seen) < 100  # what the first batch of each asks until it gives up


def test_nothing_to_fetch_asks_nobody(host: Host) -> None:
    assert fetched_on(2, []) == {}
