"""Models behind real servers."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.models.endpoint_real.servers import Llama, das, llama

from langplug.models import ChatEndpoint
from langplug.models.gguf.weights import SMOLLM2, find, pull

PEERS = Path(__file__).parents[3] / ".venv-peers" / "bin"
"""The environment of what is only tried, not needed."""

MakeModel = Callable[..., ChatEndpoint]


@pytest.fixture(scope="session")
def weights() -> Path:
    """The embedded model's."""
    pytest.importorskip("xllamacpp")
    return find(SMOLLM2) or pull(SMOLLM2)


@pytest.fixture(scope="module")
def server(weights: Path) -> Iterator[Llama]:
    """Four requests at once, in a small context."""
    with llama(weights) as running:
        yield running


@pytest.fixture(scope="session")
def das_server(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another engine with the same weights, which are first written as it reads them."""
    program = PEERS / "dasllama-server"
    if not program.exists():
        pytest.skip("dasllama is not installed beside the peers: make .venv-peers/.peers")
    q8 = tmp_path_factory.mktemp("weights") / "smollm2.gguf"
    command = [str(PEERS / "python"), str(Path(__file__).with_name("requantize.py")), str(weights), str(q8)]
    subprocess.run(command, check=True, timeout=50)
    with das(program, q8) as url:
        yield url


@pytest.fixture
def make() -> Iterator[MakeModel]:
    """Makes models that say the same each time, and closes them in the end."""
    made = []

    def make_one(url: str, cls: type[ChatEndpoint] = ChatEndpoint, **settings: Any) -> ChatEndpoint:
        model = cls(**{"model": "smollm2", "base_url": f"{url}/v1", "temperature": 0, "max_tokens": 24, **settings})
        made.append(model)
        return model

    yield make_one
    for model in made:
        model.close()


@pytest.fixture
def model(server: Llama, make: MakeModel) -> ChatEndpoint:
    """On the server, short of words."""
    return make(server.url)
