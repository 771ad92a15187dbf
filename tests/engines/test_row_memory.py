"""Where rows lie: ranges are given out and taken back, and the service reads and writes what is lent to it."""
import random

import chunkkv
import chunkkv._cuda_driver
import chunkkv._device_rows
import numpy as np
import programs
import pytest
import torch
from chunkkv.vllm.row_memory import FreeRanges, RowMemory
from host_device import HostDevice
from local_server import eventually, sharing_server

LENGTH, HEADS, SIZE = 64, 2, 16
SHAPE = (LENGTH, HEADS, SIZE)
MODEL = chunkkv.ModelIdentity("rows", "1", "f32", 1, HEADS, SIZE, SIZE)


def test_ranges_never_overlap_and_all_come_back():
    draw, ranges, taken = random.Random(0), FreeRanges(1 << 16), {}
    for _ in range(5000):
        if taken and draw.random() < 0.5:
            begin = draw.choice(list(taken))
            ranges.give_back(begin, taken.pop(begin))
            continue
        size = draw.randrange(1, 3000)
        begin = ranges.take(size)
        if begin is None:
            continue
        assert begin % 64 == 0 and begin + size <= 1 << 16
        assert all(begin + size <= other or other + length <= begin for other, length in taken.items())
        taken[begin] = size
    for begin, size in taken.items():
        ranges.give_back(begin, size)
    assert ranges.take(1 << 16) == 0


def test_what_does_not_fit_is_refused():
    ranges = FreeRanges(256)
    assert [ranges.take(size) for size in (65, 65, 1)] == [0, 128, None]
    ranges.give_back(0, 65)
    assert ranges.take(129) is None and ranges.take(128) == 0


@pytest.fixture
def device(monkeypatch):
    """The host stands for a GPU, as in the client's tests of device regions."""
    library = str(programs.find_program("CHUNKKV_HOST_CUDA_DRIVER", "tests/support/host_cuda_driver/libcuda.so.1"))
    device = HostDevice(library)
    monkeypatch.setattr(chunkkv._cuda_driver, "LIBRARY", library)
    monkeypatch.setattr(chunkkv._device_rows, "is_on_device", device.has)
    return device


@pytest.fixture
def client():
    program = programs.find_program("CHUNKKV_HOST_DEVICE_SERVER", "tests/support/host_device_server")
    with sharing_server("--device-regions", program=program) as address, chunkkv.Client(address) as client:
        yield client


@pytest.fixture(params=["region", "gpu"])
def memory(client, device, request):
    buffer = device.allocate() if request.param == "gpu" else None
    return RowMemory(client, 1 << 20, True, buffer)


def rows(seed):
    return [torch.from_numpy(np.random.default_rng(seed + index).random(SHAPE, np.float32)) for index in range(2)]


def put_rows(client, memory, seed):
    """The copies of a layer's keys and values, after a put of them in two halves."""
    layout = [chunkkv.AttentionRun(layer_count=1, kv_head_count=HEADS, key_head_size=SIZE, value_head_size=SIZE,
                                   dtype=np.dtype(np.float32))]
    with client.open_put(model=MODEL, tokens=range(seed, seed + LENGTH), spec=chunkkv.CompactionSpec("full"), layout=layout,
                         any_order=True) as session:
        copies = []
        for half in (slice(0, 24), slice(24, LENGTH)):
            keys, values = memory.copy_all([whole[half] for whole in rows(seed)])
            session.send_tokens(0, half.start, chunkkv.Layer(k=keys.tensor, v=values.tensor))
            copies += [keys, values]
        session.commit()
    return copies


def get_rows(client, memory, seed):
    with memory.lent([SHAPE] * 2, torch.float32) as places:
        into = {(0, "k"): places[0], (0, "v"): places[1]}
        with client.get_layers(model=MODEL, tokens=range(seed, seed + LENGTH), into=into) as stream:
            (layer,) = list(stream)
        layer = layer.as_torch()
        assert layer.k.data_ptr() == places[0].data_ptr()
        return layer.k.clone(), layer.v.clone()


def test_rows_go_through_what_is_lent(client, memory):
    memory.share()
    for seed in (0, 100):
        copies = put_rows(client, memory, seed)
        assert all(copy.region is not None for copy in copies)
        for got, put in zip(get_rows(client, memory, seed), rows(seed)):
            assert torch.equal(got, put)
        for copy in copies:
            copy.release()
    assert [region.name for region in client.list_regions()] == ["vllm"]


def test_memory_that_the_service_may_have_lost_is_lent_anew(client, memory):
    memory.share()
    (before,) = [region.region_id for region in client.list_regions()]
    (copy,) = memory.copy_all(rows(0)[:1])
    memory.note(chunkkv.errors.NotFound("NOT_FOUND", "a miss says nothing of the memory"), copy.region)
    memory.note(chunkkv.errors.DeadlineExceeded("LOAD_TIMEOUT", "nor does time"), copy.region)
    assert [region.region_id for region in client.list_regions()] == [before]
    with pytest.raises(chunkkv.errors.NotFound), memory.lent([SHAPE], torch.float32) as places:
        assert places
        raise chunkkv.errors.NotFound("REGION_NOT_FOUND", "planted")
    assert not client.list_regions()
    lost = copy.region
    (copy,) = memory.copy_all(rows(0)[:1])
    assert copy.region is None
    put_rows(client, memory, 7)
    get_rows(client, memory, 7)
    (after,) = [region.region_id for region in client.list_regions()]
    memory.note(chunkkv.errors.Unavailable("", "of the region before"), lost)
    assert [region.region_id for region in client.list_regions()] == [after] != [before]


def test_what_is_not_lent_is_the_workers_own(client):
    memory = RowMemory(client, 1000, False)
    assert memory.copy_all([torch.zeros(300)]) is None
    copies = memory.copy_all([torch.arange(100.0), torch.arange(100.0)])
    assert all(copy.region is None for copy in copies) and torch.equal(copies[0].tensor, torch.arange(100.0))
    with memory.lent([(10,)], torch.float32) as places:
        assert places is None
    for copy in copies:
        copy.release()
    assert memory.copy_all([torch.zeros(240)]) is not None


def test_a_service_that_comes_later_is_asked_again(client, monkeypatch):
    def absent(**_):
        raise chunkkv.errors.Unavailable("", "planted")

    memory = RowMemory(client, 1 << 20, True)
    with monkeypatch.context() as patch:
        patch.setattr(client, "capabilities", absent)
        memory.share()
    (copy,) = memory.copy_all(rows(0)[:1])
    assert copy.region is None
    eventually(lambda: memory.share() or client.list_regions())
    (copy,) = memory.copy_all(rows(0)[:1])
    assert copy.region is not None
