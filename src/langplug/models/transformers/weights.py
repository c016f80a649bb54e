"""A Hugging Face model in memory: its network and its tokenizer. Only the files of this folder know torch."""

import inspect
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from langchain_core.exceptions import ModelInvalidRequestError

from langplug._bridge.threads import usable_cores
from langplug._errors import advised
from langplug.models.gguf.header import BadWeightsError, FileWatch, WeightsNotFoundError
from langplug.models.transformers.folder import Folder, read_folder

_PLAIN_LAYERS: Final = ("DynamicLayer", "DynamicSlidingWindowLayer")
"""Caches of keys and values alone: rows of different lengths can be put side by side in them."""

_FOR_BOTH: Final = ("revision", "token", "cache_dir", "local_files_only", "trust_remote_code")
"""Arguments of `from_pretrained` that the tokenizer takes, too."""

_loading: Final = threading.RLock()
"""transformers' own settings, such as whether it shows progress, belong to the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a model is loaded with; `ChatTransformers` says what each setting means."""

    model: str
    adapter: str | None
    device_map: str | Mapping[str, Any] | None
    dtype: str
    threads: int | None
    max_batch: int
    prefill_chunk: int
    trust_remote_code: bool
    load_options: Mapping[str, Any]


def import_package(name: str) -> Any:
    """The package `name`, imported.

    Raises:
        ImportError: If it is not installed, or cannot be imported. The message says what to do.
    """
    try:
        return import_module(name)
    except ImportError as error:
        missing = "which is not installed" if isinstance(error, ModuleNotFoundError) else f"and it fails: {error}"
        raise ImportError(
            f"ChatTransformers needs {name}, {missing}. Install it with: pip install 'langplug[transformers]'. "
            "On a machine without a GPU, install torch's CPU build first: https://pytorch.org/get-started.",
            name=name,
        ) from error


class UnwantedError(Exception):
    """Nobody waits any more for what the network was computing."""


class _BreakOff:
    """Stands before each layer of the network and each half of it, and raises if nobody waits for what they compute."""

    def __init__(self, network: Any) -> None:
        self.is_wanted: Callable[[], bool] | None = None
        for module in network.modules():
            if type(module).__name__ == "ModuleList":  # how torch names a network's layers
                for layer in module:
                    halves = [part for part in layer.children() if next(part.children(), None) is not None]
                    for part in (layer, *halves):  # in most families attention, and what follows it
                        part.register_forward_pre_hook(self)

    def __call__(self, *_: Any) -> None:
        if self.is_wanted is not None and not self.is_wanted():
            raise UnwantedError


