"""Tensors of a GPU, lent to the server. The host stands for the GPU: a driver (host_cuda_driver) whose memory the host
can touch, and a server (host_device_server) that imports it; torch tensors over that memory count as on a device."""

import contextlib

import chunkkv
import chunkkv._cuda_driver
import chunkkv._device_rows
import numpy as np
import programs
import pytest
from local_server import sharing_server
from sample_caches import cache, model, same_bytes, tokens

torch = pytest.importorskip("torch")
from host_device import CREATE, MALLOC, POOL, SEGMENT_BYTES, HostDevice  # noqa: E402

LENGTH, WINDOW = 100, 8
SPEC = chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.3, window_length=WINDOW)


@pytest.fixture(scope="module")
def device_address():
    program = programs.find_program("CHUNKKV_HOST_DEVICE_SERVER", "tests/support/host_device_server")
    with sharing_server("--device-regions", program=program) as address:
        yield address


@pytest.fixture
def device_client(device_address):
    with chunkkv.Client(device_address) as client:
        yield client


@pytest.fixture
def device(monkeypatch):
    library = programs.find_program("CHUNKKV_HOST_CUDA_DRIVER", "tests/support/host_cuda_driver/libcuda.so.1")
    device = HostDevice(str(library))
    monkeypatch.setattr(chunkkv._cuda_driver, "LIBRARY", str(library))
    monkeypatch.setattr(chunkkv._device_rows, "is_on_device", device.has)
    return device


