"""What goes out: LangChain's messages as a model is told them.

OpenAI's dicts, prompts from templates, what of the reasoning is kept, and the check of what came in. Nothing here knows
of tools in text (`_tools`), of HTTP (`_http`) or of answers (`_answer`).
"""
