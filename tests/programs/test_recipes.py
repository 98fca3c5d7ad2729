# SPDX-License-Identifier: BSD-2-Clause
"""The lines of docs/recipes.md and README.md, run as printed: each recipe ends well and prints what the
page shows. A recipe is a block marked `sh`; a block marked `text` right after it is its output."""

import os
import re
import shutil
import subprocess
import tempfile

import inputs
from harness import FERRY, PATIENCE, FerryTest, main

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
PAGES = ["docs/recipes.md", "README.md"]
# Not /usr/local, where a machine has whatever it likes.
DISTRIBUTION = "/usr/bin:/bin"
ALL = os.environ.get("FERRY_PROGRAMS") == "all"
RECIPE = re.compile(r"```sh\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)
WORDS = re.compile(r"ferry (?:run|pipe) (.*?)(?: [<>|] |$)", re.MULTILINE)

# What a reader has: made by programs, where they are there.
MAKERS = [
    "gzip -k paper.pdf",
    "cjpeg picture.ppm > picture.jpg",
    "ffmpeg -loglevel error -f lavfi -i testsrc=size=160x120:rate=10:duration=1 film.avi",
    "echo Boats:0:*:54686520626f6174 > boats.ndb",
    "mkdir -m 700 keys && export GNUPGHOME=$PWD/keys && "
    "gpg -q --batch --passphrase '' --quick-gen-key signer rsa2048 sign never && gpg -q --export > signer.gpg && "
    "gpg -q --batch --detach-sign text; gpgconf --kill all; rm -r keys",
    "openssl genrsa -out key 2048 && openssl rsa -in key -pubout -out signer.pem && "
    "openssl dgst -sha256 -sign key -out text.rsa text",
    "minisign -G -f -W -p signer.pub -s secret && minisign -S -W -s secret -m text",
]
SCRIPTS = {
    "seats.py": 'import json, sys\nprint(sum(boat["seats"] for boat in json.load(sys.stdin)))\n',
    "longest.pl": "my $l = ''; while (<>) { $l = $_ if length > length $l } print $l;\n",
}


def programs_of(recipe):
    """The programs that a recipe runs in VMs."""
    for words in WORDS.findall(recipe):
        stages = re.findall(r"'(.*?)'", words) if not words.startswith("-") and "'" in words.split()[0] else [words]
        for stage in stages:
            rest = re.sub(r"--(?:ro|rw) \S+ |--\S+=\S+ ", "", stage)
            yield rest.split()[0]


def make_inputs(top):
    inputs.write_all(top)
    for name, content in SCRIPTS.items():
        with open(os.path.join(top, name), "w", encoding="ascii") as file:
            file.write(content)
    for maker in MAKERS:
        subprocess.run(["sh", "-c", maker], cwd=top, stdin=subprocess.DEVNULL, capture_output=True,
                       check=False, timeout=PATIENCE)  # fmt: skip


class Recipes(FerryTest):
    """A test for each recipe is added below."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.inputs = os.path.join(cls.directory.name, "inputs")
        os.mkdir(cls.inputs)
        make_inputs(cls.inputs)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def run_recipe(self, recipe, expected):
        missing = [program for program in programs_of(recipe) if not shutil.which(program, path=DISTRIBUTION)]
        if missing and not ALL:
            self.skipTest("a program of it is missing: make check-programs installs it")
        self.assertEqual(missing, [])
        env = {"PATH": f"{os.path.dirname(FERRY)}:{DISTRIBUTION}", "LANG": "C.UTF-8"}
        env |= {name: os.environ[name] for name in ("XDG_CACHE_HOME", "TMPDIR") if name in os.environ}
        top = os.path.join(self.directory.name, "files")
        self.addCleanup(shutil.rmtree, top)
        shutil.copytree(self.inputs, top)
        done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", recipe], cwd=top, env=env, capture_output=True,
                              text=True, check=False, timeout=PATIENCE, stdin=subprocess.DEVNULL)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        if expected:
            self.assertEqual(done.stdout, expected, done.stderr)
        made = [os.path.join(top, name) for name in set(os.listdir(top)) - set(os.listdir(self.inputs))]
        self.assertTrue(done.stdout or made)
        for path in made:
            self.assertTrue(os.listdir(path) if os.path.isdir(path) else os.path.getsize(path), path)


for page in PAGES:
    with open(os.path.join(TOP, page), encoding="utf-8") as lines:
        found = RECIPE.findall(lines.read())
    for number, (commands, output) in enumerate(found):
        name = f"test_{page}_{number:02d} {commands.splitlines()[-1]}"
        setattr(Recipes, name, lambda self, one=commands, two=output: self.run_recipe(one, two))

if __name__ == "__main__":
    main()
