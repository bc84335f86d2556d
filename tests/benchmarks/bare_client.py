"""The least a client can do: COUNT pairs of chat completions through `openai` over aiohttp, answers thrown away.

python -m tests.benchmarks.bare_client URL COUNT CONCURRENCY
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from openai import AsyncOpenAI, DefaultAioHttpClient


async def main(url: str, count: int, concurrency: int) -> None:
    numbers = iter(range(count))
    async with AsyncOpenAI(
        api_key="none", base_url=url, max_retries=0, http_client=DefaultAioHttpClient(timeout=60)
    ) as client:

        async def work() -> None:
            for number in numbers:
                for model in ("target", "reviser"):
                    await client.chat.completions.create(
                        model=model, messages=[{"role": "user", "content": f"Tell me about row {number}."}]
                    )

        await asyncio.gather(*(work() for _ in range(concurrency)))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