class Arena:
    """Tensors one after another in one that was lent."""

    def __init__(self, memory):
        self._memory, self._used = memory, 0

    def tensor(self, shape, dtype):
        count = int(np.prod(shape)) * dtype.itemsize
        tensor = self._memory[self._used:self._used + count].view(dtype).reshape(shape)
        self._used += -(-count // 16) * 16
        return tensor

    def copy(self, array):
        tensor = self.tensor(array.shape, torch.float32)
        tensor.copy_(torch.from_numpy(array))
        return tensor

    def strided(self, array):
        tensor = self.tensor((array.shape[0], 2 * array.shape[1], array.shape[2] + 2), torch.float32)[:, ::2, 1:-1]
        tensor.copy_(torch.from_numpy(array))
        return tensor

    def paged(self, array, block_size=16, first_slot=5):
        count = -(-(len(array) + first_slot) // block_size)
        blocks = self.tensor((2 * count, array.shape[1], block_size, array.shape[2]), torch.float32).transpose(1, 2)
        ids = np.random.default_rng(3).permutation(2 * count)[:count]
        slots = first_slot + np.arange(len(array))
        blocks[torch.from_numpy(ids[slots // block_size]), torch.from_numpy(slots % block_size)] = torch.from_numpy(array)
        return chunkkv.PagedRows(blocks, ids, len(array), first_slot)


def put(client, layers, **more):
    return client.put(model=model(), tokens=tokens(LENGTH, seed=more.pop("seed", 0)), spec=SPEC, layers=layers, **more)


def get(client, seed=0, **more):
    return client.get(model=model(), tokens=tokens(LENGTH, seed=seed), spec=SPEC, **more)


def sent_bytes(monkeypatch):
    """Counts what goes inline from now on."""
    sent = []
    encode = chunkkv._put.encode_part

    def counting(layer, tensor, *arguments):
        sent.append(tensor)
        return encode(layer, tensor, *arguments)

    monkeypatch.setattr(chunkkv._put, "encode_part", counting)
    return sent


@pytest.mark.parametrize("seed,place,kind,count", [
    (1, "copy", MALLOC, 1), (2, "strided", MALLOC, 1), (3, "paged", MALLOC, 1), (4, "copy", CREATE, 1),
    (5, "paged", CREATE, 2)])
def test_what_lies_on_the_device_is_put_from_there_and_got_to_there(device_client, device, monkeypatch, seed, place,
                                                                    kind, count):
    memory = device.allocate(kind, count)[64 if count == 1 else SEGMENT_BYTES - 4096:]
    arena, arrays = Arena(memory), cache(LENGTH)
    with device_client.lend(memory, name="cache") as region:
        assert region.region_id in [listed.region_id for listed in device_client.list_regions()]
        inline = sent_bytes(monkeypatch)
        place_of = getattr(arena, place)
        layers = [chunkkv.Layer(k=place_of(k), v=place_of(v), queries=q) for k, v, q in arrays]
        put(device_client, layers, seed=seed)
        assert set(inline) <= {chunkkv.v1.payload_pb2.TENSOR_KIND_QUERIES}
        expected = get(device_client, seed=seed)
        for layer, (k, v, _) in zip(expected.layers, arrays):
            assert same_bytes(layer.k, k[layer.positions]) and same_bytes(layer.v, v[layer.positions])

        into = {}
        for layer in expected.layers:
            into[layer.index, "k"] = arena.tensor(layer.k.shape, torch.float32)
            into[layer.index, "v"] = arena.tensor(layer.v.shape, torch.float32)
        written = get(device_client, seed=seed, into=into)
        for layer, written_layer in zip(expected.layers, written.layers):
            assert isinstance(written_layer.k, torch.Tensor)
            assert written_layer.k.data_ptr() == into[layer.index, "k"].data_ptr()
            assert same_bytes(written_layer.k.numpy(), layer.k) and same_bytes(written_layer.v.numpy(), layer.v)
            assert written_layer.as_torch().k is written_layer.k
    assert region.region_id not in [listed.region_id for listed in device_client.list_regions()]


def test_what_was_not_lent_is_copied_to_the_host_and_sent(device_client, device):
    arrays = cache(LENGTH, seed=5)
    arena = Arena(device.allocate())
    layers = [chunkkv.Layer(k=arena.copy(k), v=arena.paged(v), queries=arena.copy(q)) for k, v, q in arrays]
    put(device_client, layers, seed=500)
    for layer, (k, v, _) in zip(get(device_client, seed=500).layers, arrays):
        assert same_bytes(layer.k, k[layer.positions]) and same_bytes(layer.v, v[layer.positions])
    with pytest.raises(chunkkv.InvalidArgument, match="NOT_IN_REGION"):
        get(device_client, seed=500, into={(0, "k"): arena.copy(arrays[0][0])})


async def test_asyncio_lends_too(device_address, device):
    arrays = cache(LENGTH, seed=6)
    memory = device.allocate(CREATE)
    arena = Arena(memory)
    layers = [chunkkv.Layer(k=arena.copy(k), v=arena.copy(v), queries=q) for k, v, q in arrays]
    async with chunkkv.AsyncClient(device_address) as client:
        async with await client.lend(memory):
            await client.put(model=model(), tokens=tokens(LENGTH, seed=600), spec=SPEC, layers=layers)
            entry = await client.get(model=model(), tokens=tokens(LENGTH, seed=600), spec=SPEC)
    assert same_bytes(entry.layers[0].k, arrays[0][0][entry.layers[0].positions])


@pytest.mark.parametrize("reason,lent", [
    ("NOT_ON_DEVICE", lambda device: torch.zeros(4)), ("NOT_ON_DEVICE", lambda device: np.zeros(4)),
    ("NOT_EXPORTABLE", lambda device: device.allocate(POOL)),
    ("NOT_EXPORTABLE", lambda device: device.allocate(MALLOC, 2))])
def test_what_cannot_be_lent_is_refused_by_name(device_client, device, reason, lent):
    with pytest.raises(chunkkv.Error) as caught:
        device_client.lend(lent(device))
    assert caught.value.reason == reason
    assert device_client.list_regions() == []


def test_without_a_driver_nothing_is_lent(device_client, device, monkeypatch):
    monkeypatch.setattr(chunkkv._cuda_driver, "LIBRARY", "libcuda-of-nobody.so.1")
    with pytest.raises(chunkkv.Unimplemented, match="NO_CUDA_DRIVER"):
        device_client.lend(device.allocate())


def test_servers_take_device_memory_only_where_they_were_told_to(device):
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(chunkkv.Client(stack.enter_context(sharing_server())))
        with pytest.raises(chunkkv.FailedPrecondition, match="DEVICE_REGIONS_DISABLED"):
            client.lend(device.allocate())
