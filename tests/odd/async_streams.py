# what: asyncio reading stdin in an executor, and a subprocess under asyncio
import asyncio
import sys


async def main():
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print(" + "+".join(line.split()) + ")", stdout=asyncio.subprocess.PIPE
    )
    text, _ = await child.communicate()
    print(text.decode().strip())


asyncio.run(main())
