"""Settings come from options, else from variables, and a wrong one is named."""

import pytest

from serving.server.settings import PREFIX, ServerSettings, read_settings
from stages.common.errors import InputError


def test_an_option_goes_before_its_variable_and_a_variable_before_the_default():
    environment = {f"{PREFIX}PORT": "81", f"{PREFIX}BATCH_SIZE": "7", "PORT": "83"}
    settings = read_settings(["--port", "82"], environment)
    assert (settings.port, settings.batch_size, settings.host) == (82, 7, "127.0.0.1")


def test_hosts_are_listed_with_commas():
    settings = read_settings(["--image-hosts", "a.example, b.example:8080,[::1]"], {})
    assert settings.image_hosts == ("a.example", "b.example:8080", "[::1]")


def test_hosts_may_have_underscores_and_capital_letters():
    settings = read_settings(["--image-hosts", "Media_1:9000,CDN.Example.com"], {})
    assert settings.image_hosts == ("media_1:9000", "cdn.example.com")


def test_what_is_no_host_is_named_with_the_way_to_write_it():
    with pytest.raises(InputError, match=r"'https://A\.example/' is no host: .*without https://"):
        read_settings(["--image-hosts", "b.example,https://A.example/"], {})


def test_an_empty_variable_counts_as_none():
    environment = {f"{PREFIX}IMAGE_HOSTS": "", f"{PREFIX}MAX_QUEUE": "", f"{PREFIX}HOST": "::"}
    assert read_settings([], environment) == ServerSettings(host="::")


def test_a_variable_that_kubernetes_sets_for_a_service_is_no_port():
    environment = {f"{PREFIX}PORT": "tcp://10.0.0.11:8000"}
    assert read_settings([], environment).port == 8000
    assert read_settings(["--port", "81"], environment).port == 81


@pytest.mark.parametrize(
    ("options", "environment", "named"),
    [
        (["--port", "70000"], {}, "--port or PRODUCT_CLASSIFIER_PORT"),
        (["--batch-size", "many"], {}, "--batch-size or PRODUCT_CLASSIFIER_BATCH_SIZE"),
        ([], {f"{PREFIX}MAX_BODY_BYTES": "0"}, "PRODUCT_CLASSIFIER_MAX_BODY_BYTES"),
        ([], {f"{PREFIX}API_KEY": ""}, "PRODUCT_CLASSIFIER_API_KEY"),
        ([], {f"{PREFIX}API_KEY": " \n"}, "PRODUCT_CLASSIFIER_API_KEY"),
        (["--image-hosts", "https://a.example/"], {}, "--image-hosts"),
        (["--max-products", "50", "--max-queue", "49"], {}, "max_queue"),
    ],
)
def test_a_wrong_setting_is_named(options, environment, named):
    with pytest.raises(InputError, match=named):
        read_settings(options, environment)


def test_the_key_is_no_option_and_is_not_shown(capsys):
    settings = read_settings([], {f"{PREFIX}API_KEY": "s3cret"})
    assert settings.api_key is not None
    assert "s3cret" not in repr(settings)
    with pytest.raises(SystemExit):
        read_settings(["--api-key", "s3cret"], {})
    assert "--api-key" in capsys.readouterr().err


def test_help_names_each_setting_and_its_variable(capsys):
    with pytest.raises(SystemExit):
        read_settings(["--help"], {})
    said = capsys.readouterr().out
    for name in ServerSettings.model_fields:
        assert PREFIX + name.upper() in said
