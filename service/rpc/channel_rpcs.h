// Opening and closing NCCL channels.
#ifndef CHUNKKV_SERVICE_RPC_CHANNEL_RPCS_H_
#define CHUNKKV_SERVICE_RPC_CHANNEL_RPCS_H_

#include "absl/status/status.h"
#include "chunkkv/v1/transport.pb.h"
#include "service/rpc/unary_call.h"

namespace chunkkv::rpc {

absl::Status OpenChannel(UnaryCall& call, const v1::OpenChannelRequest& request, v1::OpenChannelResponse* response);
absl::Status CloseChannel(UnaryCall& call, const v1::CloseChannelRequest& request, v1::CloseChannelResponse* response);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_CHANNEL_RPCS_H_
