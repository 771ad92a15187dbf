// A put's part that comes over a channel.
#ifndef CHUNKKV_SERVICE_RPC_CHANNEL_RECEIVER_H_
#define CHUNKKV_SERVICE_RPC_CHANNEL_RECEIVER_H_

#include <memory>

#include "service/rpc/channel_access.h"
#include "service/rpc/put_call.h"
#include "service/rpc/rpc_context.h"

namespace chunkkv::rpc {

// What is there before it comes.
struct ChannelReceipt {
  ChannelHold hold;
  PartHeader header;
  PutSession::Placement placement;
};

// Receives the part, which the client is told of as it starts, into the receipt's buffer, copies it to its place and
// finishes it; where that fails, the put does. `stream` is held until then.
void ReceiveOverChannel(RpcContext& context, const std::shared_ptr<PutCall>& call, const ChannelAccess& access,
                        ChannelReceipt receipt, std::shared_ptr<PutStream> stream);

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_CHANNEL_RECEIVER_H_
