"""NCCL channels, through the real server: a library stands in for NCCL (host_nccl) and the host for both GPUs
(host_device_server, HostGpu)."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zlib
from pathlib import Path

import chunkkv
import chunkkv._channel_device
import chunkkv._device_rows
import numpy as np
import programs
import pytest
from local_server import eventually
from sample_caches import cache, model, same_bytes, tokens

torch = pytest.importorskip("torch")
from host_gpu import HostGpu, HostGpuMemory  # noqa: E402

LENGTH, WINDOW = 100, 8
CHUNKS = chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.3, window_length=WINDOW)
FULL = chunkkv.CompactionSpec("full")
LIBRARY = str(programs.find_program("CHUNKKV_HOST_NCCL", "tests/support/host_nccl/libnccl.so.2"))


@contextlib.contextmanager
def channel_server(*options):
    program = programs.find_program("CHUNKKV_HOST_DEVICE_SERVER", "tests/support/host_device_server")
    with tempfile.TemporaryDirectory() as folder:
        channels = ("--nccl", "--nccl-library", LIBRARY) if not options else options
        with programs.running_server(Path(folder), *channels, program=program) as address:
            yield address


@pytest.fixture(scope="module")
def address():
    with channel_server() as address:
        yield address


@pytest.fixture
def gpu(monkeypatch):
    memory = HostGpuMemory()
    monkeypatch.setattr(chunkkv._channel_device, "open_device", lambda device: HostGpu(LIBRARY))
    monkeypatch.setattr(chunkkv._device_rows, "is_on_device", memory.has)
    return memory


@pytest.fixture
def client(address, gpu):
    with chunkkv.Client(address) as client:
        yield client


@pytest.fixture
def channel(client):
    with client.open_channel(library=LIBRARY) as channel:
        yield channel


@pytest.fixture
def inline_kinds(monkeypatch):
    """The tensor kinds that went inline."""
    kinds, encode = [], chunkkv._put.encode_part
    monkeypatch.setattr(chunkkv._put, "encode_part",
                        lambda layer, tensor, *rest: kinds.append(tensor) or encode(layer, tensor, *rest))
    return kinds


def dense(gpu, array):
    return gpu.copy(array)


def strided(gpu, array):
    wide = np.zeros((array.shape[0], 2 * array.shape[1], array.shape[2] + 2), np.float32)
    wide[:, ::2, 1:-1] = array
    return gpu.copy(wide)[:, ::2, 1:-1]


def paged(gpu, array, block_size=16, first_slot=5):
    count = -(-(len(array) + first_slot) // block_size)
    blocks = np.zeros((2 * count, block_size, *array.shape[1:]), np.float32)
    ids = np.random.default_rng(3).permutation(2 * count)[:count]
    slots = first_slot + np.arange(len(array))
    blocks[ids[slots // block_size], slots % block_size] = array
    return chunkkv.PagedRows(gpu.copy(blocks), ids, len(array), first_slot)


def layers_of(gpu, arrays, place=dense):
    return [chunkkv.Layer(k=place(gpu, k), v=place(gpu, v), queries=q) for k, v, q in arrays]


def entry_of(seed, spec=FULL):
    return {"model": model(), "tokens": tokens(LENGTH, seed=seed), "spec": spec}


def check(entry, arrays):
    for layer, (k, v, _) in zip(entry.layers, arrays, strict=True):
        assert isinstance(layer.k, torch.Tensor)
        assert same_bytes(layer.k.numpy(), k[layer.positions]) and same_bytes(layer.v.numpy(), v[layer.positions])


@pytest.mark.parametrize("place", [dense, strided, paged])
@pytest.mark.parametrize("spec", [FULL, CHUNKS])
def test_what_is_put_over_a_channel_is_got_over_it(client, gpu, channel, inline_kinds, place, spec):
    arrays, entry = cache(LENGTH), entry_of(zlib.crc32(f"{place.__name__} {spec.policy}".encode()), spec)
    client.put(**entry, layers=layers_of(gpu, arrays, place), channel=channel)
    assert set(inline_kinds) <= {chunkkv.v1.payload_pb2.TENSOR_KIND_QUERIES}
    check(client.get(**entry, channel=channel), arrays)
    assert same_bytes(client.get(**entry).layers[0].k, arrays[0][0][client.get(**entry).layers[0].positions])


def test_layers_longer_than_a_message_come_in_several(client, gpu, channel, monkeypatch):
    monkeypatch.setattr(chunkkv._put, "PART_BYTES", 4096)
    arrays = cache(LENGTH, seed=2)
    client.put(**entry_of(2), layers=layers_of(gpu, arrays, paged), channel=channel)
    check(client.get(**entry_of(2), channel=channel), arrays)


def test_only_chosen_rows_travel_where_selection_comes_first(client, gpu, channel, inline_kinds):
    arrays = cache(LENGTH, seed=3)
    scores = np.random.default_rng(3).random(LENGTH - WINDOW, np.float32)
    layers = [chunkkv.Layer(k=gpu.copy(k), v=paged(gpu, v), token_scores=scores) for k, v, _ in arrays]
    done = client.put(**entry_of(3, CHUNKS), layers=layers, select_then_send=True, channel=channel)
    assert set(inline_kinds) == {chunkkv.v1.payload_pb2.TENSOR_KIND_TOKEN_SCORES}
    assert done.received_bytes < sum(k.nbytes + v.nbytes for k, v, _ in arrays)
    check(client.get(**entry_of(3, CHUNKS), channel=channel), arrays)


def test_layers_come_one_by_one_too(client, gpu, channel):
    arrays = cache(LENGTH, seed=4)
    with client.open_put(**entry_of(4), channel=channel) as put:
        for layer in layers_of(gpu, arrays):
            put.send_layer(layer)
        put.commit()
    with client.get_layers(**entry_of(4), channel=channel) as stream:
        assert [layer.index for layer in stream] == list(range(len(arrays)))
    check(client.get(**entry_of(4), channel=channel), arrays)


def test_a_put_waits_for_its_next_layer_while_others_use_the_channel(client, gpu, channel):
    first, second = cache(LENGTH, seed=5), cache(LENGTH, seed=6)
    with client.open_put(**entry_of(5), channel=channel) as put:
        for layer in layers_of(gpu, first):
            put.send_layer(layer)
            client.put(**entry_of(6), layers=layers_of(gpu, second), channel=channel)
            check(client.get(**entry_of(6), channel=channel), second)
        put.commit()
    check(client.get(**entry_of(5), channel=channel), first)


def test_threads_share_a_channel(client, gpu, channel):
    failures = []

    def work(seed):
        try:
            arrays = cache(LENGTH, seed=seed)
            for turn in range(5):
                entry = entry_of(1000 * seed + turn)
                client.put(**entry, layers=layers_of(gpu, arrays), channel=channel)
                check(client.get(**entry, channel=channel), arrays)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (7, 8, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and channel.failure is None


def test_misses_and_stored_entries_leave_the_channel_alone(client, gpu, channel):
    with pytest.raises(chunkkv.NotFound):
        client.get(**entry_of(10), channel=channel)
    arrays = cache(LENGTH, seed=10)
    client.put(**entry_of(10), layers=layers_of(gpu, arrays), channel=channel)
    assert client.put(**entry_of(10), layers=layers_of(gpu, arrays), channel=channel).already_stored
    check(client.get(**entry_of(10), channel=channel), arrays)


def test_a_put_that_is_left_ends_its_channel_or_leaves_it_whole(client, gpu):
    arrays = cache(LENGTH, seed=11)
    channel = client.open_channel(library=LIBRARY)
    with client.open_put(**entry_of(11), channel=channel) as put:
        put.send_layer(layers_of(gpu, arrays)[0])
    eventually(lambda: client.stats().active_sessions == 0)
    try:
        client.put(**entry_of(11), layers=layers_of(gpu, arrays), channel=channel)
    except chunkkv.Unavailable as error:
        assert error.reason in ("TRANSFER_CANCELLED", "CHANNEL_CLOSED", "PEER_LOST")
    with client.open_channel(library=LIBRARY) as another:
        client.put(**entry_of(12), layers=layers_of(gpu, arrays), channel=another)
        check(client.get(**entry_of(12), channel=another), arrays)
    channel.close()


def test_a_get_that_is_left_ends_its_channel(client, gpu, channel):
    arrays = cache(LENGTH, seed=13)
    client.put(**entry_of(13), layers=layers_of(gpu, arrays), channel=channel)
    released = threading.Event()
    with client.open_channel(library=LIBRARY) as another:
        take = chunkkv._channel_transfers.ChannelGet.take

        def waiting(self, raw):
            if self.channel_id == another.channel_id and self._has_header:
                released.wait(10)
            return take(self, raw)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chunkkv._channel_transfers.ChannelGet, "take", waiting)
            with client.get_layers(**entry_of(13), channel=another):
                pass
            released.set()
            eventually(lambda: another.failure is not None)
        with pytest.raises(chunkkv.Unavailable, match="TRANSFER_CANCELLED"):
            client.get(**entry_of(13), channel=another)
    check(client.get(**entry_of(13), channel=channel), arrays)


def test_a_closed_channel_says_so(client, gpu):
    channel = client.open_channel(library=LIBRARY)
    channel.close()
    channel.close()
    with pytest.raises(chunkkv.Unavailable, match="CHANNEL_CLOSED"):
        client.get(**entry_of(1), channel=channel)


def test_versions_are_named_where_they_differ(address, gpu, monkeypatch):
    monkeypatch.setattr(chunkkv._nccl.Nccl, "version", 22707)
    with chunkkv.Client(address) as client, pytest.raises(
            chunkkv.FailedPrecondition, match="NCCL_VERSION: the server has NCCL 2.30.7, this process 2.27.7"):
        client.open_channel(library=LIBRARY)


def test_a_library_that_is_not_there_is_named(client):
    with pytest.raises(chunkkv.Unavailable, match="NCCL_NOT_FOUND: libnccl-of-nobody"):
        client.open_channel(library="libnccl-of-nobody.so.2")


def test_a_server_without_channels_says_so(gpu):
    with channel_server("--device", "cpu") as address, chunkkv.Client(address) as client:
        assert client.capabilities().channels.unavailable == "CHANNELS_DISABLED"
        with pytest.raises(chunkkv.FailedPrecondition, match="CHANNELS_DISABLED"):
            client.open_channel(library=LIBRARY)


@contextlib.contextmanager
def doomed_server(folder):
    """(address, process) of a server that a test kills."""
    program = programs.find_program("CHUNKKV_HOST_DEVICE_SERVER", "tests/support/host_device_server")
    port = folder / "port"
    process = subprocess.Popen([program, "--listen", "127.0.0.1:0", "--port-file", port, "--nccl", "--nccl-library",
                                LIBRARY], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: port.exists() and port.read_text().strip())
        yield f"127.0.0.1:{port.read_text().strip()}", process
    finally:
        process.kill()
        process.wait()


def test_a_server_that_dies_mid_put_is_noticed(gpu, tmp_path):
    with doomed_server(tmp_path) as (address, process), chunkkv.Client(address) as client:
        channel = client.open_channel(library=LIBRARY)
        layers = layers_of(gpu, cache(LENGTH, seed=14))
        with pytest.raises(chunkkv.Unavailable), client.open_put(**entry_of(14), channel=channel) as put:
            put.send_layer(layers[0])
            process.send_signal(signal.SIGKILL)
            process.wait()
            for layer in layers[1:]:
                put.send_layer(layer)
            put.commit()
        eventually(lambda: channel.failure is not None)
        assert channel.failure.reason == "PEER_LOST"
        with pytest.raises(chunkkv.Unavailable, match="PEER_LOST"):
            client.get(**entry_of(14), channel=channel)
        channel.close()


WORKER = """
import sys, time
sys.path[:0] = sys.argv[3:]
import chunkkv, chunkkv._channel_device, chunkkv._device_rows
from host_gpu import HostGpu, HostGpuMemory
from test_channels import cache, entry_of, layers_of
memory = HostGpuMemory()
chunkkv._channel_device.open_device = lambda device: HostGpu(sys.argv[2])
chunkkv._device_rows.is_on_device = memory.has
client = chunkkv.Client(sys.argv[1])
put = client.open_put(**entry_of(15), channel=client.open_channel(library=sys.argv[2]))
put.send_layer(layers_of(memory, cache(100, seed=15))[0])
print("ready", flush=True)
time.sleep(60)
"""


def test_a_client_that_dies_mid_put_leaves_nothing_behind(address, client, gpu):
    folders = [str(Path(__file__).parent), *(folder for folder in sys.path if "support" in folder)]
    worker = subprocess.Popen([sys.executable, "-c", WORKER, address, LIBRARY, *folders], stdout=subprocess.PIPE,
                              env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    with worker.stdout:
        assert worker.stdout.readline() == b"ready\n"
    worker.kill()
    worker.wait()
    eventually(lambda: client.stats().active_sessions == 0 and not client.stats().tiers["host"]["staging_bytes"])
    arrays = cache(LENGTH, seed=15)
    with client.open_channel(library=LIBRARY) as channel:
        client.put(**entry_of(15), layers=layers_of(gpu, arrays), channel=channel)
        check(client.get(**entry_of(15), channel=channel), arrays)


async def test_asyncio_puts_and_gets_over_channels_too(address, gpu):
    arrays = [cache(LENGTH, seed=seed) for seed in (16, 17, 18)]
    async with chunkkv.AsyncClient(address) as client:
        async with await client.open_channel(library=LIBRARY) as channel:
            await asyncio.gather(*(client.put(**entry_of(16 + i), layers=layers_of(gpu, one, paged), channel=channel)
                                   for i, one in enumerate(arrays)))
            entries = await asyncio.gather(*(client.get(**entry_of(16 + i), channel=channel) for i in range(3)))
            for entry, one in zip(entries, arrays):
                check(entry, one)
            async with client.open_put(**entry_of(19), channel=channel) as put:
                for layer in layers_of(gpu, arrays[0]):
                    await put.send_layer(layer)
                await put.commit()
        with pytest.raises(chunkkv.Unavailable, match="CHANNEL_CLOSED"):
            await client.get(**entry_of(19), channel=channel)


async def test_a_cancelled_task_ends_no_more_than_its_channel(address, gpu):
    arrays = cache(LENGTH, seed=20)
    async with chunkkv.AsyncClient(address) as client:
        channel = await client.open_channel(library=LIBRARY)
        begun = asyncio.Event()

        async def put_half():
            async with client.open_put(**entry_of(20), channel=channel) as put:
                await put.send_layer(layers_of(gpu, arrays)[0])
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(put_half())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await channel.close()
        async with await client.open_channel(library=LIBRARY) as another:
            await client.put(**entry_of(21), layers=layers_of(gpu, arrays), channel=another)
            check(await client.get(**entry_of(21), channel=another), arrays)
