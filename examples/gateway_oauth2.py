"""A gateway that wants OAuth2: tokens by client credentials, renewed before they expire, and when they are refused.

    pip install 'langplug[http]' && python examples/gateway_oauth2.py

All of it is on this machine: a token server whose tokens live for two seconds, and a gateway that knows which are good.
For a gateway that speaks OpenAI's API, give `auth` to `ChatEndpoint`; a client of your own asks `auth.atoken()`,
and `auth.atoken(refused=token)` if the gateway has refused that.
"""

import asyncio
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from langplug.http import client_credentials
from langplug.models import ChatHTTP

TOKEN_LIVES_S = 2
good_until: dict[str, float] = {}
"""Every token that was given out, and until when it is good."""


class Company(BaseHTTPRequestHandler):
    """The token server at /token, and the gateway at /talk."""

    def do_POST(self) -> None:
        """Give a token, or answer whoever has a good one."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        token = self.headers["Authorization"].removeprefix("Bearer ")
        if self.path == "/token":
            token = f"token-{len(good_until) + 1}"
            good_until[token] = time.monotonic() + TOKEN_LIVES_S
            self.reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIVES_S})
        elif good_until.get(token, 0) > time.monotonic():
            self.reply(200, {"answer": f"{json.loads(body)['question']} I see {token}."})
        else:
            self.reply(401, {"error": "That token is not good, or no more."})

    def reply(self, status: int, said: dict[str, object]) -> None:
        """Send JSON."""
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


class Server(ThreadingHTTPServer):
    """A server that many may ask at once."""

    request_queue_size = 64


async def main() -> None:
    """Ask with no token yet, with one that has expired, and with one that was taken back."""
    server = Server(("127.0.0.1", 0), Company)
    Thread(target=server.serve_forever, daemon=True).start()
    company = f"http://127.0.0.1:{server.server_port}"
    auth = client_credentials(f"{company}/token", "my-app", "s3cret", scope="llm.read")
    model = ChatHTTP(base_url=company, url="/talk", body={"question": "$text"}, text="answer", auth=auth)

    answers = await asyncio.gather(*(model.ainvoke(f"{number} of 20.") for number in range(1, 21)))
    print(answers[-1].text)
    await asyncio.sleep(TOKEN_LIVES_S)
    print((await model.ainvoke("Two seconds later.")).text)
    good_until["token-2"] = 0
    print((await model.ainvoke("The second was taken back.")).text)
    print(f"{len(good_until)} tokens for {len(answers) + 2} calls")
    await model.aclose()


if __name__ == "__main__":
    asyncio.run(main())
