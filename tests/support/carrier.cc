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
  std::vector<CarrierKind> kinds = {{"Inline", [](TestServer&) { return MakeInlineCarrier(); }}};
  for (const bool paged : {false, true}) {
    const std::string prefix = paged ? "Paged" : "";
    const auto region = [paged](RegionKind kind) {
      return [kind, paged](TestServer& server) { return MakeRegionCarrier(server, kind, paged); };
    };
    kinds.push_back({prefix + "SharedMemory", region(RegionKind::kSharedMemory)});
    kinds.push_back({prefix + "CudaIpc", region(RegionKind::kCudaIpc), ServerWithDeviceRegions});
    kinds.push_back({prefix + "CudaDescriptors", region(RegionKind::kCudaDescriptors), ServerWithDeviceRegions});
  }
  kinds.push_back({"Nccl", [](TestServer& server) { return MakeNcclCarrier(server); }});
  return kinds;
}

}  // namespace chunkkv
