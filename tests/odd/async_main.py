# what: async def main with asyncio.run
import asyncio


async def value(word):
    await asyncio.sleep(0.01)
    return int(word)


async def main():
    print(sum(await asyncio.gather(*map(value, input().split()))))


asyncio.run(main())
