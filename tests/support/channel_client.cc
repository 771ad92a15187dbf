#include "tests/support/channel_client.h"

#include <utility>

#include "service/base/check.h"
#include "service/format/bytes.h"

namespace chunkkv {

ChannelClient::ChannelClient(TestServer& server)
    : server_(server),
      nccl_(server.nccl().Library()),
      stream_(std::make_unique<FakeStream>(server.nccl().device())),
      holding_(std::make_unique<RawStream>(server.NewChannel(), "HoldChannels")) {
  holding_->Send(v1::HoldChannelsRequest());
  holding_->HalfClose();
  const std::optional<std::string> bytes = holding_->Receive();
  v1::HoldChannelsResponse response;
  CHUNKKV_CHECK(bytes && response.ParseFromString(*bytes));
  owner_id_ = response.owner_id();
}

ChannelClient::~ChannelClient() { DropRank(); }

v1::OpenChannelRequest ChannelClient::Request() const {
  v1::OpenChannelRequest request;
  request.set_nccl_version(NcclWorld::kVersion);
  request.set_owner_id(owner_id_);
  return request;
}

RpcEnd ChannelClient::Open(const v1::OpenChannelRequest& request) {
  grpc::ClientContext context;
  return EndOf(server_.stub().OpenChannel(&context, request, &opened_), context);
}

void ChannelClient::Join() {
  comm_ = nccl_->Begin(FixedFromView<128>(opened_.nccl_unique_id()).value(), 1, 2).value();
}

RpcEnd ChannelClient::Close() {
  v1::CloseChannelRequest request;
  request.set_channel_id(channel_id());
  v1::CloseChannelResponse response;
  grpc::ClientContext context;
  return EndOf(server_.stub().CloseChannel(&context, request, &response), context);
}

void ChannelClient::DropRank() {
  if (comm_ != nullptr) nccl_->Abort(std::exchange(comm_, nullptr)).IgnoreError();
}

void ChannelClient::Send(int64_t sequence, Bytes bytes) {
  Bytes& kept = memory_.emplace_back(std::move(bytes));
  RunInTurn(sequence, [this, &kept] { Ask(/*is_send=*/true, kept); });
}

Bytes ChannelClient::Receive(int64_t sequence, int64_t size_bytes) {
  Bytes& bytes = memory_.emplace_back(size_bytes);
  CHUNKKV_CHECK(sequence == next_sequence_);
  RunInTurn(sequence, [this, &bytes] { Ask(/*is_send=*/false, bytes); });
  const DeviceStream::Mark mark = stream_->SetMark().value();
  CHUNKKV_CHECK(TestServer::Eventually([&] { return stream_->HasPassed(mark).value(); }));
  return bytes;
}

void ChannelClient::RunInTurn(int64_t sequence, std::function<void()> ask) {
  early_.emplace(sequence, std::move(ask));
  while (!early_.empty() && early_.begin()->first == next_sequence_) {
    early_.begin()->second();
    early_.erase(early_.begin());
    ++next_sequence_;
  }
}

void ChannelClient::Ask(bool is_send, Bytes& bytes) {
  const auto is_ready = [this] { return nccl_->Poll(comm_).value() == NcclLibrary::Progress::kDone; };
  CHUNKKV_CHECK(TestServer::Eventually(is_ready));  // until the server's rank has come
  const absl::Status status = is_send ? nccl_->Send(comm_, 0, bytes.data(), bytes.size(), stream_->handle())
                                      : nccl_->Receive(comm_, 0, bytes.data(), bytes.size(), stream_->handle());
  CHUNKKV_CHECK(status.ok() && is_ready());
}

std::unique_ptr<ChannelClient> JoinedClient(TestServer& server) {
  auto client = std::make_unique<ChannelClient>(server);
  CHUNKKV_CHECK(client->Open(client->Request()).ok());
  client->Join();
  return client;
}

}  // namespace chunkkv
