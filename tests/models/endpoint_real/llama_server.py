"""A program: llama.cpp's own OpenAI server with the embedded model, until its standard input ends.

    python llama_server.py WEIGHTS [PARALLEL [TOKENS_A_SLOT]]

It prints its address. It is a process of its own, as in real life: what the tests measure, and kill, is not theirs.
"""

import sys

import xllamacpp


def main(weights: str, parallel: str = "4", context: str = "512") -> None:
    """Serve `weights` to `parallel` requests at once, each with `context` tokens."""
    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = ["smollm2", "smol"]
    params.n_parallel = int(parallel)
    params.n_ctx = int(context) * params.n_parallel
    params.cpuparams.n_threads = 1  # with all cores it all but stops as soon as anything else runs
    params.endpoint_slots = True
    params.verbosity = -1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201 - its caller reads it
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
