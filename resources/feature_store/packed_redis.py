"""Packed rows in Redis: a hash for each definition of a view, a field a key. The password is ``REDIS_PASSWORD``, never in the URL."""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from resources.feature_store.packed import TICK_BITS, VERSION_BIT, PackedRows, Place
from resources.settings import handed_over

CHUNK: Final = 2000
"""Rows that one script writes: some milliseconds in which Redis answers nobody else."""

HIGH: Final = 1 << VERSION_BIT - 32
"""The upper half of a reading is its version times this and the upper part of its ticks."""
SCRIPT: Final = f"""
local written = 0
local function after(high, low, reading_high, reading_low)
    return high * {1 << 32 - TICK_BITS} + math.ceil(low / {1 << TICK_BITS}) > reading_high % {HIGH} * {1 << 32} + reading_low
end
local function holds(new, old)
    local high, low, read_high, read_low = struct.unpack('>i4I4I4I4', new)
    local old_high, old_low, old_read_high, old_read_low = struct.unpack('>i4I4I4I4', old)
    local newer = high ~= old_high and high - old_high or low - old_low
    local read_later = read_high ~= old_read_high and read_high - old_read_high or read_low - old_read_low
    local pushed, over_pushed = read_high + read_low == 0, old_read_high + old_read_low == 0
    local versions = math.floor(read_high / {HIGH}) - math.floor(old_read_high / {HIGH})
    if pushed or over_pushed or versions == 0 then
        return newer > 0 or (newer == 0 and (pushed or read_later >= 0)), newer == 0 and pushed
    end
    if versions > 0 then return not after(old_high, old_low, read_high, read_low) end
    return after(high, low, old_read_high, old_read_low)
end
for i = 1, #ARGV, 2 do
    local old, new = redis.call('HGET', KEYS[1], ARGV[i]), ARGV[i + 1]
    local held, corrects = true, false
    if old then held, corrects = holds(new, old) end
    if corrects then new = string.sub(new, 1, 8) .. string.sub(old, 9, 16) .. string.sub(new, 17) end
    if held then
        redis.call('HSET', KEYS[1], ARGV[i], new)
        written = written + 1
    end
end
return written
"""
"""Compare and set, row by row, on the server: no other writer comes between. Lua has no integers of 64 bits, so halves are compared."""


class RedisRows(PackedRows):
    """One server; several processes and threads share it."""

    def __init__(self, url: str) -> None:
        import redis

        client: Any = redis.Redis  # leaves its options untyped
        self._client: Any = client.from_url(url, password=handed_over("REDIS_PASSWORD"))
        self._script: Any = self._client.register_script(SCRIPT)

    def write(self, place: Place, keys: Sequence[str], rows: Sequence[bytes]) -> int:
        """Scripts of bounded size, one after the other: each is there or not, and the same again changes nothing."""
        pairs, written = iter(zip(keys, rows, strict=True)), 0
        while some := list(islice(pairs, CHUNK)):
            written += int(self._script(keys=[_hash(place)], args=[one for pair in some for one in pair]))
        return written

    def read(self, asked: Sequence[tuple[Place, Sequence[str]]]) -> list[bytes | None]:
        """One pipeline."""
        pipe = self._client.pipeline(transaction=False)
        for place, keys in asked:
            if keys:
                pipe.hmget(_hash(place), keys)
        return [row for answer in pipe.execute() for row in answer]

    def keys(self, place: Place) -> Iterator[str]:
        """Scanned."""
        for key, _ in self._client.hscan_iter(_hash(place), count=CHUNK):
            yield key.decode()

    def layouts(self, project: str, view: str) -> set[str]:
        """Scanned."""
        return {
            name.decode().rpartition(":")[2] for name in self._client.scan_iter(match=_hash(Place(project=project, view=view, layout="*")))
        }

    def forget(self, project: str, view: str, *, keep: Collection[str] = ()) -> None:
        """Unlinked: Redis frees the memory by and by."""
        for layout in self.layouts(project, view) - set(keep):
            self._client.unlink(_hash(Place(project=project, view=view, layout=layout)))

    def close(self) -> None:
        """Close the connections that nobody uses now."""
        self._client.connection_pool.disconnect(inuse_connections=False)


def _hash(place: Place) -> str:
    return f"online:{place.project}:{place.view}:{place.layout}"
