"""langchain-tests' own cases, run as a group of the contract."""
