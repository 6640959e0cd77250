"""A layer on an image by the engine's own builder, known by a tag of its content.

No operation of its own: `tools` and `feature` are. Engine API: `POST /build`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from rumpel.adapters import threads
from rumpel.adapters.docker_images import BuildOptions
from rumpel.engine.operation import Context
from rumpel.errors import CommandFailed, NotFound
from rumpel.tasks.image import without_noise
from rumpel.tasks.world import World

MARKS = NO_USER, NO_GIT = ("rumpel-no-user", "rumpel-no-git")
"""What the script of `tools` says for us, not for people."""
PODMAN, ID = ("STEP ", "--> ", "COMMIT "), re.compile("[0-9a-f]{64}")
"""What its builder says of its steps, and of the result."""


async def made(
    ctx: Context[World], host_name: str, tag: str, context: Callable[[], bytes], *, is_new: bool
) -> str:
    """The id of the image with this tag. `context`: a tar for the builder, made in a thread.

    `is_new`: what an earlier run left does not count, nor does the engine's cache. Raises
    CommandFailed when the build fails, and what `context` raises.
    """
    host = ctx.world.host(host_name)
    found = None if is_new else await host.image(tag)
    if found is not None:
        ctx.log("found the layer of an earlier run")
        return found.id
    path = ctx.world.scratch_dir / f"layer-{ctx.attempt}-{ctx.nonce[:8]}.tar"
    try:
        await threads.call(lambda: path.write_bytes(context()))
        proxies = ctx.world.proxies.get(host_name, {})
        options = BuildOptions(
            labels=ctx.world.image_labels(), tag=tag, args=proxies, is_nocache=is_new
        )
        image_id = await host.build(path, options, script_output(ctx.log))
    except CommandFailed as error:
        raise _without_script(error) from error
    finally:
        await threads.call(path.unlink, missing_ok=True)
    ctx.fault("built")
    if await host.image(image_id) is None:
        raise NotFound(f"image {image_id} was built but is not there")
    await ctx.world.saw_image(host_name)
    return image_id


def _without_script(error: CommandFailed) -> CommandFailed:
    """The builder tells all of a script that failed, which is ours; what it printed is not."""
    tail, said = error.details.get("tail"), list[str]()
    for line in tail if isinstance(tail, list) else ():
        script_output(said.append, keeps=MARKS)(str(line))
    code, message = error.details.get("exit_code"), error.message
    if any(words in message for words in ("returned a non-zero code", "while running runtime")):
        message = f"its script ended with {code}"
    return CommandFailed(message, hint=error.hint, details={**error.details, "tail": said})


def script_output(
    log: Callable[[str], None], *, keeps: tuple[str, ...] = ()
) -> Callable[[str], None]:
    """What the script prints; the builder's own steps say nothing about the user's image."""
    quiet, marks = without_noise(log), tuple(set(MARKS) - set(keeps))

    def on_line(line: str) -> None:
        if not line.startswith(("Step ", *PODMAN, *marks)) and not ID.fullmatch(line):
            quiet(line)

    return on_line
