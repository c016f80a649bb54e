"""What goes out: LangChain's messages in the forms in which models take them.

OpenAI's dicts and the table of content blocks, prompts from templates, which reasoning is kept, and the check of what
came in. Nothing here knows about calls in text (`_tools`), HTTP (`_http`) or answers (`_answer`).
"""
