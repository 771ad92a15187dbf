#include "service/rpc/channel_rpcs.h"

#include "service/base/status_macros.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_channel.h"

namespace chunkkv::rpc {

absl::Status OpenChannel(UnaryCall& call, const v1::OpenChannelRequest& request, v1::OpenChannelResponse* response) {
  ChannelHost& channels = call.context().channels;
  CHUNKKV_RETURN_IF_ERROR(channels.status());
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes16 owner_id, FixedFromWire<16>(request.owner_id(), "BAD_OWNER_ID", "owner_id"));
  ChannelRequest asked;
  asked.tenant = call.tenant();
  CHUNKKV_ASSIGN_OR_RETURN(asked.owner, channels.owners().Find(call.tenant(), owner_id));
  asked.nccl_version = request.nccl_version();
  asked.device = request.device();
  asked.unique_id = request.nccl_unique_id();
  CHUNKKV_ASSIGN_OR_RETURN(const OpenedChannel opened, channels.table().Open(asked));
  if (const auto owner = channels.owners().Find(call.tenant(), owner_id); !owner.ok()) {
    channels.table().Forget(asked.owner);
    return owner.status();
  }
  response->set_channel_id(ToString(opened.id));
  response->set_nccl_unique_id(ToString(opened.unique_id));
  return absl::OkStatus();
}

absl::Status CloseChannel(UnaryCall& call, const v1::CloseChannelRequest& request, v1::CloseChannelResponse*) {
  ChannelHost& channels = call.context().channels;
  CHUNKKV_RETURN_IF_ERROR(channels.status());
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes16 id, ChannelIdFromWire(request.channel_id()));
  return channels.table().Close(call.tenant(), id);
}

}  // namespace chunkkv::rpc
