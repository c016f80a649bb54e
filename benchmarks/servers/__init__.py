"""What `benchmarks/serve.py` measures: servers, the process of their clients, and the report."""
