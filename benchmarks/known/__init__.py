"""Models whose delays are known, in this process and behind a server: what `langplug bench` must find."""
