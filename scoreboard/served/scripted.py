"""The model that the scoreboard's servers serve: it does what the statements ask for, one question after the other."""

from tests.check.servers.obedient import Obedient

NAME = "scripted"

scripted = Obedient(pace=0.004, much=400, concurrency=1)
