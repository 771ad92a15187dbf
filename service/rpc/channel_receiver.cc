#include "service/rpc/channel_receiver.h"

#include <utility>

namespace chunkkv::rpc {
namespace {

// On the request executor: it copies.
void Finish(PutCall& call, ChannelBuffers& buffers, ChannelReceipt& receipt, absl::Status status) {
  if (status.ok()) status = buffers.CopyOut(receipt.placement.pieces, receipt.hold.buffer);
  receipt.hold.LetGo(status);
  if (!status.ok()) call.Fail(status);
  // What is wrong with it ends the session.
  (void)call.session().FinishPart(receipt.placement.ticket, status.ok());
  receipt.hold.pause = IdlePause();
}

}  // namespace

void ReceiveOverChannel(RpcContext& context, const std::shared_ptr<PutCall>& call, const ChannelAccess& access,
                        ChannelReceipt receipt, std::shared_ptr<PutStream> stream) {
  const auto held = std::make_shared<ChannelReceipt>(std::move(receipt));
  ChannelTransfer transfer;
  transfer.direction = ChannelTransfer::Direction::kReceive;
  transfer.memory = held->hold.buffer.memory();
  transfer.size_bytes = held->header.payload_bytes;
  transfer.peer_is_ready = true;
  transfer.starting = [call, header = held->header, id = access.id()](int64_t sequence) {
    call->OnReady(header, id, sequence);
  };
  transfer.done = [&context, call, buffers = access.buffers, held, stream = std::move(stream),
                   line = TaskQueue::LineOf(access.channel->identity().tenant)](const absl::Status& status) {
    context.request_executor.Post([call, buffers, held, stream, status] { Finish(*call, *buffers, *held, status); },
                                  line);
  };
  access.group->Start(access.channel, std::move(transfer));
}

}  // namespace chunkkv::rpc
