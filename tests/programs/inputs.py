# SPDX-License-Identifier: BSD-2-Clause
"""Small files of the kinds that people have, made anew for each run, always the same bytes."""

import gzip
import io
import json
import os
import random
import sqlite3
import struct
import tarfile
import wave
import zipfile
import zlib

WORDS = "letter page queue machine harbour crossing ticket deck anchor tide pilot cargo".split()
YEAR_2020 = 1577836800

HTML = """<!DOCTYPE html><html><head><title>Ferry times</title></head><body><h1>Times</h1>
<p>The boat leaves at <b>eight</b> &amp; at <i>ten</i>.</p><ul><li>one</li><li>two</li></ul>
<table><tr><td>a</td><td>b</td></tr></table></body></html>
"""
XML = """<?xml version="1.0" encoding="UTF-8"?>
<boats><boat id="1"><name>Anna</name><seats>40</seats></boat><boat id="2"><name>Ole</name><seats>12</seats></boat></boats>
"""
XSL = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output method="text"/><xsl:template match="/"><xsl:for-each select="//boat"><xsl:sort select="seats"/>
<xsl:value-of select="name"/>: <xsl:value-of select="seats * 2"/></xsl:for-each></xsl:template></xsl:stylesheet>
"""
SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40"><rect width="60" height="40" fill="#336"/>
<circle cx="30" cy="20" r="12" fill="gold"/><text x="4" y="36" font-size="9" fill="white">Ferry</text></svg>
"""
MARKDOWN = "# Times\n\nThe boat leaves at *eight*.\n\n| day | hour |\n|---|---|\n| Mon | 8 |\n\n```c\nint x;\n```\n"
RTF = r"{\rtf1\ansi{\fonttbl{\f0 Times;}}\f0\pard The boat leaves at \b eight\b0 .\par And at ten.\par}" + "\n"
DOT = 'digraph crossing { rankdir=LR; north -> south [label="8"]; south -> north; north -> pier; }\n'
PROGRAM = """#include <stdio.h>
static int twice(int x) { return 2 * x; }
int main(void) { printf("%d\\n", twice(21)); return 0; }
"""
DOCX_TYPES = """<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Override PartName="/word/document.xml"
 ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"""
DOCX_RELS = """<?xml version="1.0"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1"
 Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
 Target="word/document.xml"/></Relationships>"""
DOCX = """<?xml version="1.0"?>
<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>
<w:p><w:r><w:t>The boat leaves at eight.</w:t></w:r></w:p></w:body></w:document>"""
ODT = """<?xml version="1.0"?><office:document-content
 xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.2"><office:body><office:text>
<text:h>Times</text:h><text:p>The boat leaves at eight.</text:p></office:text></office:body>
</office:document-content>"""
MAIL = """From: Anna <anna@example.org>
To: ole@example.org
Subject: times
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b1"

--b1
Content-Type: text/plain

See the attachment.
--b1
Content-Type: text/plain; name="times.txt"
Content-Disposition: attachment; filename="times.txt"
Content-Transfer-Encoding: base64

VGhlIGJvYXQgbGVhdmVzIGF0IGVpZ2h0Lgo=
--b1--
"""


def prose(rng, lines):
    return "".join(f"{n} {' '.join(rng.choices(WORDS, k=9))}\n" for n in range(lines))


