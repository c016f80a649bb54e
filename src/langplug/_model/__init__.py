"""The class: `ChatModel` and `@chat_model`, and langchain-core's private names in one module (`langchain.py`)."""
