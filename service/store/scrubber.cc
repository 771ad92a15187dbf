#include "service/store/scrubber.h"

#include <cstring>

#include "service/format/digest.h"

namespace chunkkv {
namespace {

// Kept positions lie first in the body, one list after the other.
bool PositionsAreSound(const Entry& entry) {
  size_t offset = 0;
  for (const auto& positions : entry.header().positions) {
    if (positions.empty()) continue;
    const size_t size_bytes = positions.size() * sizeof(positions[0]);
    if (size_bytes > entry.body().size() - offset) return false;
    if (std::memcmp(entry.body().data() + offset, positions.data(), size_bytes) != 0) return false;
    offset += size_bytes;
  }
  return true;
}

}  // namespace

bool ScrubTensors(const Entry& entry, size_t* next_tensor, int64_t* bytes) {
  const auto& tensors = entry.header().tensors;
  if (*next_tensor == 0 && !PositionsAreSound(entry)) return false;
  while (*next_tensor < tensors.size()) {
    if (*bytes <= 0) return true;
    const TensorSlot& slot = tensors[*next_tensor];
    if (DigestTensor(entry.TensorBytes(slot)) != slot.digest) return false;
    *bytes -= slot.size_bytes;
    ++*next_tensor;
  }
  *next_tensor = 0;
  return true;
}

}  // namespace chunkkv
