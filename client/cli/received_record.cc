#include "client/cli/received_record.h"

#include <algorithm>
#include <new>
#include <span>

#include "chunkkv/kernels/status.h"
#include "service/format/digest.h"

namespace chunkkv::cli {

void ReceivedRecord::PlaceInto(client::GetRequest& request, std::function<void(const EntryHeader&)> on_header) {
  const int64_t limit = request.max_entry_bytes;
  request.on_header = [this, limit, on_header = std::move(on_header)](const EntryHeader& header) -> absl::Status {
    header_ = header;
    if (header_.BodyBytes() > limit) {
      return ErrorStatus(absl::StatusCode::kResourceExhausted, "ENTRY_TOO_LARGE",
                         "the entry is beyond max_entry_bytes");
    }
    body_.reset(new (std::nothrow) std::byte[header_.BodyBytes()]);
    if (body_ == nullptr) {
      return ErrorStatus(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY", "no memory for the entry");
    }
    on_header(header_);
    return absl::OkStatus();
  };
  request.placement = [this](const TensorSpec& tensor, int64_t, int64_t) -> std::byte* {
    return body_.get() + header_.FindTensor(tensor.layer, tensor.kind, tensor.name)->offset;
  };
}

void ReceivedRecord::Finish(const client::CachedEntry& entry, const client::ModelRef& model) {
  header_ = entry.header;
  header_.model = model.model;
  std::byte* next = body_.get();
  for (const std::vector<int32_t>& positions : header_.positions) {
    next = std::ranges::copy(std::as_bytes(std::span(positions)), next).out;
  }
  if (!header_.keys_contiguous) return;
  for (TensorSlot& slot : header_.tensors) {
    if (slot.spec.kind != TensorKind::kKeys) continue;
    slot.digest = DigestTensor({body_.get() + slot.offset, static_cast<size_t>(slot.size_bytes)});
  }
  header_.entry_digest = EntryDigest(header_.tensors);
}

}  // namespace chunkkv::cli
