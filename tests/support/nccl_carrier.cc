#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "service/base/check.h"
#include "service/format/digest.h"
#include "tests/support/carrier.h"
#include "tests/support/channel_client.h"
#include "tests/support/put_client.h"

namespace chunkkv {
namespace {

class NcclCarrier final : public Carrier {
 public:
  explicit NcclCarrier(TestServer& server) : client_(JoinedClient(server)) {}

  v1::PutCacheRequest PartOf(const PartHeader& header, const Bytes& bytes, const PartShape&) override {
    v1::PutCacheRequest message = InlinePart(header, {});
    v1::TensorPayload* payload = message.mutable_part()->mutable_payload();
    payload->Clear();
    payload->mutable_nccl()->set_channel_id(client_->channel_id());
    payload->mutable_nccl()->set_length_bytes(static_cast<int64_t>(bytes.size()));
    announced_[NameOf(message.part())] = bytes;
    return message;
  }

  void OnReady(const v1::Ready& ready) override {
    const auto found = announced_.find(NameOf(ready));
    CHUNKKV_CHECK(found != announced_.end());
    client_->Send(ready.sequence(), std::move(found->second));
    announced_.erase(found);
  }

  GotEntry Get(std::shared_ptr<grpc::Channel> channel, const v1::GetCacheRequest& request, const PutRequest&) override {
    v1::GetCacheRequest wire = request;
    wire.mutable_target()->set_channel_id(client_->channel_id());
    return GetAll(std::move(channel), wire, [this](v1::GetCacheResponse& response) {
      if (!response.has_part()) return;
      v1::TensorPayload* payload = response.mutable_part()->mutable_payload();
      const Bytes bytes = client_->Receive(payload->nccl().sequence(), payload->nccl().length_bytes());
      payload->set_inline_(bytes.data(), bytes.size());
      payload->set_checksum(PartChecksum(bytes));
    });
  }

 private:
  using Name = std::tuple<int32_t, int, int64_t, std::string>;
  template <typename Message>
  static Name NameOf(const Message& part) {
    return {part.layer(), part.tensor(), part.begin(), part.name()};
  }

  const std::unique_ptr<ChannelClient> client_;
  std::map<Name, Bytes> announced_;
};

}  // namespace

std::unique_ptr<Carrier> MakeNcclCarrier(TestServer& server) { return std::make_unique<NcclCarrier>(server); }

}  // namespace chunkkv
