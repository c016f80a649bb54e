"""The contract of a server that speaks OpenAI's Chat Completions, checked from outside, statement by statement."""
