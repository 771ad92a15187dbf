"""A service in this process for what a real one never does: it answers as it is told, and spoils its own replies."""

from concurrent import futures

import chunkkv
import grpc
import numpy as np

from chunkkv import digests
from chunkkv._arrays import NUMPY_DTYPES
from chunkkv._channel import GET_CACHE, PUT_CACHE
from chunkkv.v1 import compaction_pb2, get_pb2, layout_pb2, payload_pb2, put_pb2

KEYS, VALUES, NAMED = payload_pb2.TENSOR_KIND_KEYS, payload_pb2.TENSOR_KIND_VALUES, payload_pb2.TENSOR_KIND_NAMED
ROW_RANGES = {"rows": payload_pb2.RANGE_KIND_KEPT_ROWS, "tokens": payload_pb2.RANGE_KIND_TOKENS}


class FakeService:
    """Takes puts into `puts`, and serves `replies`, encoded GetCacheResponses. selections: answered to Begin.
    failure: (code, details, trailer) that every call ends with; late_failure: a get, after its replies."""

    def __init__(self):
        self.puts, self.replies, self.requests = [], [], []
        self.selections, self.failure, self.late_failure, self.already_stored = [], None, None, False
        self.cancelled = futures.Future()
        self.is_endless = False
        handlers = {
            PUT_CACHE: grpc.stream_stream_rpc_method_handler(
                self._put, put_pb2.PutCacheRequest.FromString, put_pb2.PutCacheResponse.SerializeToString),
            GET_CACHE: grpc.unary_stream_rpc_method_handler(self._get, get_pb2.GetCacheRequest.FromString)}
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((_Handlers(handlers),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self):
        self._server.stop(0).wait()

    def _fail(self, context, failure):
        if failure:
            code, details, trailer = failure
            context.set_trailing_metadata(trailer)
            context.abort(code, details)

    def _put(self, requests, context):
        self._fail(context, self.failure)
        begin = next(requests).begin
        put = ReceivedPut(begin)
        self.puts.append(put)
        if self.already_stored:
            begun = put_pb2.Begun(already_stored={"entry_id": b"e" * 16, "durability": 1, "size_bytes": 5})
            yield put_pb2.PutCacheResponse(begun=begun)
            return
        layers = sum(run.layer_count for run in begin.layout if run.HasField("attention"))
        groups = list(begin.spec.groups) or [compaction_pb2.ReuseGroup(first_layer=layer, layer_count=1, leader=layer)
                                             for layer in range(layers)]
        yield put_pb2.PutCacheResponse(begun=put_pb2.Begun(session_id=b"s" * 16, groups=groups))
        for group, positions in enumerate(self.selections):
            yield put_pb2.PutCacheResponse(selection=put_pb2.Selection(group=group, positions=positions))
        for request in requests:
            put.take(request)
        if put.is_committed:
            yield put_pb2.PutCacheResponse(committed=put_pb2.Committed(
                entry_id=b"e" * 16, received_bytes=sum(map(len, put.tensors.values()))))

    def _get(self, request, context):
        self._fail(context, self.failure)
        context.add_callback(lambda: self.cancelled.done() or self.cancelled.set_result(True))
        self.requests.append(request)
        yield from self.replies
        while self.is_endless and context.is_active():
            self.cancelled.result(timeout=10)
        self._fail(context, self.late_failure)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, handlers):
        self._handlers = handlers

    def service(self, details):
        return self._handlers.get(details.method)


class ReceivedPut:
    """What one put sent: tensors by (layer, TensorKind, name), as bytes; parts in order."""

    def __init__(self, begin):
        self.begin, self.parts, self.tensors, self.positions, self.is_committed = begin, [], {}, {}, False

    def take(self, request):
        kind = request.WhichOneof("message")
        if kind == "part":
            part = request.part
            assert part.payload.checksum == digests.part_checksum(part.payload.inline)
            self.parts.append((part.layer, part.tensor, part.range, part.begin, part.end))
            name = (part.layer, part.tensor, part.name)
            self.tensors[name] = self.tensors.get(name, b"") + part.payload.inline
        elif kind == "positions":
            self.positions[request.positions.group] = list(request.positions.positions)
        else:
            self.is_committed = kind == "commit"

    def array(self, layer, kind, dtype, shape):
        return np.frombuffer(self.tensors[layer, kind, ""], np.uint8).view(dtype).reshape(shape)


def attention_run(first_layer, layer_count, k, v):
    """The LayerRun of layers like k and v."""
    numbers = {dtype: number for number, dtype in NUMPY_DTYPES.items()}
    return layout_pb2.LayerRun(first_layer=first_layer, layer_count=layer_count, attention=layout_pb2.AttentionRun(
        kv_head_count=k.shape[1], key_head_size=k.shape[2], value_head_size=v.shape[2], dtype=numbers[k.dtype],
        value_dtype=numbers[v.dtype]))


def entry_messages(model, key, layers, /, *, token_count, positions=None, rows_per_part=3, **header):
    """GetCacheResponses of an exact entry, or of one with these positions in every layer. layers: (k, v) pairs."""
    tensors = {(layer, kind): array for layer, pair in enumerate(layers) for kind, array in zip((KEYS, VALUES), pair)}
    tensor_digests = [get_pb2.TensorDigest(layer=layer, tensor=kind, digest=digests.tensor_digest(array.tobytes()))
                      for (layer, kind), array in tensors.items()]
    groups = [get_pb2.GroupPositions(group={"first_layer": layer, "layer_count": 1, "leader": layer},
                                     row_count=len(layers[layer][0]), positions=positions or [],
                                     positions_digest=digests.tensor_digest(np.array(positions or [], "<i4")))
              for layer in range(len(layers))]
    policy = compaction_pb2.POLICY_FULL if positions is None else compaction_pb2.POLICY_EXTERNAL
    fields = dict(
        entry_id=b"e" * 16, fingerprint=model.fingerprint(), key=key, variant=bytes(32), spec={"policy": policy},
        shard=chunkkv.Shard().resolved(model).to_wire(), policy_applied=policy, layout=[attention_run(0, len(layers), *layers[0])], token_count=token_count,
        next_position=token_count, position_mode=get_pb2.POSITION_MODE_ORIGINAL, groups=groups,
        compaction={"budget": len(layers[0][0]), "policy_applied": policy}, digests=tensor_digests,
        entry_digest=digests.combined_digest(item.digest for item in tensor_digests),
        size_bytes=sum(array.nbytes for array in tensors.values()), layer_count=len(layers))
    yield get_pb2.GetCacheResponse(header=get_pb2.GetHeader(**{**fields, **header}))
    for layer in range(len(layers)):
        for kind in (KEYS, VALUES):
            array = tensors[layer, kind]
            for begin in range(0, len(array), rows_per_part):
                end = min(begin + rows_per_part, len(array))
                data = array[begin:end].tobytes()
                yield get_pb2.GetCacheResponse(part=payload_pb2.Part(
                    layer=layer, tensor=kind, range=payload_pb2.RANGE_KIND_TOKENS, begin=begin, end=end,
                    payload={"checksum": digests.part_checksum(data), "inline": data}))
        yield get_pb2.GetCacheResponse(layer_end=get_pb2.LayerEnd(
            layer=layer, digests=[item for item in tensor_digests if item.layer == layer]))
