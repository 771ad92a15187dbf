"""An OpenAI-compatible endpoint before a vLLM that prefills and a vLLM that decodes, with a ChunkKV service between them.

    python proxy.py --prefill http://127.0.0.1:8100 --decode http://127.0.0.1:8200 --port 8000

/v1/completions and /v1/chat/completions, streamed or not. A request may ask for a compacted cache by a field of its body:
"chunkkv": {"keep_ratio": 0.2, "chunks": "sentences"}. Where the prefill side or the service fails, the decode side
computes the prompt itself. Needs fastapi, uvicorn and httpx, which vLLM brings.
"""

import argparse
import contextlib
import json

import httpx
import uvicorn
from bodies import (
    Answer,
    Refused,
    check_compacted,
    compacted_body,
    handed_of,
    may_hand_over,
    prefill_body,
    tokenize_body,
    whole_body,
)
from events import failed, first_and_rest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
PREFILL_SECONDS, CONNECT_SECONDS = 120.0, 2.0


class Proxy:
    def __init__(self, prefill, decode):
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
        self._prefill = httpx.AsyncClient(base_url=prefill, timeout=timeout)
        self._decode = httpx.AsyncClient(base_url=decode, timeout=timeout)

    async def close(self):
        await self._prefill.aclose()
        await self._decode.aclose()

    async def complete(self, path, body):
        """The response to a request: from a handed over cache, or, where that fails, computed by the decode side."""
        if not isinstance(body, dict):
            raise Refused("the body is not an object")
        asked = body.pop("chunkkv", None)
        if asked is not None:
            check_compacted(body, asked)
        handed = await self._hand_over(body, asked)
        if handed is not None and asked is not None:
            answer = Answer(path == CHAT, handed.tokens)
            response = await self._send(TEXT, compacted_body(body, handed), answer)
            if response is not None:
                return response
            handed = None
        response = await self._send(path, whole_body(body, handed), None)
        if response is None:
            return JSONResponse({"error": {"message": "the decode side does not answer", "type": "server_error"}}, 503)
        return response

    async def models(self):
        return JSONResponse((await self._decode.get("/v1/models")).json())

    async def _hand_over(self, body, asked):
        """What the prefill side says of the cache that it has stored; None where it did not, or is not asked."""
        if not may_hand_over(body):
            return None
        with contextlib.suppress(httpx.HTTPError, KeyError, TypeError, ValueError):
            prompt = await self._ask_prefill("/tokenize", tokenize_body(body))
            reply = await self._ask_prefill(TEXT, prefill_body(body, prompt["tokens"], asked))
            return handed_of(reply, prompt)
        return None

    async def _ask_prefill(self, path, body):
        reply = await self._prefill.post(path, json=body, timeout=httpx.Timeout(PREFILL_SECONDS, connect=CONNECT_SECONDS))
        reply.raise_for_status()
        return reply.json()

    async def _send(self, path, body, answer):
        """The decode side's response, rewritten by `answer`; None where it failed before the first token."""
        request = self._decode.build_request("POST", path, json=body)
        try:
            reply = await self._decode.send(request, stream=True)
            if not body.get("stream"):
                content = json.loads(await reply.aread())
                if answer is not None and (reply.status_code != 200 or failed(content)):
                    return None
                return JSONResponse(answer.whole(content) if answer is not None else content, reply.status_code)
            if reply.status_code != 200:
                content = json.loads(await reply.aread())
                return None if answer is not None else JSONResponse(content, reply.status_code)
            first, rest = await first_and_rest(reply)
        except (httpx.HTTPError, ValueError):
            return None
        if answer is not None and (first is None or failed(first)):
            await reply.aclose()
            return None
        return StreamingResponse(self._events(reply, first, rest, answer), media_type="text/event-stream")

    async def _events(self, reply, first, rest, answer):
        """Ends the reply with it, so that the decode side computes nothing for a client that has gone."""
        async with contextlib.aclosing(reply):
            event = first
            while event is not None:
                event = answer.part(event) if answer is not None else event
                yield f"data: {json.dumps(event)}\n\n"
                event = await anext(rest, None)
            yield "data: [DONE]\n\n"


def application(proxy):
    @contextlib.asynccontextmanager
    async def lifespan(_):
        yield
        await proxy.close()

    app = FastAPI(lifespan=lifespan)

    @app.post(CHAT)
    @app.post(TEXT)
    async def complete(request: Request):
        try:
            body = await request.json()
            return await proxy.complete(request.url.path, body)
        except (Refused, ValueError) as error:
            return JSONResponse({"error": {"message": str(error), "type": "invalid_request_error"}}, 400)

    @app.get("/v1/models")
    async def models():
        return await proxy.models()

    @app.get("/health")
    async def health():
        return JSONResponse({})

    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefill", required=True, help="URL of the vLLM that prefills")
    parser.add_argument("--decode", required=True, help="URL of the vLLM that decodes")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    uvicorn.run(application(Proxy(arguments.prefill, arguments.decode)), host=arguments.host, port=arguments.port,
                log_level="warning")


if __name__ == "__main__":
    main()
