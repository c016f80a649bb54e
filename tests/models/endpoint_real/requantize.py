"""A program: weights of another kind, for servers that do not read those that there are.

    python requantize.py FROM.gguf TO.gguf

All that is quantized becomes Q8_0, which every reader of GGUF knows. Needs the package gguf.
"""

import sys

from gguf import (  # type: ignore[import-not-found,unused-ignore]  # a peer
    GGMLQuantizationType,
    GGUFReader,
    GGUFValueType,
    GGUFWriter,
    quants,
)


def main(given: str, wanted: str) -> None:
    """Write the weights in `given` to `wanted`, with all that the file says of them."""
    reader = GGUFReader(given)
    writer = GGUFWriter(wanted, str(reader.fields["general.architecture"].contents()))
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":  # which the writer writes itself
            of_items = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], of_items)
    for tensor in reader.tensors:
        values = quants.dequantize(tensor.data, tensor.tensor_type)
        if tensor.tensor_type == GGMLQuantizationType.F32:
            writer.add_tensor(tensor.name, values)
        else:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(tensor.name, quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
