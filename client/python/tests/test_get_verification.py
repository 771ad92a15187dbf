"""Nothing is handed on before it is right."""

import chunkkv
import numpy as np
import pytest
from fake_service import KEYS, entry_messages
from sample_caches import cache, model, same_bytes, tokens

MODEL, TOKENS = model(), tokens(20)
KEY = chunkkv.PromptKey.of_tokens(TOKENS).key
LAYERS = [(k, v) for k, v, _ in cache(20)]


def encoded(**header):
    return [message.SerializeToString() for message in messages(**header)]


def messages(**header):
    return list(entry_messages(MODEL, KEY, LAYERS, **{"token_count": 20, **header}))


def get(client, **arguments):
    return client.get(model=MODEL, tokens=TOKENS, **arguments)


def refused(client, reason, **arguments):
    with pytest.raises(chunkkv.DataLoss) as caught:
        get(client, **arguments)
    assert caught.value.reason == reason


def test_an_entry_arrives_bit_for_bit(fake, fake_client):
    fake.replies = encoded()
    entry = get(fake_client)
    for layer, (k, v) in zip(entry.layers, LAYERS, strict=True):
        assert same_bytes(layer.k, k) and same_bytes(layer.v, v)
    assert (entry.original_length, entry.next_position, entry.policy_applied) == (20, 20, "full")
    assert all((layer.positions == np.arange(20)).all() for layer in entry.layers)
    assert entry.sizes.served_bytes == sum(k.nbytes + v.nbytes for k, v in LAYERS)


def test_kept_positions_come_with_their_rows(fake, fake_client):
    fake.replies = encoded(token_count=50, positions=list(range(3, 43, 2)), variant=b"v" * 32)
    entry = get(fake_client, accept=b"v" * 32)
    assert entry.layers[1].positions.tolist() == list(range(3, 43, 2))
    assert entry.layers[1].positions.dtype == np.int32


def test_layers_are_handed_on_as_they_complete(fake, fake_client):
    replies = encoded()
    layer_1 = next(index for index, message in enumerate(messages())
                   if message.HasField("layer_end") and message.layer_end.layer == 1)
    fake.replies, fake.is_endless = replies[:layer_1 + 1], True
    with fake_client.get_layers(model=MODEL, tokens=TOKENS) as stream:
        assert stream.header.original_length == 20
        assert [next(stream).index, next(stream).index] == [0, 1]
    assert fake.cancelled.result(timeout=10)


@pytest.mark.parametrize("share", np.linspace(0.02, 0.98, 25))
def test_a_flipped_bit_anywhere_in_a_part_is_refused(fake, fake_client, share):
    fake.replies = encoded()
    part = next(index for index, message in enumerate(messages()) if message.HasField("part") and message.part.layer)
    spoilt = bytearray(fake.replies[part])
    spoilt[int(share * len(spoilt))] ^= 1 << 3
    fake.replies[part] = bytes(spoilt)
    with pytest.raises(chunkkv.DataLoss):
        get(fake_client)


def test_bytes_spoilt_before_their_checksum_are_refused_by_the_digest(fake, fake_client):
    spoilt = [(k.copy(), v) for k, v in LAYERS]
    spoilt[2][0][7, 1, 3] += 1
    served = [message.SerializeToString() for message in entry_messages(MODEL, KEY, spoilt, token_count=20)]
    fake.replies = [encoded()[0]] + served[1:]
    refused(fake_client, "TENSOR_DIGEST")


def test_layers_before_a_spoilt_one_are_still_handed_on(fake, fake_client):
    fake.replies = encoded()
    last_part = max(index for index, message in enumerate(messages()) if message.HasField("part"))
    fake.replies[last_part] = fake.replies[last_part][:-1] + b"\xff"
    stream = fake_client.get_layers(model=MODEL, tokens=TOKENS)
    assert [next(stream).index, next(stream).index] == [0, 1]
    with pytest.raises(chunkkv.DataLoss, match="PART_CHECKSUM"):
        next(stream)


def test_a_swapped_digest_of_a_layers_end_is_refused(fake, fake_client):
    replies = messages()
    end = replies[-1].layer_end.digests
    end[0].digest, end[1].digest = end[1].digest, end[0].digest
    fake.replies = [message.SerializeToString() for message in replies]
    refused(fake_client, "TENSOR_DIGEST")


def test_digests_that_do_not_make_the_entrys_are_refused(fake, fake_client):
    fake.replies = encoded(entry_digest=bytes(16))
    refused(fake_client, "ENTRY_DIGEST")


