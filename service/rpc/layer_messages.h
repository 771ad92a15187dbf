// What gets of every carrier say of a layer, and need for one.
#ifndef CHUNKKV_SERVICE_RPC_LAYER_MESSAGES_H_
#define CHUNKKV_SERVICE_RPC_LAYER_MESSAGES_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>

#include "service/transfer/served_layer.h"

namespace chunkkv::rpc {

// At most what serving `layer` allocates: re-rotated keys.
int64_t ScratchBytes(const EntryHeader& header, const ServeOptions& options, int32_t layer);

// GetCacheResponse{layer_end}: the digests of what was served.
grpc::ByteBuffer MakeLayerEnd(const ServedLayer& layer);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_LAYER_MESSAGES_H_
