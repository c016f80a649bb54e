"""Parts to LangChain: the class to subclass, the decorator that writes that class, and nothing else."""
