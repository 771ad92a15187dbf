// A request out of the bytes of its message.
#ifndef CHUNKKV_SERVICE_RPC_DECODE_REQUEST_H_
#define CHUNKKV_SERVICE_RPC_DECODE_REQUEST_H_

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/byte_buffer.h>

#include <string>

#include "absl/status/status.h"
#include "chunkkv/kernels/status.h"
#include "service/rpc/decoded_size.h"
#include "service/rpc/rpc_limits.h"

namespace chunkkv::rpc {

// Errors: INVALID_ARGUMENT (MALFORMED_MESSAGE), RESOURCE_EXHAUSTED (REQUEST_TOO_LARGE).
template <typename Request>
absl::Status DecodeRequest(const grpc::ByteBuffer& bytes, Request* request) {
  if (DecodedBytes(bytes, *Request::descriptor(), kMaxDecodedRequestBytes) > kMaxDecodedRequestBytes) {
    return ErrorStatus(absl::StatusCode::kResourceExhausted, "REQUEST_TOO_LARGE",
                       "the message would take more than " + std::to_string(kMaxDecodedRequestBytes) + " bytes");
  }
  grpc::ByteBuffer consumed = bytes;
  if (grpc::GenericDeserialize<grpc::ProtoBufferReader, Request>(&consumed, request).ok()) return absl::OkStatus();
  return InvalidArgument("MALFORMED_MESSAGE", "the message is no " + Request::descriptor()->name());
}

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_DECODE_REQUEST_H_