@pytest.mark.parametrize("drop", ["part", "last_part", "layer_end", "everything_after_layer_1", "header"])
def test_a_reply_with_something_missing_is_refused(fake, fake_client, drop):
    replies = messages()
    if drop == "everything_after_layer_1":
        end = next(index for index, message in enumerate(replies)
                   if message.HasField("layer_end") and message.layer_end.layer == 1)
        replies = replies[:end + 1]
    elif drop == "last_part":
        assert replies.pop(-2).HasField("part")
    else:
        del replies[next(index for index, message in enumerate(replies) if message.HasField(drop))]
    fake.replies = [message.SerializeToString() for message in replies]
    with pytest.raises(chunkkv.DataLoss) as caught:
        get(fake_client)
    assert caught.value.reason in ("INCOMPLETE_REPLY", "MALFORMED_REPLY")


def test_a_part_twice_is_refused(fake, fake_client):
    fake.replies = encoded()
    fake.replies.insert(2, fake.replies[1])
    refused(fake_client, "MALFORMED_REPLY")


@pytest.mark.parametrize("header", [{"fingerprint": bytes(32)}, {"key": bytes(32)}, {"position_mode": 2},
                                    {"shard": {"tp_rank": 1, "tp_size": 2}}])
def test_another_entry_than_asked_for_is_refused(fake, fake_client, header):
    fake.replies = encoded(**header)
    refused(fake_client, "ANOTHER_ENTRY")


def test_a_lossy_entry_where_exact_was_asked_is_refused(fake, fake_client):
    fake.replies = encoded(token_count=50, positions=list(range(20)))
    refused(fake_client, "ANOTHER_ENTRY")


def test_another_variant_or_entry_id_is_refused(fake, fake_client):
    fake.replies = encoded()
    refused(fake_client, "ANOTHER_ENTRY", accept=b"v" * 32)
    refused(fake_client, "ANOTHER_ENTRY", if_entry_id=b"i" * 16)


@pytest.mark.parametrize("positions", [[*range(19), 18], [*range(19), 50], [-1, *range(19)], [*range(19)]])
def test_wrong_positions_are_refused(fake, fake_client, positions):
    fake.replies = encoded(token_count=50, positions=positions, variant=b"v" * 32)
    refused(fake_client, "MALFORMED_REPLY", accept=b"v" * 32)


def test_positions_that_are_not_those_committed_are_refused(fake, fake_client):
    reply, *rest = messages(token_count=50, positions=list(range(20)), variant=b"v" * 32)
    reply.header.groups[1].positions[19] = 40
    fake.replies = [message.SerializeToString() for message in [reply, *rest]]
    refused(fake_client, "POSITIONS_DIGEST", accept=b"v" * 32)


def test_a_group_that_kept_nothing_has_no_rows(fake, fake_client):
    nothing = [(k[:0], v[:0]) for k, v in LAYERS]
    fake.replies = [message.SerializeToString() for message in entry_messages(
        MODEL, KEY, nothing, token_count=20, positions=[], variant=b"v" * 32)]
    entry = get(fake_client, accept=b"v" * 32)
    assert [layer.k.shape[0] for layer in entry.layers] == [0, 0, 0] and entry.layers[0].positions.size == 0


def test_a_layout_of_a_million_layers_is_refused_at_once(fake, fake_client):
    reply = messages()[0]
    reply.header.layout[0].layer_count = 1_000_000
    fake.replies = [reply.SerializeToString()]
    refused(fake_client, "MALFORMED_REPLY")


def test_an_entry_that_claims_to_be_huge_is_refused_before_memory_is_taken(fake, fake_client):
    reply = messages()[0]
    reply.header.token_count = 1 << 40
    for group in reply.header.groups:
        group.row_count = 1 << 40
    fake.replies = [reply.SerializeToString()]
    refused(fake_client, "MALFORMED_REPLY")


@pytest.mark.parametrize("noise", [b"\x7a\x05abc", b"\xff" * 12, b"\x0a\xff\xff\xff\xff\x0f", b"\x7b"])
def test_bytes_that_are_no_message_are_refused(fake, fake_client, noise):
    fake.replies = [encoded()[0], noise]
    refused(fake_client, "MALFORMED_REPLY")


async def test_a_spoilt_reply_is_refused_under_asyncio_too(fake):
    fake.replies = encoded()
    fake.replies[1] = fake.replies[1][:-1] + b"\xff"
    async with chunkkv.AsyncClient(fake.address) as client:
        with pytest.raises(chunkkv.DataLoss, match="PART_CHECKSUM"):
            await client.get(model=MODEL, tokens=TOKENS)


def test_scales_and_tensor_kinds_unknown_to_the_layout_are_refused(fake, fake_client):
    replies = messages()
    replies[1].part.tensor = KEYS + 2
    fake.replies = [message.SerializeToString() for message in replies]
    refused(fake_client, "MALFORMED_REPLY")
