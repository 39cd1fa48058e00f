"""What all tests share."""

import signal

import pytest
from helpers.crashes import CrashReports, write_stacks
from helpers.file_scheduling import FileScheduling
from xdist.remote import Producer

# Those that run the pipeline again and again, those that run large networks, those that train them.
SLOWEST = [
    *("test_repro.py", "test_commands.py", "test_changes.py", "test_keras.py"),
    *("test_finetuned.py", "test_huggingface_text.py", "test_huggingface_image.py"),
    *("test_train.py", "test_finetuned_keras.py", "test_page.py", "test_fetch_weights.py"),
    *("test_safety.py", "test_client.py", "test_command.py", "test_fingerprint.py"),
]
# Ray leaves threads and connections in its process, with which a fork of it may crash.
LAST = "test_ray.py"


@pytest.hookimpl(trylast=True)  # after pytest has chosen where stacks are written
def pytest_configure(config: pytest.Config) -> None:
    """Let processes that tests start be interrupted, which a job in the background ignores."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    write_stacks(config)
    if config.pluginmanager.has_plugin("dsession"):
        config.pluginmanager.register(CrashReports())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest files first, so that no process is left alone with them, and Ray's last."""
    places = {name: place for place, name in enumerate(SLOWEST)}
    others = len(places)
    places[LAST] = others + 1
    items.sort(key=lambda item: places.get(item.path.name, others))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling | None:
    """End a run of `--dist loadfile` though a process dies."""
    return FileScheduling(config, log) if config.getoption("dist") == "loadfile" else None
