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

absl::Status ReplyTooLarge() {
  return ErrorStatus(absl::StatusCode::kResourceExhausted, "REPLY_TOO_LARGE",
                     "one reply has " + std::to_string(kMaxReplyBytes) +
                         " bytes at most: ask for the rest again, or without positions");
}

int64_t PositionBytes(const EntryHeader& header) {
  int64_t size_bytes = 0;
  for (const auto& positions : header.positions) size_bytes += static_cast<int64_t>(positions.size() * sizeof(int32_t));
  return size_bytes;
}

// `left_bytes`: what the reply still takes. Without positions the first entry always fits.
absl::Status Describe(EntryStore& store, KnownModels& known, const v1::EntrySelector& wire, bool with_positions,
                      int64_t left_bytes, v1::EntryInfo* info) {
  if (left_bytes <= 0) return ReplyTooLarge();
  CHUNKKV_ASSIGN_OR_RETURN(const Selector selector, SelectorFromWire(wire, known));
  CHUNKKV_ASSIGN_OR_RETURN(const EntryState state, store.Describe(selector));
  if (with_positions && PositionBytes(state.entry->header()) > left_bytes) return ReplyTooLarge();
  ToWire(state, with_positions, info);
  const auto info_bytes = static_cast<int64_t>(info->ByteSizeLong());
  if (info_bytes > left_bytes && left_bytes < kMaxReplyBytes) return ReplyTooLarge();
  return absl::OkStatus();
}

// False where the page is full; the first entry always fits.
bool AddToPage(const EntryState& state, v1::ListCachesResponse* page) {
  ToWire(state, /*with_positions=*/false, page->add_entries());
  if (page->entries_size() == 1 || static_cast<int64_t>(page->ByteSizeLong()) <= kMaxReplyBytes) return true;
  page->mutable_entries()->RemoveLast();
  return false;
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
  int64_t left_bytes = kMaxReplyBytes;
  for (const v1::EntrySelector& selector : request.entries()) {
    CHUNKKV_RETURN_IF_ERROR(call.CheckActive());
    v1::DescribeCachesResponse::Item* const item = response->add_items();
    const absl::Status status =
        Describe(call.store(), known, selector, request.with_positions(), left_bytes, item->mutable_info());
    if (!status.ok()) item->clear_info();
    ToWire(status, item->mutable_status());
    const bool is_full = status.code() == absl::StatusCode::kResourceExhausted;
    left_bytes = is_full ? 0 : left_bytes - static_cast<int64_t>(item->ByteSizeLong());
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
  for (size_t i = 0; i < states.size(); ++i) {
    CHUNKKV_RETURN_IF_ERROR(call.CheckActive());
    if (i < static_cast<size_t>(page_size) && AddToPage(states[i], response)) continue;
    response->set_next_page_token(ToHex(states[i - 1].entry->header().entry_id));
    break;
  }
  return absl::OkStatus();
}

}  // namespace chunkkv::rpc
