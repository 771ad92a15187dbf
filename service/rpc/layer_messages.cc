#include "service/rpc/layer_messages.h"

#include "chunkkv/v1/get.pb.h"
#include "service/rpc/stream_output.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_part.h"

namespace chunkkv::rpc {

int64_t ScratchBytes(const EntryHeader& header, const ServeOptions& options, int32_t layer) {
  const TensorSlot* const keys = header.FindTensor(layer, TensorKind::kKeys, "k");
  if (keys == nullptr || !NeedsRotation(header, options)) return 0;
  return options.token_count < 0 ? keys->size_bytes : options.token_count * keys->spec.row_bytes;
}

grpc::ByteBuffer MakeLayerEnd(const ServedLayer& layer) {
  v1::GetCacheResponse response;
  v1::LayerEnd* end = response.mutable_layer_end();
  end->set_layer(layer.layer);
  for (const ServedTensor& tensor : layer.tensors) {
    v1::TensorDigest* digest = end->add_digests();
    SetTensor(tensor.slot->spec, digest);
    digest->set_digest(ToString(tensor.digest));
  }
  return ToByteBuffer(response);
}

}  // namespace chunkkv::rpc
