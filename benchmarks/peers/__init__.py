"""What `benchmarks/endpoint.py` measures: contestants, scenarios, the process of a client, and the report."""
