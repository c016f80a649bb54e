"""temporary"""

import sys, os
from servers.contestants import SERVERS, Server, OURS
from servers.process import ServerProcess
import argparse

p = argparse.ArgumentParser()
p.add_argument("--who", nargs="+")
p.add_argument("--rounds", type=int, default=1)
p.add_argument("--streams", nargs="+", type=int, default=[200])
p.add_argument("--before")
a = p.parse_args()
from dataclasses import replace

servers = dict(SERVERS)
if a.before:
    servers["before"] = replace(servers[OURS], title="before", source=a.before)
import contextlib

with contextlib.ExitStack() as s:
    running = {}
    for t in a.who or servers:
        try:
            running[t] = s.enter_context(ServerProcess(servers[t]))
        except RuntimeError as e:
            print(t, e)
    for n in a.streams:
        for r in range(a.rounds):
            for t, x in running.items():
                f = x.figures(n)
                print(
                    f"{n:5} {t:26}",
                    " ".join(f"{k} {v:.1f}" for k, v in f.items()),
                    "load %.1f" % os.getloadavg()[0],
                    flush=True,
                )
