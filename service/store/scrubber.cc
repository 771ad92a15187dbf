#include "service/store/scrubber.h"

#include "service/format/digest.h"
#include "service/format/record.h"

namespace chunkkv {
bool ScrubTensors(const Entry& entry, size_t* next_tensor, int64_t* bytes) {
  const auto& tensors = entry.header().tensors;
  if (*next_tensor == 0 && !VerifyPositions(entry.header(), entry.body()).ok()) return false;
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
