"""What models in Hugging Face's format share, whatever runs them: fields, prompt, identity, by the folder's files."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from langchain_core.exceptions import ContextOverflowError, ModelInvalidRequestError
from langchain_core.language_models import ModelProfile
from pydantic import Field, field_validator

from langplug import ChatModel, Request
from langplug._errors import advised
from langplug._messages.control_tokens import escape_control_tokens
from langplug._model.capabilities import ToolCalling
from langplug._model.sampling import SamplingFields
from langplug.models.transformers.folder import Folder, read_folder

_KNOWS_TOOLS = re.compile(r"\{[%{][^}]*\btools\b")
"""What a chat template that writes tools holds: a tag that reads them."""

_LONGEST: Final = 1 << 20
"""Tokens of an answer of a model that does not say how long a text may be."""

_folders: dict[str, Folder] = {}


def folder_of(model: str) -> Folder:
    """What is known of a model by its files. Read once, unless nothing was there, as before a download."""
    known = _folders.get(model)
    if known is None or not known.config:
        known = _folders[model] = read_folder(model)
    return known


class FolderModel(SamplingFields, ChatModel):
    """A model whose weights, tokenizer and chat template lie in one folder, as `save_pretrained` makes it."""

    tool_calling: ToolCalling = "templated"
    """How the model is told of tools. `"templated"`: its chat template writes them, and langplug reads the calls as the
    model's family writes them. `"prompted"`: langplug writes and reads, which it also does if the template knows no
    tools."""

    model: str
    """A folder with a model, as `save_pretrained` makes it, or a name on the Hugging Face Hub."""

    chat_template: str | None = None
    """A Jinja template in place of the model's own."""

    escape_control_tokens: bool = True
    """Whether text that names a control token of the model, such as `<|im_end|>`, stays text: a character without
    width is put into it. Else whoever writes or is quoted in a message could end its turn and begin another, as the
    system. False leaves messages as they are, for prompts that are written in the model's own markup."""

    thinking: bool | None = None
    """Whether the model reasons before it answers, where its chat template has a switch for that. Default: as the
    template has it."""

    top_k: int | None = Field(default=None, ge=0)
    """Choose among this many of the likeliest tokens; 0 among all."""

    min_p: float | None = Field(default=None, ge=0, le=1)
    """Leave out tokens less likely than this fraction of the likeliest; 0 none."""

    @field_validator("model", mode="before")
    @classmethod
    def _path_as_text(cls, path: Any) -> Any:
        return os.fspath(path) if isinstance(path, os.PathLike) else path

    @field_validator("model")
    @classmethod
    def _refuse_a_file(cls, model: str) -> str:
        if model.lower().endswith(".gguf"):
            raise ValueError(f"{model!r} is a GGUF file. Use ChatGGUF(path={model!r})")
        return model

    def prompt_of(self, request: Request, tokenizer: Any) -> str:
        """The conversation as the chat template writes it.

        Args:
            request: The conversation, and what belongs to it.
            tokenizer: transformers' tokenizer, which names the special tokens that templates may write.

        Raises:
            ModelInvalidRequestError: If there is no template, or it does not take the conversation.
        """
        if not (template := self._template(with_tools=bool(request.tools))):
            message = (
                f"{self.model!r} has no chat template: it is no chat model, or its template was left out. Give one as "
                "`chat_template`, in Jinja."
            )
            raise advised(ModelInvalidRequestError(message))
        if tokens_in_text := self.__langplug_control_tokens__():  # if the model had to be downloaded, not known before
            escaped = escape_control_tokens(request.messages, tokens_in_text)
            request = request if escaped is None else replace(request, messages=escaped)
        # The way to give a template of langplug the tokens that transformers gives it.
        named = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
        tokens = "".join(f"{{% set {name} = {text!r} %}}" for name, text in named.items())
        return request.prompt(tokens + template)

    def room_after(self, prompt: list[int]) -> int:
        """How many tokens an answer may have.

        Raises:
            ModelInvalidRequestError: If the prompt is empty.
            ContextOverflowError: If it leaves no room for an answer.
        """
        if not prompt:
            raise ModelInvalidRequestError("The chat template makes an empty prompt of this conversation.")
        if (context := self.context_window or folder_of(self.model).context_length) is None:
            return self.max_tokens or _LONGEST
        if len(prompt) >= context:
            raise ContextOverflowError(
                f"The prompt has {len(prompt)} tokens, but {self.reported_name} holds {context}, prompt and answer "
                "together. Shorten the prompt."
            )
        return min(self.max_tokens or context, context - len(prompt))

    def __langplug_tool_calling__(self, *, kept: bool = False) -> ToolCalling:
        """As `tool_calling` says, if the template knows tools."""
        if self.tool_calling == "templated" and not _KNOWS_TOOLS.search(self._template(with_tools=True)):
            return "prompted"
        return self.tool_calling

    def __langplug_control_tokens__(self) -> frozenset[str]:
        return folder_of(self.model).control_tokens if self.escape_control_tokens else frozenset()

    # --- identity ---

    @property
    def reported_name(self) -> str:
        """The last part of the folder or the name."""
        return Path(self.model).name or self.model

    @property
    def tool_format_hints(self) -> tuple[str, ...]:
        """The chat template, in which calls stand as the model learned to write them; architecture; name."""
        architecture = str(folder_of(self.model).config.get("model_type", ""))
        return (self._template(with_tools=True), architecture, self.reported_name)

    def _template(self, *, with_tools: bool) -> str:
        folder = folder_of(self.model)
        return self.chat_template or (folder.template_with_tools if with_tools else folder.template)

    def _resolve_model_profile(self) -> ModelProfile | None:
        profile = super()._resolve_model_profile()
        length = folder_of(self.model).context_length
        if profile is not None and "max_input_tokens" not in profile and length is not None:
            profile["max_input_tokens"] = length
        return profile
