"""What `benchmarks.fuzz` starts from: whole files, made here, and ways to damage them.

A seed is the bytes of a file. `mutated` changes one to four things in one: bytes anywhere, and what
a file of its kind is made of (chunks of a PNG, whose checksums are mended; entries of a TIFF;
segments of a JPEG; entries of a zip; values of JSON; packed arrays of MATLAB).
"""

import contextlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import tifffile
from PIL import Image, ImageCms

SIZE = 64

_PNG = b"\x89PNG\r\n\x1a\n"
MOST = 1 << 17  # bytes that a mutation may make of a file
_ODD = (0, 1, 2, 3, 7, 8, 15, 16, 63, 64, 65, 127, 128, 255, 256, 32767, 32768, 65535, 65536)
_HUGE = (2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_TEXTS = ("", "\0", "\n", "é", "\ud800", "nan", "../../x", "s3://", "://", "'" * 9, "x" * 400)
_VALUES = (None, True, False, 0, -1, 1e308, 2**70, "", "a", [], {}, [[]], {"": None}, [1, "a"])


# ------------------------------------------------------------------------------------------- seeds


def _pixels(channels: int, kind: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(channels)
    smooth = np.add.outer(np.arange(SIZE), np.arange(SIZE))[..., None] * np.arange(1, channels + 1)
    found = smooth / smooth.max() * 200 + rng.integers(0, 40, smooth.shape)
    found = found * 257 + 3 if kind is np.uint16 else found
    return found.astype(kind).squeeze()


def _profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _exif() -> bytes:
    found = Image.Exif()
    found[271], found[272], found[274], found[306] = "Maker", "Model 1", 6, "2020:01:01 00:00:00"
    inner = found.get_ifd(34665)
    inner[33434], inner[34855], inner[37380] = 0.004, 200, -0.5
    inner[37500], inner[40962], inner[40963] = b"note" * 20, SIZE, SIZE
    found.get_ifd(34853)[1] = "N"
    found.get_ifd(34853)[2] = (10.0, 20.0, 30.5)
    return found.tobytes()


def _saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _image(mode: str) -> Image.Image:
    if mode in ("P", "1", "CMYK"):
        return Image.fromarray(_pixels(3)).convert(mode)
    if mode == "I;16":
        return Image.fromarray(_pixels(1, np.uint16))
    return Image.fromarray(_pixels({"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode]))


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(channels: int, bits: int, *between: bytes) -> bytes:
    """A PNG written here: Pillow writes no colours of 16 bits; with chunks before its pixels."""
    array = _pixels(channels, np.uint16 if bits == 16 else np.uint8)
    rows = array.astype(">u2" if bits == 16 else "u1").reshape(SIZE, -1)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", SIZE, SIZE, bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *between, chunk(b"IDAT", packed), chunk(b"IEND", b"")]
    return _PNG + b"".join(parts)


def pngs() -> list[bytes]:
    """PNGs of every kind of pixels, with chunks of colours, metadata and transparency."""
    told = [
        chunk(b"gAMA", struct.pack(">I", 100000)),
        chunk(b"cHRM", struct.pack(">8I", *range(1, 9))),
        chunk(b"cICP", bytes([9, 16, 0, 1])),
        chunk(b"sRGB", b"\0"),
        chunk(b"mDCV", bytes(24)),
        chunk(b"eXIf", _exif()[6:]),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation='6'/>"),
    ]
    return [
        *(png(channels, 16) for channels in (1, 2, 3, 4)),
        png(3, 16, chunk(b"tRNS", bytes(6)), told[0]),
        png(1, 16, chunk(b"tRNS", bytes(2))),
        png(3, 8, *told[:2]),
        png(3, 8, told[2], told[4], *told[5:]),
        png(3, 8, told[3], chunk(b"iCCP", b"x\0\0" + zlib.compress(_profile()))),
        png(1, 8, chunk(b"tRNS", b"\0\7")),
        _saved(_image("P"), "PNG", transparency=3),
        _saved(_image("P"), "PNG", transparency=bytes(range(200))),
        _saved(_image("1"), "PNG", transparency=0),
        _saved(_image("RGBA"), "PNG", exif=_exif(), icc_profile=_profile()),
    ]


def jpegs() -> list[bytes]:
    """JPEGs: samplings, scans, colours, metadata, several pictures in one file."""
    rgb, exif, icc = _image("RGB"), _exif(), _profile()
    xmp = b"<x:xmpmeta tiff:Orientation='3' hdrgm:Version='1'/>"
    return [
        _saved(rgb, "JPEG", quality=90, subsampling=0),
        _saved(rgb, "JPEG", quality=50, subsampling=2, exif=exif, icc_profile=icc, xmp=xmp),
        _saved(rgb, "JPEG", quality=75, subsampling=1, progressive=True, exif=exif, comment=b"c"),
        _saved(_image("L"), "JPEG", exif=exif, restart_marker_rows=1),
        _saved(_image("CMYK"), "JPEG", icc_profile=icc),
        _saved(rgb, "MPO", save_all=True, append_images=[_image("RGB")], exif=exif),
    ]


def tiffs() -> list[bytes]:
    """TIFFs by Pillow and by tifffile: depths, extra channels, layouts, compressions."""
    rgb, made = _image("RGB"), []
    for mode in ("L", "RGB", "RGBA", "LA", "P", "1", "CMYK", "I;16"):
        made.append(_saved(_image(mode), "TIFF"))
    for compression in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits"):
        made.append(_saved(rgb, "TIFF", compression=compression, icc_profile=_profile()))
    made.append(_saved(rgb, "TIFF", exif=_exif()))
    made.append(_saved(_image("I;16"), "TIFF", compression="tiff_lzw"))
    wide = _pixels(3, np.uint16)
    planes = np.moveaxis(wide, -1, 0).copy()
    plain: dict = {"metadata": None, "software": False}
    extra = plain | {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    for array, options in (
        (wide, {"photometric": "rgb", "byteorder": ">"}),
        (wide, {"photometric": "rgb", "compression": "zlib", "predictor": True}),
        (wide, {"photometric": "rgb", "tile": (32, 32), "iccprofile": _profile()}),
        (wide, {"photometric": "rgb", "bigtiff": True, "extratags": [(274, "H", 1, 6, True)]}),
        (planes, {"photometric": "rgb", "planarconfig": "separate"}),
        (_pixels(4, np.uint16), extra),
        (_pixels(4, np.uint16), extra | {"extrasamples": ["unspecified"]}),
        (_pixels(4), extra | {"extrasamples": ["assocalpha"]}),
        (_pixels(1, np.uint16), {"photometric": "miniswhite"}),
        (_pixels(2, np.uint16), {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
    ):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, **plain | options)
        made.append(buffer.getvalue())
    return made


def others() -> list[bytes]:
    """WebPs and BMPs; HEICs where pillow-heif is installed."""
    rgb, exif = _image("RGB"), _exif()
    made = [
        _saved(rgb, "WEBP", quality=80, exif=exif, icc_profile=_profile(), xmp=b"<x/>"),
        _saved(rgb, "WEBP", lossless=True),
        _saved(_image("RGBA"), "WEBP", quality=60),
        _saved(rgb, "WEBP", save_all=True, append_images=[_image("RGB").rotate(90)]),
        _saved(rgb, "BMP"),
        _saved(_image("P"), "BMP"),
    ]
    return made + heics()


def heics() -> list[bytes]:
    """HEICs; none where pillow-heif is missing."""
    try:
        import pillow_heif
    except ImportError:
        return []
    made = []
    for mode, options in (("RGB", {"exif": _exif()}), ("RGBA", {}), ("L", {})):
        buffer = io.BytesIO()
        pillow_heif.from_pillow(_image(mode)).save(buffer, quality=60, **options)
        made.append(buffer.getvalue())
    return made


def exifs() -> list[bytes]:
    """Blocks of EXIF, little- and big-endian."""
    little = _exif()
    big = Image.Exif()
    big.endian = ">"
    big[274], big[272] = 8, "Model"
    big.get_ifd(34665)[33434] = 0.01
    return [little, big.tobytes()]


def fingerprints() -> list[bytes]:
    """Fingerprint files of the four formats, with metadata and without."""
    import h5py
    import scipy.io

    from dippas_jax.io import fingerprint_file

    plane = np.random.default_rng(0).standard_normal((12, 16)).astype(np.float32)
    known = fingerprint_file.new(plane, unit="share", photos=3, extractor="wavelet", sigma=2.0)
    made = [fingerprint_file.encode(f"a{kind}", known) for kind in (".npz", ".npy", ".mat", ".h5")]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, K=plane.astype(np.float64), other=np.arange(4))
    made.append(buffer.getvalue())
    buffer = io.BytesIO()
    np.save(buffer, np.asfortranarray(plane), allow_pickle=False)
    made.append(buffer.getvalue())
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"K": plane + 1j, "prnu": plane, "t": "text"}, do_compression=True)
    made.append(buffer.getvalue())
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("K", data=plane, chunks=(4, 4), compression="gzip")
        file["name"] = "a text"
        file["here"] = h5py.SoftLink("/K")
        file["K"].attrs["MATLAB_class"] = np.bytes_(b"single")
    made.append(buffer.getvalue())
    return made


def mats() -> list[bytes]:
    """MATLAB's files of `fingerprints`."""
    return [data for data in fingerprints() if data.startswith(b"MATLAB 5")]


def weights() -> list[bytes]:
    """A network of three layers in the format of SCICO's weights."""
    from flax import serialization

    rng = np.random.default_rng(0)

    def kernel(*shape: int) -> dict:
        return {"kernel": rng.standard_normal((3, 3, *shape)).astype(np.float32)}

    def plane(*names: str) -> dict:
        return {name: np.ones(4, np.float32) for name in names}

    tree = {
        "params": {
            "conv_start": kernel(2, 4),
            "ConvBNBlock_0": {"Conv_0": kernel(4, 4), "BatchNorm_0": plane("scale", "bias")},
            "conv_end": kernel(4, 2),
        },
        "batch_stats": {"ConvBNBlock_0": {"BatchNorm_0": plane("mean", "var")}},
    }
    return [serialization.msgpack_serialize(tree)]


def lists() -> list[bytes]:
    """Manifests of campaigns in their three forms."""
    digest = "0" * 64
    return [
        f'{{"photo": "a.jpg", "sha256": "{digest}"}}\n{{"photo": "b.jpg"}}\n'.encode(),
        f"photo,fingerprint,sha256\na.jpg,K.npz,{digest}\n'b,c.jpg',,\n".encode(),
        b'photo\tfingerprint\n"a\tb.jpg"\tK.npz\n',
        b"# photos\na.jpg\ns3://bucket/b.jpg\n/c d.jpg\n~/e.jpg\n\xef\xbb\xbf\n",
    ]


# --------------------------------------------------------------------------------------- mutations


def mutated(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """A seed with one to four changes; one in a hundred is left as it is."""
    data = rng.choice(seeds)
    if rng.random() < 0.01:
        return data
    for _ in range(1 + min(3, int(rng.expovariate(1.2)))):
        change = _by_kind(data) if rng.random() < 0.5 else None
        if change is not None:
            # What is damaged by an earlier change may no longer be taken apart.
            with contextlib.suppress(ValueError, LookupError, struct.error, zlib.error, *_ZIP):
                data = change(rng, data)
        else:
            data = _spoiled(rng, data, seeds)
        data = data[:MOST]
    return _mended(data) if data.startswith(_PNG) and rng.random() < 0.8 else data


_ZIP = (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError)


def _by_kind(data: bytes) -> Callable[[Random, bytes], bytes] | None:
    if data.startswith(_PNG):
        return _png
    if data.startswith(b"\xff\xd8"):
        return _jpeg
    if data.startswith((b"II", b"MM", b"Exif\0\0")):
        return _tiff
    if data.startswith(b"RIFF"):
        return _riff
    if data.startswith(b"PK"):
        return _zip
    if data.startswith(b"MATLAB 5"):
        return _mat
    if data.startswith((b"{", b"[")):
        return _json
    return None


def _spoiled(rng: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Bytes changed without knowing what they mean."""
    if not data:
        return rng.randbytes(rng.randrange(1, 64))
    at = rng.randrange(len(data))
    if rng.random() < 0.4:  # in the header, where most is decided
        at = rng.randrange(min(len(data), 200))
    length = 1 + int(rng.expovariate(1 / 16))
    choice = rng.randrange(11)
    if choice == 0:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if choice == 1:
        return data[:at] + rng.randbytes(length) + data[at + length :]
    if choice in (2, 3, 4):
        number = _number(rng, len(data))
        return data[:at] + number + data[at + len(number) :]
    if choice == 5:
        return data[:at]
    if choice == 6:
        return data[:at] + data[at + length :]
    if choice == 7:
        return (
            data[:at] + data[at : at + length] * rng.choice((2, 3, 50, 5000)) + data[at + length :]
        )
    if choice == 8:
        other = rng.choice(seeds)
        return data[:at] + other[rng.randrange(len(other)) :]
    if choice == 9:
        return data[:at] + bytes([(data[at] + rng.choice((1, -1))) % 256]) + data[at + 1 :]
    to = rng.randrange(len(data))
    return data[:to] + data[at : at + length] + data[to + length :]


def _number(rng: Random, length: int) -> bytes:
    """An extreme integer of one to eight bytes."""
    size = rng.choice((1, 2, 2, 4, 4, 8))
    value = rng.choice((*_ODD, *_HUGE, length, length - 1, length + 1, rng.getrandbits(32)))
    return (value % 2 ** (8 * size)).to_bytes(size, rng.choice(("little", "big")))


def _listed(rng: Random, parts: list[bytes], fixed: int = 0) -> list[bytes]:
    """Parts of a file with one doubled, removed, swapped or spoiled; the first ones often stay."""
    first = fixed if rng.random() < 0.8 and fixed < len(parts) else 0
    at, other = (rng.randrange(first, len(parts)) for _ in range(2))
    choice = rng.randrange(5)
    if choice == 0:
        return parts[:at] + parts[at : at + 1] * rng.choice((2, 2, 40)) + parts[at + 1 :]
    if choice == 1:
        return parts[:at] + parts[at + 1 :]
    if choice == 2:
        parts[at], parts[other] = parts[other], parts[at]
        return parts
    parts[at] = _spoiled(rng, parts[at], parts)
    return parts


def _png(rng: Random, data: bytes) -> bytes:
    parts, at = [], len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        parts.append(data[at + 4 : at + 8 + length])
        at += 12 + length
    if rng.random() < 0.15:  # the header
        header = bytearray(parts[0])
        place, size = rng.choice(((4, 4), (8, 4), (12, 1), (13, 1), (14, 1), (15, 1), (16, 1)))
        value = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 63, 64, 65, 13000, 2**31 - 1, 2**32 - 1))
        header[place : place + size] = (value % 256**size).to_bytes(size, "big")
        parts[0] = bytes(header)
    elif rng.random() < 0.2:
        kinds = (b"tRNS", b"PLTE", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"iCCP", b"acTL",
                 b"eXIf",
                 b"pHYs", b"zTXt", b"iTXt", b"tEXt", b"fcTL", b"IDAT", b"bKGD")  # fmt: skip
        content = rng.randbytes(rng.choice((0, 1, 2, 4, 6, 8, 32)))
        parts.insert(rng.randrange(1, len(parts) + 1), rng.choice(kinds) + content)
    elif rng.random() < 0.2 and (base := data.find(b"eXIf")) > 0 and b"eXIf" in data:
        (length,) = struct.unpack_from(">I", data, base - 4)
        block = _tiff(rng, data[base + 4 : base + 4 + length])
        parts = [b"eXIf" + block if part[:4] == b"eXIf" else part for part in parts]
    else:
        parts = _listed(rng, parts, 1)
    return _PNG + b"".join(chunk(part[:4], part[4:]) for part in parts)


def _mended(data: bytes) -> bytes:
    """A PNG with the right checksums, as far as its chunks can be told."""
    made, at = bytearray(data), len(_PNG)
    while at + 12 <= len(made):
        (length,) = struct.unpack_from(">I", made, at)
        end = at + 8 + length
        if end + 4 > len(made):
            break
        struct.pack_into(">I", made, end, zlib.crc32(made[at + 4 : end]))
        at = end + 4
    return bytes(made)


def _jpeg(rng: Random, data: bytes) -> bytes:
    parts, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append(data[at : at + 2 + length])
        at += 2 + max(length, 2)
    rest = data[at:]
    blocks = [n for n, part in enumerate(parts) if part[4:10] == b"Exif\0\0"]
    if blocks and rng.random() < 0.4:
        block = _tiff(rng, parts[blocks[0]][4:])
        parts[blocks[0]] = b"\xff\xe1" + struct.pack(">H", (len(block) + 2) % 65536) + block
    elif parts:
        parts = _listed(rng, parts)
        if rng.random() < 0.7:  # lengths that are true
            parts = [
                part[:2] + struct.pack(">H", (len(part) - 2) % 65536) + part[4:] for part in parts
            ]
    return data[:2] + b"".join(parts) + rest


def _tiff(rng: Random, data: bytes) -> bytes:
    """One field of one entry of a directory."""
    base = 6 if data.startswith(b"Exif\0\0") else 0
    order = "<" if data[base : base + 2] == b"II" else ">"
    made = bytearray(data)
    (at,) = struct.unpack_from(order + "I", made, base + 4)
    for _ in range(rng.randrange(3)):  # into the directories of EXIF, and the ones that follow
        (count,) = struct.unpack_from(order + "H", made, base + at)
        inner = [
            struct.unpack_from(order + "I", made, base + at + 10 + 12 * n)[0]
            for n in range(count)
            if struct.unpack_from(order + "H", made, base + at + 2 + 12 * n)[0] in (34665, 34853)
        ]
        at = rng.choice(inner) if inner else at
    (count,) = struct.unpack_from(order + "H", made, base + at)
    entry = base + at + 2 + 12 * rng.randrange(max(count, 1))
    choice = rng.randrange(6)
    if choice == 0:
        tags = (254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 320, 322, 324, 338,
                339, 347, 530, 700, 34665, 34675, 34853, 40962, 50706)  # fmt: skip
        struct.pack_into(order + "H", made, entry, rng.choice(tags))
    elif choice == 1:
        struct.pack_into(order + "H", made, entry + 2, rng.randrange(20))
    elif choice == 2:
        struct.pack_into(order + "I", made, entry + 4, rng.choice((*_ODD, *_HUGE[:3])))
    elif choice == 3:
        struct.pack_into(order + "I", made, entry + 8, rng.choice((*_ODD, *_HUGE[:3])))
    elif choice == 4:
        struct.pack_into(order + "H", made, entry + 8, rng.choice(_ODD) % 65536)
    else:
        struct.pack_into(order + "H", made, base + at, rng.choice(_ODD) % 65536)
    return bytes(made)


def _riff(rng: Random, data: bytes) -> bytes:
    parts, at = [], 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        parts.append(data[at : at + 4] + data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    body = b"".join(
        part[:4] + struct.pack("<I", len(part) - 4) + part[4:] + b"\0" * (len(part) % 2)
        for part in _listed(rng, parts)
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + data[8:12] + body


def _zip(rng: Random, data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    at = rng.randrange(len(parts))
    if rng.random() < 0.7:
        parts[at] = parts[at][0], _spoiled(rng, parts[at][1], [data])
    else:
        parts = parts[:at] + parts[at + 1 :]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts:
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _mat(rng: Random, data: bytes) -> bytes:
    """An array that is unpacked, spoiled and packed again; or one in place of another."""
    parts, at = [], 128
    while at + 8 <= len(data):
        length = struct.unpack_from("<I", data, at + 4)[0]
        parts.append(data[at : at + 8 + length])
        at += 8 + length
    parts = [
        struct.pack("<II", 15, len(packed)) + packed
        if kind == b"\x0f" and rng.random() < 0.5
        and (packed := zlib.compress(_spoiled(rng, zlib.decompress(part[8:]), [part])))
        else part
        for part in parts
        for kind in (part[:1],)
    ]  # fmt: skip
    return data[:128] + b"".join(_listed(rng, parts))


def _json(rng: Random, data: bytes) -> bytes:
    """A value of JSON replaced, removed, doubled or renamed, at any depth."""
    lines = data.decode().splitlines(keepends=True) if b"}\n{" in data else [data.decode()]
    number = rng.randrange(len(lines))
    tree = json.loads(lines[number])
    lines[number] = json.dumps(_changed(rng, tree)) + "\n"
    return "".join(lines).encode()


def _changed(rng: Random, tree):
    inner = tree if isinstance(tree, dict | list) and tree and rng.random() < 0.85 else None
    if inner is None:
        return rng.choice((*_VALUES, *_TEXTS))
    key = rng.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
    choice = rng.randrange(5)
    if choice == 0:
        del tree[key]
    elif choice == 1 and isinstance(tree, dict):
        tree[rng.choice((*_TEXTS, "photo", "id", "sha256", str(key) + "x"))] = tree.pop(key)
    elif choice == 1:
        tree.append(tree[key])
    else:
        tree[key] = _changed(rng, tree[key])
    return tree
