"""Templates are compiled once a process, however many renderers it makes.

A daemon makes a renderer for each cycle and reads its templates anew, so that a corrected file counts at
once. Compiling what did not change would cost a small cycle more than all the rest of its mail.
"""

from __future__ import annotations

from hashlib import sha256
from types import CodeType

from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket

_MOST = 1024
"""So many compiled templates are kept: ten times what five languages need."""


class CompiledOnce(BytecodeCache):
    """Code by the template's place and source, and by what is built into it as it compiles.

    `built_in` names that: the language of its sentences, and the styles.
    """

    _codes: dict[str, CodeType] = {}  # noqa: RUF012  # shared by the whole process, on purpose

    def __init__(self, built_in: object) -> None:
        self._built_in = built_in

    def get_bucket(self, environment: Environment, name: str, filename: str | None, source: str) -> Bucket:
        said = repr((self._built_in, name, filename, source))
        checksum = sha256(said.encode(errors="surrogatepass")).hexdigest()
        bucket = Bucket(environment, checksum, checksum)
        self.load_bytecode(bucket)
        return bucket

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get(bucket.key)

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is None:
            return
        if len(self._codes) >= _MOST:
            self._codes.clear()
        self._codes[bucket.key] = bucket.code

    def clear(self) -> None:
        self._codes.clear()