def pixels(width, height):
    return bytes(
        value for y in range(height) for x in range(width)
        for value in (x * 255 // width, y * 255 // height, (x ^ y) & 255)
    )  # fmt: skip


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows, data = b"", pixels(width, height)
    for y in range(height):
        rows += b"\0" + data[y * width * 3 : (y + 1) * width * 3]
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pdf():
    """Two pages of text, one with a rectangle and a picture."""
    image = zlib.compress(pixels(16, 16))
    pages = [
        b"BT /F1 24 Tf 40 700 Td (The boat leaves at eight.) Tj ET 40 600 200 50 re f q 64 0 0 64 300 500 cm /I Do Q",
        b"BT /F1 18 Tf 40 700 Td (And at ten.) Tj ET",
    ]
    streams = [b"<</Length %d>>stream\n%s\nendstream" % (len(p), p) for p in pages]
    streams.append(
        b"<</Type/XObject/Subtype/Image/Width 16/Height 16/ColorSpace/DeviceRGB/BitsPerComponent 8"
        b"/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(image), image)
    )
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 5 0 R>>/XObject<</I 8 0 R>>>>/Contents %d 0 R>>"
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2>>", page % 6, page % 7,
               b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>", *streams]  # fmt: skip
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj%s endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return data + b"xref\n0 9\n0000000000 65535 f \n%strailer<</Size 9/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        table, len(data))  # fmt: skip


def pack_zip(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def pack_tar(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), YEAR_2020
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write_database(path):
    with sqlite3.connect(path) as base:
        base.execute("create table boats(name text, seats integer)")
        base.executemany("insert into boats values(?, ?)", [(f"boat {n}", n * 7 % 50) for n in range(200)])
    base.close()


def write_sound(path):
    with wave.open(path, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(b"".join(struct.pack("<hh", n * 97 % 20000 - 10000, n * n % 9001) for n in range(44100)))


def contents():
    rng = random.Random(7)
    text = prose(rng, 3000)
    numbers = [rng.randrange(10**6) for _ in range(3000)]
    boats = [{"name": f"boat {n}", "seats": n * 7 % 50, "tags": rng.sample(WORDS, 3)} for n in range(200)]
    packed = [("list/text", text.encode()), ("list/numbers", "\n".join(map(str, numbers)).encode()), ("empty", b"")]
    return {
        "text": text, "text2": text.replace("harbour", "port"), "words": "\n".join(rng.choices(WORDS, k=900)) + "\n",
        "utf8": "Fähre — переправа — 渡し船\n" * 200, "numbers": "".join(f"{n}\n" for n in numbers),
        "left": "".join(f"{n} {WORDS[n % 12]}\n" for n in range(100, 400)),
        "right": "".join(f"{n} {n * n}\n" for n in range(300, 600)),
        "table.csv": "name,seats\n" + "".join(f"{b['name']},{b['seats']}\n" for b in boats),
        "boats.json": json.dumps(boats), "boats.yaml": "boats:\n- {name: Anna, seats: 40}\n- {name: Ole, seats: 12}\n",
        "random": rng.randbytes(50000), "page.html": HTML, "boats.xml": XML, "boats.xsl": XSL, "flag.svg": SVG,
        "notes.md": MARKDOWN, "sums": "2^100\nscale=9\n22/7\n", "page.tcl": "puts [llength [split {a b c d}]]\n", "letter.rtf": RTF, "graph.dot": DOT, "program.c": PROGRAM, "alone.c": "int twice(int x) { return 2 * x; }\n", "names": "anna\nben\nole\n", "files": "text\nnumbers\n", "mail.eml": MAIL,
        "letter.docx": pack_zip([("[Content_Types].xml", DOCX_TYPES), ("_rels/.rels", DOCX_RELS), ("word/document.xml", DOCX)]),
        "letter.odt": pack_zip([("mimetype", "application/vnd.oasis.opendocument.text"), ("content.xml", ODT)]),
        "pack.zip": pack_zip(packed), "pack.tar": pack_tar(packed), "pack.tar.gz": gzip.compress(pack_tar(packed), mtime=0),
        "text.gz": gzip.compress(text.encode(), mtime=0), "picture.png": png(120, 80), "paper.pdf": pdf(),
        "picture.ppm": b"P6 120 80 255\n" + pixels(120, 80),
    }  # fmt: skip


def write_all(directory):
    """All of them into a directory, with a date of its own."""
    for name, content in contents().items():
        with open(os.path.join(directory, name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
    write_database(os.path.join(directory, "boats.db"))
    write_sound(os.path.join(directory, "sound.wav"))
    for name in os.listdir(directory):
        os.utime(os.path.join(directory, name), (YEAR_2020, YEAR_2020))
