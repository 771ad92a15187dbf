// How much memory a message takes once it is decoded, known before that.
#ifndef CHUNKKV_SERVICE_RPC_DECODED_SIZE_H_
#define CHUNKKV_SERVICE_RPC_DECODED_SIZE_H_

#include <google/protobuf/descriptor.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>

namespace chunkkv::rpc {

// About the most that `bytes` take as a message of `type`: two bytes may stand for an empty message of a hundred. Reads
// no further than it takes to go beyond `limit_bytes`. What is malformed counts as far as it can be read.
int64_t DecodedBytes(const grpc::ByteBuffer& bytes, const google::protobuf::Descriptor& type, int64_t limit_bytes);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_DECODED_SIZE_H_
