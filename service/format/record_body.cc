#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/format/digest.h"
#include "service/format/record.h"
#include "service/format/record_metadata.h"

namespace chunkkv {
namespace {

absl::Status Mismatch(const std::string& tensor) {
  return ErrorStatus(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                     absl::StrCat("the bytes of ", tensor, " are not those that were stored"));
}

absl::Status CheckSize(const EntryHeader& header, absl::Span<const std::byte> body) {
  if (static_cast<int64_t>(body.size()) == header.BodyBytes()) return absl::OkStatus();
  return RecordDamaged(absl::StrCat("the body has ", body.size(), " bytes, not ", header.BodyBytes()));
}

bool Ascends(const std::vector<int32_t>& positions, int64_t token_count) {
  int64_t previous = -1;
  for (const int32_t position : positions) {
    if (position <= previous || position >= token_count) return false;
    previous = position;
  }
  return true;
}

}  // namespace

absl::Status LoadPositions(absl::Span<const std::byte> body, RecordHead* head) {
  EntryHeader& header = head->header;
  if (absl::Status status = CheckSize(header, body); !status.ok()) return status;
  header.positions.resize(header.groups.size());
  for (size_t i = 0, offset = 0; i < header.groups.size(); ++i) {
    if (!HasPositions(header, i)) continue;
    const size_t size_bytes = header.row_counts[i] * sizeof(int32_t);
    const auto bytes = body.subspan(offset, size_bytes);
    offset += size_bytes;
    if (DigestTensor(bytes) != head->positions_digests[i]) return Mismatch(PositionsName(i));
    header.positions[i].resize(header.row_counts[i]);
    if (size_bytes != 0) std::memcpy(header.positions[i].data(), bytes.data(), size_bytes);
    if (!Ascends(header.positions[i], header.token_count)) {
      return RecordDamaged(absl::StrCat(PositionsName(i), " does not ascend within [0, ", header.token_count, ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status VerifyPositions(const EntryHeader& header, absl::Span<const std::byte> body) {
  for (size_t i = 0, offset = 0; i < header.groups.size(); ++i) {
    if (!HasPositions(header, i)) continue;
    const size_t size_bytes = header.row_counts[i] * sizeof(int32_t);
    const bool is_same =
        i < header.positions.size() && header.positions[i].size() == static_cast<size_t>(header.row_counts[i]) &&
        size_bytes <= body.size() - offset &&
        (size_bytes == 0 || std::memcmp(body.data() + offset, header.positions[i].data(), size_bytes) == 0);
    if (!is_same) return Mismatch(PositionsName(i));
    offset += size_bytes;
  }
  return absl::OkStatus();
}

absl::Status VerifyBody(const EntryHeader& header, absl::Span<const std::byte> body) {
  if (absl::Status status = CheckSize(header, body); !status.ok()) return status;
  if (absl::Status status = VerifyPositions(header, body); !status.ok()) return status;
  const int64_t body_bytes = static_cast<int64_t>(body.size());
  for (const TensorSlot& slot : header.tensors) {
    const bool is_inside = slot.offset >= 0 && slot.size_bytes >= 0 && slot.offset <= body_bytes &&
                           slot.size_bytes <= body_bytes - slot.offset;
    if (!is_inside) return RecordDamaged(absl::StrCat(TensorName(slot.spec), " lies outside the body"));
    if (DigestTensor(body.subspan(slot.offset, slot.size_bytes)) != slot.digest) {
      return Mismatch(TensorName(slot.spec));
    }
  }
  if (EntryDigest(header.tensors) != header.entry_digest) return Mismatch("the entry's digests");
  return absl::OkStatus();
}

}  // namespace chunkkv
