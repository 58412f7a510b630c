"""What else a photo's file holds than its picture, and what is said of that."""

import re

from PIL import Image

from dippas_jax.io import exif as metadata

_OTHER_PICTURES = (
    rb"MotionPhoto|MicroVideo|photos/1\.0/container|HDRGainMap|hdrgm:|hdr-gain-map|ItemURI|"
    rb"AuxiliaryImageType|subimage"
)
_OF_OTHER_PICTURES = re.compile(_OTHER_PICTURES)
POINTS_ELSEWHERE = re.compile(_OTHER_PICTURES + rb"|HasExtendedXMP|jumbf|c2pa|:provenance")
"""In XMP: names of what lies behind the picture, in other parts of its file or elsewhere."""

HOLDS_PICTURES = re.compile(
    rb"xmpGImg|xap/1\.0/g/img/|GImage|GDepth|google/depthmap|photos/dd/|\0|/9j/|iVBORw0KGgo|UklGR|"
    rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{1000}"
)
"""In XMP, without its spaces: names of pictures that lie in it, which show the original, how they
begin, and what is as long as only such are; or text in another code, in which nothing is found."""

_VIDEO = re.compile(rb"\0\0\0.ftyp(?:mp4|iso|avc|qt)", re.DOTALL)
"""How a film begins that a phone puts behind the picture of a JPEG."""

_EXIF, _INTEROP, _COLORSPACE = 34665, 40965, 40961

_UNKEPT = {"comment": "comment", "photoshop": "image resources of Photoshop (IPTC)"}
_TEXTS_ELSEWHERE = {"XML:com.adobe.xmp", "Raw profile type exif"}  # of a PNG, read as what they are
_KNOWN_SEGMENTS = (
    b"JFIF", b"JFXX", b"Exif", b"http://ns.adobe.com/x", b"ICC_PROFILE", b"MPF\0", b"Photoshop",
    b"Adobe",
)  # fmt: skip


def unkept(image: Image.Image) -> tuple[str, ...]:
    """Names of metadata that are never written: `PhotoFile.unkept`."""
    found = [name for key, name in _UNKEPT.items() if image.info.get(key)]
    if getattr(image, "text", {}).keys() - _TEXTS_ELSEWHERE:
        found.append("text")
    for segment, content in getattr(image, "applist", ()):
        if segment != "COM" and not content.startswith(_KNOWN_SEGMENTS):
            found.append("C2PA manifest" if b"jumb" in content[:32] else f"segment {segment}")
    return tuple(dict.fromkeys(found))


def left_out(image: Image.Image, data: bytes, xmp: bytes | None, *, srgb: bool) -> list[str]:
    """Clauses on what else the file holds, and on what is known of its colours by EXIF alone."""
    said, info = [], image.info
    if xmp and _OF_OTHER_PICTURES.search(xmp):
        said.append("what its XMP points to (a video, a gain map or a second image) is left out")
    else:
        if image.format == "MPO":
            said.append("its second image is left out")
        if (image.format == "JPEG" and _VIDEO.search(data)) or (
            image.format == "HEIF" and b"mpvd" in _boxes(data)
        ):
            said.append("its video is left out")
    if image.format == "HEIF":
        others = getattr(image, "n_frames", 1) > 1 or info.get("depth_images") or info.get("aux")
        if others:
            said.append("its other images (a gain map, depth, a series) are left out")
        if (bits := info.get("bit_depth", 8)) > 8:
            said.append(f"{bits} bits reduced to 8")
    tags = metadata.tags(image)
    inner, others = (metadata.directory(tags, one) for one in (_EXIF, _INTEROP))
    adobe = others.get(1) == "R03" or inner.get(_COLORSPACE) == 2
    if adobe and not info.get("icc_profile"):
        stay = ", and they are not converted" if srgb else ""
        said.append(
            f"that its colours are Adobe RGB says its EXIF alone, which few viewers follow{stay}"
        )
    return said


def _boxes(data: bytes) -> list[bytes]:
    """Kinds of the outer boxes of a HEIF (ISO/IEC 14496-12, part 4.2)."""
    found, at = [], 0
    while at + 16 <= len(data):
        size, start = int.from_bytes(data[at : at + 4]), 8
        found.append(data[at + 4 : at + 8])
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16]), 16
        if size < start:  # to the end of the file, or damaged
            break
        at += size
    return found
