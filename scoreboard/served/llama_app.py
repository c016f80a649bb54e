"""llama.cpp's own server, as built into xllamacpp, with a file of weights: `python llama_app.py WEIGHTS PORT KEY`."""

import sys

import xllamacpp


def main(weights: str, port: str, key: str) -> None:
    """Serve the weights to four requests at once, until the standard input ends."""
    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = ["smollm2"]
    params.port = int(port)
    params.api_keys = [key]
    params.n_parallel = 4
    params.n_ctx = 2048 * params.n_parallel
    params.cpuparams.n_threads = 1  # with all cores it all but stops as soon as anything else runs
    params.verbosity = -1
    server = xllamacpp.Server(params)
    sys.stderr.write(f"{server.listening_address}\n")
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
