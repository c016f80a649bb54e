"""A module that takes the interpreter with it as it is imported, as a library in C may."""

import os
import sys

sys.stderr.write("GGML_ASSERT: no such instruction\n")
sys.stderr.flush()
os.abort()
