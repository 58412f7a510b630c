"""Damage within the data of a JPEG, over which decoders pass without a word.

Pillow refuses a JPEG that was cut off. Where bytes in the middle were changed, its libjpeg goes on
with whatever they give; the same library says so to who asks (simplejpeg, `strict`).
"""

import re

import simplejpeg

_DAMAGE = re.compile("(?:Corrupt JPEG data|Premature end)[: ]*(.*)")


def said(data: bytes) -> str:
    """What a decoder finds wrong within a JPEG's data; "" if nothing, or it cannot be asked.

    It sees what its code forbids: most changed bytes leave such a trace, but not all.

    Args:
      data: The whole file, which another decoder has read to the end.
    """
    try:
        simplejpeg.decode_jpeg(data, strict=True, min_height=1, min_width=1)  # an eighth a side
    except ValueError as error:
        found = _DAMAGE.search(str(error))
        return (found[1] or found[0]) if found else ""
    except MemoryError:
        return ""
    return ""
