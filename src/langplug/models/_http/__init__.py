"""What models behind HTTP have in common: connections, credentials, timeouts, retries. Built on aiohttp."""
