// One HoldChannels.
#ifndef CHUNKKV_SERVICE_RPC_HOLD_STREAM_H_
#define CHUNKKV_SERVICE_RPC_HOLD_STREAM_H_

#include <optional>

#include "service/rpc/event_stream.h"
#include "service/transfer/nccl/channel_owners.h"

namespace chunkkv::rpc {

// Owns channels: they end with it, and so with its client's connection. It goes on while the server drains, since puts
// and gets in progress may need them.
class HoldStream final : public EventStream {
 public:
  HoldStream(RpcContext& context, grpc::CallbackServerContext* call_context)
      : EventStream(context, call_context, "HoldChannels", StreamKind::kHold) {}
  ~HoldStream() override;

 private:
  absl::Status Begin(const grpc::ByteBuffer& request) override;
  void SendSome() override {}

  std::optional<ChannelOwners::Named> owner_;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_HOLD_STREAM_H_
