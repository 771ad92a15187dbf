// What brings the bytes of puts to a server and those of gets back: the seam of the transfer conformance suite. A new
// carrier implements this, is named in AllCarriers, and inherits every case.
#ifndef CHUNKKV_TESTS_SUPPORT_CARRIER_H_
#define CHUNKKV_TESTS_SUPPORT_CARRIER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chunkkv/v1/put.pb.h"
#include "service/session/put_request.h"
#include "service/transfer/region/region_table.h"
#include "tests/support/get_client.h"
#include "tests/support/test_server.h"

namespace chunkkv {

// Dense as inline bytes are: rows of heads, or heads of rows; one head of all bytes where the part is not rows.
struct PartShape {
  int32_t head_count = 1;
  int64_t head_bytes = 0;  // 0: not rows
  bool head_major = false;
};

class Carrier {
 public:
  virtual ~Carrier() = default;
  virtual void Prepare(v1::Begin& begin) { (void)begin; }
  virtual v1::PutCacheRequest PartOf(const PartHeader& header, const Bytes& bytes, const PartShape& shape) = 0;
  // The server wants a part that PartOf announced.
  virtual void OnReady(const v1::Ready& ready) { (void)ready; }
  // Of an entry put as `put` says.
  virtual GotEntry Get(std::shared_ptr<grpc::Channel> channel, const v1::GetCacheRequest& request,
                       const PutRequest& put) = 0;
};

std::unique_ptr<Carrier> MakeInlineCarrier();
// Into and out of a region of the client's: dense slices, or rows in the pages of an engine's cache.
std::unique_ptr<Carrier> MakeRegionCarrier(TestServer& server, RegionKind kind, bool paged);

// Over an NCCL channel, whose other rank this is.
std::unique_ptr<Carrier> MakeNcclCarrier(TestServer& server);

struct CarrierKind {
  std::string name;
  std::function<std::unique_ptr<Carrier>(TestServer& server)> make;
  ServerOptions (*options)() = SmallServer;
};
std::ostream& operator<<(std::ostream& out, const CarrierKind& kind);
std::vector<CarrierKind> AllCarriers();

}  // namespace chunkkv

#endif  // CHUNKKV_TESTS_SUPPORT_CARRIER_H_
