"""`ChatTransformers`: a Hugging Face model in this process. The modules here import torch when it is used."""
