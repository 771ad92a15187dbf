#include <algorithm>
#include <optional>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/rpc/call_checks.h"
#include "service/rpc/catalog_rpcs.h"
#include "service/rpc/grpc_status.h"
#include "service/rpc/wire_bytes.h"
#include "service/rpc/wire_entry.h"
#include "service/rpc/wire_identity.h"

namespace chunkkv::rpc {
namespace {

constexpr int32_t kDefaultPageSize = 100;
constexpr int32_t kMaxPageSize = 1000;

absl::Status Describe(EntryStore& store, KnownModels& known, const v1::EntrySelector& wire, bool with_positions,
                      v1::EntryInfo* info) {
  CHUNKKV_ASSIGN_OR_RETURN(const Selector selector, SelectorFromWire(wire, known));
  CHUNKKV_ASSIGN_OR_RETURN(const EntryState state, store.Describe(selector));
  ToWire(state, with_positions, info);
  return absl::OkStatus();
}

// A page token is the id of the last entry shown, in hexadecimal; to clients it is opaque.
absl::StatusOr<std::optional<Bytes16>> PageStart(const std::string& token) {
  if (token.empty()) return std::optional<Bytes16>();
  if (const std::optional<std::string> bytes = FromHex(token)) {
    if (const std::optional<Bytes16> id = FixedFromView<16>(*bytes)) return id;
  }
  return InvalidArgument("BAD_PAGE_TOKEN", "page_token is not one of this server's");
}

}  // namespace

absl::Status DescribeCaches(UnaryCall& call, const v1::DescribeCachesRequest& request,
                            v1::DescribeCachesResponse* response) {
  CHUNKKV_RETURN_IF_ERROR(CheckBatch(call.context(), request.entries_size()));
  KnownModels known(call.tenant(), call.store());
  for (const v1::EntrySelector& selector : request.entries()) {
    CHUNKKV_RETURN_IF_ERROR(call.CheckActive());
    v1::DescribeCachesResponse::Item* const item = response->add_items();
    const absl::Status status = Describe(call.store(), known, selector, request.with_positions(), item->mutable_info());
    if (!status.ok()) item->clear_info();
    ToWire(status, item->mutable_status());
  }
  return absl::OkStatus();
}

absl::Status ListCaches(UnaryCall& call, const v1::ListCachesRequest& request, v1::ListCachesResponse* response) {
  if (request.page_size() < 0) return InvalidArgument("BAD_PAGE_SIZE", "page_size is negative");
  const int32_t page_size = request.page_size() == 0 ? kDefaultPageSize : std::min(request.page_size(), kMaxPageSize);
  CHUNKKV_ASSIGN_OR_RETURN(const std::optional<Bytes16> after, PageStart(request.page_token()));
  CHUNKKV_ASSIGN_OR_RETURN(const std::optional<Bytes32> fingerprint,
                           OptionalFromWire<32>(request.fingerprint(), "BAD_FINGERPRINT", "fingerprint"));
  // One more than is shown tells whether there is a next page.
  const std::vector<EntryState> states = call.store().List(call.tenant(), fingerprint, after, page_size + 1);
  for (size_t i = 0; i < states.size() && i < static_cast<size_t>(page_size); ++i) {
    CHUNKKV_RETURN_IF_ERROR(call.CheckActive());
    ToWire(states[i], /*with_positions=*/false, response->add_entries());
  }
  if (states.size() > static_cast<size_t>(page_size)) {
    response->set_next_page_token(ToHex(states[page_size - 1].entry->header().entry_id));
  }
  return absl::OkStatus();
}

}  // namespace chunkkv::rpc
