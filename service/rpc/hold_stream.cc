#include "service/rpc/hold_stream.h"

#include "chunkkv/v1/transport.pb.h"
#include "service/base/status_macros.h"
#include "service/rpc/decode_request.h"
#include "service/rpc/wire_bytes.h"

namespace chunkkv::rpc {

HoldStream::~HoldStream() {
  if (!owner_) return;
  context().channels.owners().Remove(owner_->id);
  context().channels.table().Forget(owner_->owner);
}

absl::Status HoldStream::Begin(const grpc::ByteBuffer& request) {
  CHUNKKV_RETURN_IF_ERROR(context().channels.status());
  v1::HoldChannelsRequest wire;
  CHUNKKV_RETURN_IF_ERROR(DecodeRequest(request, &wire));
  owner_ = context().channels.owners().Add(tenant());
  v1::HoldChannelsResponse response;
  response.set_owner_id(ToString(owner_->id));
  Send(response);
  return absl::OkStatus();
}

}  // namespace chunkkv::rpc
