#include "tests/support/carrier.h"

#include <ostream>

#include "tests/support/put_client.h"

namespace chunkkv {
namespace {

class InlineCarrier final : public Carrier {
 public:
  v1::PutCacheRequest PartOf(const PartHeader& header, const Bytes& bytes, const PartShape&) override {
    return InlinePart(header, bytes);
  }
  GotEntry Get(std::shared_ptr<grpc::Channel> channel, const v1::GetCacheRequest& request, const PutRequest&) override {
    return GetAll(std::move(channel), request);
  }
};

}  // namespace

std::unique_ptr<Carrier> MakeInlineCarrier() { return std::make_unique<InlineCarrier>(); }

std::ostream& operator<<(std::ostream& out, const CarrierKind& kind) { return out << kind.name; }

std::vector<CarrierKind> AllCarriers() {
  return {{"Inline", [](TestServer&) { return MakeInlineCarrier(); }},
          {"SharedMemory", [](TestServer& server) { return MakeRegionCarrier(server, /*paged=*/false); }},
          {"PagedSharedMemory", [](TestServer& server) { return MakeRegionCarrier(server, /*paged=*/true); }},
          {"Nccl", [](TestServer& server) { return MakeNcclCarrier(server); }}};
}

}  // namespace chunkkv