class Weights:
    """A loaded model, for one thread that runs it and any number that tokenize.

    Attributes:
        torch: The module.
        tokenizer: transformers' tokenizer.
        processor: What reads images, of a model that takes any; else None.
        network: transformers' model.
        device: Where the network takes its input.
        folder: What its files say.
        stop_ids: The tokens that end an answer.
        joins: Whether requests of different lengths can be answered together. If not, they take turns.
        vocabulary: How many tokens the network knows.
    """

    def __init__(self, settings: Settings) -> None:
        self.torch: Any = import_package("torch")
        transformers = import_package("transformers")
        self._threads = settings.threads
        # loaded weights are the files' own pages
        self._files = [FileWatch(file) for file in Path(settings.model).expanduser().glob("*.safetensors")]
        with _loading, _quiet(transformers):
            self.tokenizer, self.processor, self.network = _load(transformers, self.torch, settings)
        self._break_off = _BreakOff(self.network)
        self.folder: Folder = read_folder(settings.model)
        self.device = self.network.get_input_embeddings().weight.device
        self.vocabulary: int = self.network.get_input_embeddings().weight.shape[0]
        self.defaults = self.network.generation_config
        ends = (self.defaults.eos_token_id, self.tokenizer.eos_token_id)
        self.stop_ids = frozenset(one for end in ends for one in (end if isinstance(end, list) else [end]) if one)
        self._cache_class: Any = transformers.DynamicCache
        layers = self._cache_class(config=self.network.config).layers
        self.joins = all(type(layer).__name__ in _PLAIN_LAYERS for layer in layers)
        self._taken = inspect.signature(self.network.forward).parameters
        self._cache_name = "cache" if "cache" in self._taken else "past_key_values"  # its name before transformers 5.24
        self._more = {"logits_to_keep": 1} if "logits_to_keep" in self._taken else {}
        self._tokenizing = threading.Lock()  # fast tokenizers fail with "Already borrowed" if two threads set them up
        self._guiding = threading.Lock()
        self._guide: Any = None

    def check_files(self) -> None:
        """Notice that a file is no longer the one that was loaded.

        Raises:
            BadWeightsError: If one was written into.
        """
        for file in self._files:
            file.check()

    # --- text ---

    def tokens_of(self, prompt: str) -> list[int]:
        """A prompt's tokens; it holds the special ones that the model wants, as the template has written them.

        Raises:
            ModelInvalidRequestError: If there are tokens among them that the network does not know.
        """
        with self._tokenizing:
            ids: list[int] = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return self._known(ids)

    def read_images(self, prompt: str, images: Sequence[Any]) -> tuple[list[int], dict[str, Any]]:
        """The tokens of a prompt with images, many of which stand for each, and what the network is given of them.

        Args:
            prompt: The prompt, in which the template has written where each image stands.
            images: The images, as Pillow has them.

        Raises:
            ModelInvalidRequestError: If the model takes no images, or not these.
        """
        if self.processor is None:
            raise ModelInvalidRequestError(
                f"{type(self.network).__name__} takes text alone: with its weights lies nothing that reads images."
            )
        try:
            with self._tokenizing:
                read = self.processor(text=[prompt], images=images, add_special_tokens=False, return_tensors="pt")
        except Exception as error:  # foreign code, on images from anywhere
            raise ModelInvalidRequestError(f"The model's {type(self.processor).__name__} fails: {error!r}") from error
        media = dict(read.to(self.device, dtype=self.network.dtype))
        ids = self._known(media.pop("input_ids")[0].tolist())
        if "cross_attention_mask" in media:
            message = (
                f"{type(self.network).__name__} sees images in layers of their own (cross-attention), which "
                "ChatTransformers does not drive. Ask it text alone."
            )
            raise advised(ModelInvalidRequestError(message), "Or take a model that reads images as tokens.")
        media.pop("attention_mask", None)  # a batch has its own
        return ids, media

    def _known(self, ids: list[int]) -> list[int]:
        """The tokens, all of which the network knows."""
        unknown = [one for one in ids if not 0 <= one < self.vocabulary]
        if unknown:
            message = (
                f"The tokenizer makes the token {unknown[0]} of the prompt, but the network knows {self.vocabulary} "
                "tokens: tokenizer and weights belong to different models."
            )
            raise advised(ModelInvalidRequestError(message))
        return ids

    def text_of(self, ids: Sequence[int]) -> str:
        """The text that tokens stand for. Special ones are kept: many families write calls and reasoning with them."""
        options = dict.fromkeys(("skip_special_tokens", "clean_up_tokenization_spaces"), False)
        return str(self.tokenizer.decode(list(ids), **options, spaces_between_special_tokens=False))

    def matcher(self, grammar: str) -> Any:
        """What says which token may come next in a text that keeps to llguidance's `grammar`."""
        llguidance = import_package("llguidance")
        with self._guiding:  # it takes a second, once
            if self._guide is None:
                self._guide = self._make_guide()
        matcher = llguidance.LLMatcher(self._guide, grammar, log_level=0)
        if matcher.is_error():
            raise ModelInvalidRequestError(f"The schema cannot be kept to: {matcher.get_error()}")
        return matcher

    def _make_guide(self) -> Any:
        guidance = import_package("llguidance.hf")
        try:
            return guidance.from_tokenizer(
                self.tokenizer, n_vocab=self.vocabulary, eos_token=sorted(self.stop_ids) or None
            )
        except ValueError as error:
            message = (
                f"This model's tokenizer ({type(self.tokenizer).__name__}) has no fast form, without which no "
                "answer can be kept to a schema."
            )
            advice = "Set structured_output='derived', and langplug asks for it in words."
            raise advised(ModelInvalidRequestError(message), advice) from error

    # --- the network ---

    def use_threads(self) -> None:
        """Give torch its threads: all cores that this process may use but one, and not more than it has already."""
        # With all of them, they spin at barriers as soon as anything else runs. torch takes it for a setting of the
        # whole process, but OpenMP for one of the calling thread, so that each thread that computes has to say it.
        self.torch.set_num_threads(self._threads or min(self.torch.get_num_threads(), max(1, usable_cores() - 1)))

    def new_cache(self) -> Any:
        """An empty cache of keys and values."""
        # Without a configuration, all layers keep all tokens. A sliding window is then kept to by the mask alone, and
        # rows of different lengths can be put side by side.
        return self._cache_class() if self.joins else self._cache_class(config=self.network.config)

    def positions_among(self, media: Mapping[str, Any], ids: Any, plain: Any) -> tuple[Any, int]:
        """The places of a prompt's tokens, and how much further than its tokens they count.

        Some families (Qwen2-VL and its kin) count an image's parts by time, height and width.

        Args:
            media: The prompt's images.
            ids: Its tokens, as a batch of one.
            plain: Their places one after the other, which is what most families want.
        """
        if (find := getattr(self.network.base_model, "get_rope_index", None)) is None:
            return plain, 0
        given = {**media, "input_ids": ids, "attention_mask": self.torch.ones_like(ids)}
        positions, shifts = find(**{name: given[name] for name in inspect.signature(find).parameters if name in given})
        return positions, int(shifts.flatten()[0])

    def forward(
        self,
        ids: Any,
        mask: Any,
        positions: Any,
        cache: Any,
        *,
        is_wanted: Callable[[], bool],
        media: Mapping[str, Any] = MappingProxyType({}),
    ) -> Any:
        """The logits of the token after the last one, for each row of `ids`, which are added to the cache.

        Args:
            ids: The tokens.
            mask: 1 where a row has a token, 0 where it has padding, from the beginning of the cache on.
            positions: The places of the tokens.
            cache: What `new_cache` gave.
            is_wanted: Whether anybody waits for the logits.
            media: The images for which some of the tokens stand.

        Raises:
            UnwantedError: If `is_wanted` says no before the end. The cache is of no use then.
        """
        given: dict[str, Any] = {"input_ids": ids, "attention_mask": mask, self._cache_name: cache, "use_cache": True}
        if "position_ids" in self._taken:
            given["position_ids"] = positions
        given |= {name: value for name, value in media.items() if name in self._taken}
        self._break_off.is_wanted = is_wanted
        try:
            return self.network(**given, **self._more).logits[:, -1]
        finally:
            self._break_off.is_wanted = None  # others may call the network, too, and rows are not kept in memory


