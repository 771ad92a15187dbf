#include "service/rpc/part_cutter.h"

#include <algorithm>
#include <numeric>

#include "service/format/digest.h"
#include "service/rpc/wire_part.h"

namespace chunkkv::rpc {
namespace {

// Parts end on rows, and on blocks of the digest too where the rows allow; rows longer than a part are cut anywhere.
int64_t PartBytes(const TensorSpec& spec, int64_t max_part_bytes) {
  const auto block_bytes = static_cast<int64_t>(kDigestBlockBytes);
  const int64_t blocks = max_part_bytes / block_bytes * block_bytes;
  if (!spec.is_per_token() || spec.row_bytes > max_part_bytes) return blocks;
  const int64_t unit = std::lcm(block_bytes, spec.row_bytes);
  if (unit <= max_part_bytes) return max_part_bytes / unit * unit;
  return max_part_bytes / spec.row_bytes * spec.row_bytes;
}

}  // namespace

std::optional<PartCutter::Cut> PartCutter::Next() {
  const auto& tensors = layer_.tensors;
  while (tensor_ < tensors.size() && offset_ == static_cast<int64_t>(tensors[tensor_].bytes.size())) {
    ++tensor_;
    offset_ = 0;
  }
  if (tensor_ == tensors.size()) return std::nullopt;
  const ServedTensor& tensor = tensors[tensor_];
  const TensorSpec& spec = tensor.slot->spec;
  const auto tensor_bytes = static_cast<int64_t>(tensor.bytes.size());
  const int64_t count = std::min(PartBytes(spec, max_part_bytes_), tensor_bytes - offset_);
  Cut cut;
  cut.bytes = tensor.bytes.subspan(offset_, count);
  SetTensor(spec, &cut.part);
  if (spec.is_per_token() && spec.row_bytes <= max_part_bytes_) {
    const bool all_rows = tensor.slot->row_count == token_count_;
    cut.part.set_range(all_rows ? v1::RANGE_KIND_TOKENS : v1::RANGE_KIND_KEPT_ROWS);
    cut.part.set_begin(tensor.first_row + offset_ / spec.row_bytes);
    cut.part.set_end(tensor.first_row + (offset_ + count) / spec.row_bytes);
  } else {
    cut.part.set_range(v1::RANGE_KIND_BYTES);
    cut.part.set_begin(offset_);
    cut.part.set_end(offset_ + count);
  }
  offset_ += count;
  return cut;
}

}  // namespace chunkkv::rpc
