"""The images of a conversation, read from their bytes."""

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final

from langplug.models.transformers.weights import import_package

_MOST_PIXELS: Final = 1 << 26
"""Of one image, before it is decoded: a file of kilobytes can say that it has billions, to fill the memory."""


def images_of(turns: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The images, as Pillow has them, in the order in which they stand.

    Args:
        turns: OpenAI messages.

    Raises:
        ValueError: If one is not there as bytes, or is no image.
        ImportError: If there is one, and Pillow is not installed.
    """
    parts = [part for turn in turns if isinstance(turn["content"], list) for part in turn["content"]]
    return [read_image(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]


def read_image(url: str) -> Any:
    """The image of a `data:` URL, in RGB.

    Raises:
        ValueError: If it is another URL, or no image.
        ImportError: If Pillow is not installed.
    """
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        raise ValueError(
            f"The image {url[:60]!r} is an address. ChatTransformers opens no connections for whoever wrote a message: "
            "download it, and give its bytes, as {'type': 'image', 'base64': ..., 'mime_type': 'image/png'}."
        )
    pillow = import_package("PIL.Image")
    try:
        image = pillow.open(BytesIO(base64.b64decode(data, validate=True)))
        if (pixels := image.width * image.height) <= _MOST_PIXELS:
            # as a camera meant it, and as transformers reads images
            return import_package("PIL.ImageOps").exif_transpose(image).convert("RGB")
    except ImportError:
        raise
    except Exception as error:  # a file from anywhere, and decoders of many kinds
        raise ValueError(f"An image ({head[:60]}, {len(data):,} characters) cannot be read: {error}") from error
    raise ValueError(f"An image has {pixels:,} pixels, and no more than {_MOST_PIXELS:,} are taken. Make it smaller.")