def _load(transformers: Any, torch: Any, settings: Settings) -> tuple[Any, Any, Any]:
    """The tokenizer, what reads images (None, if nothing does), and the network.

    Raises:
        WeightsNotFoundError: If there is no such model on this machine, nor where it can be downloaded.
        BadWeightsError: If transformers cannot load it.
    """
    name = settings.model
    options: dict[str, Any] = {**settings.load_options, "trust_remote_code": settings.trust_remote_code}
    shared = {one: options[one] for one in _FOR_BOTH if one in options}
    try:
        config = transformers.AutoConfig.from_pretrained(name, **shared)
        sees = type(config) in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        reader = (transformers.AutoProcessor if sees else transformers.AutoTokenizer).from_pretrained(name, **shared)
        kind = transformers.AutoModelForImageTextToText if sees else transformers.AutoModelForCausalLM
        # A GPU is used if there is one; with a map, accelerate spreads the layers, which is slower on a CPU alone.
        found = "auto" if torch.cuda.is_available() else None
        network = kind.from_pretrained(name, dtype=settings.dtype, device_map=settings.device_map or found, **options)
        if settings.adapter is not None:
            network = import_package("peft").PeftModel.from_pretrained(network, settings.adapter).merge_and_unload()
    except ImportError:
        raise
    except OSError as error:
        if os.path.isdir(Path(name).expanduser()):  # noqa: PTH112 - it is False for a name that can be no path, too
            raise WeightsNotFoundError(f"The folder {name!r} holds no whole model: {error}") from error
        raise WeightsNotFoundError(
            f"The model {name!r} is neither a folder nor in the cache of the Hugging Face Hub, and could not be "
            f"downloaded ({str(error).splitlines()[0]}). Give the path of a folder, download it where there is a "
            f"network (`hf download {name}`), or correct the name."
        ) from error
    except Exception as error:  # foreign code reads foreign files, and may fail in any way
        if "adapter_config.json" in str(error):
            raise WeightsNotFoundError(f"There is no adapter at {settings.adapter!r}: {error}") from error
        raise BadWeightsError(f"transformers {transformers.__version__} cannot load {name!r}: {error}") from error
    tokenizer = getattr(reader, "tokenizer", None)  # for a model without a processor, there is a tokenizer instead
    return (reader, None, network.eval()) if tokenizer is None else (tokenizer, reader, network.eval())


@contextmanager
def _quiet(transformers: Any) -> Any:
    """Load without progress bars: stderr is the application's."""
    logging = transformers.utils.logging
    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()
